"""Recognise files that are not ours by their first bytes, to say what they are. None is opened."""

from __future__ import annotations

__all__ = ["describe"]

_PICKLE = "a pickle, which can run code when it is opened"
_COMPRESSED = "compressed (joblib and pickle files often are)"
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x93NUMPY", "a NumPy .npy file"),
    (b"PK\x03\x04", "a zip archive (Keras, PyTorch, skops and .npz files are)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras writes such)"),
    (b"GGUF", "a GGUF file"),
    (b"PAR1", "a Parquet table"),
    (b"\x1f\x8b", _COMPRESSED),
    (b"BZh", _COMPRESSED),
    (b"\xfd7zXZ", _COMPRESSED),
    (b"\x04\x22\x4d\x18", _COMPRESSED),
    (b"x\x01", _COMPRESSED),
    (b"x\x5e", _COMPRESSED),
    (b"x\x9c", _COMPRESSED),
    (b"x\xda", _COMPRESSED),
    *((bytes([0x80, protocol]), _PICKLE) for protocol in range(2, 6)),
    *((opcode, _PICKLE) for opcode in (b"c", b"(", b"}", b"]")),
)


def describe(head: bytes) -> str | None:
    """Return what a file seems to be by its first nine bytes, or None.

    A model file begins with a count below 2³², in eight little-endian bytes, and a brace.
    """
    if head[4:9] == b"\0\0\0\0{":
        return None
    return next((kind for magic, kind in _SIGNATURES if head.startswith(magic)), None)
