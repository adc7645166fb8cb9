"""One pass over a table: kinds of columns, the task, the parts, and the fitted preprocessing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.cells import Kind, check_usable, is_numeric, number_text, present
from deltarule.tables.preprocessing import rare_below
from deltarule.tables.record import (
    CategoryColumn,
    Classes,
    NumberColumn,
    PreprocessingRecord,
    Quantity,
    Task,
)
from deltarule.tables.schema import refusal
from deltarule.tables.splits import Shares
from deltarule.tables.streaming.draws import Draws, draws, parts
from deltarule.tables.streaming.profiles import ColumnProfile
from deltarule.tables.streaming.sketches import Tally
from deltarule.tables.streaming.source import Source
from deltarule.tables.table import Table, listing, show
from deltarule.tables.targets import MAX_CLASSES, check_classes, check_spread, choose_task

__all__ = ["Question", "Survey", "sample_size", "survey_table"]

SAMPLE_CELLS = 2**22
PART, SAMPLE, DEV_SAMPLE = 0, 1, 2
"""What draws are for."""


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
    shares : Shares
        Of the dev and test parts.
    seed : int
        Of the draws that decide which part a row is in.
    """

    target: str
    features: list[str]
    task: Task | None
    shares: Shares
    seed: int


@dataclass(frozen=True)
class Survey:
    """What one pass found.

    Attributes
    ----------
    preprocessing : PreprocessingRecord
        What was learned from the training rows.
    reason : str
        Why it is this task.
    parts : tuple of int
        Rows for training, dev and test.
    dropped : int
        Rows without a target.
    dev_limit : float
        Dev rows with a draw below this are watched in training: all, or a sample of a bounded size.
    notes : list of str
        What the user should know.
    """

    preprocessing: PreprocessingRecord
    reason: str
    parts: tuple[int, int, int]
    dropped: int
    dev_limit: float
    notes: list[str]


def sample_size(columns: int) -> int:
    """Return how many numbers of each of so many columns are kept for its median."""
    return max(1024, min(2**14, SAMPLE_CELLS // max(columns, 1)))


def survey_table(source: Source, question: Question, dev_rows: int) -> Survey:
    """Read a table once, from its first row to its last.

    Parameters
    ----------
    source : Source
        The table.
    question : Question
        What to learn.
    dev_rows : int
        The most dev rows that training can watch.

    Raises
    ------
    TableError
        If a cell anywhere is not what its column holds, or the table cannot be learned from.
    """
    size = sample_size(len(question.features))
    profiles = [ColumnProfile(name, size) for name in question.features]
    target = TargetProfile(question.target)
    counts, dev = np.zeros(3, dtype=np.int64), _Smallest(dev_rows)
    for table, first in source.scan():
        drawn = draws(question.seed, PART, first, table.rows)
        part = parts(drawn, question.shares)
        check_usable(table, question.target)
        there = present(table.columns[question.target])
        training = there & (part == 0)
        counts += np.bincount(part[there], minlength=3)
        dev.add(draws(question.seed, DEV_SAMPLE, first, table.rows)[there & (part == 1)])
        rows = training, draws(question.seed, SAMPLE, first, table.rows)
        target.add(table, rows)
        for profile in profiles:
            profile.add(table, rows)
    record, reason = target.record(source, question.task)
    _check_parts(source, question, counts)
    training_rows, dev_part, test_part = (int(count) for count in counts)
    preprocessing = PreprocessingRecord(
        fill_with="median",
        rare_below=rare_below(training_rows),
        columns=_columns(source, profiles, rare_below(training_rows)),
        target=record,
    )
    dropped = source.rows - int(counts.sum())
    return Survey(
        preprocessing=preprocessing,
        reason=reason,
        parts=(training_rows, dev_part, test_part),
        dropped=dropped,
        dev_limit=dev.limit,
        notes=_notes(profiles, source.rows, dropped),
    )


class TargetProfile:
    """Takes the pieces of the target in."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._profile = ColumnProfile(name, 1)
        self._values = Tally(MAX_CLASSES)  # numbers of all rows
        self._training_values = Tally(MAX_CLASSES)
        self._whole = True
        self._least, self._most = np.inf, -np.inf

    def add(self, table: Table, rows: tuple[NDArray[np.bool_], Draws]) -> None:
        """Take a piece in."""
        self._profile.add(table, rows)
        if self._profile.numbers < self._profile.present:
            return
        column = table.columns[self.name]
        there = present(column)
        numbers = column if is_numeric(column) else column.filter(there).cast("float64")
        values = np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)
        values = values[there] if is_numeric(column) else values
        if len(values) == 0:
            return
        self._whole = self._whole and bool((values == np.round(values)).all())
        self._least = min(self._least, float(values.min()))
        self._most = max(self._most, float(values.max()))
        for tally, some in (
            (self._values, values),
            (self._training_values, values[rows[0][there]]),
        ):
            if not tally.full:
                distinct, counts = np.unique(some, return_counts=True)
                tally.add(zip(distinct.tolist(), counts.tolist(), strict=True))

    def record(self, source: Source, asked: Task | None) -> tuple[Classes | Quantity, str]:
        """Return what was learned of the target, and why it is this task."""
        profile, path = self._profile, source.path
        numeric = profile.numeric_kind == "number"
        self._check_usable(path, numeric=numeric)
        if numeric:
            few = np.array([*self._values.counts], dtype=np.float64)
            values = few if len(few) else self._stand_ins()
        else:
            values = np.array([t for t in profile.texts.counts if t is not None], dtype=np.str_)
        task, reason = choose_task(path, self.name, values, asked, numeric=numeric)
        if self._values.full and self._whole:
            reason = reason.replace(
                f"{len(values)} different", f"more than {MAX_CLASSES} different"
            )
        if task == "regression":
            check_spread(path, self.name, profile.present, self._least, self._most)
            return self._quantity(), reason
        return self._classes(path, values, numeric=numeric), reason

    def _check_usable(self, path: Any, *, numeric: bool) -> None:
        profile, where = self._profile, f"{path}: the target {show(self.name)}"
        if profile.present == 0:
            raise TableError(f"{where} is empty in every row")
        if not numeric and profile.dates == profile.present:
            raise TableError(f"{where} holds dates; convert it to a number")
        if not numeric and profile.texts.full:
            raise TableError(
                f"{where} has more than {MAX_CLASSES} classes; group them, or convert it to numbers"
            )

    def _stand_ins(self) -> NDArray[np.float64]:
        """Return numbers of the kind that were too many to keep."""
        return np.arange(MAX_CLASSES + 1, dtype=np.float64) + (not self._whole) / 2

    def _classes(self, path: Any, values: NDArray[Any], *, numeric: bool) -> Classes:
        counted = self._values.counts if numeric else self._profile.texts.counts
        trained = self._training_values.counts if numeric else self._profile.training_texts.counts
        keys = sorted(values.tolist())
        labels = [number_text(key) if numeric else str(key) for key in keys]
        counts = np.array([counted.get(key, 0) for key in keys])
        check_classes(path, self.name, np.array(labels), counts)
        unseen = [label for label, key in zip(labels, keys, strict=True) if key not in trained]
        if unseen:
            raise TableError(
                f"{path}: no row of class {listing(unseen)} of {show(self.name)} fell into the "
                "training part; add rows of it, use another --seed, or hold out less (--dev, "
                "--test)"
            )
        return Classes(task="classification", name=self.name, numeric=numeric, labels=labels)

    def _quantity(self) -> Quantity:
        moments = self._profile.moments
        if not np.isfinite([moments.mean, moments.variance]).all():
            raise TableError(
                f"the numbers in the target {show(self.name)} are too large; use another unit"
            )
        scale = float(np.sqrt(moments.variance)) or 1.0
        return Quantity(task="regression", name=self.name, mean=moments.mean, scale=scale)


class _Smallest:
    """Finds the draw below which there are at most so many."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, np.empty(0)
        self.limit = 1.0

    def add(self, drawn: Draws) -> None:
        """Take draws in."""
        held = np.concatenate([self._held, drawn[drawn < self.limit]])
        if len(held) > self._most:
            held = np.partition(held, self._most)
            self.limit, held = float(held[self._most]), held[: self._most]
        self._held = held


def _columns(
    source: Source, profiles: list[ColumnProfile], threshold: int
) -> list[NumberColumn | CategoryColumn]:
    """Return the records of the columns, or refuse all that cannot be used at once."""
    kinds: dict[str, Kind] = {}
    refused: dict[str, str] = {}
    for profile in profiles:
        kind = profile.kind()
        if kind in get_args(Kind):
            kinds[profile.name] = cast(Kind, kind)
        else:
            refused[profile.name] = kind
    if refused:
        raise refusal(source.path, refused)
    return [
        p.category(threshold)
        if kinds[p.name] == "category"
        else p.number(kinds[p.name], source.path)
        for p in profiles
    ]


def _check_parts(source: Source, question: Question, counts: NDArray[np.int64]) -> None:
    names = ("training", "dev", "test")
    wanted = (True, True, question.shares.test > 0)
    for name, count, need in zip(names, counts, wanted, strict=True):
        if need and count < 2:
            raise TableError(
                f"{source.path}: {count} of its {source.rows} rows fell into the {name} part, too "
                "few; add rows, change the shares (--dev, --test), or use another --seed"
            )


def _notes(profiles: list[ColumnProfile], rows: int, dropped: int) -> list[str]:
    notes = [f"{dropped} rows without a target were left out"] if dropped else []
    counters = [profile.name for profile in profiles if profile.only_counts(rows)]
    if counters:
        notes.append(f"{listing(counters)} only counts the rows; consider --ignore")
    return notes
