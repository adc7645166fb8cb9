"""The columns of a table as named inputs, imputed, standardised or one-hot encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from deltarule.onnx.dates import Date, append_date
from deltarule.onnx.graph import ML, Graph, encode
from deltarule.onnx.network import Scaling, standardize

__all__ = ["Categories", "Column", "Number", "append_columns"]


@dataclass(frozen=True)
class Number:
    """A column of numbers: (x − mean)/scale, where ``fill`` replaces a missing x.

    If ``flag`` is true, a second feature is 1 where x is missing and 0 elsewhere.
    """

    name: str
    description: str
    fill: float
    mean: float
    scale: float
    flag: bool


@dataclass(frozen=True)
class Categories:
    """A column of strings: one feature for each code from 0 to ``width`` − 1.

    A string that is not in ``codes`` gets the code ``unknown``. The code −1 sets no feature, or
    causes an error in the runtime if ``strict`` is true.
    """

    name: str
    description: str
    codes: dict[str, int]
    unknown: int
    width: int
    strict: bool = False


Column: TypeAlias = Number | Categories | Date


def append_columns(g: Graph, columns: Sequence[Column]) -> str:
    """Declare an input (batch, 1) for each column; return the network's inputs (batch, d).

    The order is numbers, their flags, categories, dates; each in the order of the columns.
    """
    inputs = {column.name: _input(g, column) for column in columns}
    numbers = [column for column in columns if isinstance(column, Number)]
    parts = []
    if numbers:
        with g.part("numbers_in"):
            parts += _numbers(g, numbers, [inputs[column.name] for column in numbers])
    for column in columns:
        if isinstance(column, Categories):
            with g.part(f"category_{column.name}"):
                parts.append(_one_hot(g, column, inputs[column.name]))
    for column in columns:
        if isinstance(column, Date):
            with g.part(f"date_{column.name}"):
                parts += append_date(g, column, inputs[column.name])
    return _together(g, parts)


def _input(g: Graph, column: Column) -> str:
    kinds = {Number: None, Date: np.float64, Categories: object}
    kind = kinds[type(column)]
    return g.input(column.name, 1, column.description, kind)


def _numbers(g: Graph, columns: list[Number], inputs: list[str]) -> list[str]:
    """Return the standardised columns and, if any column has one, the flags of missing values."""
    x = _together(g, inputs)
    missing = g.node("IsNaN", x)
    filled = g.node("Where", missing, g.numbers("fill", [c.fill for c in columns]), x)
    scaling = Scaling([c.mean for c in columns], [c.scale for c in columns])
    parts = [standardize(g, filled, scaling)]
    flagged = [i for i, column in enumerate(columns) if column.flag]
    if flagged:
        flags = g.cast(missing, g.dtype)
        parts.append(g.node("Gather", flags, g.integers("flagged", flagged), axis=1))
    return parts


def _one_hot(g: Graph, column: Categories, texts: str) -> str:
    """Return (batch, width): each string's code as a row with at most one 1."""
    code = g.node(
        "LabelEncoder",
        texts,
        domain=ML,
        keys_strings=[encode(f"column {column.name!r}", text) for text in column.codes],
        values_int64s=list(column.codes.values()),
        default_int64=column.unknown,
    )
    hot = g.node(
        "OneHotEncoder",
        code,
        domain=ML,
        cats_int64s=list(range(column.width)),
        zeros=int(not column.strict),
    )
    rows = g.node("Squeeze", hot, g.integers("axis", [1]))
    return rows if g.dtype == np.float32 else g.cast(rows, g.dtype)


def _together(g: Graph, parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else g.node("Concat", *parts, axis=1)
