"""The column to predict: which task it means, and its numbers for the network.

Texts, truth values and whole numbers with at most twenty different values mean classification,
other numbers regression. Classes are numbered in their order (numbers by size, texts by alphabet);
a quantity is standardised, and predictions are returned in its own unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.cells import check_usable, number_text, parse_numbers, parse_texts, present
from deltarule.tables.record import Classes, Quantity, Task
from deltarule.tables.schema import kind_of_target
from deltarule.tables.table import Table, listing, show

__all__ = [
    "Target",
    "check_classes",
    "check_spread",
    "choose_task",
    "class_codes",
    "encode",
    "fit_quantity",
    "learn_classes",
    "read_target",
]

_NONE = np.empty(0, dtype=np.intp)
FEW = 20
"""Whole numbers with at most this many different values are classes."""
MAX_CLASSES = 1000


@dataclass(frozen=True)
class Target:
    """The parsed target: values of the rows that have one.

    Attributes
    ----------
    name : str
        The column.
    task : {"classification", "regression"}
        The task.
    reason : str
        Why it is this task.
    numeric : bool
        Whether the cells are numbers.
    values : array
        Numbers (regression) or texts (classification), for the rows in `rows`.
    rows : array of int
        The rows of the table that have a target.
    dropped : int
        How many have none.
    """

    name: str
    task: Task
    reason: str
    numeric: bool
    values: NDArray[Any]
    rows: NDArray[np.intp]
    dropped: int


def read_target(table: Table, name: str, task: Task | None = None) -> Target:
    """Read the column to predict and decide the task, unless it is given.

    Raises
    ------
    TableError
        If there is no such column, it is empty, or it does not suit the task.
    """
    table.column(name)
    numeric = kind_of_target(table, name) == "number"
    values, rows = _values(table, name, numeric=numeric)
    chosen, reason = choose_task(table.path, name, values, task, numeric=numeric)
    if chosen == "classification":
        values = _labels(values, numeric=numeric)
        check_classes(table.path, name, *np.unique(values, return_counts=True))
    else:
        check_spread(table.path, name, len(values), values.min(), values.max())
    return Target(name, chosen, reason, numeric, values, rows, table.rows - len(rows))


def choose_task(
    path: Path, name: str, values: NDArray[Any], asked: Task | None, *, numeric: bool
) -> tuple[Task, str]:
    """Return the task for the values of a target, and the reason.

    Parameters
    ----------
    path : Path
        The table, for messages.
    name : str
        The target.
    values : array
        Every value that it has, once or more often.
    asked : {"classification", "regression"}, optional
        What the user wants.
    numeric : bool
        Whether the values are numbers.
    """
    chosen, reason = _task(values, numeric=numeric)
    if asked is not None and asked != chosen:
        chosen, reason = asked, f"as asked, although {reason}"
    if chosen == "regression" and not numeric:
        raise TableError(
            f"{path}: the target {show(name)} holds texts, which regression cannot learn; "
            "leave --task out, or convert the column to numbers"
        )
    return chosen, reason


def check_spread(path: Path, name: str, count: int, least: float, most: float) -> None:
    """Refuse a target of numbers that are all the same, or too few."""
    if count < 4 or least == most:
        what = f"is {number_text(least)} in every row" if least == most else "has few rows"
        raise TableError(f"{path}: the target {show(name)} {what}; there is nothing to learn")


def learn_classes(target: Target) -> Classes:
    """Return the record of a target of classes, in their order."""
    labels = [str(label) for label in np.unique(target.values)]
    labels.sort(key=float if target.numeric else str)
    return Classes(task="classification", name=target.name, numeric=target.numeric, labels=labels)


def fit_quantity(name: str, values: NDArray[np.float64]) -> Quantity:
    """Learn a numeric target's mean and scale from the training rows."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(np.mean(values)), float(np.std(values))
    if not np.isfinite(mean) or not np.isfinite(scale):
        raise TableError(f"the numbers in the target {show(name)} are too large; use another unit")
    return Quantity(task="regression", name=name, mean=mean, scale=scale or 1.0)


def encode(
    record: Classes | Quantity, table: Table, *, some: bool = False
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Read the target of a known model from a table.

    Parameters
    ----------
    record : Classes or Quantity
        The model's target.
    table : Table
        The rows.
    some : bool, default=False
        Whether the table is a piece of a larger one: then every row may lack the target.

    Returns
    -------
    y : array
        Class numbers, or the quantity in its own unit.
    rows : array of int
        The rows that have a target.

    Raises
    ------
    TableError
        If the column is missing, or a cell is no known class or no number.
    """
    table.column(record.name, "the model's target")
    check_usable(table, record.name)
    if some and not present(table.columns[record.name]).any():
        return np.empty(0, np.float64 if isinstance(record, Quantity) else np.int64), _NONE
    if isinstance(record, Quantity):
        return _values(table, record.name, numeric=True)
    values, rows = _values(table, record.name, numeric=record.numeric)
    labels = _labels(values, numeric=record.numeric)
    codes = class_codes(record, labels)
    if (codes < 0).any():
        first = int(np.argmax(codes < 0))
        raise table.fault(
            record.name,
            int(rows[first]),
            f"{show(labels[first])} is none of the classes that the model knows "
            f"({listing(record.labels)}); correct the cell or remove the row",
        )
    return codes, rows


def class_codes(record: Classes, labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return the number of each label, -1 for unknown ones."""
    found = pc.index_in(pa.array(labels, pa.string()), pa.array(record.labels, pa.string()))
    return np.array(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.int64)


def _values(table: Table, name: str, *, numeric: bool) -> tuple[NDArray[Any], NDArray[np.intp]]:
    column = table.columns[name]
    rows = np.flatnonzero(present(column))
    if len(rows) == 0:
        raise TableError(f"{table.path}: the target {show(name)} is empty in every row")
    if numeric:
        return parse_numbers(table, name, column, "number")[rows], rows
    texts = parse_texts(column).take(pa.array(rows))
    return np.array(texts.to_pylist(), dtype=np.str_), rows


def _labels(values: NDArray[Any], *, numeric: bool) -> NDArray[Any]:
    if not numeric:
        return values
    distinct, inverse = np.unique(values, return_inverse=True)
    return np.array([number_text(float(value)) for value in distinct], dtype=np.str_)[inverse]


def _task(values: NDArray[Any], *, numeric: bool) -> tuple[Task, str]:
    if not numeric:
        return "classification", "the target holds texts"
    distinct = len(np.unique(values))
    if not (values == np.round(values)).all():
        return "regression", "the target holds numbers with fractions"
    if distinct > FEW:
        return "regression", f"the target holds whole numbers with {distinct} different values"
    return "classification", f"the target holds whole numbers with {distinct} different values"


def check_classes(path: Path, name: str, classes: NDArray[Any], counts: NDArray[np.intp]) -> None:
    """Refuse targets that no classifier can learn, naming the class and the way out."""
    where = f"{path}: the target {show(name)}"
    if len(classes) == 1:
        raise TableError(
            f"{where} is {show(classes[0])} in every row; add rows of at least one other class"
        )
    if len(classes) > MAX_CLASSES:
        raise TableError(
            f"{where} has {len(classes)} classes, more than {MAX_CLASSES}; group them, "
            "or use --task regression if they are numbers"
        )
    single = classes[counts == 1]
    if len(single):
        one = len(single) == 1
        raise TableError(
            f"{where} has {'a class' if one else 'classes'} with a single row: {listing(single)}; "
            f"add rows, merge {'it' if one else 'them'} into another class or remove "
            f"{'that row' if one else 'those rows'} (or use --task regression for a quantity)"
        )
