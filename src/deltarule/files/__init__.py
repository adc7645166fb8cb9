"""Files: models on disk, and writes that never leave half a file behind."""

from __future__ import annotations

from deltarule.files.atomic import check_writable, write_atomically
from deltarule.files.model_file import Contents, load, read_contents, save, write_contents

__all__ = [
    "Contents",
    "check_writable",
    "load",
    "read_contents",
    "save",
    "write_atomically",
    "write_contents",
]
