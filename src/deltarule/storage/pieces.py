"""Write a file of any size from pieces, whole or not at all."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from deltarule.errors import OutputError
from deltarule.storage.atomic_write import check_writable, write_atomically

__all__ = ["write_pieces"]


def write_pieces(path: Path, pieces: Iterable[bytes], *, overwrite: bool = False) -> Path:
    """Write a file of any size from pieces that are made on the way, whole or not at all.

    The pieces are collected in an unnamed file beside the target: if making one of them fails, or
    the process is killed, nothing is left of it. Then the file is written as `write_atomically`
    writes it.

    Raises
    ------
    OutputError
        If the file cannot be written, or exists and `overwrite` is false.
    """
    check_writable(path, overwrite=overwrite)
    try:
        collected = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 (closed below)
    except OSError as error:
        raise _cannot_write(path, error) from error
    with collected:
        for piece in pieces:
            try:
                collected.write(piece)
            except OSError as error:
                raise _cannot_write(path, error) from error
        try:
            collected.flush()
            if os.fstat(collected.fileno()).st_size == 0:
                return write_atomically(path, b"", overwrite=overwrite)
            with mmap.mmap(collected.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return write_atomically(path, cast(Any, data), overwrite=overwrite)
        except OutputError:
            raise
        except OSError as error:
            raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {error.strerror or type(error).__name__}")
