"""Tables and sections of docs/reproduction.md: results, goals, pictures, time of an epoch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from speed.report import Table, mark

from reproduce.anchor import Anchor, Results
from reproduce.peers import PEERS
from reproduce.runs import FOLDER, saved_results

__all__ = ["goals_table", "page", "peers_table", "results_table"]

Record = Mapping[str, Any]

TITLES = {
    "smoke": ("The short form", ""),
    "full": ("Published results and ours", "Goals"),
    "long": ("The long forms", "Goals of the long forms"),
}


def results_table(anchors: Iterable[Anchor], scale: str, folder: Path = FOLDER) -> Table:
    """Return the table of published results and ours, one row per variant."""
    rows, spent = [], 0.0
    for anchor in anchors:
        for variant, runs in saved_results(anchor, scale, folder).items():
            rows.append((anchor.name, variant, _published(anchor, variant), *_ours(runs)))
            spent += sum(run["processor_seconds"] or 0.0 for run in runs)
    columns = ("", "run", "published", "ours", "seeds", "epochs", "wall time per run",
               "processor time per run", "threads", "load average")  # fmt: skip
    note = (
        "Test errors in percent: mean ± standard deviation over seeds. The runs took "
        f"{spent / 60:.0f} minutes of processor time, not counting runs that were resumed."
    )
    return Table(TITLES[scale][0], columns, rows, note)


def _published(anchor: Anchor, variant: str) -> str:
    given = anchor.published[variant]
    return given if isinstance(given, str) else f"{given:.2f}"


def _ours(runs: Sequence[Record]) -> tuple[str, ...]:
    errors = [run["test_error"] for run in runs]
    spread = f" ± {np.std(errors, ddof=1):.2f}" if len(errors) > 1 else ""
    substitute = "" if runs[0]["data"] != "digits" else " (digits instead of the images)"
    loads = [load for run in runs for load in run["load_average"]]
    return (
        f"{np.mean(errors):.2f}{spread}{substitute}",
        f"{len(runs)}",
        _range([run["epochs"] for run in runs]),
        _seconds([run["seconds"] for run in runs]),
        _seconds([run["processor_seconds"] for run in runs]),
        _range([run["threads"] for run in runs]),
        f"{min(loads):.1f}–{max(loads):.1f}",
    )


def _seconds(spent: Sequence[float | None]) -> str:
    """Return the mean time of the runs that were not resumed."""
    known = [seconds for seconds in spent if seconds is not None]
    return f"{np.mean(known):.0f} s" if known else "–"


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low}–{high}"


def goals_table(anchors: Iterable[Anchor], scale: str, folder: Path = FOLDER) -> Table:
    """Return every goal with its measurement; a goal whose runs are missing is "not run yet"."""
    rows = []
    for anchor in anchors:
        results: Results = saved_results(anchor, scale, folder)
        for goal in anchor.long_goals if scale == "long" else anchor.goals:
            try:
                measured, met = goal.measure(results)
            except KeyError:
                rows.append((anchor.name, goal.text, "not run yet"))
                continue
            rows.append((anchor.name, goal.text, f"{measured}{mark(met)}"))
        goal_of_time = PEERS[anchor.name].goal if anchor.name in PEERS else 0.0
        if goal_of_time and scale == "full":
            text = f"an epoch takes at most 1/{goal_of_time:g} of scikit-learn's time"
            rows.append((anchor.name, text, _speed(anchor.name, goal_of_time, folder)))
    return Table(TITLES[scale][1], ("", "goal", "measured"), rows)


def _speed(name: str, goal: float, folder: Path) -> str:
    record = _peers(name, folder)
    if record is None:
        return "not run yet"
    ratio = record["ratios"]["scikit-learn"]
    return f"{ratio:.2f}×{mark(ratio >= goal)}"


def _peers(name: str, folder: Path) -> Record | None:
    file = folder / "peers" / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def peers_table(folder: Path = FOLDER) -> Table:
    """Return the table of the times of an epoch, as far as measured."""
    rows = []
    for name in PEERS:
        record = _peers(name, folder)
        if record is None:
            continue
        seconds, ratios = record["seconds"], record["ratios"]
        cells = [f"{seconds[e]:.2f} s" if e in seconds else "–" for e in ENGINES]
        times = [f"{ratios[e]:.2f}×" if e in ratios else "–" for e in ENGINES[1:]]
        load = " to ".join(f"{x:.1f}" for x in record["load_average"])
        rows.append((name, *cells, *times, load))
    columns = ("", *ENGINES, *(f"{engine} ÷ ours" for engine in ENGINES[1:]), "load average")
    note = (
        "Seconds for 60 000 rows, extrapolated from the median over repetitions of some of them; "
        "each engine may use all cores. A ratio is the median of the ratios of each round. The "
        "networks have the layers, batch sizes and optimisers of the published ones in the plain "
        "form that all three support: softmax with cross-entropy, no penalty, no constraint, "
        "dropout after every hidden layer. P4 and P5 have the network of P3. scikit-learn has no "
        "dropout and no batch norm (–); where it is measured, both are MLPClassifier with the same "
        "arguments."
    )
    return Table("Time of an epoch", columns, rows, note)


ENGINES = ("deltarule", "scikit-learn", "PyTorch")


def page(anchors: Sequence[Anchor], pictures: Path, folder: Path = FOLDER) -> str:
    """Return the measured part of the document; ``pictures`` is the folder of the curves."""
    tables = [
        results_table(anchors, "full", folder),
        goals_table(anchors, "full", folder),
        peers_table(folder),
    ]
    if any(saved_results(anchor, "long", folder) for anchor in anchors):
        tables += [results_table(anchors, "long", folder), goals_table(anchors, "long", folder)]
    parts = [table.markdown() for table in tables if table.rows]
    for anchor in anchors:
        if results := saved_results(anchor, "full", folder):
            parts.append(_section(anchor, results, pictures))
    return "\n\n".join(parts)


def _section(anchor: Anchor, results: Results, pictures: Path) -> str:
    module = anchor.fit.__module__.rsplit(".", 1)[-1]
    text = [
        f"### {anchor.name}. {anchor.title}",
        f"{anchor.source}. Ours: [{module}.py](../benchmarks/reproduce/{module}.py).",
        anchor.differences,
        f"![{anchor.name}: {_caption(anchor, results)}]({pictures}/{anchor.name}.png)",
    ]
    return "\n\n".join(part for part in text if part)


def _caption(anchor: Anchor, results: Results) -> str:
    what = "test error" if anchor.curve(results) == "test_errors" else "training loss"
    return f"{what} by epoch, {', '.join(results)}"
