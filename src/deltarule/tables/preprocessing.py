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
import pyarrow as pa
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
RELEASED_BLOCKS = 16
"""After so many blocks of forgotten cells, unused memory is returned to the system."""


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
    *,
    forget: bool = False,
) -> Examples:
    """Return the rows that have a target, or of them those in a mask; see `transform`."""
    y, rows = encode_target(record.target, table, record.missing)
    if wanted is not None:
        y, rows = y[wanted[rows]], rows[wanted[rows]]
    X = transform(record.columns, table, rows, seen, record.missing, forget=forget)
    return Examples(X, y)


def transform(
    columns: Sequence[ColumnRecord],
    table: Table,
    rows: NDArray[np.intp] | None = None,
    seen: UnseenValues | None = None,
    missing: Sequence[str] = (),
    *,
    forget: bool = False,
) -> NDArray[np.float64]:
    """Return the network's inputs (n, n_features) for some rows of a table, by default all.

    They are scaled numbers, then the flags of missing ones, then their bins, then one-hot
    categories, then dates with their flags. Columns are found by name, others are ignored; `seen`
    counts or refuses what the training rows did not have. `missing` are the user's marks for a
    missing cell. With `forget`, the table loses its numbers on the way, so that they and the inputs
    are not in memory together; `rows` ascend then. It is an error if a column is missing, or a cell
    is not what its column held in training.
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
    if len(rows) <= BLOCK_ROWS or seen.refused:  # whose error counts all rows
        return _encoded([(*pair, rows) for pair in pairs], seen)
    X = np.empty((len(rows), sum(record.width for record in columns)))
    if forget:
        _encode_and_forget(table, pairs, rows, seen, X)
        return X
    for start in range(0, len(rows), BLOCK_ROWS):  # they stay in the processor's cache
        some = rows[start : start + BLOCK_ROWS]
        _encoded([(*pair, some) for pair in pairs], seen, X[start : start + BLOCK_ROWS])
    return X


def _encoded(
    cells: list[tuple[ColumnRecord, ParsedColumn, NDArray[np.intp]]],
    seen: UnseenValues,
    out: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the inputs that some rows of each column give."""
    encoded = [kind_of(record).encode(record, column, rows, seen) for record, column, rows in cells]
    parts = [part for kind in zip(*encoded, strict=True) for part in kind if part is not None]
    return np.concatenate(parts, axis=1, out=out)


def _encode_and_forget(
    table: Table,
    pairs: list[tuple[ColumnRecord, ParsedColumn]],
    rows: NDArray[np.intp],
    seen: UnseenValues,
    X: NDArray[np.float64],
) -> None:
    """Encode ascending rows, block by block of the table, and forget the numbers of each block."""
    texts = {}
    numbers: dict[str, list[ParsedColumn]] = {}
    records = [record for record, _ in pairs]
    while pairs:
        record, column = pairs.pop()
        if column.stores_numbers:
            numbers[record.name] = column.pieces(BLOCK_ROWS)[::-1]
            table.forget(column)
            del column
            pa.default_memory_pool().release_unused()
        else:
            texts[record.name] = column
            del column
    for number, start in enumerate(range(0, table.rows, BLOCK_ROWS)):
        first, end = np.searchsorted(rows, (start, start + BLOCK_ROWS))
        some = rows[first:end]
        cells = [
            (record, numbers[record.name].pop(), some - start)
            if record.name in numbers
            else (record, texts[record.name], some)
            for record in records
        ]
        _encoded(cells, seen, X[first:end])
        del cells
        if number % RELEASED_BLOCKS == RELEASED_BLOCKS - 1:
            pa.default_memory_pool().release_unused()


def _check_cells(pair: tuple[ColumnRecord, ParsedColumn]) -> None:
    """Check every cell of a column, before any is used."""
    record, column = pair
    column.check_supported()
    kind_of(record).parse(column, record)
