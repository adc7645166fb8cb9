"""Parquet files a row group at a time, and those in batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from deltarule.errors import TableError
from deltarule.tables.parquet_file import read_column, reading_parquet
from deltarule.tables.streaming.chunks import Chunk
from deltarule.tables.table import Table, check_names

__all__ = ["ParquetChunks"]

BATCH_CELLS = 2**18
"""Cells that are read at a time."""
MAX_BATCH_BYTES = 2**28
READ_BYTES = 2**16
SWELLING = 3
"""A row group takes about so many times its bytes while it is read."""


class ParquetChunks:
    """A Parquet file that is read as `read_parquet` reads it, some rows at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading_parquet(path), self._opened(None) as file:
            self._metadata = file.metadata
            self.names = [name.strip() for name in file.schema_arrow.names]
            check_names(path, self.names)
        if not self._counts_agree():
            raise TableError(
                f"{path} contradicts itself about the number of its rows; it is damaged, write it "
                "anew"
            )

    def scan(self) -> Iterator[tuple[Chunk, Iterator[Table]]]:
        """Read the row groups in their order."""
        row = 0
        for group in range(self._metadata.num_row_groups):
            found = self._metadata.row_group(group)
            if found.num_rows:
                size = SWELLING * found.total_byte_size
                chunk = Chunk(group, group + 1, row, found.num_rows, size)
                yield chunk, self.read(chunk)
            row += found.num_rows

    def read(self, chunk: Chunk) -> Iterator[Table]:
        """Read one row group."""
        size = max(BATCH_CELLS // max(len(self.names), 1), 1)
        row = chunk.row
        with reading_parquet(self.path), self._opened(self._metadata) as file:
            for batch in file.iter_batches(size, row_groups=[chunk.start], use_threads=False):
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
                f"announces {chunk.rows}; it is damaged, write it anew"
            )

    def _table(self, batch: Any, row: int) -> Table:
        columns = {
            name: read_column(values)
            for name, values in zip(self.names, batch.columns, strict=True)
        }
        return Table(self.path, columns, batch.num_rows, lambda n: f"row {row + n + 1}")

    def _opened(self, metadata: Any) -> Any:
        return pq.ParquetFile(
            self.path, metadata=metadata, memory_map=False, pre_buffer=False, buffer_size=READ_BYTES
        )

    def _counts_agree(self) -> bool:
        groups = range(self._metadata.num_row_groups)
        rows = [self._metadata.row_group(group).num_rows for group in groups]
        return min(rows, default=0) >= 0 and sum(rows) == self._metadata.num_rows
