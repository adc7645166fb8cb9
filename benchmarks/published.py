"""Reproduce published results of multilayer perceptrons, one file per result in `reproduce/`.

    python benchmarks/published.py [--anchors P1,P5] [--scale smoke|full|long] [--peers]

Every result ("anchor"), variant and seed is one run in its own process; its record is saved when it
ends. An interrupted suite resumes where it stopped, and a run whose settings changed is repeated.
After the runs, one epoch is timed for deltarule, scikit-learn and PyTorch, with nothing else
running. When all runs of the full form are saved, docs/reproduction.md is written.
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
from reproduce.images import load_images, uses_substitute  # noqa: E402
from reproduce.peers import PEERS, is_timed, measure_peers  # noqa: E402
from reproduce.report import goals_table, page, peers_table, results_table  # noqa: E402
from reproduce.runs import FOLDER, anchors, pending_runs, run_all, save_record, saved_results  # noqa: E402
from speed.machine import describe  # noqa: E402
from speed.report import Table, console, put  # noqa: E402

from deltarule.errors import DatasetError  # noqa: E402

DOCUMENT = ROOT / "docs" / "reproduction.md"
PICTURES = ROOT / "docs" / "images" / "reproduction"


def arguments() -> argparse.Namespace:
    """Return the command-line options."""
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
    parser.add_argument("--jobs", type=int, default=2, help="number of concurrent runs")
    parser.add_argument("--threads", type=int, default=1, help="threads per run")
    parser.add_argument("--seeds", type=int, help="use only the first SEEDS seeds")
    parser.add_argument(
        "--peers", action="store_true", help="no runs; repeat all timings against the peers"
    )
    return parser.parse_args()


def check_plans(chosen: list[Anchor], scale: str) -> str:
    """Return the reason why there is nothing to run, or an empty text."""
    if any(scale in anchor.plans for anchor in chosen):
        return ""
    have = ", ".join(name for name, anchor in anchors().items() if scale in anchor.plans)
    return f"--scale {scale}: {', '.join(a.name for a in chosen)} has no such form; {have} do."


def check_images(chosen: list[Anchor], scale: str) -> str:
    """Return the reason why a run is impossible, or an empty text; print any substitute data."""
    for name in sorted({anchor.data for anchor in chosen}):
        advice = "Run `make images` to get both data sets."
        if scale != "smoke":
            try:
                load_images(name, 1)
            except DatasetError as error:
                return f"{error}\n{advice}"
        elif uses_substitute(name):
            print(f"{name} cannot be loaded; scikit-learn's digits are used instead. {advice}")
    return ""


def untimed(chosen: list[Anchor]) -> list[str]:
    """Return the networks that have not been timed against every installed peer."""
    names = [anchor.name for anchor in chosen if anchor.name in PEERS]
    return [name for name in names if not is_timed(name, FOLDER)]


def write_document() -> None:
    """Write the page and its pictures, unless runs are missing."""
    whole = list(anchors().values())
    if missing := [*map(str, pending_runs(whole, "full")), *untimed(whole)]:
        print(f"{DOCUMENT.name} is unchanged: {len(missing)} runs of the full form are missing.")
        return
    for anchor in whole:
        draw(anchor, saved_results(anchor, "full"), PICTURES / f"{anchor.name}.png")
    machine = Table("Measured on", ("machine", ""), list(describe().items()))
    text = page(whole, Path("images") / PICTURES.name)
    put(DOCUMENT, "reproduction", f"{text}\n\n{machine.markdown()}")


def main() -> int:
    """Run what is missing, print the results, and write the page if it is complete."""
    chosen = arguments()
    fault = check_plans(chosen.anchors, chosen.scale)
    if fault := fault or check_images(chosen.anchors, chosen.scale):
        print(fault, file=sys.stderr)
        return 2
    failed = 0
    if not chosen.peers:
        begin = time.perf_counter()
        runs = [r for r in pending_runs(chosen.anchors, chosen.scale)
                if chosen.seeds is None or r.seed < chosen.seeds]  # fmt: skip
        failed = run_all(runs, chosen.jobs, chosen.threads)
        print(f"{len(runs)} runs in {time.perf_counter() - begin:.0f} s, {failed} failed")
    if chosen.scale == "full":
        names = [anchor.name for anchor in chosen.anchors if anchor.name in PEERS]
        for name in names if chosen.peers else untimed(chosen.anchors):
            save_record(FOLDER / "peers" / f"{name}.json", measure_peers(name))
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
