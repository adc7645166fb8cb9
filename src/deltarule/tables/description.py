"""What a table holds, without training: kinds of columns, the target, and what a picture shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.columns import ParsedColumn
from deltarule.tables.evidence import MAX_TEXTS
from deltarule.tables.messages import listing
from deltarule.tables.notation import PLAIN
from deltarule.tables.profile import PieceRows
from deltarule.tables.record import NumberNotation, Task
from deltarule.tables.split import times_of
from deltarule.tables.statistics import PICTURE_SAMPLE, CappedCounter, Sample, row_hash
from deltarule.tables.table import Source
from deltarule.tables.target import Decision, TargetProfile
from deltarule.tables.target_codes import class_labels
from deltarule.tables.understand_columns import feature_columns, understand
from deltarule.tables.understanding import ReadOptions, Understanding, Understood

__all__ = ["ColumnValues", "DataValues", "Description", "collect_values", "describe"]

SHOWN_COLUMNS = 24
"""The values of so many columns are collected, the target among them."""
SAMPLE_ROWS = 2**14
"""Of a column in its files, a uniform sample of so many numbers or dates is collected."""


@dataclass(frozen=True)
class Description:
    """What a table holds.

    Attributes
    ----------
    rows : int
        The number of rows.
    understanding : Understanding
        What each column is taken for.
    target : str or None
        The column to predict, if one was named.
    decision : Decision or None
        What it would be learned as.
    classes : dict of str to int
        How many rows each class has; empty for a quantity.
    notes : list of str
        What the user should know.
    problem : str
        Why training would refuse the table, and what to do; empty if it would not.
    """

    rows: int
    understanding: Understanding
    target: str | None = None
    decision: Decision | None = None
    classes: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problem: str = ""


def describe(
    source: Source,
    *,
    target: str | None = None,
    ignore: Iterable[str] = (),
    reading: ReadOptions | None = None,
) -> Description:
    """Return what a table holds, in one pass over its rows, and one more for the target.

    Parameters
    ----------
    source : Source
        The table.
    target : str, optional
        The column to be predicted.
    ignore : iterable of str, default=()
        Columns to leave out.
    reading : ReadOptions, optional
        How the table is read.

    Raises
    ------
    TableError
        If the table cannot be read, or there is no such column. That its columns or its target
        could not be learned from is no error: the description says so.

    Examples
    --------
    >>> from deltarule.datasets import penguins_path
    >>> from deltarule.tables import describe, read_table
    >>> found = describe(read_table(penguins_path()), target="species")
    >>> found.understanding.columns["island"].in_words, found.classes["Gentoo"]
    ('category (3)', 124)
    """
    reading = reading or ReadOptions()
    if target is not None:
        source.check_column(target)
    understood = understand(source, reading, ignore=ignore, target=target or "", refuse=False)
    notes = [*source.notes, *understood.notes]
    problems = [understood.problem] if understood.problem else []
    decision, classes = None, {}
    if target is not None and understood.columns[target].kind != "unclear":
        profile = TargetProfile(understood.columns[target], source.path)
        with _collected(problems):
            feature_columns(source, target, understood)
        for table, _ in source.scan():
            rows = PieceRows(np.zeros(table.rows, dtype=bool), np.zeros(table.rows))
            profile.add(table.column(target, missing=reading.missing), rows)
        with _collected(problems):
            decision = profile.decide(None)
            classes = profile.class_counts(decision)
            notes += profile.alike(decision)
            if single := profile.single(decision):
                notes.append(f"class {listing(single)} has a single row, which cannot be held out")
    problem = "; ".join(problems)
    return Description(source.rows, understood, target, decision, classes, notes, problem)


@contextmanager
def _collected(problems: list[str]) -> Iterator[None]:
    """Add what training would refuse to a list of problems instead of raising it."""
    try:
        yield
    except TableError as error:
        problems.append(str(error))


@dataclass(frozen=True)
class ColumnValues:
    """The values of a column, as a picture shows them.

    Attributes
    ----------
    column : Understood
        What the column is taken for.
    numbers : (m,) array or None
        Its numbers, or its dates in seconds since 1970, of all rows or of a sample of them.
    counts : dict of str to int
        How often each category or class occurs, the most frequent first.
    """

    column: Understood
    numbers: NDArray[np.float64] | None
    counts: dict[str, int]


@dataclass(frozen=True)
class DataValues:
    """The values of the columns of a table, the target's first, and the shares of missing cells.

    Attributes
    ----------
    rows : int
        The number of rows.
    target : str or None
        The column to predict.
    columns : list of ColumnValues
        The target and the first columns that are learned from, at most 24 together.
    omitted : int
        How many more columns are learned from.
    missing : dict of str to float
        The share of missing cells of every column that has some, the largest first.
    sampled : bool
        Whether numbers and dates are a sample.
    """

    rows: int
    target: str | None
    columns: list[ColumnValues]
    omitted: int
    missing: dict[str, float]
    sampled: bool


def collect_values(
    source: Source,
    understood: Understanding,
    *,
    target: str | None = None,
    task: Task | None = None,
    missing: Iterable[str] = (),
) -> DataValues:
    """Return the values of the first columns of a table, in one pass over its rows.

    The memory that it takes does not grow with the rows of a table in its files: numbers and dates
    are then those of a uniform sample of 16 384 rows. Categories are counted in all rows.

    Parameters
    ----------
    source : Source
        The table.
    understood : Understanding
        What its columns are.
    target : str, optional
        The column that comes first.
    task : {"classification", "regression"}, optional
        Whether the target's values are classes.
    missing : iterable of str, default=()
        The texts that stand for missing cells.
    """
    every = understood.columns
    unused = ("left out", "unclear")
    learned = [c for c in every.values() if c.kind not in unused and c.name != target]
    chosen = learned[: SHOWN_COLUMNS - (target is not None)]
    size = np.inf if source.in_memory else SAMPLE_ROWS
    collectors = [_Collector(column, size) for column in chosen]
    if target is not None and every[target].kind not in unused:
        collectors.insert(0, _Collector(every[target], size, as_classes=task == "classification"))
    for table, first in source.scan():
        hashes = row_hash(0, PICTURE_SAMPLE, first, table.rows)
        for collector in collectors:
            collector.add(table.column(collector.column.name, missing=missing), hashes)
    shares = {c.name: c.missing / source.rows for c in every.values() if c.missing}
    return DataValues(
        rows=source.rows,
        target=target,
        columns=[collector.values() for collector in collectors],
        omitted=len(learned) - len(chosen),
        missing=dict(sorted(shares.items(), key=lambda item: -item[1])),
        sampled=source.rows > size and any(c.samples for c in collectors),
    )


class _Collector:
    """Collects the values of a column, piece by piece."""

    def __init__(self, column: Understood, size: float, *, as_classes: bool = False) -> None:
        self.column, self._as_classes = column, as_classes
        self.samples = not as_classes and column.kind in ("number", "date")
        self._sample, self._counter = Sample(size), CappedCounter(MAX_TEXTS)

    def add(self, column: ParsedColumn, hashes: NDArray[np.float64]) -> None:
        kind, notation = self.column.kind, self.column.notation
        if self.samples:
            assert notation is not None
            values = times_of(column, notation)
            there = np.isfinite(values)
            self._sample.add(values[there], hashes[there])
        elif not self._counter.full:
            marks = kind in ("number", "boolean")
            rows = np.flatnonzero(column.usable if marks else column.not_missing)
            plain = notation if isinstance(notation, NumberNotation) else PLAIN
            texts = class_labels(column, rows, plain, kind).value_counts()
            self._counter.add(texts.field(0), texts.field(1))

    def values(self) -> ColumnValues:
        if self.samples:
            return ColumnValues(self.column, self._sample.values, {})
        counts = sorted(self._counter.counts.items(), key=lambda item: (-item[1], item[0]))
        return ColumnValues(self.column, None, dict(counts))
