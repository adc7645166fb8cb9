"""What one pass learns about the column to predict: the task, its classes or its scale.

Texts, booleans and whole numbers with at most twenty different values mean classification, other
numbers regression. Classes are numbered in their order (numbers by size, texts by alphabet); a
quantity is standardised, and predictions are returned in its own unit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deltarule.errors import TableError
from deltarule.tables.columns import ParsedColumn, number_text
from deltarule.tables.messages import listing, show
from deltarule.tables.profile.column import FEW, ColumnProfile, PieceRows
from deltarule.tables.profile.statistics import CappedCounter
from deltarule.tables.record import Classes, Quantity, Task

__all__ = ["Decision", "TargetProfile"]

MAX_CLASSES = 1000


class Decision(NamedTuple):
    """What the target is learned as.

    Attributes
    ----------
    task : {"classification", "regression"}
        The task.
    reason : str
        Why it is this task.
    labels : list of str
        The classes in their order; empty in regression.
    """

    task: Task
    reason: str
    labels: list[str]


class TargetProfile:
    """Counts and statistics of the target, whose pieces are added in their order."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path, self._where = path, f"{path}: the target {show(name)}"
        self._profile = ColumnProfile(name, 1)
        self._values = CappedCounter(MAX_CLASSES)
        self._training_values = CappedCounter(MAX_CLASSES)
        self._whole = True
        self._least, self._most = np.inf, -np.inf

    def add(self, column: ParsedColumn, rows: PieceRows) -> None:
        """Add a piece."""
        column.check_supported()
        self._profile.add(column, rows)
        if self._profile.numbers < self._profile.not_missing or not column.not_missing.any():
            return
        values = column.numbers[column.not_missing]
        self._whole = self._whole and bool((values == np.round(values)).all())
        self._least = min(self._least, float(values.min()))
        self._most = max(self._most, float(values.max()))
        self._values.add(*np.unique(values, return_counts=True))
        trained = column.numbers[column.not_missing & rows.training]
        self._training_values.add(*np.unique(trained, return_counts=True))

    def decide(self, asked: Task | None) -> Decision:
        """Return the task, unless it is asked for, and the classes.

        Raises
        ------
        TableError
            If the target is empty, holds a mistake, or does not suit the task.
        """
        profile = self._profile
        if profile.not_missing == 0:
            raise TableError(f"{self._where} is empty in every row")
        numeric = profile.all_numbers
        if not numeric and profile.booleans < profile.not_missing:
            profile.check_mistake()
            if profile.dates == profile.not_missing:
                raise TableError(f"{self._where} holds dates; convert it to a number")
        task, reason = self._task(numeric=numeric)
        if asked is not None and asked != task:
            task, reason = asked, f"as asked, although {reason}"
        if task == "regression":
            if not numeric:
                raise TableError(
                    f"{self._where} holds texts, which regression cannot learn; "
                    "leave --task out, or convert the column to numbers"
                )
            self._check_spread()
            return Decision(task, reason, [])
        return Decision(task, reason, self._labels(numeric=numeric))

    def record(self, decision: Decision) -> Classes | Quantity:
        """Return what was learned from the training rows.

        Raises
        ------
        TableError
            If a class is in no training row, or the numbers are too large.
        """
        numeric = self._profile.all_numbers
        if decision.task == "regression":
            return self._quantity()
        keys, trained = self._counted(numeric=numeric)[0], self._training_counts(numeric=numeric)
        absent = [n for n, key in zip(decision.labels, keys, strict=True) if key not in trained]
        if absent:
            raise TableError(
                f"{self._path}: no row of class {listing(absent)} of {show(self.name)} fell into "
                "the training part; add rows of it, use another --seed, or hold out less (--dev, "
                "--test)"
            )
        return Classes(
            task="classification", name=self.name, numeric=numeric, labels=decision.labels
        )

    def _task(self, *, numeric: bool) -> tuple[Task, str]:
        if not numeric:
            return "classification", "the target holds texts"
        if not self._whole:
            return "regression", "the target holds numbers with fractions"
        distinct = self._values.distinct
        many = f"more than {MAX_CLASSES}" if distinct is None else distinct
        few = distinct is not None and distinct <= FEW
        reason = f"the target holds whole numbers with {many} different values"
        return "classification" if few else "regression", reason

    def _check_spread(self) -> None:
        """Refuse numbers that are all the same, or too few."""
        if self._profile.not_missing < 4 or self._least == self._most:
            same = self._least == self._most
            what = f"is {number_text(self._least)} in every row" if same else "has few rows"
            raise TableError(f"{self._where} {what}; there is nothing to learn")

    def _counted(self, *, numeric: bool) -> tuple[list[Any], list[int]]:
        """Return the classes of all rows in their order, and the rows of each."""
        counts = self._values.counts if numeric else self._profile.texts.counts
        keys = sorted(key for key in counts if key is not None)
        return keys, [counts[key] for key in keys]

    def _training_counts(self, *, numeric: bool) -> dict[Any, int]:
        return self._training_values.counts if numeric else self._profile.training_texts.counts

    def _labels(self, *, numeric: bool) -> list[str]:
        """Return the classes, or refuse those that no classifier can learn."""
        counter = self._values if numeric else self._profile.texts
        distinct = counter.distinct
        if distinct is not None and not numeric:
            distinct -= self._profile.has_missing
        if distinct is None or distinct > MAX_CLASSES:
            many = f"{distinct} classes, more than" if distinct else "more than"
            of = "" if distinct else " classes"
            raise TableError(
                f"{self._where} has {many} {MAX_CLASSES}{of}; group them, or use --task regression "
                "if they are numbers"
            )
        keys, counts = self._counted(numeric=numeric)
        labels = [number_text(key) if numeric else key for key in keys]
        if len(labels) == 1:
            raise TableError(
                f"{self._where} is {show(labels[0])} in every row; add rows of at least one other "
                "class"
            )
        single = [label for label, count in zip(labels, counts, strict=True) if count == 1]
        if single:
            one = len(single) == 1
            raise TableError(
                f"{self._where} has {'a class' if one else 'classes'} with a single row: "
                f"{listing(single)}; add rows, merge {'it' if one else 'them'} into another class "
                f"or remove {'that row' if one else 'those rows'} (or use --task regression for a "
                "quantity)"
            )
        return labels

    def _quantity(self) -> Quantity:
        moments = self._profile.moments
        if not np.isfinite([moments.mean, moments.variance]).all():
            raise TableError(
                f"the numbers in the target {show(self.name)} are too large; use another unit"
            )
        scale = float(np.sqrt(moments.variance)) or 1.0
        return Quantity(task="regression", name=self.name, mean=moments.mean, scale=scale)
