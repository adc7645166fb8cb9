"""One run in its own process: ``-m reproduce.worker ANCHOR ARM SEED SCALE THREADS FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from reproduce.runs import anchors, keep, perform, runs_of


def main() -> None:
    name, arm, seed, scale, n_threads, folder = sys.argv[1:]
    if folder.endswith(".json"):
        folder = str(Path(folder).parent.parent)
    anchor = anchors()[name]
    run = next(
        run
        for run in runs_of(anchor, scale, Path(folder))
        if (run.arm, run.seed) == (arm, int(seed))
    )
    record = perform(anchor, run, int(n_threads))
    keep(run.file, record)
    seconds = "resumed" if record["seconds"] is None else f"{record['seconds']:.1f} s"
    print(
        f"{run}: test error {record['test_error']:.2f} %, {record['epochs']} epochs, {seconds}",
        flush=True,
    )


if __name__ == "__main__":
    main()
