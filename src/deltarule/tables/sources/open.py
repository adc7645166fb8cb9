"""Open a file or a folder as a table, and estimate the memory that it needs."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq

from deltarule.errors import TableError
from deltarule.tables.sources.csv import MAX_FILE_BYTES
from deltarule.tables.sources.dataset import Dataset, first_bytes, reading_files
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
        return Dataset(place, files)


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
        return Dataset(place, [place], remedy).collect()


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
    if not first_bytes(path).startswith(b"PAR1"):
        size = os.stat(path).st_size
        head = first_bytes(path, LOOK_BYTES)
        ends = sum(head.count(end) for end in (b",", b";", b"\t", b"|", b"\n"))
        return TEXT_COPIES * size + CELL_BYTES * ends * size // max(len(head), 1)
    metadata = pq.read_metadata(path)
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    encoded = sum(max(group.total_byte_size, 0) for group in groups)
    return encoded + CELL_BYTES * metadata.num_rows * metadata.num_columns
