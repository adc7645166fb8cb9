"""CSV files: every cell as the text that is written there, every irregularity with its line.

pyarrow parses; it does not guess types here. What it would accept in silence (NUL bytes, a quote
that is not closed at the end of its cell) is checked beforehand. The line numbers of faults are
found afterwards, so that only broken files pay for them.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from deltarule.errors import TableError
from deltarule.tables.messages import show
from deltarule.tables.sources.base import Chunk, joined
from deltarule.tables.sources.csv_records import end_of_records, misplaced_quote, records
from deltarule.tables.table import Table, check_names

__all__ = ["CsvFile"]

MAX_FILE_BYTES = 2 * 2**30
"""Longer files are not held in memory."""
SEPARATORS = ",;\t|"
BLOCK_BYTES = 8 * 2**20
"""pyarrow parses so many bytes at a time; no row may be longer."""
CHUNK_BYTES = 2**20
"""Chunks are about as long as this; they end where a record ends."""
_RAGGED = re.compile(r"Row #(\d+): Expected \d+ columns, got (\d+)")


class CsvFile:
    """A UTF-8 CSV file with one header line; blank lines are skipped.

    Cells are texts, stripped of surrounding blanks; an empty cell is an empty text.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open(path, "rb") as file:
            if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
                raise TableError(
                    f"{path} is encoded in UTF-16; convert it: iconv -f UTF-16 -t UTF-8 {path.name}"
                )
        self._header = _read_header(path)
        self.names = self._header.names
        check_names(path, self.names)

    def scan(self) -> Iterator[tuple[Chunk, Iterator[Table]]]:
        """Yield the chunks of the file, which are found on the way, and their rows."""
        row = 0
        for start, data in _whole_records(self.path, self._header):
            table = self._table(data, row)
            if table.rows:
                yield Chunk(start, start + len(data), row, table.rows, len(data)), iter((table,))
                row += table.rows

    def read(self, chunk: Chunk) -> Iterator[Table]:
        """Yield the rows of one chunk."""
        with open(self.path, "rb") as file:
            file.seek(chunk.start)
            yield self._table(file.read(chunk.end - chunk.start), chunk.row)

    def place(self, row: int) -> str:
        """Return the line on which a row begins."""
        return f"line {_line(self.path, self._header, row + 1)}"

    def check_whole(self, size: int = 0) -> None:
        """Refuse a file that is too long to be held in memory."""
        length = os.stat(self.path).st_size
        if length > MAX_FILE_BYTES:
            raise TableError(
                f"{self.path} is {length / 2**30:.0f} GiB long, more than the "
                f"{MAX_FILE_BYTES // 2**30} GiB that are read at once; use a sample of its rows, "
                "or deltarule train --stream, which reads it piece by piece"
            )

    def _table(self, data: bytes, row: int) -> Table:
        """Return the rows in some whole records, the first of which has this number."""
        if b"\0" in data:
            with open(self.path, "rb") as file:
                lines = enumerate(iter(lambda: file.readline(BLOCK_BYTES), b""), start=1)
                number = next((n for n, line in lines if b"\0" in line), 1)
            raise TableError(
                f"{self.path}, line {number} holds a NUL byte; this is no text file, or a damaged "
                "one"
            )
        parsed = _parse(self.path, data, self._header, row + 1)
        columns = {
            name: pc.utf8_trim_whitespace(joined(column.chunks))
            for name, column in zip(self.names, parsed.columns, strict=True)
        }
        return Table(self.path, columns, parsed.num_rows, lambda number: self.place(row + number))


class _Header(NamedTuple):
    """The first line of a file that is not blank."""

    separator: str
    names: list[str]
    length: int  # bytes from the beginning of the file to the end of the line


def _read_header(path: Path) -> _Header:
    """Return the separator and the names in the first line that is not blank."""
    with open(path, "rb") as binary:
        length = 3 * (binary.read(3) == b"\xef\xbb\xbf")
    header = ""
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            for line in islice(iter(lambda: file.readline(BLOCK_BYTES), ""), 1000):
                length += len(line.encode())
                if line.strip("\r\n"):
                    header = line
                    break
        except UnicodeDecodeError:
            raise _encoding_error(path) from None
    if not header.strip():
        raise TableError(f"{path} has only blank lines; a table needs a header line and rows")
    header = header.rstrip("\r\n")
    outside = "".join(header.split('"')[::2])
    separator = max(SEPARATORS, key=outside.count)
    try:
        names = next(csv.reader([header], delimiter=separator, strict=True))
    except csv.Error as error:
        raise TableError(f"{path}: the header cannot be read ({error}); rewrite it") from None
    return _Header(separator, [name.strip() for name in names], length)


def _whole_records(path: Path, header: _Header) -> Iterator[tuple[int, bytes]]:
    """Yield the records below the header, many at a time: where they begin, and their bytes.

    It is an error if a cell begins with a quote and does not end where a quote closes it, and if a
    row is longer than `BLOCK_BYTES`.
    """
    with open(path, "rb") as file:
        start, held = file.seek(header.length), b""
        while fresh := file.read(CHUNK_BYTES):
            held += fresh
            end = end_of_records(held, header.separator)
            if end:
                yield start, held[:end]
                start, held = start + end, held[end:]
            elif len(held) > BLOCK_BYTES:
                raise _quote_error(path, header, start, held) or TableError(
                    f"{path}, line {_line_at(path, start)} begins a row of more than {BLOCK_BYTES} "
                    "bytes; shorten its cells"
                )
        fault = _quote_error(path, header, start, held)
        if fault:
            raise fault
        if held:
            yield start, held


def _quote_error(path: Path, header: _Header, start: int, data: bytes) -> TableError | None:
    """Return the error for the first misplaced quote in records that begin somewhere in a file."""
    found = misplaced_quote(data, header.separator)
    if found is None:
        return None
    column = header.names[min(found.column, len(header.names) - 1)]
    where = f"{path}, line {_line_at(path, start + found.opened)}, column {show(column)}"
    rest = re.split(
        f"[{header.separator}\r\n]", data[found.closed + 1 :][:80].decode(errors="replace")
    )
    what = "is never closed"
    if found.closed < len(data):
        line = _line_at(path, start + found.closed)
        what = f"is closed on line {line}, but {show(rest[0])} follows"
    elif len(data) > BLOCK_BYTES:
        what = f"is not closed within {BLOCK_BYTES} bytes"
    return TableError(
        f"{where}: the quote that opens the cell {what}; end the cell with a quote, and double "
        "those that belong to its text"
    )


def _line_at(path: Path, place: int) -> int:
    """Return the number of the line that a byte is on."""
    with open(path, encoding="latin-1", newline="") as file:  # a byte a character
        for number, line in enumerate(file, start=1):
            place -= len(line)
            if place < 0:
                return number
    return 1


def _parse(path: Path, data: Any, header: _Header, first: int) -> Any:
    """Parse records into a pyarrow table of texts."""
    names = [str(number) for number in range(len(header.names))]
    _reserve(len(data))
    try:
        return arrow_csv.read_csv(
            pa.py_buffer(data),
            arrow_csv.ReadOptions(use_threads=False, column_names=names, block_size=BLOCK_BYTES),
            arrow_csv.ParseOptions(delimiter=header.separator, newlines_in_values=True),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        ragged = _RAGGED.search(str(error))  # a handler of such rows would fail on some bytes
        if ragged:
            line = _line(path, header, first + int(ragged[1]) - 1)
            raise TableError(
                f"{path}, line {line}: {ragged[2]} cells, but the header names "
                f"{len(names)} columns; add or remove cells, or quote cells that hold a separator"
            ) from None
        if "UTF8" in str(error):
            raise _encoding_error(path) from None
        raise TableError(f"{path} cannot be read as CSV: {error}".splitlines()[0]) from None


def _reserve(size: int) -> None:
    """Raise MemoryError where pyarrow would abort for lack of memory for cells and parser."""
    np.empty(3 * size + 4 * min(size, BLOCK_BYTES), dtype=np.uint8)


def _encoding_error(path: Path) -> TableError:
    """Return the error for bytes that are not UTF-8, with the line and the way out."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                there = line[max(error.start - 15, 0) : error.start + 15].decode("latin-1")
                return TableError(
                    f"{path}, line {number} is not UTF-8 (near {show(there.strip())}); if the file "
                    f"is Latin-1, convert it: iconv -f LATIN1 -t UTF-8 {path.name} > new.csv"
                )
    return TableError(f"{path} is not UTF-8; convert it with iconv")


def _line(path: Path, header: _Header, record: int) -> int:
    """Return the number of the line on which a record begins; record 0 is the header."""
    with open(path, "rb") as file:
        line = len(file.read(header.length).splitlines())
    if record == 0:
        return line
    for _, data in _whole_records(path, header):
        for text in records(data, header.separator):
            record -= bool(text.strip(b"\r\n"))  # blank lines are no records
            if record == 0:
                return line + 1
            line += len(text.splitlines())
    return line
