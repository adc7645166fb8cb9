"""The training rows of a table in a new order every epoch, through a buffer of bounded size.

An epoch visits the chunks of the table (about a megabyte of a CSV file, a row group of a Parquet
file) in a random order, reads from several of them in turn, and fills a buffer with their training
rows; the buffer is shuffled and becomes a block. All of it follows from the seed and the number of
the epoch: a run that is resumed sees the same blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltarule.tables.cells import Kind, present
from deltarule.tables.preprocessing import parse_features, transform
from deltarule.tables.record import PreprocessingRecord
from deltarule.tables.splits import Shares
from deltarule.tables.streaming.draws import draws, parts
from deltarule.tables.streaming.source import Piece, Source
from deltarule.tables.streaming.survey import DEV_SAMPLE, PART
from deltarule.tables.targets import encode

__all__ = ["Examples", "Reading", "buffer_rows"]

BUFFER_CELLS = 2**20
"""Numbers in the shuffle buffer, 8 MiB of them."""
LANES = 8
"""Chunks that are read from in turn, ..."""
LANE_BYTES = 2**25
"""... or fewer, but at least two, if reading them all takes more than this."""


class Examples(NamedTuple):
    """Rows as the network takes them: inputs, and class numbers or quantities in their unit."""

    X: NDArray[np.float64]
    y: NDArray[Any]


def buffer_rows(width: int, batch_size: int) -> int:
    """Return how many rows of so many inputs the shuffle buffer holds: whole batches."""
    return max(BUFFER_CELLS // max(width, 1) // batch_size, 1) * batch_size


@dataclass(frozen=True)
class Reading:
    """How rows become examples.

    Attributes
    ----------
    source : Source
        The table, scanned.
    preprocessing : PreprocessingRecord
        What its survey learned.
    shares : Shares
        Of the parts.
    seed : int
        Of the draws, and of the order of every epoch.
    """

    source: Source
    preprocessing: PreprocessingRecord
    shares: Shares
    seed: int

    def identity(self) -> dict[str, str]:
        """Return digests of all that the examples of every epoch follow from, by name."""
        rules = [self.preprocessing.model_dump(), self.shares, self.seed]
        return {
            "the table": self.source.digest(),
            "the preprocessing": hashlib.sha256(repr(rules).encode()).hexdigest(),
        }

    def part(self, number: int) -> Iterator[Examples]:
        """Yield the examples of a part (0 training, 1 dev, 2 test) in the table's order."""
        for piece in self.source.scan():
            examples = self._examples(piece, number)
            if len(examples.y):
                yield examples

    def dev_sample(self, limit: float) -> Examples:
        """Return the dev rows whose draw is below a limit."""
        held = [self._examples(piece, 1, limit) for piece in self.source.scan()]
        return _joined(held)

    def epoch(self, number: int, rows: int) -> Iterator[Examples]:
        """Yield the training examples in the order of an epoch, at most so many at a time."""
        rng = np.random.default_rng([self.seed, number])
        held: list[Examples] = []
        count = 0
        for piece in self._pieces(rng):
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

    def _pieces(self, rng: np.random.Generator) -> Iterator[Piece]:
        """Read the chunks in a random order, several of them in turn."""
        places = self.source.places
        waiting = (self.source.read(places[k]) for k in rng.permutation(len(places)))
        largest = max(place.chunk.size for place in places)
        lanes = list(islice(waiting, max(2, min(LANES, LANE_BYTES // max(largest, 1)))))
        while lanes:
            for lane in tuple(lanes):
                piece = next(lane, None)
                if piece is not None:
                    yield piece
                    continue
                where = lanes.index(lane)
                lanes[where : where + 1] = islice(waiting, 1)

    def _examples(self, piece: Piece, part: int, limit: float = 1.0) -> Examples:
        """Return the examples of a part in a piece; only their cells are looked at."""
        table, target = piece.table, self.preprocessing.target
        drawn = draws(self.seed, PART, piece.first, table.rows)
        belongs = present(table.columns[target.name]) & (parts(drawn, self.shares) == part)
        if limit < 1:
            belongs &= draws(self.seed, DEV_SAMPLE, piece.first, table.rows) < limit
        columns = self.preprocessing.columns
        kinds: dict[str, Kind] = {column.name: column.kind for column in columns}
        some = table.take([*kinds, target.name], np.flatnonzero(belongs))
        y, rows = encode(target, some, some=True)
        X, _ = transform(columns, parse_features(some, kinds), rows)
        return Examples(X, y)


def _joined(examples: list[Examples]) -> Examples:
    return Examples(*(np.concatenate(arrays) for arrays in zip(*examples, strict=True)))


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
