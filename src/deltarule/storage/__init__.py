"""Files: records and arrays on disk, and writes that never leave half a file behind."""

from __future__ import annotations

from deltarule.storage.atomic_write import StrPath, check_writable, remove_orphans, write_atomically
from deltarule.storage.model_file import (
    ModelRecord,
    blaming,
    encode,
    read_model_record,
    write_model_record,
)

__all__ = [
    "ModelRecord",
    "StrPath",
    "blaming",
    "check_writable",
    "encode",
    "read_model_record",
    "remove_orphans",
    "write_atomically",
    "write_model_record",
]
