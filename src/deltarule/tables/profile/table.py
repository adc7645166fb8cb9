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

__all__ = ["Question", "TableProfile", "profile_table", "sample_size"]

SAMPLE_CELLS = 2**22


@dataclass(frozen=True)
class Question:
    """What to learn from a table.

    Attributes
    ----------
    target : str
        The column to predict.
    features : list of str
        The columns to learn from.
    task : {"classification", "regression"}, optional
        By default the target decides.
    """

    target: str
    features: list[str]
    task: Task | None = None


@dataclass(frozen=True)
class TableProfile:
    """What one pass found.

    Attributes
    ----------
    preprocessing : PreprocessingRecord
        What was learned from the training rows.
    reason : str
        Why it is this task.
    parts : tuple of int
        Rows for training, dev and test.
    dev_limit : float
        Training watches the dev rows with a hash below this: all, or a sample of bounded size.
    notes : list of str
        What the user should know.
    """

    preprocessing: PreprocessingRecord
    reason: str
    parts: tuple[int, int, int]
    dev_limit: float
    notes: list[str]


def sample_size(columns: int) -> int:
    """Return how many numbers of each of so many columns are kept for its median."""
    return max(1024, min(2**14, SAMPLE_CELLS // max(columns, 1)))


def profile_table(source: Source, question: Question, split: Split, dev_rows: int) -> TableProfile:
    """Read a table once, from its first row to its last.

    The memory that it takes does not grow with the number of rows. Of a table in memory, which is
    there anyway, medians are those of all training rows, and all dev rows are watched.

    Parameters
    ----------
    source : Source
        The table.
    question : Question
        What to learn.
    split : Split
        Which part each row is in.
    dev_rows : int
        The most dev rows that training can watch if the table is not in memory.

    Raises
    ------
    TableError
        If a cell anywhere is not what its column holds, or the table cannot be learned from.
    """
    whole = source.in_memory
    size = None if whole else sample_size(len(question.features))
    profiles = [ColumnProfile(name, size) for name in question.features]
    target = TargetProfile(question.target, source.path)
    counts, dev = np.zeros(3, dtype=np.int64), Smallest(None if whole else dev_rows)
    for piece in source.scan():
        table, first = piece
        column = table.column(question.target)
        column.check_supported()
        part = split.parts(piece, column)
        counts += np.bincount(part[part >= 0], minlength=3)
        dev.add(row_hash(split.seed, DEV_SAMPLE, first, table.rows)[part == 1])
        hashes = row_hash(split.seed, MEDIAN_SAMPLE, first, table.rows)
        rows = PieceRows(part == 0, hashes, whole)
        target.add(column, rows)
        for profile in profiles:
            profile.add(table.column(profile.name), rows)
    decision = target.decide(question.task)
    record = target.record(decision)
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
