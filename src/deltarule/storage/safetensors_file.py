"""The bytes of a safetensors file: named arrays, metadata, and the digest over all of them.

A safetensors file consists of the header's length (eight bytes), a JSON header with the place of
each array, and the bytes of the arrays. Any safetensors reader can open our files. The format has
no checksum, so we add one: the header's metadata contains the SHA-256 of the whole file, computed
with its own 64 digits set to ``0``. Reading checks the sizes first, then the digest, and uses the
content only if both are right.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltarule.storage import strict_json

__all__ = ["InvalidFileError", "Tensors", "check_head", "pack", "pack_parts", "unpack"]

Tensors = dict[str, NDArray[Any]]

MAX_HEADER_BYTES = 64 * 2**20
"""The longest header that is read; enough for a record with a million categories."""

_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_COUNT_BYTES = 8
_BLANK = b"0" * 64
_DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')


class InvalidFileError(ValueError):
    """The bytes are not a valid model file; the message says what is wrong."""


def pack(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a safetensors file, as `pack_parts` makes them, in one piece."""
    return b"".join(pack_parts(tensors, metadata))


def pack_parts(
    tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]
) -> list[memoryview]:
    """Return the bytes of a safetensors file, part by part. Equal input gives equal bytes.

    The parts after the header are the arrays' own memory, so that no second copy of them is made.

    Parameters
    ----------
    tensors : mapping of str to array
        Arrays of float64, float32, int64, int32, uint8 or bool.
    metadata : mapping of str to str
        Stored in the header's ``__metadata__``, together with the digest, ``sha256``.
    """
    header: dict[str, Any] = {"__metadata__": {**metadata, "sha256": _BLANK.decode()}}
    parts = []
    end = 0
    # Sort the widest numbers first, so that every array starts at a multiple of its item size.
    for name in sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name)):
        array = np.asarray(tensors[name], dtype=tensors[name].dtype.newbyteorder("<"), order="C")
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": _CODES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
        parts.append(array.reshape(-1).view(np.uint8).data)
    text = strict_json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    head = bytearray(len(text).to_bytes(_COUNT_BYTES, "little") + text)
    place = _find_digest(head, len(head))
    sha = hashlib.sha256(head)  # the digits in it are 0
    for part in parts:
        sha.update(part)
    head[place : place + 64] = sha.hexdigest().encode()
    return [memoryview(head), *parts]


def unpack(data: bytes | bytearray) -> tuple[dict[str, str], Tensors]:
    """Return a file's metadata (without the digest) and its arrays.

    Raises
    ------
    InvalidFileError
        If the bytes are not a complete, undamaged file of ours.
    """
    end = check_head(bytes(data[: _COUNT_BYTES + 1]), len(data))
    place = _find_digest(data, end)
    if _digest(data, place).encode() != data[place : place + 64]:
        raise InvalidFileError("its SHA-256 does not match its content: the file is damaged")
    try:
        header = strict_json.loads(data[_COUNT_BYTES:end].decode())
    except ValueError as error:
        raise InvalidFileError(f"its header is not strict JSON ({error})") from None
    if not isinstance(header, dict):
        raise InvalidFileError("its header is not a JSON object")
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise InvalidFileError("its metadata is not a map of strings")
    metadata.pop("sha256", None)
    return metadata, _arrays(header, memoryview(data)[end:])


def check_head(head: bytes, size: int) -> int:
    """Return the offset at which the header ends, from the first nine bytes and the file's size.

    Raises
    ------
    InvalidFileError
        If the file cannot be a safetensors file. Only these nine bytes are needed.
    """
    if size < _COUNT_BYTES:
        raise InvalidFileError(f"it is {size} bytes long: the file is cut short")
    length = int.from_bytes(head[:_COUNT_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise InvalidFileError(f"it has a header of {length} bytes: it is damaged or no model file")
    if length > size - _COUNT_BYTES:
        raise InvalidFileError("it ends inside its header: the file is cut short")
    if head[_COUNT_BYTES : _COUNT_BYTES + 1] != b"{":
        raise InvalidFileError("its header is not a JSON object")
    return _COUNT_BYTES + length


def _find_digest(data: bytes | bytearray, end: int) -> int:
    """Return the offset of the header's digest. Escaped quotes inside a record cannot match."""
    found = list(_DIGEST.finditer(data, _COUNT_BYTES, end))
    if len(found) != 1:
        raise InvalidFileError("it has no digest: it is damaged, or was not written by deltarule")
    return found[0].start(1)


def _digest(data: bytes | bytearray, place: int) -> str:
    view = memoryview(data)
    sha = hashlib.sha256(view[:place])
    sha.update(_BLANK)
    sha.update(view[place + 64 :])
    return sha.hexdigest()


def _arrays(header: dict[str, Any], body: memoryview) -> Tensors:
    """Return copies of the arrays, after every header entry was checked against the body."""
    placed = [(*_entry(name, value), name) for name, value in header.items()]
    expected = 0
    for start, end, _, _, name in sorted(placed, key=lambda entry: entry[:2]):
        if start != expected:
            raise InvalidFileError(f"its array {name[:40]!r} overlaps another or leaves a gap")
        expected = end
    if expected != len(body):
        raise InvalidFileError(f"its arrays take {expected} bytes, but it has {len(body)}")
    return {
        name: np.frombuffer(body[start:end], dtype).reshape(shape).astype(dtype.newbyteorder("="))
        for start, end, dtype, shape, name in placed
    }


def _entry(name: str, value: Any) -> tuple[int, int, np.dtype[Any], tuple[int, ...]]:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise InvalidFileError(f"its entry for the array {name[:40]!r} is malformed")
    code, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(code, str) or code not in _DTYPES:
        raise InvalidFileError(f"its array {name[:40]!r} has a dtype that models do not use")
    if not _naturals(shape) or not _naturals(offsets) or len(shape) > 8 or len(offsets) != 2:
        raise InvalidFileError(f"its array {name[:40]!r} has a malformed shape or place")
    dtype = _DTYPES[code]
    start, end = offsets
    # NumPy multiplies the dimensions of an empty array, too, and refuses a product that overflows.
    extent = math.prod(max(length, 1) for length in shape) * dtype.itemsize
    if end - start != math.prod(shape) * dtype.itemsize or extent >= 2**62:
        raise InvalidFileError(f"its array {name[:40]!r} has a shape that does not fit its bytes")
    return start, end, dtype, tuple(shape)


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)
