"""A table in a file or in the files of a folder, read piece by piece."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from deltarule.context import error_context, system_reason
from deltarule.errors import TableError
from deltarule.tables.reader import check_file, first_bytes
from deltarule.tables.streaming.chunks import Chunk, Chunked
from deltarule.tables.streaming.csv_chunks import CsvChunks
from deltarule.tables.streaming.parquet_chunks import ParquetChunks
from deltarule.tables.table import Table, listing, no_column

__all__ = ["Piece", "Place", "Source", "open_source"]

MAX_FILES = 100_000


class Piece(NamedTuple):
    """Some rows of a table, and the number of the first of them in the whole of it."""

    table: Table
    first: int


class Place(NamedTuple):
    """A chunk of one of the files."""

    file: int
    chunk: Chunk


class Source:
    """A table that stays in its files.

    Parameters
    ----------
    path : Path
        What the user named.
    files : list of Path
        The files, in their order.

    Attributes
    ----------
    path : Path
        What the user named, for messages.
    names : list of str
        The columns: those of the first file, in its order; all files have the same.
    rows : int
        The number of rows, once `scan` has read them all.
    places : list of Place
        The chunks, once `scan` has read them all.
    """

    def __init__(self, path: Path, files: list[Path]) -> None:
        self.path, self.rows = path, 0
        self.places: list[Place] = []
        self._files: list[Chunked] = []
        self._firsts: list[int] = []  # rows in the files before each
        self._prints = [_fingerprint(file) for file in files]
        for file in files:
            with _reading(file):
                self._files.append(_open(file))
        self.names = list(self._files[0].names)
        for other in self._files[1:]:
            self._check_same(other)

    def scan(self) -> Iterator[Piece]:
        """Read all rows in their order, and learn where they are on the way.

        Raises
        ------
        TableError
            At the first fault, with its file and line; or if there are no rows at all.
        """
        places, firsts, rows = [], [], 0
        for number, file in enumerate(self._files):
            self._check_untouched(number)
            firsts.append(rows)
            with _reading(file.path):
                for chunk, tables in file.scan():
                    places.append(Place(number, chunk._replace(row=rows)))
                    for table in tables:
                        yield Piece(self._ordered(table), rows)
                        rows += table.rows
        if rows == 0:
            raise TableError(f"{self.path} has a header but no rows; add data below the header")
        self.places, self.rows, self._firsts = places, rows, firsts

    def read(self, place: Place) -> Iterator[Piece]:
        """Read the rows of one chunk."""
        self._check_untouched(place.file)
        file, first = self._files[place.file], place.chunk.row
        own = place.chunk._replace(row=first - self._firsts[place.file])
        with _reading(file.path):
            for table in file.read(own):
                yield Piece(self._ordered(table), first)
                first += table.rows

    def digest(self) -> str:
        """Return the SHA-256 of the files' contents, in their order."""
        sha = hashlib.sha256()
        for file in self._files:
            with _reading(file.path), open(file.path, "rb") as data:
                sha.update(hashlib.file_digest(data, "sha256").digest())
        return sha.hexdigest()

    def check_column(self, name: str, why: str = "given with --target") -> None:
        """Refuse a column that there is not, and say which one might have been meant."""
        if name not in self.names:
            raise no_column(self.path, name, self.names, why)

    def _ordered(self, table: Table) -> Table:
        if list(table.columns) == self.names:
            return table
        columns = {name: table.columns[name] for name in self.names}
        return Table(table.path, columns, table.rows, table.place)

    def _check_same(self, other: Chunked) -> None:
        lacking = [name for name in self.names if name not in other.names]
        further = [name for name in other.names if name not in self.names]
        if lacking or further:
            what = [f"lacks {listing(lacking)}"] * bool(lacking)
            what += [f"has also {listing(further)}"] * bool(further)
            raise TableError(
                f"{other.path} {' and '.join(what)}, unlike {self._files[0].path}; all files of a "
                "table need the same columns"
            )

    def _check_untouched(self, number: int) -> None:
        path = self._files[number].path
        with _reading(path):
            if _fingerprint(path) != self._prints[number]:
                raise TableError(
                    f"{path} was changed while it was in use; leave it alone and run again"
                )


def open_source(path: str | os.PathLike[str]) -> Source:
    """Open a CSV or Parquet file, or a folder of them, to be read piece by piece.

    Parameters
    ----------
    path : str or path-like
        A file as `read_table` takes it, of any size; or a folder, whose files are taken in the
        order of their names, those in folders inside it too, except names that begin with ``.``
        or ``_``. They are all CSV or all Parquet and have the same columns, in any order.

    Returns
    -------
    Source

    Raises
    ------
    TableError
        If a file is no table, or the files do not fit together.
    """
    place = Path(path)
    with _reading(place):
        files = _files_in(place) if place.is_dir() else [place]
        return Source(place, files)


def _files_in(folder: Path) -> list[Path]:
    files: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        keyed = [name for name in folders if "=" in name]
        if keyed:
            raise TableError(
                f"{Path(place) / keyed[0]} keeps the cells of a column in the name of a folder, "
                "which is not read; write the column into the files"
            )
        files += [Path(place, name) for name in names if not name.startswith((".", "_"))]
        if len(files) > MAX_FILES:
            raise TableError(f"{folder} holds more than {MAX_FILES} files; join some of them")
    if not files:
        raise TableError(f"{folder} holds no files; name a folder with CSV or Parquet files")
    files.sort()
    formats = {first_bytes(file).startswith(b"PAR1") for file in files}
    if len(formats) > 1:
        raise TableError(f"{folder} holds Parquet files beside others; keep one kind in a folder")
    return files


def _open(path: Path) -> Chunked:
    head = check_file(path)
    return ParquetChunks(path) if head.startswith(b"PAR1") else CsvChunks(path)


def _fingerprint(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (-1, -1)
    if not stat.S_ISREG(status.st_mode):
        return (-1, -1)
    return status.st_size, status.st_mtime_ns


def _reading(path: Path) -> AbstractContextManager[None]:
    """Return a context in which errors of the system become a ``TableError`` on a file."""
    no_memory = f"there is not enough memory for a few rows of {path}; give the process more"
    return error_context(
        (FileNotFoundError, lambda _: TableError(f"there is no file {path}; check the path")),
        (OSError, lambda error: TableError(f"cannot read {path}: {system_reason(error)}")),
        ((MemoryError, pa.ArrowMemoryError), lambda _: TableError(no_memory)),
        unless=TableError,
    )
