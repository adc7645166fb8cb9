"""Published results of multilayer perceptrons, reproduced: one file an anchor in `reproduce/`.

    python benchmarks/published.py [--anchors P1,P5] [--scale smoke|full|long] [--document]

Every anchor, arm and seed is a run of its own, in its own process, kept in a file as it ends: an
interrupted suite goes on where it stopped, and changed settings run anew.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("DELTARULE_DATA", str(ROOT / "build" / "data"))

from reproduce.runs import anchors, run_all, todo  # noqa: E402


def main() -> int:
    known = anchors()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--anchors", default=",".join(known))
    parser.add_argument("--scale", choices=("smoke", "full", "long"), default="full")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--threads", type=int, default=1, help="threads of each")
    chosen = parser.parse_args()
    picked = [known[name] for name in chosen.anchors.split(",")]
    runs = todo(picked, chosen.scale)
    return 1 if run_all(runs, chosen.jobs, chosen.threads) else 0


if __name__ == "__main__":
    sys.exit(main())
