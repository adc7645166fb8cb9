"""CSV files: every cell as the text that is written there, every irregularity with its line.

pyarrow parses; it does not guess types here. What it would accept in silence (NUL bytes, a quote
that is not closed at the end of its cell) is checked beforehand. The line numbers of faults are
found afterwards, so that only broken files pay for them.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from deltarule.errors import TableError
from deltarule.tables.arrow import texts_of, to_numpy
from deltarule.tables.columns import joined
from deltarule.tables.messages import show
from deltarule.tables.parallel import ahead
from deltarule.tables.record import CsvFormat
from deltarule.tables.sources.csv_head import number_of_cells, read_head
from deltarule.tables.sources.csv_records import end_of_records, misplaced_quote, records
from deltarule.tables.sources.text import TextFile
from deltarule.tables.table import Chunk, Table

__all__ = ["CsvFile"]

MAX_FILE_BYTES = 2 * 2**30
"""Longer files are not held in memory."""
BLOCK_BYTES = 8 * 2**20
"""pyarrow parses so many bytes at a time; no row may be longer."""
CHUNK_BYTES = 2**20
"""Chunks are about as long as this; they end where a record ends."""
LARGE_BYTES = 2**24
"""Longer files are parsed by several threads."""
HEAD_BYTES = 2**20
"""The head of a file, which tells the separator and has the header."""
SHOWN = 10
"""Errors show so many rows, and count the others."""
_RAGGED = re.compile(r"Row #(\d+): Expected \d+ columns, got (\d+)")
_BLANKS = b" \t\v\f\x1c\x1d\x1e\x1f"


class CsvFile:
    """A CSV file; blank lines are skipped.

    Cells are texts, stripped of surrounding blanks; an empty cell is an empty text. What `form`
    does not say, the file tells; `look` of its bytes are looked at to tell the encoding. A file
    that is compressed, or in another encoding than UTF-8, is one chunk. With `at_once`, reading is
    faster and takes more memory.
    """

    def __init__(self, path: Path, form: CsvFormat, look: int) -> None:
        self.path, self._comment = path, form.comment or ""
        self.at_once = False
        self._text = TextFile(path, form.encoding, look)
        head, cut = self._read_head()
        found = read_head(path, head, cut, form)
        if "\0" in head[: found.begin]:
            raise self._nul(self._text.begin + len(head[: head.index("\0")].encode()))
        self._begin = self._text.begin + found.begin
        self.names, self.separator, self.left_out = found.names, found.separator, found.left_out
        self._places, self._width, self._beyond = found.places, found.width, found.beyond
        self._hint = found.hint
        self.stored_numbers = frozenset[str]()
        self.notes = [*filter(None, [self._text.note]), *found.notes]

    def scan(self) -> Iterator[tuple[Chunk, Generator[Table]]]:
        """Yield the chunks of the file, which are found on the way, and their rows."""
        if not self._text.seekable:
            chunk = Chunk(self._begin, 0, 0, 2 * CHUNK_BYTES)
            yield chunk, self.read(chunk)
            return
        row = 0
        for start, size, table in self._tables():
            yield Chunk(start, row, table.rows, size), (table for table in (table,))
            row += table.rows

    def read(self, chunk: Chunk) -> Generator[Table]:
        """Yield the rows of one chunk."""
        if not self._text.seekable:
            yield from (table for _, _, table in self._tables())
            return
        with self._text.open(chunk.start) as file:
            yield self._table(chunk.start, file.read(chunk.size))

    def _tables(self) -> Iterator[tuple[int, int, Table]]:
        """Yield the rows of the file, a few at a time: where they begin, their bytes, the rows."""

        def parsed(found: tuple[int, bytes]) -> tuple[int, int, Table]:
            start, data = found
            return start, len(data), self._table(start, data)

        large = self.at_once and os.stat(self.path).st_size > LARGE_BYTES
        # An error keeps the frames that it went through: the file is closed here, not with them.
        with closing(self._whole_records(self._begin)) as pieces:
            for found in ahead(parsed, pieces) if large else map(parsed, pieces):
                if found[2].rows:
                    yield found

    def no_rows(self) -> Table:
        """Return the table without its rows."""
        return self._table(self._begin, b"")

    def place(self, row: int) -> str:
        """Return the line on which a row begins."""
        return self._place(self._begin, row)

    def _place(self, begin: int, row: int) -> str:
        """Return the line of a row, counted from the record that begins at a byte of the text."""
        for start, data in self._whole_records(begin):
            for place, _ in self._records(data):
                row -= 1
                if row < 0:
                    return f"line {self._line(start + place)}"
        return "its last line"

    def check_whole(self, size: int = 0) -> None:
        """Refuse a file that is too long to be held in memory; `size` is what it takes so far."""
        length = max(os.stat(self.path).st_size, size if self._text.compression else 0)
        if length > MAX_FILE_BYTES:
            raise TableError(
                f"{self.path} is {length / 2**30:.0f} GiB long, more than the "
                f"{MAX_FILE_BYTES // 2**30} GiB that are read at once; use a sample of its rows, "
                "or deltarule train --stream, which reads it piece by piece"
            )

    def _read_head(self) -> tuple[str, bool]:
        """Return the beginning of the text, and whether there is more."""
        with self._text.open(self._text.begin) as file:
            data = b""
            while len(data) <= HEAD_BYTES and (fresh := file.read(HEAD_BYTES)):
                data += fresh
        cut = len(data) > HEAD_BYTES
        try:
            return data[:HEAD_BYTES].decode(), cut
        except UnicodeDecodeError as error:
            if cut and error.start > HEAD_BYTES - 4:
                return data[: error.start].decode(), cut
            raise self._encoding_error() from None

    def _whole_records(self, start: int) -> Generator[tuple[int, bytes]]:
        """Yield the records from a byte on, many at a time: where they begin, and their bytes.

        It is an error if a cell begins with a quote and does not end where a quote closes it, and
        if a row is longer than `BLOCK_BYTES`.
        """
        with self._text.open(start) as file:
            held = b""
            while fresh := file.read(CHUNK_BYTES):
                held += fresh
                end = end_of_records(held, self.separator, self._comment)
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

    def _records(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield where records begin in some bytes, and the records; no blank ones, no comments."""
        place = 0
        for text in records(data, self.separator, self._comment):
            if text.strip(b"\r\n") and not (
                self._comment and text.startswith(self._comment.encode())
            ):
                yield place, text
            place += len(text)

    def _check_quotes(self, start: int, data: bytes) -> None:
        """Refuse the first misplaced quote in records that begin at a byte of the file."""
        found = misplaced_quote(data, self.separator, self._comment)
        if found is None:
            return
        names = dict(zip(self._places, self.names, strict=True))
        column = names.get(found.column, f"column {found.column + 1}")
        what = "is never closed"
        if found.closed < len(data):
            after = data[found.closed + 1 :][:80].decode(errors="replace")
            cell = re.split(f"[{re.escape(self.separator)}\r\n]", after)[0]
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
        """Return the number of the line that a byte of the text is on."""
        number, last = 1, b""
        with self._text.open() as file:
            while place > 0 and (data := file.read(min(place, CHUNK_BYTES))):
                ends = data.count(b"\n") + data.count(b"\r")
                number += ends - (last + data).count(b"\r\n")  # which is one end
                place, last = place - len(data), data[-1:]
        return number

    def _table(self, start: int, data: bytes) -> Table:
        """Return the rows in some whole records, of which the first begins there."""
        if b"\0" in data:
            raise self._nul(start + data.index(0))
        if self._comment and self._comment.encode() in data:
            data = b"".join(text for _, text in self._records(data))
        parsed = self._parsed(start, data)
        beyond = [joined(parsed.column(str(place)).chunks) for place in self._beyond]
        for place, cells in zip(self._beyond, beyond, strict=True):
            self._check_beyond(place, cells, start)
        trimmed = _may_need_trimming(data, self.separator, parsed.num_rows)
        columns = {}
        for name, place in zip(self.names, self._places, strict=True):
            cells = joined(parsed.column(str(place)).chunks)
            columns[name] = pc.utf8_trim_whitespace(cells) if trimmed else cells
        return Table(
            self.path,
            columns,
            parsed.num_rows,
            lambda number: self._place(start, number),
            separator=self.separator,
        )

    def _parsed(self, start: int, data: bytes) -> Any:
        """Return some whole records as a pyarrow table of texts, by the places of the cells."""
        names = [str(place) for place in range(self._width)]
        kept = [str(place) for place in (*self._places, *self._beyond)]
        if not data:
            return pa.table({name: texts_of([]) for name in kept})
        # Without the memory for cells and parser, pyarrow would abort: this is a MemoryError.
        np.empty(3 * len(data) + 4 * min(len(data), BLOCK_BYTES), dtype=np.uint8)
        try:
            return arrow_csv.read_csv(
                pa.py_buffer(data),
                arrow_csv.ReadOptions(
                    use_threads=False, column_names=names, block_size=BLOCK_BYTES
                ),
                arrow_csv.ParseOptions(delimiter=self.separator, newlines_in_values=True),
                arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    include_columns=kept,
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            ragged = _RAGGED.search(str(error))  # a handler of such rows would fail on some bytes
            if ragged:
                raise self._ragged(start, int(ragged[1]) - 1, int(ragged[2])) from None
            if "UTF8" in str(error):
                raise self._encoding_error() from None
            reason = str(error).partition("\n")[0]
            raise TableError(f"{self.path} cannot be read as CSV: {reason}") from None

    def _ragged(self, begin: int, row: int, cells: int) -> TableError:
        """Return the error for all rows with too many or too few cells; one of them is known."""
        found: dict[int, list[int]] = {}  # the first places of rows of each width
        counts: Counter[int] = Counter()
        for start, data in self._whole_records(self._begin):
            for place, text in self._records(data):
                width = number_of_cells(text.rstrip(b"\r\n"), self.separator)
                counts[width] += 1
                if len(found.setdefault(width, [])) < SHOWN:
                    found[width].append(start + place)
        usual, times = max(counts.items(), key=lambda item: item[1], default=(self._width, 0))
        skip = self._hint if self._hint.startswith("say --skip") else ""
        wanted = usual if skip else self._width
        places = sorted((at, width) for width in found if width != wanted for at in found[width])
        said = [(f"line {self._line(at)}", width) for at, width in places[:SHOWN]]
        count = sum(counts.values()) - counts[wanted]
        if not said and not skip:
            said, count = [(self._place(begin, row), cells)], 1
        more = [f"{where} {width}" for where, width in said[1:]]
        more += [f"{count - SHOWN} lines more"] if count > SHOWN else []
        also = f" ({', '.join(more)})" if more else ""
        remedy = "add or remove cells, or quote cells that hold a separator"
        if skip:
            others = f"; {said[0][0]} has {said[0][1]} cells{also}: {remedy}" if said else ""
            names = f"{self._width} column{'s' * (self._width > 1)}"
            return TableError(
                f"{self.path}: the header names {names}, but {times} of {sum(counts.values())} "
                f"rows have {usual} cells; {skip}{others}"
            )
        hint = f", or {self._hint}" if self._hint else ""
        return TableError(
            f"{self.path}, {said[0][0]}: {said[0][1]} cells{also}, but the header names "
            f"{self._width} columns; {remedy}{hint}"
        )

    def _check_beyond(self, place: int, cells: Any, start: int) -> None:
        """Refuse cells that hold something beyond the last column."""
        full = pc.greater(pc.binary_length(pc.utf8_trim_whitespace(cells)), 0)
        if pc.any(full).as_py():
            at = int(np.argmax(to_numpy(full)))
            raise TableError(
                f"{self.path}, {self._place(start, at)}: cell {place + 1} holds "
                f"{show(cells[at].as_py())}, but no column has this place; name it in the header, "
                "or leave the cell empty"
            )

    def _nul(self, place: int) -> TableError:
        return TableError(
            f"{self.path}, line {self._line(place)} holds a NUL byte; this is no text file, or a "
            "damaged one"
        )

    def _encoding_error(self) -> TableError:
        """Return the error for bytes that are not UTF-8, with the line and the remedy."""
        path = self.path
        with self._text.open() as file:
            number, held = 1, b""
            while data := file.read(CHUNK_BYTES):
                whole = held + data
                try:
                    whole.decode()
                except UnicodeDecodeError as error:
                    if len(whole) - error.start > 3 or len(data) == 0:
                        number += whole[: error.start].count(b"\n")
                        near = whole[max(error.start - 15, 0) : error.start + 15]
                        lines = near.decode("latin-1").splitlines() or [""]
                        near_text = max(lines, key=len).strip()
                        return TableError(
                            f"{path}, line {number} is not UTF-8 (near {show(near_text)}), unlike "
                            "the lines before it; write the file in one encoding, or name it, such "
                            "as --encoding latin-1"
                        )
                    held = whole[error.start :]
                    number += whole[: error.start].count(b"\n")
                    continue
                number += whole.count(b"\n")
                held = b""
        return TableError(
            f"{path} is not UTF-8; write it as UTF-8, or name its encoding, such as --encoding "
            "latin-1"
        )


def _may_need_trimming(data: bytes, separator: str, rows: int) -> bool:
    """Whether cells may begin or end with white space."""
    blanks = _BLANKS.replace(separator.encode(), b"")
    if not data.isascii() or any(blank in data for blank in blanks):
        return True
    # A line end, or a separator that is white space, may be in a cell.
    if b'"' not in data:
        return False
    ends = data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")
    return separator.isspace() or rows < ends + (not data.endswith((b"\n", b"\r")))
