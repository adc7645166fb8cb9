"""CSV files in chunks of whole records, which are found once and then read in any order."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.csv_file import (
    BLOCK_BYTES,
    Header,
    check_closed,
    check_encoding,
    nul_error,
    parse_records,
    read_header,
)
from deltarule.tables.streaming.chunks import Chunk
from deltarule.tables.table import Table

__all__ = ["CsvChunks"]

CHUNK_BYTES = 2**20
"""Chunks are about as long as this; they end where a record ends."""
_END = "\x00"


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
        for start, data in self._records():
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

    def _records(self) -> Iterator[tuple[int, bytes]]:
        """Yield where each chunk begins, and its bytes."""
        with open(self.path, "rb") as file:
            file.seek(self._head.length)
            start, held = self._head.length, b""
            while fresh := file.read(CHUNK_BYTES):
                held += fresh
                end = _end_of_records(held, self._head.separator)
                if end == 0 and len(held) > BLOCK_BYTES:
                    raise self._endless()
                if end:
                    yield start, held[:end]
                    start, held = start + end, held[end:]
            if held:
                if b'"' in held and _end_of_records(held + b"\n", self._head.separator) == 0:
                    raise self._endless()
                yield start, held

    def _endless(self) -> TableError:
        try:
            check_closed(self.path, self._head.separator)
        except TableError as error:
            return error
        return TableError(
            f"{self.path} has a row of more than {BLOCK_BYTES} bytes; look for a quote that is "
            "opened and never closed, or shorten its cells"
        )


def _end_of_records(data: bytes, separator: str) -> int:
    """Return where the last record ends that ends in some bytes, or 0; they begin with a record.

    A line end ends a record unless it is in quotes: an odd number of them is before it. This holds
    if every quote that would open a cell stands where a cell begins, or doubles another; quotes in
    the middle of a cell are for Python's reader to judge.
    """
    if b'"' not in data:
        return data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, len(data) - 1) + 1
    letters = np.frombuffer(data, dtype=np.uint8)
    quotes = np.flatnonzero(letters == ord('"'))
    opening = quotes[0::2]
    before = letters[opening[opening > 0] - 1]
    if np.isin(before, np.frombuffer(f'{separator}\n\r"'.encode(), dtype=np.uint8)).all():
        return _even_end(data, quotes)
    return _judged_end(data, separator, quotes)


def _even_end(data: bytes, quotes: NDArray[np.intp]) -> int:
    """Return the end of the last line with an even number of quotes before its end."""
    end = len(data)
    while (end := data.rfind(b"\n", 0, end)) >= 0:
        if np.searchsorted(quotes, end) % 2 == 0:
            return end + 1
    return 0


def _judged_end(data: bytes, separator: str, quotes: NDArray[np.intp]) -> int:
    """Return the end of the last record by Python's reader."""
    text = io.TextIOWrapper(io.BytesIO(data), encoding="latin-1", newline="")  # a byte a character
    read = 0

    def lines() -> Iterator[str]:
        nonlocal read
        for line in text:
            read += len(line)
            yield line
        yield _END  # in an open quote it becomes part of the last record

    ends, last = [0, 0], [""]
    try:
        for record in csv.reader(lines(), delimiter=separator):
            ends.append(read)
            last = record
    except csv.Error:  # a cell too long for it
        return _even_end(data, quotes)
    if last != [_END]:  # the last record is open
        return ends[-2]
    return ends[-2] if data.endswith(b"\n") else ends[-3]
