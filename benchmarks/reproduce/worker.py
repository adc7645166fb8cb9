"""One run in its own process: ``python -m reproduce.worker ANCHOR ARM SEED SCALE THREADS FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

from reproduce.runs import Run, anchors, keep, perform


def main() -> None:
    name, arm, seed, scale, n_threads, file = sys.argv[1:]
    run = Run(name, arm, int(seed), scale, Path(file))
    record = perform(anchors()[name], run, int(n_threads))
    keep(run.file, record)
    print(
        f"{run}: test error {record['test_error']:.2f} %, {record['epochs']} epochs, "
        f"{record['seconds']:.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
