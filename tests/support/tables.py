"""Shared by the tests of tables: the kinds and records of a table's columns, learned at once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from deltarule.tables import ReadOptions, Table, Understood, understand
from deltarule.tables.notation import PLAIN
from deltarule.tables.preprocessing import rare_below
from deltarule.tables.profile import PieceRows, learner
from deltarule.tables.record import ColumnRecord
from deltarule.tables.target import Decision, TargetProfile
from deltarule.tables.understanding import KindName

__all__ = ["decision_of", "kinds_of", "learned", "table_of"]


def table_of(**columns: Any) -> Table:
    """Return a table in memory: columns called text hold texts, others numbers or None."""
    made = {
        name: pa.array(values, pa.string() if name.startswith("text") else pa.float64())
        for name, values in columns.items()
    }
    return Table(Path("t.csv"), made, len(next(iter(made.values()))), lambda row: f"line {row + 2}")


def kinds_of(table: Table, **options: Any) -> dict[str, str]:
    """Return the names of the kinds of all columns, or raise what training would."""
    columns = understand(table, ReadOptions(**options)).columns
    return {name: column.kind for name, column in columns.items()}


def learned(table: Table, rows: Any = None, **kinds: KindName) -> list[ColumnRecord]:
    """Return the records of all columns, learned from some rows, of the kinds that are given."""
    if len(kinds) == len(table.names):
        columns = [Understood(name, kind, PLAIN) for name, kind in kinds.items()]
    else:
        columns = list(understand(table, ReadOptions()).columns.values())
    records = []
    for column in columns:
        found = learner(column, math.inf)
        found.add(table.column(column.name), _rows(table, rows))
        count = table.rows if rows is None else len(rows)
        records.append(found.record(rare_below(count), table.path))
    return records


def decision_of(table: Table, name: str, task: Any = None) -> Decision:
    """Return what a column is learned as, if it is the target."""
    column = understand(table, ReadOptions(), target=name).columns[name]
    profile = TargetProfile(column, table.path)
    profile.add(table.column(name), _rows(table, None))
    return profile.decide(task)


def _rows(table: Table, rows: Any) -> PieceRows:
    training = np.ones(table.rows, dtype=bool)
    if rows is not None:
        training[:] = False
        training[rows] = True
    return PieceRows(training, np.linspace(0, 1, table.rows, endpoint=False))
