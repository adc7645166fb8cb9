"""One pass over a table: kinds of columns, the task, the parts, and the fitted preprocessing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deltarule.tables.kinds import Kind, recognise
from deltarule.tables.messages import listing, unusable_columns
from deltarule.tables.preprocessing import rare_below
from deltarule.tables.profile.column import ColumnProfile, PieceRows
from deltarule.tables.profile.row_hash import DEV_SAMPLE, MEDIAN_SAMPLE, row_hash
from deltarule.tables.profile.statistics import Smallest
from deltarule.tables.profile.target import TargetProfile
from deltarule.tables.record import ColumnRecord, PreprocessingRecord, Task
from deltarule.tables.split import Split
from deltarule.tables.table import Source

__all__ = ["TableProfile", "profile_table"]

SAMPLE_CELLS = 2**22
"""Numbers that are kept for all medians together, at least 1024 a column and at most 16 384."""
DEV_ROWS = 20_000
"""Training watches at most so many dev rows of a dataset; all are scored at the end."""


@dataclass(frozen=True)
class TableProfile:
    """What one pass found."""

    preprocessing: PreprocessingRecord
    reason: str  # why it is this task
    parts: tuple[int, int, int]  # rows for training, dev and test
    dev_limit: float  # training watches the dev rows with a hash below this
    notes: list[str]  # what the user should know


def profile_table(
    source: Source, target: str, features: list[str], task: Task | None, split: Split
) -> TableProfile:
    """Return what one pass over a table learns, from its first row to its last.

    The memory that it takes does not grow with the number of rows. A table in memory is there
    anyway: then medians are those of all training rows, and all dev rows are watched. It is an
    error if a cell anywhere is not what its column holds, or the table cannot be learned from.
    """
    whole = source.in_memory
    size = None if whole else max(1024, min(2**14, SAMPLE_CELLS // len(features)))
    profiles = [ColumnProfile(name, size) for name in features]
    goal = TargetProfile(target, source.path)
    counts, dev = np.zeros(3, dtype=np.int64), Smallest(None if whole else DEV_ROWS)
    for piece in source.scan():
        table, first = piece
        column = table.column(target)
        column.check_supported()
        part = split.parts(piece, column)
        counts += np.bincount(part[part >= 0], minlength=3)
        dev.add(row_hash(split.seed, DEV_SAMPLE, first, table.rows)[part == 1])
        hashes = row_hash(split.seed, MEDIAN_SAMPLE, first, table.rows)
        rows = PieceRows(part == 0, hashes, whole)
        goal.add(column, rows)
        for profile in profiles:
            profile.add(table.column(profile.name), rows)
    decision = goal.decide(task)
    record = goal.record(decision)
    split.check(source, counts)
    training_rows, dev_part, test_part = (int(count) for count in counts)
    preprocessing = PreprocessingRecord(
        fill_with="median",
        rare_below=rare_below(training_rows),
        columns=_columns(source, profiles, rare_below(training_rows)),
        target=record,
    )
    return TableProfile(
        preprocessing=preprocessing,
        reason=decision.reason,
        parts=(training_rows, dev_part, test_part),
        dev_limit=dev.limit,
        notes=_notes(profiles, source.rows, counts),
    )


def _columns(source: Source, profiles: list[ColumnProfile], threshold: int) -> list[ColumnRecord]:
    """Return the records of the columns, or refuse all that cannot be used at once."""
    kinds = {profile.name: recognise(profile) for profile in profiles}
    refused = {name: kind for name, kind in kinds.items() if isinstance(kind, str)}
    if refused:
        raise unusable_columns(source.path, refused)
    return [
        kind.learn(profile, threshold, source.path)
        for profile, kind in zip(profiles, kinds.values(), strict=True)
        if isinstance(kind, Kind)
    ]


def _notes(profiles: list[ColumnProfile], rows: int, counts: NDArray[np.int64]) -> list[str]:
    dropped = rows - int(counts.sum())
    notes = [f"{dropped} rows without a target were left out"] if dropped else []
    counters = [profile.name for profile in profiles if profile.only_counts(rows)]
    if counters:
        notes.append(f"{listing(counters)} only counts the rows; consider --ignore")
    return notes
