"""Reader of MNIST's idx format: an array after a header with its type and shape.

The header consists of two zero bytes, a byte for the type, a byte for the number of axes, and the
length of each axis as four bytes. The numbers follow in C order. All of it is big-endian, and the
file may be compressed with gzip.
"""

from __future__ import annotations

import gzip
import math
import zlib
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.errors import DatasetError

__all__ = ["parse_idx", "read_content", "read_idx"]

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MOST = 2**30
_STEP = 2**20
_GZIP = b"\x1f\x8b"


def read_idx(path: str | Path, *, most_bytes: int = _MOST) -> npt.NDArray[Any]:
    """Return the array of an idx file, plain or compressed with gzip.

    Parameters
    ----------
    path : path
        The file. Its first bytes, not its name, decide whether it is read as compressed.
    most_bytes : int, default=2**30
        The largest size of the uncompressed content; a longer file is refused.

    Returns
    -------
    array : ndarray
        The array, in native byte order.

    Raises
    ------
    DatasetError
        If the file does not exist or is not a complete, valid idx file.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "labels-idx1-ubyte"
    >>> _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    >>> read_idx(file)
    array([5, 0, 4], dtype=uint8)
    """
    check_path("path", path)
    if not isinstance(most_bytes, Integral) or isinstance(most_bytes, bool) or most_bytes < 1:
        raise DatasetError(
            f"most_bytes must be an integer of at least 1; got {type(most_bytes).__name__}."
        )
    path = Path(path)
    return parse_idx(read_content(path, int(most_bytes)), str(path))


def check_path(name: str, value: Any) -> None:
    """Raise ``DatasetError`` unless it is a path: an int would be an open file's number."""
    if not isinstance(value, str | PathLike):
        raise DatasetError(f"{name} must be a str or path-like; got {value!r:.40}.")


def read_content(path: Path, most_bytes: int = _MOST) -> bytes:
    """Return the uncompressed content of a file, of at most ``most_bytes`` bytes.

    Raises
    ------
    DatasetError
        If the file cannot be read, its compression is damaged, or its content is longer.
    """
    found = bytearray()
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            source = gzip.GzipFile(fileobj=raw) if packed else raw
            while len(found) <= most_bytes:
                chunk = source.read(min(_STEP, most_bytes + 1 - len(found)))
                if not chunk:
                    return bytes(found)
                found += chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(
            f"{path} is a damaged gzip file ({error}). Download the file again."
        ) from error
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read: {error.strerror or error}. Check the path."
        ) from error
    raise DatasetError(
        f"{path} contains more than the expected {most_bytes:,} bytes. Download the file "
        "again, or pass the right path."
    )


def parse_idx(content: bytes, name: str) -> npt.NDArray[Any]:
    """Return the array in the content of an idx file; ``name`` is used in error messages.

    The size is compared with the header before the array is created.
    """
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DatasetError(
            f"{name} is not an idx file: it must begin with two zero bytes, a type and the number "
            f"of axes; got {content[:4].hex(' ') or 'nothing'}."
        )
    code, n_axes = content[2], content[3]
    if code not in _TYPES:
        known = ", ".join(f"0x{each:02x}" for each in _TYPES)
        raise DatasetError(f"{name} has the idx type 0x{code:02x}; expected one of {known}.")
    kind = np.dtype(_TYPES[code])
    begin = 4 + 4 * n_axes
    if n_axes == 0 or len(content) < begin:
        raise DatasetError(
            f"{name} must have at least one axis and the length of each; got {n_axes} axes and "
            f"{len(content) - 4} bytes after them. Download the file again."
        )
    sizes = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, begin, 4))
    expected = math.prod(sizes) * kind.itemsize
    if len(content) - begin != expected:
        fault = "truncated" if len(content) - begin < expected else "longer than its header says"
        needed = f"{expected:,}" if expected < 10**18 else "far more"
        shown = " × ".join(map(str, sizes[:4])) + (" × …" if n_axes > 4 else "")
        raise DatasetError(
            f"{name} is {fault}: sizes {shown} need {needed} bytes of "
            f"numbers; got {len(content) - begin:,}. Download the file again."
        )
    try:
        array = np.frombuffer(content, dtype=kind, offset=begin).reshape(sizes)
    except ValueError as error:  # more or longer axes than an array can have
        raise DatasetError(f"{name} has sizes that no array can have: {error}.") from error
    return array.astype(kind.newbyteorder("="))
