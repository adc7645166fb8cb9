"""The column to predict: the task, its classes or its scale, and its values as numbers.

Texts, booleans and whole numbers with at most twenty different values mean classification, other
numbers regression. Classes are numbered in their order (numbers by size, texts by alphabet); a
quantity is standardised, and predictions are returned in its own unit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.columns import ParsedColumn, number_text, number_texts, positions
from deltarule.tables.kinds import NumberKind
from deltarule.tables.messages import listing, show
from deltarule.tables.profile import FEW, ColumnProfile, PieceRows
from deltarule.tables.record import Classes, Quantity, Task
from deltarule.tables.statistics import CappedCounter
from deltarule.tables.table import Table

__all__ = ["Decision", "TargetProfile", "class_labels", "encode_target"]

MAX_CLASSES = 1000


class Decision(NamedTuple):
    """What the target is learned as."""

    task: Task
    reason: str  # why it is this task
    labels: list[str]  # the classes in their order; empty in regression


class TargetProfile:
    """Counts and statistics of the target, whose pieces are added in their order.

    With ``hashed``, the parts of rows follow from their hash. Otherwise the only row of a class is
    for training.
    """

    def __init__(self, name: str, path: Path, *, hashed: bool = False) -> None:
        self.name, self._hashed = name, hashed
        self._path, self._where = path, f"{path}: the target {show(name)}"
        self._profile = ColumnProfile(name, 1)
        self._values, self._training_values = CappedCounter(MAX_CLASSES), CappedCounter(MAX_CLASSES)
        self._whole = True

    def add(self, column: ParsedColumn, rows: PieceRows) -> None:
        """Add a piece."""
        column.check_supported()
        self._profile.add(column, rows)
        if self._profile.numbers < self._profile.not_missing or not column.not_missing.any():
            return
        values = column.numbers[column.not_missing]
        self._whole = self._whole and bool((values == np.round(values)).all())
        self._values.add(*np.unique(values, return_counts=True))
        trained = column.numbers[column.not_missing & rows.training]
        self._training_values.add(*np.unique(trained, return_counts=True))

    def decide(self, asked: Task | None) -> Decision:
        """Return the task, unless it is asked for, and the classes.

        It is an error if the target is empty, holds a mistake, or does not suit the task.
        """
        profile = self._profile
        if profile.not_missing == 0:
            raise TableError(f"{self._where} is empty in every row")
        if not profile.all_numbers and profile.booleans < profile.not_missing:
            profile.check_mistake()
            if profile.dates == profile.not_missing:
                raise TableError(f"{self._where} holds dates; convert it to a number")
        task, reason = self._task()
        if asked is not None and asked != task:
            task, reason = asked, f"as asked, although {reason}"
        if task == "classification":
            return Decision(task, reason, self._labels())
        if not profile.all_numbers:
            raise TableError(
                f"{self._where} holds texts, which regression cannot learn; "
                "leave --task out, or convert the column to numbers"
            )
        same = self._values.distinct == 1
        if profile.not_missing < 4 or same:
            value = next(iter(self._values.counts))
            what = f"is {number_text(value)} in every row" if same else "has few rows"
            raise TableError(f"{self._where} {what}; there is nothing to learn")
        return Decision(task, reason, [])

    def record(self, decision: Decision) -> Classes | Quantity:
        """Return what was learned from the training rows.

        It is an error if a class is in no training row, or the numbers are too large.
        """
        profile, moments = self._profile, self._profile.moments
        if decision.task == "regression":
            if not moments.finite:
                raise TableError(
                    f"the numbers in the target {show(self.name)} are too large; use another unit"
                )
            scale = float(np.sqrt(moments.variance)) or 1.0
            return Quantity(task="regression", name=self.name, mean=moments.mean, scale=scale)
        numeric, labels = profile.all_numbers, decision.labels
        trained = (self._training_values if numeric else profile.training_texts).counts
        pairs = zip(labels, self._classes(), strict=True)
        absent = [label for label, key in pairs if key not in trained]
        if absent:
            raise TableError(
                f"{self._path}: no row of class {listing(absent)} of {show(self.name)} fell into "
                "the training part; add rows of it, use another --seed, or hold out less (--dev, "
                "--test)"
            )
        return Classes(task="classification", name=self.name, numeric=numeric, labels=labels)

    def _task(self) -> tuple[Task, str]:
        if not self._profile.all_numbers:
            return "classification", "the target holds texts"
        if not self._whole:
            return "regression", "the target holds numbers with fractions"
        distinct = self._values.distinct or np.inf
        many = f"more than {MAX_CLASSES}" if distinct == np.inf else distinct
        reason = f"the target holds whole numbers with {many} different values"
        return "classification" if distinct <= FEW else "regression", reason

    @property
    def _counter(self) -> CappedCounter:
        """How often each class came, in all rows."""
        return self._values if self._profile.all_numbers else self._profile.texts

    def _classes(self) -> list[Any]:
        """Return the numbers or texts that are the classes, in their order."""
        return sorted(key for key in self._counter.counts if key is not None)

    def _labels(self) -> list[str]:
        """Return the classes as texts, or refuse those that no classifier can learn."""
        numeric = self._profile.all_numbers
        distinct = self._values.distinct if numeric else self._profile.distinct_texts
        if distinct is None or distinct > MAX_CLASSES:
            more = f"more than {MAX_CLASSES}"
            many = f"{more} classes" if distinct is None else f"{distinct} classes, {more}"
            raise TableError(
                f"{self._where} has {many}; group them, or use --task regression if they are "
                "numbers"
            )
        keys = self._classes()
        labels = [number_text(key) if numeric else key for key in keys]
        if len(labels) == 1:
            raise TableError(
                f"{self._where} is {show(labels[0])} in every row; add rows of at least one other "
                "class"
            )
        single = [n for n, key in zip(labels, keys, strict=True) if self._counter.counts[key] == 1]
        if len(single) == len(keys) or (single and self._hashed):
            one = len(single) == 1
            raise TableError(
                f"{self._where} has {'a class' if one else 'classes'} with a single row: "
                f"{listing(single)}; add rows, merge {'it' if one else 'them'} into another class "
                f"or remove {'that row' if one else 'those rows'} (or use --task regression for a "
                "quantity)"
            )
        return labels


def encode_target(
    record: Classes | Quantity, table: Table
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the target of a known model, and the rows that have one.

    The target is class numbers, or the quantity in its own unit. It is an error if the column is
    missing, or a cell is no known class or no number.
    """
    column = table.column(record.name, "the model's target")
    column.check_supported()
    rows = np.flatnonzero(column.not_missing)
    if isinstance(record, Quantity):
        return NumberKind().parse(column)[rows], rows
    labels = class_labels(column, rows, numeric=record.numeric)
    codes = positions(labels, record.labels)
    if (codes < 0).any():
        first = int(np.argmax(codes < 0))
        raise column.fault(
            int(rows[first]),
            f"{show(labels[first].as_py())} is none of the classes that the model knows "
            f"({listing(record.labels)}); correct the cell or remove the row",
        )
    return codes, rows


def class_labels(column: ParsedColumn, rows: NDArray[np.intp], *, numeric: bool) -> Any:
    """Return the labels of some rows as texts; 1.0 and 1 are the same number."""
    if not numeric:
        return column.texts.take(pa.array(rows))
    distinct, inverse = np.unique(NumberKind().parse(column)[rows], return_inverse=True)
    return number_texts(pa.array(distinct)).take(pa.array(inverse))
