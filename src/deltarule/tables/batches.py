"""Rows of a table as examples: the parts, and blocks of training rows in a new order every epoch.

An epoch visits the chunks of a dataset (about a megabyte of a CSV file, a row group of a Parquet
file) in a random order, reads from several of them in turn, and fills a buffer with their training
rows; the buffer is shuffled and becomes a block. All of it follows from the seed and the number of
the epoch: a run that is resumed sees the same blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import pyarrow as pa

from deltarule.tables.preprocessing import Examples, encode_examples
from deltarule.tables.record import PreprocessingRecord
from deltarule.tables.sources.dataset import Dataset
from deltarule.tables.split import PARTS, Split
from deltarule.tables.statistics import DEV_SAMPLE, row_hash
from deltarule.tables.table import Piece, Source, Table

__all__ = ["ExampleReader", "buffer_rows"]

BUFFER_CELLS = 2**20
"""Numbers in the shuffle buffer, 8 MiB of them."""
RELEASED_ROWS = 2**16
LANES = 8
"""Chunks that are read from in turn, ..."""
LANE_BYTES = 2**25
"""... or fewer, but at least two, if reading them all takes more than this."""


def buffer_rows(width: int, batch_size: int) -> int:
    """Return how many rows of so many inputs the shuffle buffer holds: whole batches."""
    return max(BUFFER_CELLS // max(width, 1) // batch_size, 1) * batch_size


@dataclass(frozen=True)
class ExampleReader:
    """Reads rows of a profiled table as examples; the seed of the split decides every order."""

    source: Source
    preprocessing: PreprocessingRecord
    split: Split
    _kept: dict[str, Examples] = field(default_factory=dict, init=False, repr=False)

    def part(self, name: str, limit: float = 1.0) -> Iterator[Examples]:
        """Yield the examples of a part ("training", "dev" or "test") in the table's order.

        They are those of rows with a hash below a limit; there may be none in a piece.
        """
        if name in self._kept and limit == 1:
            yield self._kept[name]
            return
        for piece in self.source.scan():
            yield self._examples(piece, PARTS.index(name), limit)

    def whole_part(self, name: str, limit: float = 1.0) -> Examples:
        """Return the same examples, all in memory.

        A table that nobody else uses forgets its cells when they become the training examples.
        """
        table = self.source
        if isinstance(table, Table) and table.used_once and table.rows:
            for part in ("dev", "test") if name == "training" else (name,):
                if part not in self._kept:
                    self._kept[part] = self._examples(Piece(table, 0), PARTS.index(part))
            if name == "training":
                return self._last_examples(table)
        found = list(self.part(name, limit))
        if len(found) == 1:
            return found[0]
        return Examples(*(np.concatenate(pieces) for pieces in zip(*found, strict=True)))

    def _last_examples(self, table: Table) -> Examples:
        """Return the training examples; afterwards the table has forgotten its cells."""
        large = table.rows > RELEASED_ROWS
        if large:
            pa.default_memory_pool().release_unused()  # to the system, before a large array
        found = self._examples(Piece(table, 0), 0, forget=True)
        table.forget_all()
        if large:
            pa.default_memory_pool().release_unused()
        return found

    def identity(self) -> dict[str, str]:
        """Return digests of all that decides the examples of every epoch, by name."""
        rules = [self.preprocessing.model_dump(), self.split.shares, self.split.seed]
        rules += [self.split.time] if self.split.time is not None else []
        return {
            "the table": self._dataset.digest(),
            "the preprocessing": hashlib.sha256(repr(rules).encode()).hexdigest(),
        }

    def epoch(self, number: int, rows: int) -> Iterator[Examples]:
        """Yield the training examples in the order of an epoch, at most so many at a time."""
        rng = np.random.default_rng([self.split.seed, number])
        return self._blocks(rng, rows, self._pieces(rng, range(len(self._dataset.places))))

    def stream(
        self, number: int, rows: int, place: int, chunks: range, count: int
    ) -> Iterator[Examples]:
        """Yield the training examples of some chunks in the order of an epoch.

        They are those of stream ``place`` of ``count``, which are read in turn.
        """
        rng = np.random.default_rng([self.split.seed, number, place])
        return self._blocks(rng, rows, self._pieces(rng, chunks, count))

    def _blocks(
        self, rng: np.random.Generator, rows: int, pieces: Iterator[Piece]
    ) -> Iterator[Examples]:
        """Yield the training examples of pieces, shuffled, at most so many at a time."""
        held: list[Examples] = []
        count = 0
        for piece in pieces:
            held.append(self._examples(piece, 0))
            count += len(held[-1].y)
            while count >= rows:
                last = held.pop()
                cut = len(last.y) - (count - rows)
                held.append(Examples(last.X[:cut], last.y[:cut]))
                block = _shuffled(held, rng)
                held, count = [Examples(last.X[cut:], last.y[cut:])], count - rows
                yield block
                del block
        if count:
            yield _shuffled(held, rng)

    @property
    def _dataset(self) -> Dataset:
        assert isinstance(self.source, Dataset)  # epochs are of tables in their files
        return self.source

    def _pieces(self, rng: np.random.Generator, chunks: range, streams: int = 1) -> Iterator[Piece]:
        """Read chunks in a random order, several of them in turn; fewer if there are streams."""
        places = [self._dataset.places[k] for k in chunks]
        if not places:
            return
        waiting = (self._dataset.read(places[k]) for k in rng.permutation(len(places)))
        largest = max(place.chunk.size for place in places)
        lanes = list(islice(waiting, max(2, min(LANES, LANE_BYTES // streams // max(largest, 1)))))
        try:
            while lanes:
                for lane in tuple(lanes):
                    piece = next(lane, None)
                    if piece is not None:
                        yield piece
                        continue
                    where = lanes.index(lane)
                    lanes[where : where + 1] = islice(waiting, 1)
        finally:
            for lane in lanes:
                lane.close()

    def _examples(
        self, piece: Piece, part: int, limit: float = 1.0, *, forget: bool = False
    ) -> Examples:
        """Return the examples of a part in a piece."""
        record = self.preprocessing
        target = piece.table.column(record.target.name, missing=record.missing)
        belongs = self.split.parts(piece, target) == part
        if limit < 1:
            hashes = row_hash(self.split.seed, DEV_SAMPLE, piece.first, piece.table.rows)
            belongs &= hashes < limit
        return encode_examples(record, piece.table, belongs, forget=forget)


def _shuffled(examples: list[Examples], rng: np.random.Generator) -> Examples:
    """Return examples as one block in a random order, each copied once."""
    count = sum(len(piece.y) for piece in examples)
    places = rng.permutation(count)  # where each goes
    X = np.empty((count, examples[0].X.shape[1]))
    y = np.empty(count, dtype=examples[0].y.dtype)
    done = 0
    for piece in examples:
        to = places[done : done + len(piece.y)]
        X[to], y[to] = piece
        done += len(to)
    return Examples(X, y)
