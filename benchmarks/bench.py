"""One training step, many engines: ``python benchmarks/bench.py [--cases S,M] [--rounds 5] …``.

The engines take turns, round after round, each in a process of its own that sleeps while the others
measure. A turn of deltarule or scikit-learn is a whole ``fit``; one of PyTorch or JAX is the same
number of epochs over arrays and a network that are there already. What counts is the least time a
step over all rounds, with 1 thread or one a core, whichever is less (deltarule and JAX choose
themselves). An engine that is not installed is left out: ``pip install -e ".[peers]"`` brings
PyTorch and JAX.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

from speed.cases import CASES, Case
from speed.machine import describe, load_average
from speed.promises import PROMISES, Figure
from speed.report import Table, console, mark, put
from speed.turns import ENGINES, Measured, WorkerError, take_turns

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "performance.md"

# What is asked in float32 on two cores: at least so many times the engine's speed, at most so many
# times the floor. In float64 it is half the ratio to scikit-learn.
ASKED = {
    "S": {"torch eager": 20.0, "JAX scan": 2.7, "scikit-learn": 15.0, "floor": 2.1},
    "S2": {"torch eager": 9.0, "JAX scan": 3.2, "scikit-learn": 8.0, "floor": 1.8},
    "M": {"torch eager": 2.4, "JAX scan": 1.5, "scikit-learn": 3.7, "floor": 1.5},
    "L": {"torch eager": 1.05, "JAX scan": 1.0, "scikit-learn": 2.5, "floor": 1.25},
}


def asked_of(case: Case) -> dict[str, float]:
    """Return what is asked of the case, by engine."""
    asked = ASKED.get(case.name, {})
    if case.dtype == "float32":
        return asked
    return {name: ratio / 2 for name, ratio in asked.items() if name == "scikit-learn"}


def table(case: Case, measured: dict[str, Measured]) -> Table:
    """Return the table of a case."""
    ours, floor = (measured.get(name, Measured()).best for name in ("deltarule", "floor"))
    rows = []
    for name, seen in measured.items():
        if seen.best is None:
            rows.append((name, "–", "–", "–", "–", f"left out: {seen.failed}"))
            continue
        ratio = f"{seen.best / ours:.2f}×" if ours else "–"
        multiple = f"{seen.best / floor:.2f}×" if floor else "–"
        threads = "own choice" if seen.threads is None else str(seen.threads)
        rows.append(
            (
                name,
                f"{seen.best * 1e6:,.1f}",
                ratio,
                multiple,
                threads,
                verdict(case, name, measured),
            )
        )
    columns = ("engine", "µs a step", "÷ deltarule", "÷ floor", "threads", "asked")
    return Table(str(case), columns, rows)


def verdict(case: Case, name: str, measured: dict[str, Measured]) -> str:
    """Return what is asked beside an engine, and whether it is so."""
    asked = asked_of(case)
    ours, seen = measured.get("deltarule", Measured()).best, measured[name].best
    if name == "deltarule" and "floor" in asked:
        floor = measured.get("floor", Measured()).best
        met = None if not (ours and floor) else ours <= asked["floor"] * floor
        return f"≤ {asked['floor']:g}× floor{mark(met)}"
    if name in asked and name != "floor":
        met = None if not (ours and seen) else seen >= asked[name] * ours
        return f"≥ {asked[name]:g}×{mark(met)}"
    return ""


def figures(names: Iterable[str], rounds: int, epochs: int | None) -> list[Figure]:
    """Return the further figures; what fails is a line too."""
    found: list[Figure] = []
    for name in names:
        try:
            found.extend(PROMISES[name](rounds, epochs))
        except WorkerError as error:
            found.append(Figure(name, None, note=f"failed: {error}"))
    return found


def options() -> argparse.Namespace:
    """Return the command's options."""

    def names(known: Iterable[str]) -> Any:
        def several(text: str) -> list[str]:
            given = [name.strip() for name in text.split(",") if name.strip()]
            if unknown := set(given) - set(known):
                raise argparse.ArgumentTypeError(
                    f"{', '.join(sorted(unknown))}: choose from {', '.join(known)}"
                )
            return given

        return several

    dtypes = ("float32", "float64")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=names(CASES), default=list(CASES))
    parser.add_argument("--dtypes", type=names(dtypes), default=list(dtypes))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="of every fit, instead of the case's own")
    parser.add_argument("--only", type=names(ENGINES), default=list(ENGINES), help="these engines")
    parser.add_argument("--figures", type=names(PROMISES), default=list(PROMISES),
                        help="these further figures ('' for none)")  # fmt: skip
    parser.add_argument("--json", type=Path, help="write everything that was measured there")
    parser.add_argument("--document", action="store_true", help=f"write {DOCUMENT.name} too")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and write what is asked for."""
    chosen = options()
    screen = console()
    machine = describe() | {"load average at the start": f"{load_average():.2f}"}
    tables = []
    raw: list[dict[str, Any]] = []
    for name, dtype in product(chosen.cases, chosen.dtypes):
        case = replace(CASES[name], dtype=dtype)
        case = replace(case, epochs=chosen.epochs or case.epochs)
        entries = {engine: (ENGINES[engine], case) for engine in chosen.only}
        measured = take_turns(entries, chosen.rounds)
        raw.append(case.spec() | {"engines": {n: asdict(m) for n, m in measured.items()}})
        tables.append(table(case, measured))
        tables[-1].show(screen)
    if chosen.figures:
        found = figures(chosen.figures, chosen.rounds, chosen.epochs)
        rows: list[tuple[str, ...]] = [figure.row for figure in found]
        tables.append(Table("Further figures, float32", ("figure", "value", "asked", ""), rows))
        tables[-1].show(screen)
        raw.append({"figures": [asdict(figure) for figure in found]})
    machine["load average at the end"] = f"{load_average():.2f}"
    tables.append(Table("Measured on", ("machine", ""), list(machine.items())))
    tables[-1].show(screen)
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": machine, "measured": raw}, indent=1) + "\n")
    if chosen.document:
        put(DOCUMENT, "bench", "\n\n".join(each.markdown() for each in tables))


if __name__ == "__main__":
    main()
