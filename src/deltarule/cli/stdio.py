"""The standard streams: their name ``-``, and writing to them.

If the reader closes the pipe, as in ``deltarule ... | head``, printing stops but the command
continues: `train` still has a model to write. A full disk is a one-line error.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import typer

from deltarule.errors import OutputError
from deltarule.utils.context import system_reason

__all__ = [
    "STREAM",
    "check_stdout",
    "is_stream",
    "printing",
    "silence",
    "take_any_text",
    "write_stdout",
    "writing",
]

STREAM = Path("-")


def is_stream(path: Path | None) -> bool:
    """Return whether a path (of `options.parse_path`) means a standard stream."""
    return path == STREAM


def take_any_text() -> None:
    """Print characters that the encoding of a stream lacks as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def writing(stream: IO[str] | None) -> Iterator[None]:
    """Context for writing to a standard stream, in which a failure becomes a one-line error.

    Raises
    ------
    BrokenPipeError
        If its reader has closed it.
    OutputError
        If writing fails for another reason.
    """
    try:
        yield
    except BrokenPipeError:
        silence(stream)
        raise
    except OSError as error:
        silence(stream)
        name = "error stream" if stream is sys.stderr else "output"
        raise OutputError(
            f"cannot write to the standard {name}: {system_reason(error)}; "
            "make room there, or redirect it to another place"
        ) from error


@contextmanager
def printing(stream: IO[str] | None) -> Iterator[None]:
    """Context for printing on a standard stream, which its reader may close."""
    with suppress(BrokenPipeError), writing(stream):
        yield


def silence(stream: IO[str] | None) -> None:
    """Discard what a stream still buffers, because Python flushes it once more when it exits."""
    if stream is None:
        return
    with suppress(OSError):  # the stream is not a file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


def check_stdout(binary: str = "") -> None:
    """Refuse a standard output stream that cannot take a file, before any work is done.

    Parameters
    ----------
    binary : str
        Name of the file in messages, if it must not be printed on a terminal.
    """
    if sys.stdout is None:
        raise OutputError("the standard output is closed; open it, or name a file (--output)")
    if binary and sys.stdout.isatty():
        raise typer.BadParameter(
            f"{binary} is not for a terminal; redirect the output or name a file",
            param_hint="--output",
        )


def write_stdout(chunks: Iterable[bytes]) -> None:
    """Write bytes to the standard output stream, each chunk as soon as it is made."""
    for chunk in chunks:
        with writing(sys.stdout):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
