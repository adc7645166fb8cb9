"""Where the rows of a table lie in its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from deltarule.tables.table import Table

__all__ = ["Chunk", "Chunked"]


class Chunk(NamedTuple):
    """Rows of a file that can be read without those before them."""

    start: int  # bytes of a CSV file, row groups of a Parquet file
    end: int
    row: int  # the first row's number in the file
    rows: int
    size: int  # bytes that reading it takes, about


class Chunked(Protocol):
    """A file in chunks; tables come out in the order of their rows."""

    path: Path
    names: list[str]

    def scan(self) -> Iterator[tuple[Chunk, Iterator[Table]]]:
        """Read the file from its beginning, and find the chunks on the way.

        The rows of a chunk may be counted only as its tables are taken: ``rows`` is what the file
        says, and reading checks it.
        """
        ...

    def read(self, chunk: Chunk) -> Iterator[Table]:
        """Read one chunk."""
        ...
