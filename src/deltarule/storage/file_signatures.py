"""The formats of files that are not model files, recognised by their first bytes."""

from __future__ import annotations

__all__ = ["describe", "is_model"]

_PICKLE = "a pickle, which can run code when it is opened"
_COMPRESSED = "compressed (joblib and pickle files often are)"
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x93NUMPY", "a NumPy .npy file"),
    (b"PK\x03\x04", "a zip archive (Keras, PyTorch, skops and .npz files are)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras writes them)"),
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


def is_model(head: bytes) -> bool:
    """Whether a file with these first nine bytes may be a model file, or another safetensors file.

    It begins with a number below 2³² as eight little-endian bytes, followed by a brace.
    """
    return head[4:9] == b"\0\0\0\0{"


def describe(head: bytes) -> str | None:
    """Return the likely format of a file with these first nine bytes; None for a model file.

    Unknown formats also give None.
    """
    if is_model(head):
        return None
    found = next((kind for magic, kind in _SIGNATURES if head.startswith(magic)), None)
    text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "ignore")
    if found not in (None, _PICKLE) or not text:
        return found
    if not all(character.isprintable() or character in "\t\r\n" for character in text):
        return found
    if found is None or set(text) & set(",;\t|"):
        return "text, such as a table"
    return f"text: a table, or {_PICKLE}"
