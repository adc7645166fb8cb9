"""The column to predict: the task, its classes or its scale, and its values as numbers.

Texts, booleans and whole numbers with at most twenty different values mean classification, other
numbers regression. Classes are numbered in their order (numbers by size, texts by alphabet); a
quantity is standardised, and predictions are returned in its own unit.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.arrow import to_numpy
from deltarule.tables.columns import ParsedColumn, number_text
from deltarule.tables.evidence import MAX_TEXTS
from deltarule.tables.judge import FEW
from deltarule.tables.messages import listing, show
from deltarule.tables.notation import PLAIN
from deltarule.tables.profile import PieceRows
from deltarule.tables.record import Classes, NumberNotation, Quantity, Task
from deltarule.tables.statistics import CappedCounter, Moments
from deltarule.tables.target_codes import class_labels
from deltarule.tables.target_transform import TargetTransform, choose_transform, onto
from deltarule.tables.understanding import Understanding, Understood

__all__ = [
    "Decision",
    "TargetProfile",
    "target_column",
    "transformed",
]

MAX_CLASSES = 1000
_LEAST_VARIANCE = 1e-290
"""A variance below it has lost digits: the squares of the deviations underflow."""


class Decision(NamedTuple):
    """What the target is learned as."""

    task: Task
    reason: str  # why it is this task
    labels: list[str]  # the classes in their order; empty in regression


def target_column(understood: Understanding, name: str, path: Path) -> Understood:
    """Return what the target is taken for; it is an error if it is left out."""
    if name not in understood.columns:
        raise TableError(
            f"{path}: the target {show(name)} is left out with --ignore; ignore other columns, or "
            "name another target"
        )
    return understood.columns[name]


class TargetProfile:
    """Counts and statistics of the target, whose pieces are added in their order."""

    def __init__(self, column: Understood, path: Path) -> None:
        self.name, self._kind = column.name, column.kind
        self._where = f"{path}: the target {show(column.name)}"
        found = column.notation
        self._notation = found if isinstance(found, NumberNotation) else PLAIN
        self._moments, self._there = Moments(), 0
        most = MAX_CLASSES if self._numeric else MAX_TEXTS
        self._values, self._training_values = CappedCounter(most), CappedCounter(most)
        self._whole = True
        self._least, self._most = np.inf, -np.inf  # of the training rows

    @property
    def marks(self) -> bool:
        """Whether marks such as "?" are missing targets."""
        return self._kind in ("number", "boolean")

    def add(self, column: ParsedColumn, rows: PieceRows) -> None:
        """Add a piece."""
        there = column.usable if self.marks else column.not_missing
        self._there += int(there.sum())
        if not self._numeric:
            for counter, mask in (
                (self._values, there),
                (self._training_values, there & rows.training),
            ):
                labels = class_labels(column, np.flatnonzero(mask), PLAIN, self._kind)
                found = labels.value_counts()
                counter.add(found.field(0), found.field(1))
            return
        numbers = column.numbers(self._notation).values
        values, trained = numbers[there], numbers[there & rows.training]
        self._whole = self._whole and bool((values == np.round(values)).all())
        self._values.add(*np.unique(values, return_counts=True))
        self._training_values.add(*np.unique(trained, return_counts=True))
        self._moments.add(trained)
        self._least = min(self._least, float(trained.min(initial=np.inf)))
        self._most = max(self._most, float(trained.max(initial=-np.inf)))

    def keep_pieces(self) -> None:
        """Keep what is learned of every piece, so that another profile can `merge` it."""
        self._moments.keep_pieces()

    def merge(self, other: TargetProfile) -> None:
        """Add the pieces of another profile, which has kept them."""
        self._there += other._there
        self._values.merge(other._values)
        self._training_values.merge(other._training_values)
        self._whole = self._whole and other._whole
        self._moments.follow(other._moments)
        self._least = min(self._least, other._least)
        self._most = max(self._most, other._most)

    def labels_of(self, column: ParsedColumn, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Return the class of some rows, as texts."""
        labels = class_labels(column, rows, self._notation, self._kind)
        return np.array(labels.to_pylist(), dtype=np.str_)

    def places_of(self, column: ParsedColumn, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Return the class of some rows, as the places of their texts in order."""
        coded = class_labels(column, rows, self._notation, self._kind).dictionary_encode()
        places = np.argsort(np.argsort(np.array(coded.dictionary.to_pylist(), dtype=np.str_)))
        return places[to_numpy(coded.indices)]

    def decide(self, asked: Task | None) -> Decision:
        """Return the task, unless it is asked for, and the classes.

        It is an error if the target is empty, holds a mistake, or does not suit the task.
        """
        if self._there == 0:
            raise TableError(f"{self._where} is empty in every row")
        task, reason = self._task()
        if asked is not None and asked != task:
            task, reason = asked, f"as asked, although {reason}"
        if task == "classification":
            return Decision(task, reason, self._labels())
        if not self._numeric:
            raise TableError(
                f"{self._where} holds texts, which regression cannot learn; "
                "leave --task out, or convert the column to numbers"
            )
        same = self._values.distinct == 1
        if self._there < 4 or same:
            value = next(iter(self._values.counts))
            what = f"is {number_text(value)} in every row" if same else "has few rows"
            raise TableError(f"{self._where} {what}; there is nothing to learn")
        return Decision(task, reason, [])

    def record(self, decision: Decision) -> Classes | Quantity:
        """Return what was learned from the training rows.

        It is an error if the numbers are too large, or their differences too small.
        """
        moments = self._moments
        if decision.task == "regression":
            if not moments.finite:
                raise TableError(
                    f"the numbers in the target {show(self.name)} are too large; use another unit"
                )
            if self._least < self._most and moments.variance < _LEAST_VARIANCE:
                raise TableError(
                    f"the numbers in the target {show(self.name)} differ by so little "
                    f"({self._most - self._least:.3g}) that their squares vanish; use another unit"
                )
            scale = float(np.sqrt(moments.variance)) or 1.0
            return Quantity(
                task="regression",
                name=self.name,
                mean=moments.mean,
                scale=scale,
                sign=1 if self._least >= 0 else -1 if self._most <= 0 else 0,
                notation=self._notation,
            )
        return Classes(
            task="classification",
            name=self.name,
            numeric=self._numeric,
            notation=self._notation,
            labels=decision.labels,
        )

    def class_counts(self, decision: Decision) -> dict[str, int]:
        """Return how many rows each class has; none of a quantity."""
        if decision.task == "regression":
            return {}
        counts = self._values.counts
        pairs = zip(decision.labels, self._classes(), strict=True)
        return {label: counts[key] for label, key in pairs}

    def alike(self, decision: Decision) -> list[str]:
        """Return a note about classes that differ in upper and lower case only, or nothing."""
        folded = Counter(label.casefold() for label in decision.labels)
        same = [label for label in decision.labels if folded[label.casefold()] > 1]
        if not same:
            return []
        return [f"classes {listing(same)} differ in upper and lower case only"]

    def single(self, decision: Decision) -> list[str]:
        """Return the classes with a single row."""
        return [label for label, count in self.class_counts(decision).items() if count == 1]

    def untrained(self, decision: Decision) -> list[str]:
        """Return the classes that are in no training row."""
        if decision.task == "regression":
            return []
        trained = self._training_values.counts
        pairs = zip(decision.labels, self._classes(), strict=True)
        return [label for label, key in pairs if key not in trained]

    def _task(self) -> tuple[Task, str]:
        if not self._numeric:
            return "classification", "the target holds texts"
        if not self._whole:
            return "regression", "the target holds numbers with fractions"
        distinct = self._values.distinct or np.inf
        many = f"more than {MAX_CLASSES}" if distinct == np.inf else distinct
        reason = f"the target holds whole numbers with {many} different values"
        return "classification" if distinct <= FEW else "regression", reason

    @property
    def _numeric(self) -> bool:
        return self._kind == "number"

    def _classes(self) -> list[Any]:
        """Return the numbers or texts that are the classes, in their order."""
        return sorted(key for key in self._values.counts if key is not None)

    def _labels(self) -> list[str]:
        """Return the classes as texts, or refuse those that no classifier can learn."""
        numeric, distinct = self._numeric, self._values.distinct
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
        single = [n for n, key in zip(labels, keys, strict=True) if self._values.counts[key] == 1]
        if len(single) == len(keys):
            raise TableError(
                f"{self._where} has classes with a single row: {listing(single)}; add rows, merge "
                "them into other classes or remove those rows (or use --task regression for a "
                "quantity)"
            )
        return labels


def transformed(
    record: Quantity, y: NDArray[np.float64], asked: TargetTransform | None = None
) -> Quantity:
    """Return the record of a target with its transform and its range, from the training rows.

    Parameters
    ----------
    record : Quantity
        The target, standardised.
    y : ndarray of shape (n,)
        Its numbers in the training rows.
    asked : {"none", "sqrt", "log"}, optional
        The transform; by default the numbers decide.

    Raises
    ------
    TableError
        If the square root or the logarithm of numbers below 0 is asked for.
    """
    least, most = float(y.min()), float(y.max())
    offset = 0.0 if least > 0 else 1.0
    if asked in ("sqrt", "log") and least < 0:
        raise TableError(
            f"the target {show(record.name)} has numbers below 0, such as {least:.6g}, of which "
            f"there is no {asked} (--target-transform); leave the option out"
        )
    transform = asked or (choose_transform(y, offset) if least >= 0 else "none")
    found: dict[str, Any] = {"least": least, "most": most}
    if transform != "none":
        offset = offset if transform == "log" else 0.0
        z = onto(transform, y, offset)
        found |= {"transform": transform, "offset": offset}
        found |= {"mean": float(z.mean()), "scale": float(z.std()) or 1.0}
    return record.model_copy(update=found)
