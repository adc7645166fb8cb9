"""Open a file or a folder as a table: its format, what is no table, and what memory it needs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pyarrow.parquet as pq

from deltarule.errors import TableError
from deltarule.tables.sources.csv import MAX_FILE_BYTES, CsvFile
from deltarule.tables.sources.dataset import ChunkedFile, Dataset, reading_files
from deltarule.tables.sources.parquet import ParquetFile
from deltarule.tables.table import Table
from deltarule.utils.limits import free_memory

__all__ = ["is_large", "open_source", "read_table"]

MAX_FILES = 100_000
CELL_BYTES = 64
"""Training in memory takes about so many bytes a cell at its peak (texts, numbers, copies), ..."""
TEXT_COPIES = 4
"""... and so many times the bytes of a CSV file."""
LOOK_BYTES = 2**16
"""The cells of a CSV file are estimated from its first bytes."""
SHARE = 0.5
"""A table may take this share of the memory that is free."""
_OTHER_FORMATS = (
    (b"\x1f\x8b", "is compressed with gzip; decompress it first (gunzip)"),
    (b"BZh", "is compressed with bzip2; decompress it first (bunzip2)"),
    (b"\xfd7zXZ", "is compressed with xz; decompress it first (unxz)"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd; decompress it first (unzstd)"),
    (b"PK\x03\x04", "is a zip archive or an Excel workbook; save the sheet as CSV (UTF-8)"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook; save the sheet as CSV (UTF-8)"),
    (b"ARROW1", "is an Arrow/Feather file; save it as Parquet or CSV"),
    (b"SQLite format", "is an SQLite database; export the table as CSV"),
    (b"\x89HDF", "is an HDF5 file; save the table as CSV or Parquet"),
)


def open_source(path: str | os.PathLike[str]) -> Dataset:
    """Return a CSV or Parquet file, or a folder of them, as a table that is read piece by piece.

    The content of a file decides its format, not its name.

    Parameters
    ----------
    path : str or path-like
        A file as `read_table` takes it, of any size; or a folder, whose files are taken in the
        order of their names, those in folders inside it too, except names that begin with ``.``
        or ``_``. They are all CSV or all Parquet and have the same columns, in any order.

    Raises
    ------
    TableError
        If a file is no table, or the files do not fit together.
    """
    place = Path(path)
    with reading_files(place):
        files = _files_in(place) if place.is_dir() else [place]
        return Dataset(place, files, _open_file)


def read_table(path: str | os.PathLike[str]) -> Table:
    """Return a CSV or Parquet file as a table in memory.

    Parameters
    ----------
    path : str or path-like
        The file. CSV is UTF-8 with one header line, separated by ``,``, ``;``, tab or ``|``.

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
    with reading_files(place, remedy):
        return Dataset(place, [place], _open_file, remedy).collect()


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
    formats = {_first_bytes(file).startswith(b"PAR1") for file in files}
    if len(formats) > 1:
        raise TableError(f"{folder} holds Parquet files beside others; keep one kind in a folder")
    return files


def _open_file(path: Path) -> ChunkedFile:
    return ParquetFile(path) if _check_file(path).startswith(b"PAR1") else CsvFile(path)


def _first_bytes(path: Path) -> bytes:
    """Return what a file begins with: enough to tell its format."""
    with open(path, "rb") as file:
        return file.read(16)


def _check_file(path: Path) -> bytes:
    """Return the first bytes of a file that may be a table, and refuse what cannot be one."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise TableError(f"{path} is not a regular file; name a CSV or Parquet file")
    if status.st_size == 0:
        raise TableError(f"{path} is empty; a table needs a header line and rows")
    head = _first_bytes(path)
    for magic, advice in _OTHER_FORMATS:
        if head.startswith(magic):
            raise TableError(f"{path} {advice}")
    return head


def is_large(path: Path) -> bool:
    """Say whether training on a table in memory would take more than half of what is free.

    Folders, and files of more than 2 GiB, are always large. A path that cannot be read is not:
    reading it reports why.
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
        with open(path, "rb") as file:
            head = file.read(LOOK_BYTES)
        ends = sum(head.count(end) for end in (b",", b";", b"\t", b"|", b"\n"))
        return TEXT_COPIES * size + CELL_BYTES * ends * size // max(len(head), 1)
    metadata = pq.read_metadata(path)
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    encoded = sum(max(group.total_byte_size, 0) for group in groups)
    return encoded + CELL_BYTES * metadata.num_rows * metadata.num_columns
