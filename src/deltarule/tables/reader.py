"""Read a table from a file: which kind of file it is, and the limits that all kinds share."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pyarrow as pa

from deltarule.errors import TableError
from deltarule.tables.csv_file import read_csv
from deltarule.tables.parquet_file import read_parquet
from deltarule.tables.table import Table

__all__ = ["check_file", "first_bytes", "read_table"]

MAX_FILE_BYTES = 2 * 2**30
_FOREIGN = (
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


def read_table(path: str | os.PathLike[str]) -> Table:
    """Read a CSV or Parquet file, believing its content rather than its name.

    Parameters
    ----------
    path : str or path-like
        The file. CSV is UTF-8 with one header line, separated by ``,``, ``;``, tab or ``|``.

    Returns
    -------
    Table
        The columns. In CSV files every cell is still the text that stands there.

    Raises
    ------
    TableError
        If the file is missing, empty, ragged, has unnamed or repeated columns, is in another
        encoding or format, or is too large. The message is one line that says what to change.
    """
    place = Path(path)
    try:
        head = check_file(place)
        _check_size(place)
        table = read_parquet(place) if head.startswith(b"PAR1") else read_csv(place)
    except FileNotFoundError:
        raise TableError(f"there is no file {place}; check the path") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise TableError(f"cannot read {place}: {reason}") from error
    except (MemoryError, pa.ArrowMemoryError):
        raise TableError(
            f"{place} does not fit into memory; use fewer rows or columns, or "
            "deltarule train --stream, which reads it piece by piece"
        ) from None
    if table.rows == 0:
        raise TableError(f"{place} has a header but no rows; add data below the header")
    return table


def first_bytes(path: Path) -> bytes:
    """Return what a file begins with: enough to tell its format."""
    with open(path, "rb") as file:
        return file.read(16)


def check_file(path: Path) -> bytes:
    """Return the first bytes of a file that may be a table, and refuse what cannot be one."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise TableError(f"{path} is not a regular file; name a CSV or Parquet file")
    if status.st_size == 0:
        raise TableError(f"{path} is empty; a table needs a header line and rows")
    head = first_bytes(path)
    for magic, advice in _FOREIGN:
        if head.startswith(magic):
            raise TableError(f"{path} {advice}")
    return head


def _check_size(path: Path) -> None:
    size = os.stat(path).st_size
    if size > MAX_FILE_BYTES:
        raise TableError(
            f"{path} is {size / 2**30:.0f} GiB long, more than the {MAX_FILE_BYTES // 2**30} GiB "
            "that are read at once; use a sample of its rows, or deltarule train --stream, which "
            "reads it piece by piece"
        )
