"""Read CSV files: every cell as the text that stands there, every irregularity with its line.

pyarrow parses; it never guesses types here. What it would let pass in silence (NUL bytes, a quote
that is not closed at the end of its cell) is looked for beforehand. The line numbers of faults are
found afterwards, so that only broken files pay for them.
"""

from __future__ import annotations

import csv
import mmap
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
from deltarule.tables.csv_quotes import end_of_records, misplaced_quote, records
from deltarule.tables.table import Table, check_names, show

__all__ = ["Header", "parse_records", "read_csv", "read_header", "whole_records"]

SEPARATORS = ",;\t|"
BLOCK_BYTES = 8 * 2**20
"""What pyarrow parses at a time; no row may be longer."""
CHUNK_BYTES = 2**20
"""Chunks are about as long as this; they end where a record ends."""
_RAGGED = re.compile(r"Row #(\d+): Expected \d+ columns, got (\d+)")


def read_csv(path: Path) -> Table:
    """Read a UTF-8 CSV file with one header line; blank lines are skipped.

    Parameters
    ----------
    path : Path
        An existing file that is not empty.

    Returns
    -------
    Table
        Columns of texts, stripped of surrounding blanks; an empty cell is an empty text.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _check_bytes(path, data)
        head = read_header(path)
        for _ in whole_records(path, head):
            pass  # a quote out of place is an error
        return parse_records(path, head, data, 0, skip=1)


class Header(NamedTuple):
    """The first line of a file that is not blank."""

    separator: str
    names: list[str]
    length: int  # bytes from the beginning of the file to the end of the line


def read_header(path: Path) -> Header:
    """Return what the header says; columns that cannot be told apart are refused."""
    header = _header(path)
    check_names(path, header.names)
    return header


def parse_records(path: Path, head: Header, data: Any, first: int, skip: int = 0) -> Table:
    """Parse whole records of a file, and leave some at the beginning out.

    Parameters
    ----------
    path : Path
        The file, for messages.
    head : Header
        Its header.
    data : bytes or mmap.mmap
        The records.
    first : int
        The number of the first record in the file; the header is record 0.
    skip : int, default=0
        Records to leave out.
    """
    parsed = _parse(path, data, head, first)
    columns = {
        name: pc.utf8_trim_whitespace(_whole(column)).slice(skip)
        for name, column in zip(head.names, parsed.columns, strict=True)
    }
    before = first + skip
    return Table(
        path,
        columns,
        max(parsed.num_rows - skip, 0),
        lambda row: f"line {_line(path, head, before + row)}",
    )


def _whole(column: Any) -> Any:
    """Return a column in one piece."""
    return column.combine_chunks() if column.num_chunks else pa.array([], pa.string())


def _check_bytes(path: Path, data: mmap.mmap) -> None:
    check_encoding(path, data[:2])
    nul = data.find(b"\0")
    if nul >= 0:
        raise nul_error(path, data[:nul].count(b"\n") + 1)


def check_encoding(path: Path, start: bytes) -> None:
    """Refuse a file that begins as UTF-16 does."""
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise TableError(
            f"{path} is encoded in UTF-16; convert it: iconv -f UTF-16 -t UTF-8 {path.name}"
        )


def nul_error(path: Path, line: int) -> TableError:
    """Return the error for a NUL byte on a line."""
    return TableError(
        f"{path}, line {line} holds a NUL byte; this is no text file, or a damaged one"
    )


def _header(path: Path) -> Header:
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
    return Header(separator, [name.strip() for name in names], length)


def whole_records(path: Path, head: Header) -> Iterator[tuple[int, bytes]]:
    """Yield the records below the header, many at a time: where they begin, and their bytes.

    Raises
    ------
    TableError
        If a cell begins with a quote and does not end where a quote closes it, or a row is longer
        than `BLOCK_BYTES`.
    """
    with open(path, "rb") as file:
        start, held = file.seek(head.length), b""
        while fresh := file.read(CHUNK_BYTES):
            held += fresh
            end = end_of_records(held, head.separator)
            if end:
                yield start, held[:end]
                start, held = start + end, held[end:]
            elif len(held) > BLOCK_BYTES:
                raise _quote_error(path, head, start, held) or TableError(
                    f"{path}, line {_line_at(path, start)} begins a row of more than {BLOCK_BYTES} "
                    "bytes; shorten its cells"
                )
        fault = _quote_error(path, head, start, held)
        if fault:
            raise fault
        if held:
            yield start, held


def _quote_error(path: Path, head: Header, start: int, data: bytes) -> TableError | None:
    """Return the error for the first misplaced quote in records that begin somewhere in a file."""
    found = misplaced_quote(data, head.separator)
    if found is None:
        return None
    column = head.names[min(found.column, len(head.names) - 1)]
    where = f"{path}, line {_line_at(path, start + found.opened)}, column {show(column)}"
    rest = re.split(
        f"[{head.separator}\r\n]", data[found.closed + 1 :][:80].decode(errors="replace")
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


def _parse(path: Path, data: Any, head: Header, first: int) -> Any:
    """Parse records into a pyarrow table of texts."""
    names = [str(number) for number in range(len(head.names))]
    _reserve(len(data))
    try:
        return arrow_csv.read_csv(
            pa.py_buffer(data),
            arrow_csv.ReadOptions(use_threads=False, column_names=names, block_size=BLOCK_BYTES),
            arrow_csv.ParseOptions(delimiter=head.separator, newlines_in_values=True),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        ragged = _RAGGED.search(str(error))  # a handler of such rows would fail on some bytes
        if ragged:
            line = _line(path, head, first + int(ragged[1]) - 1)
            raise TableError(
                f"{path}, line {line}: {ragged[2]} cells, but the header names "
                f"{len(names)} columns; add or remove cells, or quote cells that hold a separator"
            ) from None
        if "UTF8" in str(error):
            raise _encoding_error(path) from None
        raise TableError(f"{path} cannot be read as CSV: {_first_line(error)}") from None


def _reserve(size: int) -> None:
    """Raise MemoryError now if parsing so many bytes would lack memory: pyarrow would abort then.

    Asked for is what the cells may take, and what the parser takes for a block.
    """
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


def _line(path: Path, head: Header, record: int) -> int:
    """Return the number of the line on which a record begins; record 0 is the header."""
    with open(path, "rb") as file:
        line = len(file.read(head.length).splitlines())
    if record == 0:
        return line
    for _, data in whole_records(path, head):
        for text in records(data, head.separator):
            record -= bool(text.strip(b"\r\n"))  # blank lines are no records
            if record == 0:
                return line + 1
            line += len(text.splitlines())
    return line


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
