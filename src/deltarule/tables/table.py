"""Tables: where rows come from (`Source`), and rows in memory (`Table`)."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar, NamedTuple

import pyarrow as pa

from deltarule.errors import TableError
from deltarule.tables.arrow import numbers_of
from deltarule.tables.columns import Cells, ParsedColumn, is_number
from deltarule.tables.messages import in_shell, listing, show
from deltarule.tables.record import CsvFormat

__all__ = ["Chunk", "Piece", "Source", "Table", "check_names"]

MAX_COLUMNS = 10_000
RELEASED_ROWS = 2**16
_MARKS = re.compile(r"[^\w.+-]+")
"""What may separate the names of columns."""
_TOLD = CsvFormat()
"""Files tell themselves how they are written."""


class Piece(NamedTuple):
    """Some consecutive rows of a source, and the number of the first of them."""

    table: Table
    first: int


class Chunk(NamedTuple):
    """Rows of a file that can be read without those before them."""

    start: int  # a byte of a CSV file, the number of a row group of a Parquet file
    row: int  # the first row's number in the file
    rows: int
    size: int  # bytes that reading it takes, about


class Source(ABC):
    """Rows of named columns that can be read again and again, piece by piece.

    Attributes
    ----------
    path : Path
        What the user named, for messages.
    rows : int
        The number of rows; 0 for a dataset that has not been scanned.
    in_memory : bool
        Whether all rows are in memory, as one piece. Then the split is exact, and training
        shuffles all rows together; else both work within bounded memory.
    separator : str
        What separates the cells in the files, or an empty text if nothing does.
    left_out : dict of str to str
        Columns of the files that are not columns of the table, and why.
    format : CsvFormat
        What the user says about the files.
    notes : tuple of str
        What the user should know about how they were read.
    """

    in_memory: ClassVar[bool] = False
    format: CsvFormat = _TOLD
    notes: tuple[str, ...] = ()
    path: Path
    rows: int
    separator: str
    left_out: dict[str, str]

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """The columns, in their order."""

    @abstractmethod
    def scan(self) -> Iterator[Piece]:
        """Yield all rows in their order; a table without rows is one piece without rows."""

    def check_column(self, name: str, why: str = "given with --target") -> None:
        """Refuse a column that does not exist, and suggest a similar name."""
        if name in self.names:
            return
        near = get_close_matches(name.lower(), [known.lower() for known in self.names], 1)
        meant = [known for known in self.names if known.lower() in near]
        suggestion = f"; did you mean {show(meant[0])}?" if meant else ""
        raise TableError(
            f"{self.path} has no column {show(name)} ({why}){suggestion}; its columns are "
            f"{listing(self.names)}{self._without_header()}"
        )

    def _without_header(self) -> str:
        """Return a remedy if the names of the columns look like cells, or like several names."""
        if not self.separator:
            return ""
        if all(map(is_number, self.names)):
            return (
                "; if the file has no header, say --no-header, which calls them column_1, "
                "column_2, …"
            )
        marks = _MARKS.findall(self.names[0]) if len(self.names) == 1 else []
        if any(len(mark) > 1 for mark in marks):
            return (
                "; if several characters separate its cells, write it with commas, such as by "
                "pandas.read_csv(FILE, sep=…).to_csv(…)"
            )
        if marks:
            return (
                f"; if {show(marks[0])} separates its cells, say --separator {in_shell(marks[0])}"
            )
        return ""


@dataclass(frozen=True)
class Table(Source):
    """Rows in memory: a source with one piece.

    Attributes
    ----------
    path : Path
        The file.
    columns : dict of str to pyarrow.Array
        Columns as they were read, in the file's order: texts, or float64 from Parquet. A missing
        cell is null. A Parquet column that is neither keeps its type and is refused where it is
        used.
    rows : int
        The number of rows.
    place : callable
        Maps the number of a row, from 0, to words such as "line 17".
    declared : frozenset of str
        Columns that the file declares to be texts or categories.
    separator : str
        What separates the cells in the file.
    left_out : dict of str to str
        Columns of the file that are not columns of the table, and why.
    format : CsvFormat
        What the user says about the file.
    notes : tuple of str
        What the user should know about how it was read.
    used_once : bool
        Whether texts may be forgotten where they were understood as numbers.
    """

    in_memory: ClassVar[bool] = True
    path: Path
    columns: dict[str, Cells]
    rows: int
    place: Callable[[int], str] = field(repr=False)
    declared: frozenset[str] = frozenset()
    separator: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    format: CsvFormat = _TOLD
    notes: tuple[str, ...] = ()
    used_once: bool = False
    _parsed: dict[tuple[str, tuple[str, ...]], ParsedColumn] = field(
        default_factory=dict, init=False, repr=False
    )

    @property
    def names(self) -> list[str]:
        """The columns, in their order."""
        return list(self.columns)

    def scan(self) -> Iterator[Piece]:
        """Yield the table itself."""
        yield Piece(self, 0)

    def column(
        self, name: str, why: str = "given with --target", missing: Iterable[str] = ()
    ) -> ParsedColumn:
        """Return a column, with further marks for missing cells; no such column is an error.

        What is parsed of it is parsed once.
        """
        key = name, tuple(missing)
        if key not in self._parsed:
            self.check_column(name, why)
            path, place = self.path, self.place

            def fault(row: int, problem: str) -> TableError:
                return TableError(f"{path}, {place(row)}, column {show(name)}: {problem}")

            cells, declared = self.columns[name], name in self.declared
            self._parsed[key] = ParsedColumn(name, cells, path, fault, key[1], declared=declared)
        return self._parsed[key]

    def keep_numbers(self, column: ParsedColumn) -> None:
        """Forget the texts of a column of plain numbers, if nobody else uses the table."""
        if self.used_once and not column.stores_numbers:
            values, there = column.numbers()
            self.columns[column.name] = numbers_of(values, None if there.all() else ~there)
            self._parsed.pop((column.name, column.marks), None)
            if self.rows > RELEASED_ROWS:
                pa.default_memory_pool().release_unused()  # to the system

    def forget(self, column: ParsedColumn) -> None:
        """Forget the cells of a column."""
        self._parsed.pop((column.name, column.marks), None)
        self.columns[column.name] = pa.nulls(0)

    def forget_all(self) -> None:
        """Forget all cells."""
        self._parsed.clear()
        self.columns.update(dict.fromkeys(self.columns, pa.nulls(0)))


def check_names(path: Path, names: list[str], hint: str = "") -> None:
    """Refuse too many columns, and columns that have no name or the same name; add a hint."""
    if len(names) > MAX_COLUMNS:
        raise TableError(
            f"{path} has {len(names)} columns, more than the {MAX_COLUMNS} that are read; "
            "keep the columns that matter (is it transposed, or the separator wrong?)"
        )
    if all(names) and len(set(names)) == len(names):
        return
    for number, name in enumerate(names, start=1):
        if not name:
            raise TableError(
                f"{path}: column {number} has no name; name it in the header "
                "(pandas leaves its index unnamed: write with index=False)"
            )
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise TableError(
            f"{path} has more than one column named {listing(repeated)}; rename all but one{hint}"
        )
