"""What a command found out, as one JSON object for programs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from deltarule.cli.streams import printing
from deltarule.tables import Evaluation, Prepared, PreparedStream, Source, Table, TableModel
from deltarule.tables.record import Classes

__all__ = ["Results"]


class Results:
    """Takes what `Screen` takes, and prints nothing until all of it is known (docs/cli.md)."""

    def __init__(self, command: str) -> None:
        self._found: dict[str, Any] = {"command": command, "notes": []}

    def notes(self, notes: Sequence[str]) -> None:
        """Keep what the user should know."""
        self._found["notes"] += [" ".join(note.split()) for note in notes]

    def plan(self, table: Table | Source, prepared: Prepared | PreparedStream) -> None:
        """Keep what will be learned from which rows, and every seed."""
        record, facts = prepared.preprocessing, prepared.facts
        self._found |= {
            "table": str(table.path),
            "target": record.target.name,
            "task": record.target.task,
            "columns": [column.name for column in record.columns],
            "inputs": sum(column.width for column in record.columns),
            "rows": {
                "training": facts.training_rows,
                "dev": facts.dev_rows,
                "test": facts.test_rows,
            },
            "seeds": {
                "seed": facts.seed,
                "split": facts.split_seed,
                "network": facts.network_seed,
            },
        }
        if isinstance(record.target, Classes):
            self._found["classes"] = record.target.labels
        self.notes(prepared.notes)

    def network(self, model: TableModel) -> None:
        """Keep the shape of the trained network and how its training ended."""
        self._found["network"] = model.training_summary()._asdict()

    def scores(self, parts: dict[str, Evaluation]) -> None:
        """Keep the scores of each part."""
        self._found["scores"] = {
            name: {
                **part.scores,
                "rows": part.rows,
                "beats baseline": part.beats_baseline,
                "by class": {
                    score.label: {k: v for k, v in score._asdict().items() if k != "label"}
                    for score in part.classes
                },
            }
            for name, part in parts.items()
        }
        for part in parts.values():
            self.notes(part.notes)

    def check(self, report: Any) -> None:
        """Keep a gradient check."""
        self._found |= asdict(report)

    def wrote(self, what: str, path: object, count: int | None = None) -> None:
        """Keep the name of a file that was written."""
        key = {"model": "model", "predictions": "output"}.get(what)
        if key is None:
            self._found.setdefault(f"{what}s", []).append(str(path))
            return
        self._found[key] = str(path)
        if count is not None:
            self._found[what] = count

    def exported(self, path: object, **facts: Any) -> None:
        """Keep what an ONNX file takes and gives."""
        self._found |= {"output": str(path), **facts}

    def end(self) -> None:
        """Print the object, on one line of its own; in ASCII, which every encoding has."""
        text = json.dumps(_plain(self._found), allow_nan=False)
        with printing(sys.stdout):
            print(text, flush=True)


def _plain(value: Any) -> Any:
    """Return a value as strict JSON has it: NaN and the infinities are null."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
