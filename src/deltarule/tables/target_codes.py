"""The target of a known model as class numbers, or as the quantity in its own unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from deltarule.tables.arrow import numbers_of
from deltarule.tables.columns import ParsedColumn, number_texts, positions
from deltarule.tables.kinds import NumberKind
from deltarule.tables.messages import listing, show
from deltarule.tables.record import Classes, NumberNotation, Quantity
from deltarule.tables.table import Table

__all__ = ["class_labels", "encode_target"]


def encode_target(
    record: Classes | Quantity, table: Table, missing: Sequence[str] = ()
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the target of a known model, and the rows that have one.

    The target is class numbers, or the quantity in its own unit. It is an error if the column is
    missing, or a cell is no known class or no number. `missing` are the user's marks.
    """
    column = table.column(record.name, "the model's target", missing)
    column.check_supported()
    if isinstance(record, Quantity):
        rows = np.flatnonzero(column.usable)
        return NumberKind().parse(column, record)[rows], rows
    boolean = record.labels == ["false", "true"]
    kind = "number" if record.numeric else "boolean" if boolean else "category"
    rows = np.flatnonzero(column.not_missing if kind == "category" else column.usable)
    labels = class_labels(column, rows, record.notation, kind)
    codes = positions(labels, record.labels)
    if (codes < 0).any():
        first = int(np.argmax(codes < 0))
        raise column.fault(
            int(rows[first]),
            f"{show(labels[first].as_py())} is none of the classes that the model knows "
            f"({listing(record.labels)}); correct the cell or remove the row",
        )
    return codes, rows


def class_labels(
    column: ParsedColumn, rows: NDArray[np.intp], notation: NumberNotation, kind: str
) -> Any:
    """Return the labels of some rows as texts: 1 for 1.0, and true for True."""
    if kind == "number":
        column.require(column.numbers(notation).fits, "a number")
        values = column.numbers(notation).values[rows]
        distinct, inverse = np.unique(values, return_inverse=True)
        return number_texts(numbers_of(distinct)).take(numbers_of(inverse))
    texts = column.texts.take(numbers_of(rows))
    return pc.utf8_lower(texts) if kind == "boolean" else texts
