"""Time of a training step, by engine: ``python benchmarks/bench.py [--cases S,M] [--rounds 5] …``.

The engines are measured alternately, round after round, each in its own process, which sleeps
while another engine is measured. One repetition of deltarule or scikit-learn is a complete ``fit``;
one of PyTorch or JAX is the same number of epochs over arrays and a network that already exist. The
result is the shortest time per step over all rounds, with 1 thread or with one thread per core,
whichever is faster (deltarule and JAX choose the number themselves). An engine that is not
installed is skipped; ``pip install -e ".[peers]"`` installs PyTorch and JAX.
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
from speed.interleaved_timing import ENGINES, Measured, WorkerError, time_interleaved
from speed.machine import describe, load_average
from speed.report import Table, console, mark, put
from speed.targets import TARGETS, Measurement

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "performance.md"

# Targets in float32 on two cores: deltarule is at least this many times as fast as the engine, and
# takes at most this many times as long as the BLAS baseline. In float64, half the ratio to
# scikit-learn.
BASELINE = "BLAS baseline"
TARGET_RATIOS = {
    "S": {"torch eager": 22.0, "JAX scan": 2.5, "scikit-learn": 15.0, BASELINE: 1.9},
    "S2": {"torch eager": 9.0, "JAX scan": 3.0, "scikit-learn": 8.0, BASELINE: 1.5},
    "M": {"torch eager": 2.4, "JAX scan": 1.5, "scikit-learn": 3.7, BASELINE: 1.5},
    "L": {"torch eager": 1.05, "JAX scan": 1.05, "scikit-learn": 2.5, BASELINE: 1.05},
    "W": {"torch eager": 1.15, "torch.compile": 1.15, "JAX scan": 1.15, BASELINE: 1.25},
    "T": {BASELINE: 1.5},
    "B1": {"JAX scan": 1.0},
}


def targets_of(case: Case) -> dict[str, float]:
    """Return the target ratios of the case, by engine."""
    targets = TARGET_RATIOS.get(case.name, {})
    if case.dtype == "float32":
        return targets
    return {name: ratio / 2 for name, ratio in targets.items() if name == "scikit-learn"}


def table(case: Case, measured: dict[str, Measured]) -> Table:
    """Return the table of a case."""
    ours, baseline = (measured.get(name, Measured()).best for name in ("deltarule", BASELINE))
    rows = []
    for name, seen in measured.items():
        if seen.best is None:
            rows.append((name, "–", "–", "–", "–", f"skipped: {seen.failed}"))
            continue
        ratio = f"{seen.best / ours:.2f}×" if ours else "–"
        multiple = f"{seen.best / baseline:.2f}×" if baseline else "–"
        threads = "its own choice" if seen.threads is None else str(seen.threads)
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
    columns = ("engine", "µs per step", "÷ deltarule", "÷ baseline", "threads", "target")
    return Table(str(case), columns, rows)


def verdict(case: Case, name: str, measured: dict[str, Measured]) -> str:
    """Return the target for an engine, and whether it is met."""
    targets = targets_of(case)
    ours, seen = measured.get("deltarule", Measured()).best, measured[name].best
    if name == "deltarule" and BASELINE in targets:
        baseline = measured.get(BASELINE, Measured()).best
        met = None if not (ours and baseline) else ours <= targets[BASELINE] * baseline
        return f"≤ {targets[BASELINE]:g}× baseline{mark(met)}"
    if name in targets and name != BASELINE:
        met = None if not (ours and seen) else seen >= targets[name] * ours
        return f"≥ {targets[name]:g}×{mark(met)}"
    return ""


def additional_measurements(
    names: Iterable[str], rounds: int, epochs: int | None
) -> list[Measurement]:
    """Return the additional measurements; a measurement that fails is a row with its error."""
    found: list[Measurement] = []
    for name in names:
        try:
            found.extend(TARGETS[name](rounds, epochs))
        except WorkerError as error:
            found.append(Measurement(name, None, note=f"failed: {error}"))
    return found


def add_earlier(case: Case, measured: dict[str, Measured], runs: Iterable[Any]) -> None:
    """Add the repetitions that earlier runs made of the same case, by engine."""
    spec = json.loads(json.dumps(case.spec()))
    for run in runs:
        for held in run["measured"]:
            if {key: held.get(key) for key in spec} != spec:
                continue
            for name, one in held["engines"].items():
                seen = measured.setdefault(name, Measured())
                for threads, seconds in one["seconds"].items():
                    number = None if threads == "null" else int(threads)
                    seen.seconds.setdefault(number, []).extend(seconds)


def earlier_additions(runs: Iterable[Any]) -> list[Measurement]:
    """Return the additional measurements of earlier runs; a later one replaces one before it."""
    found = [Measurement(**one) for run in runs for held in run["measured"]
             for one in held.get("additional", [])]  # fmt: skip
    return [*{one.what: one for one in found}.values()]


def options() -> argparse.Namespace:
    """Return the command-line options."""

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
    parser.add_argument("--epochs", type=int, help="epochs of every fit, instead of the case's")
    parser.add_argument(
        "--only", type=names(ENGINES), default=list(ENGINES), help="measure only these engines"
    )
    parser.add_argument("--figures", type=names(TARGETS), default=list(TARGETS),
                        help="these additional measurements ('' for none)")  # fmt: skip
    parser.add_argument("--json", type=Path, help="write all measurements to this file")
    parser.add_argument("--earlier", type=Path, nargs="*", default=[],
                        help="files of earlier runs (--json) whose repetitions count, too; with "
                        "--rounds 0, alone")  # fmt: skip
    parser.add_argument("--document", action="store_true", help=f"also write {DOCUMENT.name}")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and write the files that the options name."""
    chosen = options()
    screen = console()
    machine = describe() | {"load average at the start": f"{load_average():.2f}"}
    tables = []
    raw: list[dict[str, Any]] = []
    earlier = [json.loads(path.read_text()) for path in chosen.earlier]
    for name, dtype in product(chosen.cases, chosen.dtypes):
        case = replace(CASES[name], dtype=dtype)
        case = replace(case, epochs=chosen.epochs or case.epochs)
        entries = {engine: (ENGINES[engine], case) for engine in chosen.only}
        measured = time_interleaved(entries, chosen.rounds) if chosen.rounds else {}
        add_earlier(case, measured, earlier)
        raw.append(case.spec() | {"engines": {n: asdict(m) for n, m in measured.items()}})
        tables.append(table(case, measured))
        tables[-1].show(screen)
    if chosen.figures:
        found = earlier_additions(earlier)
        if chosen.rounds:
            found = additional_measurements(chosen.figures, chosen.rounds, chosen.epochs)
        rows: list[tuple[str, ...]] = [each.row for each in found]
        tables.append(
            Table("Additional measurements, float32", ("measurement", "value", "target", ""), rows)
        )
        tables[-1].show(screen)
        raw.append({"additional": [asdict(each) for each in found]})
    machine["load average at the end"] = f"{load_average():.2f}"
    if earlier and not chosen.rounds:
        machine = earlier[-1]["machine"]
    tables.append(Table("Measured on", ("machine", ""), list(machine.items())))
    tables[-1].show(screen)
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": machine, "measured": raw}, indent=1) + "\n")
    if chosen.document:
        put(DOCUMENT, "bench", "\n\n".join(each.markdown() for each in tables))


if __name__ == "__main__":
    main()
