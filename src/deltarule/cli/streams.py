"""The name ``-``: a table from the standard input stream, a file to the standard output stream."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import typer

from deltarule.errors import TableError
from deltarule.tables import Table, read_table

__all__ = ["STREAM", "check_stdout", "is_stream", "opened_table", "write_stdout"]

STREAM = Path("-")
_STDIN = Path("standard input")


def is_stream(path: Path | None) -> bool:
    """Whether a path stands for a standard stream."""
    return path == STREAM


@contextmanager
def opened_table(path: Path) -> Iterator[Table]:
    """Read a table from a file, or from the standard input stream by way of a temporary file.

    The file stays until the command has ended: messages look lines up in it.
    """
    if not is_stream(path):
        yield read_table(path)
        return
    with tempfile.NamedTemporaryFile(prefix="deltarule-") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        try:
            yield replace(read_table(file.name), path=_STDIN)
        except TableError as error:
            raise TableError(str(error).replace(file.name, str(_STDIN))) from error


def check_stdout(what: str) -> None:
    """Refuse to write bytes that are no text to a terminal."""
    if sys.stdout.isatty():
        raise typer.BadParameter(
            f"{what} is not for a terminal; redirect the output or name a file",
            param_hint="--output",
        )


def write_stdout(data: bytes) -> None:
    """Write bytes to the standard output stream, all of them, now."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
