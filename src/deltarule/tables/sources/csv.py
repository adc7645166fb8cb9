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
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from deltarule.errors import TableError
from deltarule.tables.columns import joined
from deltarule.tables.messages import show
from deltarule.tables.sources.csv_records import end_of_records, misplaced_quote, records
from deltarule.tables.table import Chunk, Table, check_names

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

    left_out: ClassVar[dict[str, str]] = {}

    def __init__(self, path: Path) -> None:
        self.path = path
        with open(path, "rb") as file:
            start = file.read(3)
        if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise TableError(
                f"{path} is encoded in UTF-16; convert it: iconv -f UTF-16 -t UTF-8 {path.name}"
            )
        self._begin = 3 * (start == b"\xef\xbb\xbf")  # bytes before the first record
        header = self._read_header()
        outside = "".join(header.split('"')[::2])
        self.separator = max(SEPARATORS, key=outside.count)
        try:
            names = next(csv.reader([header], delimiter=self.separator, strict=True))
        except csv.Error as error:
            raise TableError(f"{path}: the header cannot be read ({error}); rewrite it") from None
        self.names = [name.strip() for name in names]
        check_names(path, self.names)

    def scan(self) -> Iterator[tuple[Chunk, Iterator[Table]]]:
        """Yield the chunks of the file, which are found on the way, and their rows."""
        row = 0
        for start, data in self._whole_records():
            table = self._table(start, data, row)
            if table.rows:
                yield Chunk(start, row, table.rows, len(data)), iter((table,))
                row += table.rows

    def read(self, chunk: Chunk) -> Iterator[Table]:
        """Yield the rows of one chunk."""
        with open(self.path, "rb") as file:
            file.seek(chunk.start)
            yield self._table(chunk.start, file.read(chunk.size), chunk.row)

    def place(self, row: int) -> str:
        """Return the line on which a row begins."""
        for start, data in self._whole_records():
            for text in records(data, self.separator):
                row -= bool(text.strip(b"\r\n"))  # blank lines are no records
                if row < 0:
                    return f"line {self._line(start)}"
                start += len(text)
        return "its last line"

    def check_whole(self, size: int = 0) -> None:
        """Refuse a file that is too long to be held in memory."""
        length = os.stat(self.path).st_size
        if length > MAX_FILE_BYTES:
            raise TableError(
                f"{self.path} is {length / 2**30:.0f} GiB long, more than the "
                f"{MAX_FILE_BYTES // 2**30} GiB that are read at once; use a sample of its rows, "
                "or deltarule train --stream, which reads it piece by piece"
            )

    def _read_header(self) -> str:
        """Return the first line that is not blank; records begin after it."""
        with open(self.path, encoding="utf-8-sig", newline="") as file:
            try:
                for line in islice(iter(lambda: file.readline(BLOCK_BYTES), ""), 1000):
                    self._begin += len(line.encode())
                    if line.strip():
                        return line.rstrip("\r\n")
                    if line.strip("\r\n"):
                        break
            except UnicodeDecodeError:
                raise self._encoding_error() from None
        raise TableError(f"{self.path} has only blank lines; a table needs a header line and rows")

    def _whole_records(self) -> Iterator[tuple[int, bytes]]:
        """Yield the records below the header, many at a time: where they begin, and their bytes.

        It is an error if a cell begins with a quote and does not end where a quote closes it, and
        if a row is longer than `BLOCK_BYTES`.
        """
        with open(self.path, "rb") as file:
            start, held = file.seek(self._begin), b""
            while fresh := file.read(CHUNK_BYTES):
                held += fresh
                end = end_of_records(held, self.separator)
                if end:
                    yield start, held[:end]
                    start, held = start + end, held[end:]
                elif len(held) > BLOCK_BYTES:
                    self._check_quotes(start, held)
                    raise TableError(
                        f"{self.path}, line {self._line(start)} begins a row of more than "
                        f"{BLOCK_BYTES} bytes; shorten its cells"
                    )
            self._check_quotes(start, held)
            if held:
                yield start, held

    def _check_quotes(self, start: int, data: bytes) -> None:
        """Refuse the first misplaced quote in records that begin at a byte of the file."""
        found = misplaced_quote(data, self.separator)
        if found is None:
            return
        column = self.names[min(found.column, len(self.names) - 1)]
        what = "is never closed"
        if found.closed < len(data):
            after = data[found.closed + 1 :][:80].decode(errors="replace")
            cell = re.split(f"[{self.separator}\r\n]", after)[0]
            line = self._line(start + found.closed)
            what = f"is closed on line {line}, but {show(cell)} follows"
        elif len(data) > BLOCK_BYTES:
            what = f"is not closed within {BLOCK_BYTES} bytes"
        raise TableError(
            f"{self.path}, line {self._line(start + found.opened)}, column {show(column)}: the "
            f"quote that opens the cell {what}; end the cell with a quote, and double those that "
            "belong to its text"
        )

    def _line(self, place: int) -> int:
        """Return the number of the line that a byte is on."""
        number, last = 1, b""
        with open(self.path, "rb") as file:
            while data := file.read(min(place, CHUNK_BYTES)):
                ends = data.count(b"\n") + data.count(b"\r")
                number += ends - (last + data).count(b"\r\n")  # which is one end
                place, last = place - len(data), data[-1:]
        return number

    def _table(self, start: int, data: bytes, row: int) -> Table:
        """Return the rows in some whole records: the first has this number and begins there."""
        if b"\0" in data:
            raise TableError(
                f"{self.path}, line {self._line(start + data.index(0))} holds a NUL byte; this is "
                "no text file, or a damaged one"
            )
        parsed = self._parsed(data, row)
        columns = {
            name: pc.utf8_trim_whitespace(joined(column.chunks))
            for name, column in zip(self.names, parsed.columns, strict=True)
        }
        return Table(
            self.path,
            columns,
            parsed.num_rows,
            lambda number: self.place(row + number),
            separator=self.separator,
        )

    def _parsed(self, data: bytes, row: int) -> Any:
        """Return some whole records as a pyarrow table of texts."""
        names = [str(number) for number in range(len(self.names))]
        texts = dict.fromkeys(names, pa.string())
        # Without the memory for cells and parser, pyarrow would abort: this is a MemoryError.
        np.empty(3 * len(data) + 4 * min(len(data), BLOCK_BYTES), dtype=np.uint8)
        try:
            return arrow_csv.read_csv(
                pa.py_buffer(data),
                arrow_csv.ReadOptions(
                    use_threads=False, column_names=names, block_size=BLOCK_BYTES
                ),
                arrow_csv.ParseOptions(delimiter=self.separator, newlines_in_values=True),
                arrow_csv.ConvertOptions(column_types=texts, strings_can_be_null=False),
            )
        except pa.ArrowInvalid as error:
            ragged = _RAGGED.search(str(error))  # a handler of such rows would fail on some bytes
            if ragged:
                raise TableError(
                    f"{self.path}, {self.place(row + int(ragged[1]) - 1)}: {ragged[2]} cells, but "
                    f"the header names {len(names)} columns; add or remove cells, or quote cells "
                    "that hold a separator"
                ) from None
            if "UTF8" in str(error):
                raise self._encoding_error() from None
            reason = str(error).partition("\n")[0]
            raise TableError(f"{self.path} cannot be read as CSV: {reason}") from None

    def _encoding_error(self) -> TableError:
        """Return the error for bytes that are not UTF-8, with the line and the remedy."""
        path = self.path
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode()
                except UnicodeDecodeError as error:
                    near = line[max(error.start - 15, 0) : error.start + 15].decode("latin-1")
                    return TableError(
                        f"{path}, line {number} is not UTF-8 (near {show(near.strip())}); if the "
                        f"file is Latin-1, convert it: iconv -f LATIN1 -t UTF-8 {path.name} > "
                        "new.csv"
                    )
        return TableError(f"{path} is not UTF-8; convert it with iconv")
