"""The output of a command as one JSON object."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from deltarule.cli.stdio import printing
from deltarule.tables.record import Classes
from deltarule.tables.split import time_text

if TYPE_CHECKING:
    from deltarule.tables import (
        Description,
        Evaluation,
        Prepared,
        Source,
        TableModel,
        Understanding,
        Understood,
    )
    from deltarule.tables.tabular.tuning import Found

__all__ = ["JsonReporter"]


class JsonReporter:
    """Collects what `TextReporter` prints, and prints it at the end.

    The object follows the schema of `deltarule.cli.json_schema`.
    """

    def __init__(self, command: str) -> None:
        self._found: dict[str, Any] = {"command": command, "notes": []}

    def notes(self, notes: Sequence[str]) -> None:
        """Add notes for the user."""
        self._found["notes"] += [" ".join(note.split()) for note in notes]

    def plan(self, table: Source, prepared: Prepared) -> None:
        """Add the target, the split of the rows and the seeds."""
        record, provenance = prepared.preprocessing, prepared.provenance
        self._found |= {
            "table": str(table.path),
            "target": record.target.name,
            "task": record.target.task,
            "columns": _columns(prepared.understanding),
            "inputs": sum(column.width for column in record.columns),
            "rows": {
                "training": provenance.training_rows,
                "dev": provenance.dev_rows,
                "test": provenance.test_rows,
            },
            "seeds": {
                "seed": provenance.seed,
                "split": provenance.split_seed,
                "network": provenance.network_seed,
            },
        }
        if isinstance(record.target, Classes):
            self._found["classes"] = record.target.labels
        time = provenance.time
        if time is not None:
            self._found["split"] = {
                "time": time.column,
                "dev_from": time_text(time.notation, time.dev_from),
                "test_from": None
                if time.test_from is None
                else time_text(time.notation, time.test_from),
            }
        self.notes(prepared.notes)

    def description(self, table: Source, found: Description) -> None:
        """Add what a table holds."""
        self._found |= {
            "table": str(table.path),
            "rows": found.rows,
            "columns": _columns(found.understanding),
        }
        if found.problem:
            self._found["problem"] = " ".join(found.problem.split())
        if found.decision is not None:
            self._found |= {"target": found.target, "task": found.decision.task}
        if found.classes:
            self._found["classes"] = found.classes
        self.notes(found.notes)

    def search(self, found: Found) -> None:
        """Add what a search has found."""
        self._found["search"] = {
            "loss": found.loss,
            "default_loss": found.default_loss,
            "recipes": found.recipes,
            "trials": [one._asdict() for one in found.tried],
        }

    def networks(self, model: TableModel) -> None:
        """Add the shapes of the trained networks and how their training ended."""
        self._found["networks"] = [found._asdict() for found in model.training_summaries()]
        self._found["network"] = self._found["networks"][0]

    def scores(self, parts: dict[str, Evaluation]) -> None:
        """Add the scores of each part."""
        self._found["scores"] = {name: _scores(part) for name, part in parts.items()}
        name, last = list(parts.items())[-1]
        if last.verdict:
            self.notes([f"on the {name} rows {last.verdict}"])
        for part in parts.values():
            self.notes(part.notes)

    def check(self, report: Any) -> None:
        """Add a gradient check."""
        self._found |= asdict(report)

    def wrote(self, what: str, path: object, count: int | None = None) -> None:
        """Add the name of a file that was written."""
        key = {"model": "model", "predictions": "output", "explanation": "output"}.get(what)
        if key is None:
            self._found.setdefault(f"{what}s", []).append(str(path))
            return
        self._found[key] = str(path)
        if count is not None:
            self._found[what] = count

    def exported(self, path: object, **details: Any) -> None:
        """Add the inputs and outputs of an ONNX file."""
        self._found |= {"output": str(path), **details}

    def end(self) -> None:
        """Print the object on one line, in ASCII, which is part of every encoding."""
        text = json.dumps(_plain(self._found), allow_nan=False)
        with printing(sys.stdout):
            print(text, flush=True)


def _columns(understood: Understanding) -> list[dict[str, Any]]:
    return [_column(column) for column in understood.columns.values()]


def _scores(part: Evaluation) -> dict[str, Any]:
    """Return the scores of a part, and of its classes."""
    found: dict[str, Any] = {
        **part.scores,
        "rows": part.rows,
        "beats_baseline": part.beats_baseline,
    }
    if part.positive is not None:
        found["positive_class"] = part.positive
    if part.classes:
        found["classes"] = {
            score.label: {
                key: value
                for key, value in score._asdict().items()
                if key != "label" and value is not None
            }
            for score in part.classes
        }
    return found


def _column(column: Understood) -> dict[str, Any]:
    """Return what a column was taken for."""
    found: dict[str, Any] = {
        "name": column.name,
        "kind": "left_out" if column.kind == "left out" else column.kind,
        "missing": column.missing,
        "marks": column.marks,
    }
    if column.categories is not None:
        found["categories"] = column.categories
    if column.reason:
        found["reason"] = column.reason
    if column.notation is not None:
        found["notation"] = column.notation.model_dump()
    return found


def _plain(value: Any) -> Any:
    """Return a value as strict JSON, in which NaN and the infinities are null."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
