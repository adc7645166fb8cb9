"""The tables that a command is given: files, folders, or the standard input stream."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from deltarule.cli.streams import is_stream
from deltarule.errors import TableError
from deltarule.tables import Source, Table, is_large, open_source, read_table

__all__ = ["Tables", "opened", "opened_source", "opened_table"]

_STDIN = Path("standard input")


@dataclass(frozen=True)
class Tables:
    """The tables of a training: to learn from, to test on, and whether to leave it in its files."""

    training: Path
    test: Path | None = None
    stream: bool | None = None

    @property
    def named(self) -> dict[str, Path | None]:
        """Both, by what they are called."""
        return {"the table": self.training, "the test table": self.test}


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
    with _copied_stdin() as name:
        try:
            yield Path(name)
        except TableError as error:
            raise TableError(str(error).replace(name, str(_STDIN))) from error


@contextmanager
def _copied_stdin() -> Iterator[str]:
    """Copy the standard input stream to a temporary file, which is gone on leaving."""
    if sys.stdin is None:
        raise TableError(f"the {_STDIN} is closed; open it, or name a file instead of -")
    with ExitStack() as stack:
        try:
            file = tempfile.NamedTemporaryFile(prefix="deltarule-")  # noqa: SIM115 (closed below)
            stack.callback(_close, file)
            shutil.copyfileobj(sys.stdin.buffer, file)
            file.flush()
        except OSError as error:
            raise TableError(
                f"cannot copy the {_STDIN} to a temporary file: {error.strerror or error}; set "
                "TMPDIR to a folder with more room, or name a file instead of -"
            ) from error
        yield file.name


def _close(file: IO[bytes]) -> None:
    """Close a temporary, even one that still holds what the disk had no room for."""
    with suppress(OSError):
        file.close()
