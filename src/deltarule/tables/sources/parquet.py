"""Parquet files: numbers as float64, the rest as texts.

Nothing is rounded on the way in: decimals, and whole numbers that are no float64, become the texts
of their digits, as in a CSV file; where they are used as numbers, `ParsedColumn` checks them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from deltarule.errors import TableError
from deltarule.tables.columns import Cells, number_texts
from deltarule.tables.sources.text import HARMLESS_BYTES, MAX_EXPANSION
from deltarule.tables.table import Chunk, Table, check_names
from deltarule.utils.context import error_context

__all__ = ["ParquetFile", "as_texts", "holds_texts", "pandas_columns", "read_column"]

BATCH_CELLS = 2**18
"""Cells that are read at a time, ..."""
MAX_BATCH_BYTES = 2**28
READ_BYTES = 2**16
"""... and bytes of a column; ..."""
AT_ONCE = 4
"""... so many times as many if the whole table goes into memory."""
READING_FACTOR = 3
"""A row group takes about so many times its bytes while it is read."""
MAX_BYTES = 2 * 2**30
MAX_ROWS = 2**31
_READ_AS_TEXT = (
    pa.types.is_boolean,
    pa.types.is_decimal,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_timestamp,
)
"""Not durations: their numbers depend on the file's unit."""


class ParquetFile:
    """A Parquet file: columns of float64 or of texts.

    With `at_once`, reading is faster and takes more memory.

    Booleans become ``true`` and ``false``; dates become texts, by which they are recognised as
    dates later. A column that is neither number nor text keeps its type.
    """

    separator = ""
    notes: ClassVar[list[str]] = []

    def __init__(self, path: Path) -> None:
        self.path, self.at_once = path, False
        with _reading_parquet(path), self._opened(None) as file:
            self._metadata = file.metadata
            schema = file.schema_arrow
            self._index, self._categoricals = pandas_columns(schema)
            self.left_out = dict.fromkeys(self._index, "is the index of pandas")
            fields = [field for field in schema if field.name not in self._index]
            self.names = [field.name.strip() for field in fields]
            self.stored_numbers = frozenset(
                field.name.strip()
                for field in fields
                if field.name not in self._categoricals
                and (pa.types.is_floating(field.type) or pa.types.is_integer(field.type))
            )
            check_names(path, self.names)
        groups = self._groups()
        rows = [group.num_rows for group in groups]
        if min(rows, default=0) < 0 or sum(rows) != self._metadata.num_rows:
            raise TableError(
                f"{path} contradicts itself about the number of its rows; it is damaged, write it "
                "again"
            )

    def scan(self) -> Iterator[tuple[Chunk, Generator[Table]]]:
        """Yield the row groups as chunks, and their rows."""
        for chunk in self.chunks():
            yield chunk, self.read(chunk)

    def chunks(self) -> Iterator[Chunk]:
        """Yield the row groups."""
        row = 0
        for number, group in enumerate(self._groups()):
            if group.num_rows:
                size = READING_FACTOR * group.total_byte_size
                yield Chunk(number, row, group.num_rows, size)
            row += group.num_rows

    def read(self, chunk: Chunk) -> Generator[Table]:
        """Yield the rows of one row group, some at a time."""
        factor = AT_ONCE if self.at_once else 1
        size = max(factor * BATCH_CELLS // max(len(self.names), 1), 1)
        row = chunk.row
        with _reading_parquet(self.path), self._opened(self._metadata) as file:
            for batch in file.iter_batches(
                size, row_groups=[chunk.start], use_threads=self.at_once
            ):
                if batch.nbytes > MAX_BATCH_BYTES:
                    raise TableError(
                        f"{self.path}: {batch.num_rows} rows from row {row + 1} on take "
                        f"{batch.nbytes} bytes, more than is read at a time; shorten their texts"
                    )
                yield self._table(batch, row)
                row += batch.num_rows
        if row != chunk.row + chunk.rows:
            raise TableError(
                f"{self.path} holds {row - chunk.row} rows in row group {chunk.start + 1} but "
                f"announces {chunk.rows}; it is damaged, write it again"
            )

    def no_rows(self) -> Table:
        """Return the table without its rows."""
        with _reading_parquet(self.path), self._opened(self._metadata) as file:
            schema = file.schema_arrow
            arrays = [pa.nulls(0, field.type) for field in schema]
            return self._table(pa.RecordBatch.from_arrays(arrays, schema=schema), 0)

    def place(self, row: int) -> str:
        """Return the number of a row, counted from 1."""
        return f"row {row + 1}"

    def check_whole(self, size: int = 0) -> None:
        """Refuse a table that is too large, or out of all proportion to its file.

        Before anything is read, the sizes are those that the file announces; they may be forged.
        """
        path, metadata = self.path, self._metadata
        if not size:
            size = sum(max(group.total_byte_size, 0) for group in self._groups())
            if size > MAX_BYTES or not 0 <= metadata.num_rows <= MAX_ROWS:
                raise TableError(
                    f"{path} announces {metadata.num_rows} rows in {size} bytes, more than is "
                    "read; use a sample of its rows, or write the file again if it is damaged"
                )
            size = max(size, 8 * metadata.num_rows * metadata.num_columns)
        if size > MAX_BYTES:
            raise TableError(
                f"{path} takes more than {MAX_BYTES} bytes of memory; use a sample of its rows, or "
                "deltarule train --stream, which reads it piece by piece"
            )
        length = os.stat(path).st_size
        if size > max(HARMLESS_BYTES, MAX_EXPANSION * length):
            raise TableError(
                f"{path} would expand from {length} to more than {size} bytes; it is damaged or "
                "made to fill the memory. If it is sound, deltarule train --stream reads it piece "
                "by piece"
            )

    def _groups(self) -> list[Any]:
        return [self._metadata.row_group(n) for n in range(self._metadata.num_row_groups)]

    def _table(self, batch: Any, row: int) -> Table:
        columns, declared = {}, set()
        fields = [field for field in batch.schema if field.name not in self._index]
        for name, field in zip(self.names, fields, strict=True):
            values = batch.column(field.name)
            categorical = field.name in self._categoricals or pa.types.is_dictionary(values.type)
            columns[name] = read_column(values)
            if categorical and pa.types.is_floating(columns[name].type):
                columns[name] = as_texts(values)
            if categorical or holds_texts(values.type):
                declared.add(name)
        return Table(
            self.path,
            columns,
            batch.num_rows,
            lambda number: self.place(row + number),
            frozenset(declared),
        )

    def _opened(self, metadata: Any) -> Any:
        return pq.ParquetFile(
            self.path,
            metadata=metadata,
            memory_map=False,
            pre_buffer=False,
            buffer_size=AT_ONCE * READ_BYTES if self.at_once else READ_BYTES,
        )


def _reading_parquet(path: Path) -> AbstractContextManager[None]:
    """Return a context in which an error of pyarrow becomes one line about the file."""

    def damaged(error: Exception) -> TableError:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        return TableError(f"{path} is a damaged Parquet file ({reason}); write it again")

    return error_context(
        ((pa.ArrowException, OSError, ValueError), damaged),
        unless=(TableError, FileNotFoundError, MemoryError),
    )


def pandas_columns(schema: Any) -> tuple[list[str], set[str]]:
    """Return the columns in which pandas stored its index, and those that were categoricals."""
    try:
        found = json.loads((schema.metadata or {})[b"pandas"])
        index = [name for name in found["index_columns"] if isinstance(name, str)]
        columns = [(str(c["name"]), c["pandas_type"]) for c in found["columns"]]
    except (KeyError, ValueError, TypeError):
        return [], set()
    index = [name for name in index if name in schema.names]
    if len(index) == len(schema.names):
        index = []
    return index, {name for name, kind in columns if kind == "categorical"}


def holds_texts(kind: Any) -> bool:
    """Whether values of an Arrow type are texts."""
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(is_text or pa.types.is_string_view(kind))


def as_texts(values: Any) -> Cells:
    """Return numbers that are categories as texts."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_integer(values.type):
        return pc.cast(values, pa.string())
    return number_texts(pc.cast(values, pa.float64()))


def read_column(values: Any) -> Cells:
    """Return a column as float64 or as text; as it is if it is neither number nor text.

    A text that is no UTF-8 is a ``pyarrow.ArrowInvalid``.
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    if pa.types.is_floating(kind):
        return pc.cast(values, pa.float64())
    if pa.types.is_integer(kind):
        return _whole_numbers(values)
    if pa.types.is_null(kind):
        return pa.nulls(len(values), pa.string())
    if holds_texts(kind):
        texts = pc.cast(values, pa.string())
        texts.validate(full=True)  # trimming looks at the ends alone
        return pc.utf8_trim_whitespace(texts)
    if any(is_kind(kind) for is_kind in _READ_AS_TEXT):
        return pc.cast(values, pa.string())
    return values


def _whole_numbers(values: Any) -> Cells:
    """Return integers as float64, or as texts if one of them is beyond ±2⁵³."""
    try:
        return pc.cast(values, pa.float64())
    except pa.ArrowInvalid:
        return pc.cast(values, pa.string())
