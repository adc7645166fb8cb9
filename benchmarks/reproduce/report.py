"""The page: published beside ours, goal by goal, a picture each, and the time beside the peers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from speed.report import Table, mark

from reproduce.anchor import Anchor, Results
from reproduce.peers import PEERS
from reproduce.runs import FOLDER, kept

__all__ = ["goals_table", "page", "peers_table", "results_table"]

Record = Mapping[str, Any]

TITLES = {
    "smoke": ("The short form", ""),
    "full": ("Published and ours", "Goals"),
    "long": ("The long forms", "Goals of the long forms"),
}


def results_table(anchors: Iterable[Anchor], scale: str, folder: Path = FOLDER) -> Table:
    """Return published and ours, an arm a row."""
    rows, spent = [], 0.0
    for anchor in anchors:
        for arm, runs in kept(anchor, scale, folder).items():
            rows.append((anchor.name, arm, _published(anchor, arm), *_ours(runs)))
            spent += sum(run["processor_seconds"] or 0.0 for run in runs)
    columns = ("", "run", "published", "ours", "seeds", "epochs", "wall time a run",
               "processor time a run", "threads", "load average")  # fmt: skip
    note = (
        "Errors on the test set, in percent: mean ± standard deviation over seeds. The runs took "
        f"{spent / 60:.0f} minutes of processor time, without those that were cut off and resumed."
    )
    return Table(TITLES[scale][0], columns, rows, note)


def _published(anchor: Anchor, arm: str) -> str:
    given = anchor.published[arm]
    return given if isinstance(given, str) else f"{given:.2f}"


def _ours(runs: Sequence[Record]) -> tuple[str, ...]:
    errors = [run["test_error"] for run in runs]
    spread = f" ± {np.std(errors, ddof=1):.2f}" if len(errors) > 1 else ""
    stand_in = "" if runs[0]["data"] != "digits" else " (digits, not the images)"
    loads = [load for run in runs for load in run["load_average"]]
    return (
        f"{np.mean(errors):.2f}{spread}{stand_in}",
        f"{len(runs)}",
        _range([run["epochs"] for run in runs]),
        _seconds([run["seconds"] for run in runs]),
        _seconds([run["processor_seconds"] for run in runs]),
        _range([run["threads"] for run in runs]),
        f"{min(loads):.1f}–{max(loads):.1f}",
    )


def _seconds(spent: Sequence[float | None]) -> str:
    """Return the mean of the runs that were not cut off and resumed."""
    known = [seconds for seconds in spent if seconds is not None]
    return f"{np.mean(known):.0f} s" if known else "–"


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low}–{high}"


def goals_table(anchors: Iterable[Anchor], scale: str, folder: Path = FOLDER) -> Table:
    """Return every goal with what was measured; a goal whose arms are not all there is open."""
    rows = []
    for anchor in anchors:
        results: Results = kept(anchor, scale, folder)
        for goal in anchor.long_goals if scale == "long" else anchor.goals:
            try:
                measured, met = goal.measure(results)
            except KeyError:
                rows.append((anchor.name, goal.text, "not run yet"))
                continue
            rows.append((anchor.name, goal.text, f"{measured}{mark(met)}"))
        goal_of_time = PEERS[anchor.name].goal if anchor.name in PEERS else 0.0
        if goal_of_time and scale == "full":
            text = f"an epoch {goal_of_time:g}× faster than scikit-learn's, in the same run"
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
    """Return the time of an epoch beside the peers, where it has been measured."""
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
        "Seconds for 60 000 rows, the median of the turns over a part of them, all cores for each "
        "engine; ratios are the median of those of each turn. The networks are the anchors' "
        "layers, batches and rules in the plain form that all three have: the cross-entropy of a "
        "softmax, no penalty, no constraint, dropout behind every hidden layer; P4 and P5 have "
        "P3's. scikit-learn has no dropout and no batch norm: –; where it takes part, both are "
        "MLPClassifier with the same arguments."
    )
    return Table("An epoch beside the peers", columns, rows, note)


ENGINES = ("deltarule", "scikit-learn", "PyTorch")


def page(anchors: Sequence[Anchor], pictures: Path, folder: Path = FOLDER) -> str:
    """Return the measured part of the document; ``pictures`` is where the curves lie."""
    tables = [
        results_table(anchors, "full", folder),
        goals_table(anchors, "full", folder),
        peers_table(folder),
    ]
    if any(kept(anchor, "long", folder) for anchor in anchors):
        tables += [results_table(anchors, "long", folder), goals_table(anchors, "long", folder)]
    parts = [table.markdown() for table in tables if table.rows]
    for anchor in anchors:
        if results := kept(anchor, "full", folder):
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
