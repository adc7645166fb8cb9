"""CSV files in chunks of whole records, which are found once and then read in any order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deltarule.tables.csv_file import (
    BLOCK_BYTES,
    Header,
    check_encoding,
    nul_error,
    parse_records,
    read_header,
    whole_records,
)
from deltarule.tables.streaming.chunks import Chunk
from deltarule.tables.table import Table

__all__ = ["CsvChunks"]


class CsvChunks:
    """A CSV file that is read as `read_csv` reads it, a chunk at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open(path, "rb") as file:
            check_encoding(path, file.read(2))
        self._head: Header = read_header(path)
        self.names = self._head.names

    def scan(self) -> Iterator[tuple[Chunk, Iterator[Table]]]:
        """Read the file from its beginning, and find the chunks on the way."""
        row = 0
        for start, data in whole_records(self.path, self._head):
            table = self._parsed(data, row)
            if table.rows:
                yield Chunk(start, start + len(data), row, table.rows, len(data)), iter((table,))
                row += table.rows

    def read(self, chunk: Chunk) -> Iterator[Table]:
        """Read one chunk."""
        with open(self.path, "rb") as file:
            file.seek(chunk.start)
            yield self._parsed(file.read(chunk.end - chunk.start), chunk.row)

    def _parsed(self, data: bytes, row: int) -> Table:
        if b"\0" in data:
            with open(self.path, "rb") as file:
                lines = enumerate(iter(lambda: file.readline(BLOCK_BYTES), b""), start=1)
                raise nul_error(self.path, next((n for n, line in lines if b"\0" in line), 1))
        return parse_records(self.path, self._head, data, row + 1)
