"""Tables in files: read whole into memory, or a chunk at a time."""

from __future__ import annotations

import hashlib
import os
import stat
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from deltarule.errors import TableError
from deltarule.storage.file_signatures import is_model
from deltarule.tables.columns import joined, number_texts
from deltarule.tables.messages import listing
from deltarule.tables.record import CsvFormat
from deltarule.tables.sources.csv import MAX_FILE_BYTES, CsvFile
from deltarule.tables.sources.parquet import ParquetFile
from deltarule.tables.sources.text import TextFile, compression_of
from deltarule.tables.table import Chunk, Piece, Source, Table
from deltarule.utils.context import error_context, system_reason
from deltarule.utils.limits import free_memory

__all__ = ["Dataset", "Place", "is_large", "open_source", "read_table"]

MAX_FILES = 100_000
CELL_BYTES = 64
"""Training in memory takes about so many bytes a cell at its peak (texts, numbers, copies), ..."""
TEXT_COPIES = 4
"""... and so many times the bytes of a CSV file."""
LOOK_BYTES = 2**16
"""The cells of a CSV file are estimated from its first bytes."""
ENCODING_BYTES = 2**26
"""The encoding of a CSV file is told by so many bytes, ..."""
PART_BYTES = 2**20
"""... or fewer if it is one of many."""
_NO_CELL = "__HIVE_DEFAULT_PARTITION__"
RELEASED_BYTES = 2**20
"""After columns of so many bytes, pyarrow's unused memory is returned to the system."""
SHARE = 0.5
"""A table may take this share of the memory that is free."""


File: TypeAlias = CsvFile | ParquetFile
"""A file that is read a chunk at a time. `scan` yields each chunk and its rows, `read` the rows of
one chunk; `place` says where a row is, and `check_whole` refuses a file that is not to be held in
memory. `stored_numbers` are the columns that are numbers by their type. Another format is a class
with these methods, chosen in `_open_file`."""
_OTHER_FORMATS = (
    (b"PK\x03\x04", "is a zip archive or an Excel workbook; save the sheet as CSV (UTF-8)"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook; save the sheet as CSV (UTF-8)"),
    (b"ARROW1", "is an Arrow/Feather file; save it as Parquet or CSV"),
    (b"SQLite format", "is an SQLite database; export the table as CSV"),
    (b"\x89HDF", "is an HDF5 file; save the table as CSV or Parquet"),
    *((begin, "is JSON; write its records as CSV or Parquet") for begin in (b'{"', b"[{", b"{\n")),
    *((begin, "is a web page; save the file that it shows") for begin in (b"<!DOCTYPE", b"<html")),
)


def open_source(path: str | os.PathLike[str], form: CsvFormat | None = None) -> Dataset:
    """Return a CSV or Parquet file, or a folder of them, as a table that is read piece by piece.

    The content of a file decides its format, not its name.

    Parameters
    ----------
    path : str or path-like
        A file as `read_table` takes it, of any size; or a folder, whose files are taken in the
        order of their names, those in folders inside it too, except empty files and names that
        begin with ``.`` or ``_``. They are all CSV or all Parquet and have the same columns, in
        any order. Folders such as ``year=2024`` are columns, too.
    form : CsvFormat, optional
        What CSV files do not tell themselves, from `csv_format`.

    Raises
    ------
    TableError
        If a file is no table, or the files do not fit together.
    """
    place = Path(path)
    with _reading_files(place):
        return _dataset(place, form)


def read_table(path: str | os.PathLike[str], form: CsvFormat | None = None) -> Table:
    """Return a CSV or Parquet file, or a folder of them, as a table in memory.

    Parameters
    ----------
    path : str or path-like
        The file. CSV may be compressed (gzip, bzip2, xz, zstd, lz4); encoding and separator are
        told by its content. Or a folder, as `open_source` takes it.
    form : CsvFormat, optional
        What a CSV file does not tell itself, from `csv_format`.

    Returns
    -------
    Table
        The columns. In CSV files every cell is still the text that is written there.

    Raises
    ------
    TableError
        If the file is missing, empty, ragged, has unnamed or repeated columns, is in another
        encoding or format, or is too large. The message is one line that says what to change.
    """
    place = Path(path)
    remedy = (
        f"{place} does not fit into memory; use fewer rows or columns, or "
        "deltarule train --stream, which reads it piece by piece"
    )
    with _reading_files(place, remedy):
        return _dataset(place, form, remedy).collect()


def _dataset(place: Path, form: CsvFormat | None, remedy: str = "") -> Dataset:
    """Return a file, or the files of a folder, as one table."""
    files, empty = _files_in(place) if place.is_dir() else ([place], [])
    dataset = Dataset(place, files, remedy, form)
    if empty:
        some = "an empty file" if len(empty) == 1 else f"{len(empty)} empty files"
        dataset.notes += (
            f"left out: {some}, {listing(file.relative_to(place) for file in empty)}",
        )
    return dataset


def is_large(path: Path) -> bool:
    """Say whether training on a table in memory would take more than half of what is free.

    Folders, and files of more than 2 GiB, are always large. A path that cannot be read is not:
    reading it reports why.

    Parameters
    ----------
    path : Path
        A file, or a folder of files.
    """
    if path.is_dir():
        return True
    try:
        if os.stat(path).st_size > MAX_FILE_BYTES:
            return True
        return _needed_memory(path) > SHARE * free_memory()
    except Exception:  # damaged: reading it reports how
        return False


def _needed_memory(path: Path) -> int:
    """Estimate how many bytes training on a table in memory takes."""
    if not _first_bytes(path).startswith(b"PAR1"):
        size = os.stat(path).st_size
        head = _first_bytes(path, LOOK_BYTES)
        if compression_of(head):
            text = TextFile(path, "utf-8", 0)
            size = int(size * text.expansion(LOOK_BYTES))
            with text.open() as file:
                head = file.read(LOOK_BYTES)
        ends = sum(head.count(end) for end in (b",", b";", b"\t", b"|", b"\n"))
        return TEXT_COPIES * size + CELL_BYTES * ends * size // max(len(head), 1)
    metadata = pq.read_metadata(path)
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    encoded = sum(max(group.total_byte_size, 0) for group in groups)
    return encoded + CELL_BYTES * metadata.num_rows * metadata.num_columns


class Place(NamedTuple):
    """A chunk, its file, and the number of its first row in the whole dataset."""

    file: File
    chunk: Chunk
    first: int


class Dataset(Source):
    """A table in one file or more, of which a few rows are in memory at a time.

    All files have the columns of the first, in any order. `remedy` is what to tell the user if the
    memory is too small. The number of rows and the places of the chunks are known once `scan` has
    read them all. A column that is stored as numbers in some files and as texts in others is one of
    texts, and there is no `separator` if files have different ones.
    """

    def __init__(
        self, path: Path, files: list[Path], remedy: str = "", form: CsvFormat | None = None
    ) -> None:
        self.path, self.rows, self._remedy = path, 0, remedy
        self.format = form or CsvFormat()
        self.places: list[Place] = []
        self._files: list[File] = []
        self._fingerprints = {file: _fingerprint(file) for file in files}
        look = ENCODING_BYTES if len(files) == 1 else PART_BYTES
        for file in files:
            with _reading_files(file, remedy):
                self._files.append(_open_file(file, self.format, look))
        self._keys = _keys(path, self._files)
        self.notes = tuple(dict.fromkeys(note for file in self._files for note in file.notes))
        for other in self._files[1:]:
            self._check_same(other)
        first, *others = (file.stored_numbers for file in self._files)
        self._mixed = frozenset[str]().union(*(first ^ other for other in others))
        separators = {file.separator for file in self._files}
        self.separator = separators.pop() if len(separators) == 1 else ""
        self.left_out = self._files[0].left_out

    @property
    def names(self) -> list[str]:
        """The columns: those of the first file, in its order."""
        return [*self._files[0].names, *self._keys[self._files[0].path]]

    def scan(self) -> Iterator[Piece]:
        """Yield all rows in their order, and note where they are on the way.

        The first fault is a `TableError` with its file and line.
        """
        places, rows = [], 0
        for file in self._files:
            with self._reading(file):
                for chunk, tables in file.scan():
                    places.append(Place(file, chunk, rows))
                    # An error keeps this frame: the file is closed here, not with the frame.
                    with closing(tables):
                        for table in tables:
                            yield Piece(self._ordered(table), rows)
                            rows += table.rows
        if rows == 0:
            with self._reading(self._files[0]):
                yield Piece(self._ordered(self._files[0].no_rows()), 0)
        self.places, self.rows = places, rows

    def read(self, place: Place) -> Generator[Piece]:
        """Yield the rows of one chunk."""
        first = place.first
        with self._reading(place.file):
            for table in place.file.read(place.chunk):
                yield Piece(self._ordered(table), first)
                first += table.rows

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [file.path for file in self._files]

    def file(self, number: int) -> File:
        """Return a file by its number."""
        return self._files[number]

    def parts(self) -> Iterator[tuple[int, Chunk | None]]:
        """Yield what can be read side by side: files (by number), or chunks that are known."""
        for number, file in enumerate(self._files):
            if isinstance(file, ParquetFile):
                yield from ((number, chunk) for chunk in file.chunks())
            else:
                yield number, None

    def pieces_of(
        self, number: int, chunk: Chunk | None
    ) -> Iterator[tuple[Chunk, Iterator[Table]]]:
        """Yield the chunks of a file and their rows, or one of its chunks and its rows."""
        file = self._files[number]
        with self._reading(file):
            found = file.scan() if chunk is None else [(chunk, file.read(chunk))]
            for known, tables in found:
                yield known, map(self._ordered, tables)

    def digest(self) -> str:
        """Return the SHA-256 of the files' contents, in their order."""
        sha = hashlib.sha256()
        for file in self._files:
            with _reading_files(file.path), open(file.path, "rb") as data:
                sha.update(hashlib.file_digest(data, "sha256").digest())
        return sha.hexdigest()

    def collect(self) -> Table:
        """Return all rows as a table in memory, unless a file is too large."""
        pieces: list[Table] = []
        size: dict[Path, int] = defaultdict(int)
        declared: frozenset[str] = frozenset()
        for file in self._files:
            file.check_whole()
            file.at_once = True
        files = {file.path: file for file in self._files}
        for table, _ in self.scan():
            pieces.append(table)
            declared |= table.declared
            size[table.path] += sum(column.nbytes for column in table.columns.values())
            files[table.path].check_whole(size[table.path])
        columns = {}
        for name in self.names:
            columns[name] = joined([piece.columns.pop(name) for piece in pieces])
            if columns[name].nbytes > RELEASED_BYTES:  # else the pieces and the whole are held
                pa.default_memory_pool().release_unused()
        return Table(
            self.path,
            columns,
            self.rows,
            self._place if len(self._files) > 1 else self._files[0].place,
            declared,
            self.separator,
            self.left_out,
            self.format,
            self.notes,
        )

    def _place(self, row: int) -> str:
        """Return the file of a row of the whole table, below the folder, and where it is there."""
        file, chunk, first = self.places[bisect_right(self.places, row, key=_first) - 1]
        return f"{file.path.relative_to(self.path)}, {file.place(row - (first - chunk.row))}"

    def _ordered(self, table: Table) -> Table:
        """Return a table of one file with the columns of the dataset, in their order."""
        keys = self._keys[table.path]
        if not (keys or self._mixed) and table.names == self.names:
            return table
        columns = dict(table.columns)
        for name in self._mixed:
            if pa.types.is_floating(columns[name].type):
                columns[name] = number_texts(columns[name])
        for name, cell in keys.items():
            columns[name] = pa.repeat(pa.scalar(cell, pa.string()), table.rows)
        return replace(table, columns={name: columns[name] for name in self.names})

    def _check_same(self, other: File) -> None:
        names = self._files[0].names
        lacking = [name for name in names if name not in other.names]
        further = [name for name in other.names if name not in names]
        if lacking or further:
            what = [f"lacks {listing(lacking)}"] * bool(lacking)
            what += [f"has also {listing(further)}"] * bool(further)
            raise TableError(
                f"{other.path} {' and '.join(what)}, unlike {self._files[0].path}; all files of a "
                "table need the same columns"
            )

    def _reading(self, file: File) -> AbstractContextManager[None]:
        """Return a context in which a file is read, unless it was changed."""
        if _fingerprint(file.path) != self._fingerprints[file.path]:
            raise TableError(
                f"{file.path} was changed while it was in use; leave it alone and run again"
            )
        return _reading_files(file.path, self._remedy)


def _files_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files of a table in a folder, and those that are empty, in their order.

    Links are followed, but not to a folder that holds them.
    """
    files: list[Path] = []
    chains: dict[str, tuple[str, ...]] = {str(folder): (os.path.realpath(folder),)}
    for place, folders, names in os.walk(folder, followlinks=True):
        inside = chains.pop(place)
        real = {n: os.path.realpath(os.path.join(place, n)) for n in folders if _is_shown(n)}
        folders[:] = sorted(name for name in real if real[name] not in inside)
        chains |= {os.path.join(place, name): (*inside, real[name]) for name in folders}
        files += [Path(place, name) for name in names if _is_shown(name)]
        if len(files) > MAX_FILES:
            raise TableError(f"{folder} holds more than {MAX_FILES} files; join some of them")
    if not files:
        raise TableError(f"{folder} holds no files; name a folder with CSV or Parquet files")
    sizes = {file: _size(file) for file in sorted(files)}
    files, empty = [f for f in sizes if sizes[f]], [f for f in sizes if not sizes[f]]
    if not files:
        raise TableError(f"{folder} holds only empty files; name a folder with rows in its files")
    if len({_is_parquet(file) for file in files}) > 1:
        raise TableError(f"{folder} holds Parquet files beside others; keep one kind in a folder")
    return files, empty


def _is_parquet(path: Path) -> bool:
    with _reading_files(path):
        return _first_bytes(path).startswith(b"PAR1")


def _is_shown(name: str) -> bool:
    return not name.startswith((".", "_"))


def _size(path: Path) -> int:
    """Return the size of a file; whatever else lies in a folder is an error."""
    with _reading_files(path):
        status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise TableError(f"{path} is not a regular file; name a CSV or Parquet file")
    return status.st_size


def _keys(folder: Path, files: list[File]) -> dict[Path, dict[str, str | None]]:
    """Return for each file the columns that the names of its folders hold, such as ``year=2024``.

    Columns of that name in the files come first.
    """
    found = {}
    for file in files:
        parts = file.path.relative_to(folder).parts[:-1] if file.path != folder else ()
        pairs = [part.partition("=") for part in parts if "=" in part]
        cells = {
            unquote(name): None if cell == _NO_CELL else unquote(cell) for name, _, cell in pairs
        }
        found[file.path] = {name: cells[name] for name in cells if name not in file.names}
        if list(found[file.path]) != list(found[files[0].path]):
            raise TableError(
                f"{file.path} lies in folders of other columns than {files[0].path}; keep one "
                "order of folders such as year=2024/month=1 for all files"
            )
    names = list(found[files[0].path])
    if any(not name for name in names):
        raise TableError(f"{folder} holds a folder without a name before =; rename it")
    return found


def _first(place: Place) -> int:
    return place.first


def _open_file(path: Path, form: CsvFormat, look: int) -> File:
    """Open a file that may be a table, and refuse what cannot be one."""
    if _size(path) == 0:
        raise TableError(f"{path} is empty; a table needs a header line and rows")
    head = _first_bytes(path)
    for magic, advice in _OTHER_FORMATS:
        if head.startswith(magic):
            raise TableError(f"{path} {advice}")
    if is_model(head):
        raise TableError(
            f"{path} is a model file, not a table; name a CSV or Parquet file (commands take the "
            "model first, then the table)"
        )
    return ParquetFile(path) if head.startswith(b"PAR1") else CsvFile(path, form, look)


def _first_bytes(path: Path, count: int = 16) -> bytes:
    """Return what a file begins with: by default enough to tell its format."""
    with open(path, "rb") as file:
        return file.read(count)


def _fingerprint(path: Path) -> tuple[int, int]:
    with suppress(OSError):
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            return status.st_size, status.st_mtime_ns
    return (-1, -1)


def _reading_files(path: Path, remedy: str = "") -> AbstractContextManager[None]:
    """Return a context in which errors of the system become one line about a file."""
    memory = f"there is not enough memory for a few rows of {path}; give the process more"
    return error_context(
        (FileNotFoundError, lambda _: TableError(f"there is no file {path}; check the path")),
        (OSError, lambda error: TableError(f"cannot read {path}: {system_reason(error)}")),
        (MemoryError, lambda _: TableError(remedy or memory)),
        unless=TableError,
    )
