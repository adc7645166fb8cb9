"""Shared by the tests of tables: the kinds and records of a table's columns, learned at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from deltarule.tables import Table
from deltarule.tables.kinds import Kind, recognise
from deltarule.tables.messages import unusable_columns
from deltarule.tables.preprocessing import rare_below
from deltarule.tables.profile import ColumnProfile, PieceRows
from deltarule.tables.record import ColumnRecord
from deltarule.tables.target import Decision, TargetProfile

__all__ = ["decision_of", "kinds_of", "learned", "profiles_of", "table_of"]


def table_of(**columns: Any) -> Table:
    """Return a table in memory: columns called text hold texts, others numbers or None."""
    made = {
        name: pa.array(values, pa.string() if name.startswith("text") else pa.float64())
        for name, values in columns.items()
    }
    return Table(Path("t.csv"), made, len(next(iter(made.values()))), lambda row: f"line {row + 2}")


def profiles_of(table: Table, rows: Any = None) -> list[ColumnProfile]:
    """Return the profiles of all columns; the training rows are all, unless some are given."""
    profiles = [ColumnProfile(name) for name in table.names]
    for profile in profiles:
        profile.add(table.column(profile.name), _rows(table, rows))
    return profiles


def kinds_of(table: Table) -> dict[str, str]:
    """Return the names of the kinds of all columns, or raise what training would."""
    kinds = {profile.name: recognise(profile) for profile in profiles_of(table)}
    refused = {name: kind for name, kind in kinds.items() if isinstance(kind, str)}
    if refused:
        raise unusable_columns(table.path, refused)
    return {name: kind.name for name, kind in kinds.items() if isinstance(kind, Kind)}


def learned(table: Table, rows: Any = None, **kinds: Kind) -> list[ColumnRecord]:
    """Return the records of all columns, learned from some rows, of the kinds that are given."""
    records = []
    for profile in profiles_of(table, rows):
        kind = kinds.get(profile.name) or recognise(profile)
        assert isinstance(kind, Kind), kind
        count = table.rows if rows is None else len(rows)
        records.append(kind.learn(profile, rare_below(count), table.path))
    return records


def decision_of(table: Table, name: str, task: Any = None) -> Decision:
    """Return what a column is learned as, if it is the target."""
    profile = TargetProfile(name, table.path)
    profile.add(table.column(name), _rows(table, None))
    return profile.decide(task)


def _rows(table: Table, rows: Any) -> PieceRows:
    training = np.ones(table.rows, dtype=bool)
    if rows is not None:
        training[:] = False
        training[rows] = True
    return PieceRows(training, np.linspace(0, 1, table.rows, endpoint=False), last=True)
