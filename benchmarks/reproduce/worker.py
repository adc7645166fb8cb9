"""One run in its own process: ``-m reproduce.worker ANCHOR VARIANT SEED SCALE THREADS FOLDER``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from reproduce.runs import anchors, perform, runs_of


def main() -> None:
    # An interrupted fit returns its best model, but half a run must not be saved as a complete one.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    name, variant, seed, scale, n_threads, folder = sys.argv[1:]
    anchor = anchors()[name]
    run = next(
        run
        for run in runs_of(anchor, scale, Path(folder))
        if (run.variant, run.seed) == (variant, int(seed))
    )
    record = perform(anchor, run, int(n_threads))
    seconds = "resumed" if record["seconds"] is None else f"{record['seconds']:.1f} s"
    print(
        f"{run}: test error {record['test_error']:.2f} %, {record['epochs']} epochs, {seconds}",
        flush=True,
    )


if __name__ == "__main__":
    main()
