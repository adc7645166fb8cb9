"""From the rows of a table to examples for a network, by what was learned from training rows.

Numbers are imputed and scaled, some also put in bins; categories are one-hot encoded, and dates
become what a calendar says about them (`deltarule.tables.kinds`).
What was learned is one record (`deltarule.tables.record`), so that a model that was saved and one
that was loaded go through the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.columns import ParsedColumn
from deltarule.tables.kinds import UnseenValues, kind_of
from deltarule.tables.messages import listing
from deltarule.tables.parallel import together
from deltarule.tables.record import ColumnRecord, PreprocessingRecord
from deltarule.tables.table import Table
from deltarule.tables.target import encode_target

__all__ = ["Examples", "encode_examples", "rare_below", "transform"]

BLOCK_ROWS = 2**14


class Examples(NamedTuple):
    """Rows as the network takes them: inputs, and class numbers or quantities in their unit."""

    X: NDArray[np.float64]
    y: NDArray[Any]


def rare_below(rows: int) -> int:
    """Return the number of training rows below which a category counts as rare: 2 to 5."""
    return min(5, max(2, rows // 100))


def encode_examples(
    record: PreprocessingRecord,
    table: Table,
    wanted: NDArray[np.bool_] | None = None,
    seen: UnseenValues | None = None,
) -> Examples:
    """Return the rows that have a target, or of them those in a mask; see `transform`."""
    y, rows = encode_target(record.target, table, record.missing)
    if wanted is not None:
        y, rows = y[wanted[rows]], rows[wanted[rows]]
    return Examples(transform(record.columns, table, rows, seen, record.missing), y)


def transform(
    columns: Sequence[ColumnRecord],
    table: Table,
    rows: NDArray[np.intp] | None = None,
    seen: UnseenValues | None = None,
    missing: Sequence[str] = (),
) -> NDArray[np.float64]:
    """Return the network's inputs (n, n_features) for some rows of a table, by default all.

    They are scaled numbers, then the flags of missing ones, then their bins, then one-hot
    categories, then dates with their flags. Columns are found by name, others are ignored; `seen`
    counts or refuses what the training rows did not have. `missing` are the user's marks for a
    missing cell. It is an error if a column is missing, or a cell is not what its column held in
    training.
    """
    absent = [column.name for column in columns if column.name not in table.columns]
    if absent:
        raise TableError(
            f"{table.path} lacks {len(absent)} of the {len(columns)} columns that the model was "
            f"trained on: {listing(absent)}; add or rename columns, it has {listing(table.names)}"
        )
    rows = np.arange(table.rows) if rows is None else rows
    pairs = [(record, table.column(record.name, missing=missing)) for record in columns]
    together(_check_cells, pairs, table.rows)
    seen = UnseenValues() if seen is None else seen

    def block(some: NDArray[np.intp], out: NDArray[np.float64] | None = None) -> Any:
        encoded = [kind_of(record).encode(record, column, some, seen) for record, column in pairs]
        parts = [part for kind in zip(*encoded, strict=True) for part in kind if part is not None]
        return np.concatenate(parts, axis=1, out=out)

    if len(rows) <= BLOCK_ROWS or seen.refused:  # whose error counts all rows
        return np.asarray(block(rows))
    X = np.empty((len(rows), sum(record.width for record in columns)))
    for start in range(0, len(rows), BLOCK_ROWS):  # they stay in the processor's cache
        block(rows[start : start + BLOCK_ROWS], X[start : start + BLOCK_ROWS])
    return X


def _check_cells(pair: tuple[ColumnRecord, ParsedColumn]) -> None:
    """Check every cell of a column, before any is used."""
    record, column = pair
    column.check_supported()
    kind_of(record).parse(column, record)
