"""The standard streams: their name ``-``, and what can happen to what is written to them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import typer

__all__ = ["STREAM", "check_stdout", "is_stream", "write_stdout"]

STREAM = Path("-")


def is_stream(path: Path | None) -> bool:
    """Whether a path (of `options.parse_path`) stands for a standard stream."""
    return path == STREAM


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
