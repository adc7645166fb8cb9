"""Chunks of a file: where its rows are, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import pyarrow as pa

from deltarule.tables.columns import Cells, number_texts
from deltarule.tables.table import Table

__all__ = ["Chunk", "ChunkedFile", "joined"]


class Chunk(NamedTuple):
    """Rows of a file that can be read without those before them."""

    start: int  # bytes of a CSV file, row groups of a Parquet file
    end: int
    row: int  # the first row's number in the file
    rows: int
    size: int  # bytes that reading it takes, about


class ChunkedFile(Protocol):
    """A file that is read a chunk at a time; rows come in their order.

    A new format of files is a class with these methods, chosen in `deltarule.tables.sources.open`.
    """

    path: Path
    names: list[str]

    def scan(self) -> Iterator[tuple[Chunk, Iterator[Table]]]:
        """Yield each chunk, in the file's order, and its rows.

        The ``rows`` of a chunk is what the file announces; reading its tables checks it.
        """
        ...

    def read(self, chunk: Chunk) -> Iterator[Table]:
        """Yield the rows of one chunk."""
        ...

    def place(self, row: int) -> str:
        """Return where a row of the file is, such as "line 17"."""
        ...

    def check_whole(self, size: int = 0) -> None:
        """Refuse a file that is not to be held in memory, of which so many bytes were read."""
        ...


def joined(pieces: list[Cells]) -> Cells:
    """Return the pieces of a column as one.

    Whole numbers that are no float64 make a piece of texts; then all of the column becomes texts.
    """
    if len({piece.type for piece in pieces}) > 1:
        pieces = [
            number_texts(piece) if pa.types.is_floating(piece.type) else piece for piece in pieces
        ]
    return pa.concat_arrays(pieces) if pieces else pa.array([], pa.string())
