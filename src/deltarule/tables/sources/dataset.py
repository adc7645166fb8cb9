"""A table that stays in its files and is read piece by piece."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from deltarule.errors import TableError
from deltarule.tables.messages import listing
from deltarule.tables.sources.base import Chunk, ChunkedFile, joined
from deltarule.tables.table import Piece, Source, Table

__all__ = ["Dataset", "Place", "reading_files"]


class Place(NamedTuple):
    """A chunk, the number of its file, and the number of its first row in the whole dataset."""

    file: int
    chunk: Chunk
    first: int


class Dataset(Source):
    """A table in one file or more, of which a few rows are in memory at a time.

    All files have the columns of the first, in any order. `open_file` opens one to be read in
    chunks, and `remedy` is what to tell the user if the memory is too small. The number of rows
    and the places of the chunks are known once `scan` has read them all.
    """

    def __init__(
        self,
        path: Path,
        files: list[Path],
        open_file: Callable[[Path], ChunkedFile],
        remedy: str = "",
    ) -> None:
        self.path, self.rows, self._remedy = path, 0, remedy
        self.places: list[Place] = []
        self._files: list[ChunkedFile] = []
        self._fingerprints = [_fingerprint(file) for file in files]
        for file in files:
            with reading_files(file, remedy):
                self._files.append(open_file(file))
        for other in self._files[1:]:
            self._check_same(other)

    @property
    def names(self) -> list[str]:
        """The columns: those of the first file, in its order."""
        return self._files[0].names

    def scan(self) -> Iterator[Piece]:
        """Yield all rows in their order, and note where they are on the way.

        The first fault is a `TableError` with its file and line, and so is a table without rows.
        """
        places, rows = [], 0
        for number, file in enumerate(self._files):
            self._check_untouched(number)
            with reading_files(file.path, self._remedy):
                for chunk, tables in file.scan():
                    places.append(Place(number, chunk, rows))
                    for table in tables:
                        yield Piece(self._ordered(table), rows)
                        rows += table.rows
        if rows == 0:
            raise TableError(f"{self.path} has a header but no rows; add data below the header")
        self.places, self.rows = places, rows

    def read(self, place: Place) -> Iterator[Piece]:
        """Yield the rows of one chunk."""
        self._check_untouched(place.file)
        file, first = self._files[place.file], place.first
        with reading_files(file.path):
            for table in file.read(place.chunk):
                yield Piece(self._ordered(table), first)
                first += table.rows

    def digest(self) -> str:
        """Return the SHA-256 of the files' contents, in their order."""
        sha = hashlib.sha256()
        for file in self._files:
            with reading_files(file.path), open(file.path, "rb") as data:
                sha.update(hashlib.file_digest(data, "sha256").digest())
        return sha.hexdigest()

    def collect(self) -> Table:
        """Return all rows of the only file as a table in memory, unless it is too large."""
        (file,) = self._files
        file.check_whole()
        pieces, size = [], 0
        for table, _ in self.scan():
            pieces.append(table)
            size += sum(column.nbytes for column in table.columns.values())
            file.check_whole(size)
        columns = {
            name: joined([piece.columns.pop(name) for piece in pieces]) for name in self.names
        }
        return Table(self.path, columns, self.rows, file.place)

    def _ordered(self, table: Table) -> Table:
        if list(table.columns) == self.names:
            return table
        columns = {name: table.columns[name] for name in self.names}
        return Table(table.path, columns, table.rows, table.place)

    def _check_same(self, other: ChunkedFile) -> None:
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
        with reading_files(path):
            if _fingerprint(path) != self._fingerprints[number]:
                raise TableError(
                    f"{path} was changed while it was in use; leave it alone and run again"
                )


def _fingerprint(path: Path) -> tuple[int, int]:
    with suppress(OSError):
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            return status.st_size, status.st_mtime_ns
    return (-1, -1)


@contextmanager
def reading_files(path: Path, remedy: str = "") -> Iterator[None]:
    """Turn errors of the system into one line about a file."""
    try:
        yield
    except TableError:
        raise
    except FileNotFoundError:
        raise TableError(f"there is no file {path}; check the path") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise TableError(f"cannot read {path}: {reason}") from error
    except (MemoryError, pa.ArrowMemoryError):
        raise TableError(
            remedy or f"there is not enough memory for a few rows of {path}; give the process more"
        ) from None
