"""Read Parquet files: numbers as float64, the rest as text; forged sizes are not believed.

Nothing is rounded on the way in: decimals, and whole numbers that float64 does not have, become the
texts of their digits, as in a CSV file. Whoever takes them for numbers looks at them (`cells.py`).
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from deltarule.context import error_context
from deltarule.errors import TableError
from deltarule.tables.table import Column, Table, check_names

__all__ = ["read_column", "read_parquet", "reading_parquet"]

MAX_BYTES = 2 * 2**30
MAX_ROWS = 2**31
BATCH_CELLS = 2**22
SWELLING = 1000
"""A file that takes more than so many times its size in memory is taken for a bomb, ..."""
HARMLESS_BYTES = 2**28
"""... unless it is less than this."""
_TOLD_BY_TEXT = (
    pa.types.is_boolean,
    pa.types.is_decimal,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_timestamp,
)
"""Not durations: their numbers depend on the file's unit."""


def read_parquet(path: Path) -> Table:
    """Read a Parquet file, one batch of rows at a time, counting the memory it really takes.

    Parameters
    ----------
    path : Path
        An existing file that begins as Parquet files do.

    Returns
    -------
    Table
        Columns of float64 or of texts. Booleans become ``true`` and ``false``; dates become
        texts, by which they are recognised as dates later. What is neither stays as it is.
    """
    with reading_parquet(path):
        with pq.ParquetFile(path, memory_map=False, pre_buffer=False) as file:
            schema = file.schema_arrow
            check_names(path, [name.strip() for name in schema.names])
            _check_announced(path, file.metadata)
            whole = pa.Table.from_batches(_batches(path, file), schema)
        columns = {
            name.strip(): read_column(whole.column(index).combine_chunks())
            for index, name in enumerate(schema.names)
        }
    return Table(path, columns, whole.num_rows, lambda row: f"row {row + 1}")


def reading_parquet(path: Path) -> AbstractContextManager[None]:
    """Return a context in which pyarrow's errors become a ``TableError`` on the file."""

    def damaged(error: Exception) -> TableError:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        return TableError(f"{path} is a damaged Parquet file ({reason}); write it anew")

    return error_context(
        ((pa.ArrowException, OSError, ValueError), damaged),
        unless=(TableError, FileNotFoundError, pa.ArrowMemoryError),
    )


def _check_announced(path: Path, metadata: Any) -> None:
    """Refuse what would not fit into memory before taking any."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    size = sum(max(group.total_byte_size, 0) for group in groups)
    if size > MAX_BYTES or not 0 <= metadata.num_rows <= MAX_ROWS:
        raise TableError(
            f"{path} announces {metadata.num_rows} rows in {size} bytes, more than is read; "
            "use a sample of its rows, or write the file anew if it is damaged"
        )
    _check_size(path, max(size, 8 * metadata.num_rows * metadata.num_columns))


def _check_size(path: Path, size: int) -> None:
    """Refuse a table that is too large, or out of all proportion to its file."""
    if size > MAX_BYTES:
        raise TableError(
            f"{path} takes more than {MAX_BYTES} bytes of memory; use a sample of its rows, or "
            "deltarule train --stream, which reads it piece by piece"
        )
    held = os.stat(path).st_size
    if size > max(HARMLESS_BYTES, SWELLING * held):
        raise TableError(
            f"{path} would swell from {held} to more than {size} bytes; it is damaged or made to "
            "fill the memory. If it is sound, deltarule train --stream reads it piece by piece"
        )


def _batches(path: Path, file: Any) -> list[Any]:
    rows = max(BATCH_CELLS // max(file.metadata.num_columns, 1), 1)
    batches, size = [], 0
    for batch in file.iter_batches(rows, use_threads=False):
        size += batch.nbytes
        _check_size(path, size)
        batches.append(batch)
    return batches


def read_column(values: Any) -> Column:
    """Return a column as float64 or as text; as it is if it is neither number nor text."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    if pa.types.is_floating(kind):
        return pc.cast(values, pa.float64())
    if pa.types.is_integer(kind):
        return _whole_numbers(values)
    if pa.types.is_null(kind):
        return pa.nulls(len(values), pa.string())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pc.utf8_trim_whitespace(pc.cast(values, pa.string()))
    if any(is_kind(kind) for is_kind in _TOLD_BY_TEXT):
        return pc.cast(values, pa.string())
    return values


def _whole_numbers(values: Any) -> Column:
    """Return integers as float64, or as texts if one of them is beyond ±2⁵³."""
    try:
        return pc.cast(values, pa.float64())
    except pa.ArrowInvalid:
        return pc.cast(values, pa.string())
