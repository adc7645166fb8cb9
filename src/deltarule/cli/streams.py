"""The name ``-``: a table from the standard input stream, a file to the standard output stream."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import typer

from deltarule.errors import TableError
from deltarule.tables import Source, Table, is_large, open_source, read_table

__all__ = [
    "STREAM",
    "check_stdout",
    "is_stream",
    "opened",
    "opened_source",
    "opened_table",
    "write_stdout",
]

STREAM = Path("-")
_STDIN = Path("standard input")


def is_stream(path: Path | None) -> bool:
    """Whether a path stands for a standard stream."""
    return path == STREAM


@contextmanager
def opened(path: Path, stream: bool | None = None) -> Iterator[Table | Source]:
    """Read a table, or open it to be read piece by piece; None: the latter if it is large."""
    with _on_disk(path) as place:
        if is_large(place) if stream is None else stream:
            source = open_source(place)
            source.path = _STDIN if is_stream(path) else path
            yield source
        else:
            table = read_table(place)
            yield replace(table, path=_STDIN) if is_stream(path) else table


@contextmanager
def opened_table(path: Path) -> Iterator[Table]:
    """Read a table that has to fit into memory."""
    with opened(path, stream=False) as table:
        assert isinstance(table, Table)
        yield table


@contextmanager
def opened_source(path: Path) -> Iterator[Source]:
    """Open a table to be read piece by piece."""
    with opened(path, stream=True) as source:
        assert isinstance(source, Source)
        yield source


@contextmanager
def _on_disk(path: Path) -> Iterator[Path]:
    """Give the path of a table; of a temporary file, if it comes from the standard input stream.

    The file stays until the command has ended: messages look lines up in it.
    """
    if not is_stream(path):
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="deltarule-") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        try:
            yield Path(file.name)
        except TableError as error:
            raise TableError(str(error).replace(file.name, str(_STDIN))) from error


def check_stdout(what: str) -> None:
    """Refuse to write bytes that are no text to a terminal."""
    if sys.stdout.isatty():
        raise typer.BadParameter(
            f"{what} is not for a terminal; redirect the output or name a file",
            param_hint="--output",
        )


def write_stdout(pieces: Iterable[bytes]) -> None:
    """Write bytes to the standard output stream, every piece as soon as it is made."""
    sys.stdout.flush()
    for piece in pieces:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
