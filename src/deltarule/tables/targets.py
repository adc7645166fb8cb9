"""The column to predict, as numbers for a network that is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deltarule.tables.columns import ParsedColumn, number_texts
from deltarule.tables.kinds import NumberKind
from deltarule.tables.messages import listing, show
from deltarule.tables.record import Classes, Quantity
from deltarule.tables.table import Table

__all__ = ["class_labels", "encode_target"]


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
    found = pc.index_in(labels, pa.array(record.labels, pa.string()))
    codes = np.array(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
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
