"""From the rows of a table to examples for a network, by what was learned from training rows.

Numbers are imputed and scaled, some also put in bins; categories are one-hot encoded, and dates
become what a calendar says about them (`deltarule.tables.kinds`).
What was learned is one record (`deltarule.tables.record`), so that a model that was saved and one
that was loaded go through the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.columns import ParsedColumn
from deltarule.tables.encoding import Encoded
from deltarule.tables.few_rows import FEW_ROWS, CellReader, Cells, Values
from deltarule.tables.kinds import UnseenValues, kind_of
from deltarule.tables.messages import listing
from deltarule.tables.parallel import together
from deltarule.tables.record import (
    CategoryColumn,
    ColumnRecord,
    DateColumn,
    NumberColumn,
    PreprocessingRecord,
)
from deltarule.tables.stacks import CategoryStack, NumberStack
from deltarule.tables.table import Table
from deltarule.tables.target_codes import encode_target

__all__ = ["Examples", "RowEncoder", "encode_examples", "rare_below", "transform"]

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
    """Return the network's inputs (n, n_features) for some rows of a table; see `RowEncoder`."""
    return RowEncoder(columns, missing).encode(table, rows, seen, forget=forget)


class RowEncoder:
    """The way from the cells of rows to the network's inputs, by what was learned from training.

    Inputs are scaled numbers, then the flags of missing ones, then their bins, then one-hot
    categories, then dates with their flags.

    Parameters
    ----------
    columns : sequence of ColumnRecord
        What was learned about the columns.
    missing : sequence of str
        The user's marks for a missing cell.
    """

    def __init__(self, columns: Sequence[ColumnRecord], missing: Sequence[str] = ()) -> None:
        self.columns, self.missing = columns, missing

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle without what is prepared."""
        return RowEncoder, (self.columns, self.missing)

    def read(self, cells: Mapping[str, Cells], seen: UnseenValues) -> dict[str, Values]:
        """Return the values of columns of a few rows whose cells are plain; see `CellReader`."""
        return self._reader.read(cells, seen)

    def encode_read(self, read: Mapping[str, Values], seen: UnseenValues) -> NDArray[np.float64]:
        """Return the network's inputs (n, n_features) if all columns of a few rows were read."""
        return self._encode_few([], np.empty(0, dtype=np.intp), seen, read)

    def encode(
        self,
        table: Table,
        rows: NDArray[np.intp] | None = None,
        seen: UnseenValues | None = None,
        *,
        read: Mapping[str, Values] | None = None,
        forget: bool = False,
    ) -> NDArray[np.float64]:
        """Return the network's inputs (n, n_features) for some rows of a table, by default all.

        Columns are found by name, others are ignored; `seen` counts or refuses what the training
        rows did not have. `read` is what `read` returned for these rows, a few; the table need not
        have those columns. With `forget`, the table loses its numbers on the way, so that they and
        the inputs are not in memory together; `rows` ascend then. It is an error if a column is
        missing, or a cell is not what its column held in training.
        """
        read = {} if read is None else read
        columns = [record for record in self.columns if record.name not in read]
        absent = [record.name for record in columns if record.name not in table.columns]
        if absent:
            raise TableError(
                f"{table.path} lacks {len(absent)} of the {len(self.columns)} columns that the "
                f"model was trained on: {listing(absent)}; add or rename columns, it has "
                f"{listing(table.names)}"
            )
        rows = np.arange(table.rows) if rows is None else rows
        pairs = [(r, table.column(r.name, missing=self.missing)) for r in columns]
        together(_check_cells, pairs, table.rows)
        seen = UnseenValues() if seen is None else seen
        if len(rows) <= FEW_ROWS:
            return self._encode_few(pairs, rows, seen, read)
        if len(rows) <= BLOCK_ROWS or seen.refused:  # whose error counts all rows
            return self._encode_block([(*pair, rows) for pair in pairs], seen)
        X = np.empty((len(rows), sum(record.width for record in self.columns)))
        if forget:
            self._encode_and_forget(table, pairs, rows, seen, X)
            return X
        for start in range(0, len(rows), BLOCK_ROWS):  # they stay in the processor's cache
            some = rows[start : start + BLOCK_ROWS]
            out = X[start : start + BLOCK_ROWS]
            self._encode_block([(*pair, some) for pair in pairs], seen, out)
        return X

    @cached_property
    def _reader(self) -> CellReader:
        return CellReader(self.columns, self.missing)

    @cached_property
    def _encoders(self) -> dict[str, Callable[[Any], Encoded | None]]:
        """By column: the function from its values to inputs."""
        return {record.name: kind_of(record).encoder(record) for record in self.columns}

    @cached_property
    def _numbers(self) -> list[NumberColumn]:
        return [record for record in self.columns if isinstance(record, NumberColumn)]

    @cached_property
    def _categories(self) -> list[CategoryColumn]:
        return [record for record in self.columns if isinstance(record, CategoryColumn)]

    @cached_property
    def _dates(self) -> list[DateColumn]:
        return [record for record in self.columns if isinstance(record, DateColumn)]

    @cached_property
    def _number_stack(self) -> NumberStack:
        return NumberStack(self._numbers)

    @cached_property
    def _category_stack(self) -> CategoryStack:
        return CategoryStack(self._categories)

    def _encode_few(
        self,
        pairs: list[tuple[ColumnRecord, ParsedColumn]],
        rows: NDArray[np.intp],
        seen: UnseenValues,
        read: Mapping[str, Values],
    ) -> NDArray[np.float64]:
        """Return the inputs that a few rows give: those of all columns of a kind at once."""
        values: dict[str, Any] = dict(read)
        encoded: list[Encoded | None] = []
        missing = len(self._dates) > 0
        if self._numbers:
            for record, column in pairs:
                if isinstance(record, NumberColumn):
                    values[record.name] = kind_of(record).take(record, column, rows, seen)
            numbers = np.array([values[r.name] for r in self._numbers], dtype=np.float64)
            encoded.append(self._number_stack.encode(numbers))
            if encoded[0] is None:  # an error; that of another column may come first
                return self._encode_block([(*pair, rows) for pair in pairs], seen)
            missing = missing or bool(np.isnan(numbers).any())
        for record, column in pairs:
            if not isinstance(record, NumberColumn):
                values[record.name] = kind_of(record).take(record, column, rows, seen)
        if self._categories:
            places = np.array([values[r.name] for r in self._categories], dtype=np.intp)
            encoded.append(self._category_stack.encode(places))
        encoded += [self._encoders[r.name](values[r.name]) for r in self._dates]
        if missing:
            for record in self.columns:
                _count_missing(record, values[record.name], seen)
        return _joined(encoded)

    def _encode_block(
        self,
        cells: list[tuple[ColumnRecord, ParsedColumn, NDArray[np.intp]]],
        seen: UnseenValues,
        out: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """Return the inputs that some rows of each column give."""
        encoded = []
        for record, column, rows in cells:
            values = kind_of(record).take(record, column, rows, seen)
            encoded.append(self._encoders[record.name](values))
            if encoded[-1] is None:
                raise _too_large(record, column)
            _count_missing(record, values, seen)
        return _joined(encoded, out)

    def _encode_and_forget(
        self,
        table: Table,
        pairs: list[tuple[ColumnRecord, ParsedColumn]],
        rows: NDArray[np.intp],
        seen: UnseenValues,
        X: NDArray[np.float64],
    ) -> None:
        """Encode ascending rows block by block, and forget the numbers of each block."""
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
            self._encode_block(cells, seen, X[first:end])
            del cells
            if number % RELEASED_BLOCKS == RELEASED_BLOCKS - 1:
                pa.default_memory_pool().release_unused()


def _joined(
    encoded: Sequence[Encoded | None], out: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return the inputs of several columns side by side, each kind of them together."""
    given = [one for one in encoded if one is not None]
    parts = [part for kind in zip(*given, strict=True) for part in kind if part is not None]
    return np.concatenate(parts, axis=1, out=out)


def _too_large(record: ColumnRecord, column: ParsedColumn) -> TableError:
    """Return the error for the first number that overflows when it is scaled."""
    assert isinstance(record, NumberColumn)
    values = kind_of(record).parse(column, record)
    with np.errstate(over="ignore", invalid="ignore"):
        wild = np.isinf((values - record.mean) / record.scale)
    return column.fault(int(np.argmax(wild)), "the number is too large")


def _count_missing(record: ColumnRecord, values: Any, seen: UnseenValues) -> None:
    """Count missing cells of a column that had none in training."""
    if isinstance(record, CategoryColumn) or record.flag:
        return
    count = int(np.isnan(values).sum())
    if count:
        seen.missing[record.name] += count


def _check_cells(pair: tuple[ColumnRecord, ParsedColumn]) -> None:
    """Check every cell of a column, before any is used."""
    record, column = pair
    column.check_supported()
    kind_of(record).parse(column, record)
