"""Storage: model files (records and arrays), and atomic writes of any file."""

from __future__ import annotations

from deltarule.storage.atomic_write import (
    StrPath,
    check_writable,
    remove_orphans,
    write_atomically,
    write_chunks,
)
from deltarule.storage.model_file import (
    ModelRecord,
    encode,
    read_model_record,
    reading_model,
    write_model_record,
)

__all__ = [
    "ModelRecord",
    "StrPath",
    "check_writable",
    "encode",
    "read_model_record",
    "reading_model",
    "remove_orphans",
    "write_atomically",
    "write_chunks",
    "write_model_record",
]
