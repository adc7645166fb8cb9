"""Published results of multilayer perceptrons, reproduced: one file an anchor in `reproduce/`.

    python benchmarks/published.py [--anchors P1,P5] [--scale smoke|full|long] [--peers]

Every anchor, arm and seed is a run of its own, in its own process, kept in a file as it ends: an
interrupted suite goes on where it stopped, and changed settings run anew. After the runs an epoch
is timed beside scikit-learn and PyTorch, alone, once. When every run of the full form is kept,
docs/reproduction.md is written.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
os.environ["DELTARULE_DATA"] = os.environ.get("DELTARULE_DATA") or str(ROOT / "build" / "data")

from reproduce.anchor import Anchor  # noqa: E402
from reproduce.curves import draw  # noqa: E402
from reproduce.images import load_images, stands_in  # noqa: E402
from reproduce.peers import PEERS, is_timed, measure_peers  # noqa: E402
from reproduce.report import goals_table, page, peers_table, results_table  # noqa: E402
from reproduce.runs import FOLDER, anchors, keep, kept, run_all, todo  # noqa: E402
from speed.machine import describe  # noqa: E402
from speed.report import Table, console, put  # noqa: E402

from deltarule.errors import DatasetError  # noqa: E402

DOCUMENT = ROOT / "docs" / "reproduction.md"
PICTURES = ROOT / "docs" / "images" / "reproduction"


def arguments() -> argparse.Namespace:
    """Return the options."""
    known = anchors()

    def several(text: str) -> list[Anchor]:
        names = [name.strip() for name in text.split(",")] if text.strip() else list(known)
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(
                f"{', '.join(sorted(unknown))}: choose from {', '.join(known)}"
            )
        return [known[name] for name in dict.fromkeys(names)]

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--anchors", type=several, default=list(known.values()))
    parser.add_argument("--scale", choices=("smoke", "full", "long"), default="full")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--threads", type=int, default=1, help="threads of each run")
    parser.add_argument("--seeds", type=int, help="only the first so many seeds")
    parser.add_argument("--peers", action="store_true", help="no runs; all times beside peers anew")
    return parser.parse_args()


def check_plans(chosen: list[Anchor], scale: str) -> str:
    """Return why there is nothing to run, if so."""
    if any(scale in anchor.plans for anchor in chosen):
        return ""
    have = ", ".join(name for name, anchor in anchors().items() if scale in anchor.plans)
    return f"--scale {scale}: of {', '.join(a.name for a in chosen)} there is none; of {have} is."


def check_images(chosen: list[Anchor], scale: str) -> str:
    """Return why a run cannot be, if so; say what smoke takes instead."""
    for name in sorted({anchor.data for anchor in chosen}):
        advice = "`make images` gets both data sets."
        if scale != "smoke":
            try:
                load_images(name, 1)
            except DatasetError as error:
                return f"{error}\n{advice}"
        elif stands_in(name):
            print(f"{name} cannot be loaded: scikit-learn's digits take its place. {advice}")
    return ""


def untimed(chosen: list[Anchor]) -> list[str]:
    """Return which networks have not been timed beside every peer that is installed."""
    names = [anchor.name for anchor in chosen if anchor.name in PEERS]
    return [name for name in names if not is_timed(name, FOLDER)]


def write_document() -> None:
    """Write the page and its pictures, unless something is still to be run."""
    whole = list(anchors().values())
    if missing := [*map(str, todo(whole, "full")), *untimed(whole)]:
        print(f"{DOCUMENT.name} stays as it is: of the full form {len(missing)} runs are missing.")
        return
    for anchor in whole:
        draw(anchor, kept(anchor, "full"), PICTURES / f"{anchor.name}.png")
    machine = Table("Measured on", ("machine", ""), list(describe().items()))
    text = page(whole, Path("images") / PICTURES.name)
    put(DOCUMENT, "reproduction", f"{text}\n\n{machine.markdown()}")


def main() -> int:
    """Run what is missing, print what there is, and write what is complete."""
    chosen = arguments()
    fault = check_plans(chosen.anchors, chosen.scale)
    if fault := fault or check_images(chosen.anchors, chosen.scale):
        print(fault, file=sys.stderr)
        return 2
    failed = 0
    if not chosen.peers:
        begin = time.perf_counter()
        runs = [r for r in todo(chosen.anchors, chosen.scale)
                if chosen.seeds is None or r.seed < chosen.seeds]  # fmt: skip
        failed = run_all(runs, chosen.jobs, chosen.threads)
        print(f"{len(runs)} runs in {time.perf_counter() - begin:.0f} s, {failed} failed")
    if chosen.scale == "full":
        names = [anchor.name for anchor in chosen.anchors if anchor.name in PEERS]
        for name in names if chosen.peers else untimed(chosen.anchors):
            keep(FOLDER / "peers" / f"{name}.json", measure_peers(name))
    screen = console()
    tables = [results_table(chosen.anchors, chosen.scale)]
    if chosen.scale != "smoke":
        tables += [goals_table(chosen.anchors, chosen.scale), peers_table()]
    for table in tables:
        table.show(screen)
    if chosen.scale != "smoke":
        write_document()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
