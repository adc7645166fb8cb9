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

import pyarrow as pa

from deltarule.cli.stdio import is_stream
from deltarule.errors import TableError
from deltarule.tables import CsvFormat, Source, Table, is_large, open_source, read_table
from deltarule.utils.context import error_context, system_reason

__all__ = ["Tables", "opened", "opened_in_memory"]

_STDIN = Path("standard input")


@dataclass(frozen=True)
class Tables:
    """The tables to learn from and to test on, and whether the first is left in its files."""

    training: Path
    test: Path | None = None
    stream: bool | None = None

    @property
    def named(self) -> dict[str, Path | None]:
        """Both tables, by their names in messages."""
        return {"the table": self.training, "the test table": self.test}


@contextmanager
def opened(
    path: Path, form: CsvFormat, stream: bool | None = None, *, again: bool = False
) -> Iterator[Source]:
    """Open a table, to be read in chunks or into memory; by default in chunks if it is large.

    In memory it forgets what learning and predicting no longer need, unless it is read ``again``.
    """
    with _on_disk(path) as place:
        if is_large(place) if stream is None else stream:
            dataset = open_source(place, form)
            dataset.path = _shown(path)
            yield dataset
        else:
            yield replace(read_table(place, form), path=_shown(path), used_once=not again)


@contextmanager
def opened_in_memory(path: Path, form: CsvFormat) -> Iterator[Table]:
    """Read a table that has to fit into memory."""
    with _on_disk(path) as place:
        yield replace(read_table(place, form), path=_shown(path))


def _shown(path: Path) -> Path:
    """Return the path of a table in messages."""
    return _STDIN if is_stream(path) else path


@contextmanager
def _on_disk(path: Path) -> Iterator[Path]:
    """Yield the path of a table, or of a temporary copy of the standard input stream.

    The copy exists until the command ends, because messages look lines up in it.
    """
    # pyarrow's own pool would keep what is no longer used of a table.
    pa.set_memory_pool(pa.system_memory_pool())
    if not is_stream(path):
        yield path
        return
    with _copied_stdin() as name:

        def renamed(error: TableError) -> TableError:
            return TableError(str(error).replace(name, str(_STDIN)))

        with error_context((TableError, renamed)):
            yield Path(name)


@contextmanager
def _copied_stdin() -> Iterator[str]:
    """Copy the standard input stream to a temporary file, which is removed at the end."""
    if sys.stdin is None:
        raise TableError(f"the {_STDIN} is closed; open it, or name a file instead of -")
    with ExitStack() as stack:
        with error_context((OSError, _no_copy)):
            file = tempfile.NamedTemporaryFile(prefix="deltarule-")  # noqa: SIM115 (closed below)
            stack.callback(_close, file)
            shutil.copyfileobj(sys.stdin.buffer, file)
            file.flush()
        yield file.name


def _no_copy(error: OSError) -> TableError:
    return TableError(
        f"cannot copy the {_STDIN} to a temporary file: {system_reason(error)}; set TMPDIR to a "
        "folder with more room, or name a file instead of -"
    )


def _close(file: IO[bytes]) -> None:
    """Close a temporary file, even if the disk has no room for what it still buffers."""
    with suppress(OSError):
        file.close()
