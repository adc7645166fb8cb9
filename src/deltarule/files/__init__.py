"""Files: records and arrays on disk, and writes that never leave half a file behind."""

from __future__ import annotations

from deltarule.files.atomic import StrPath, check_writable, remove_orphans, write_atomically
from deltarule.files.model_file import Contents, blaming, encode, read_contents, write_contents
from deltarule.files.pieces import write_pieces

__all__ = [
    "Contents",
    "StrPath",
    "blaming",
    "check_writable",
    "encode",
    "read_contents",
    "remove_orphans",
    "write_atomically",
    "write_contents",
    "write_pieces",
]
