"""The passes over a table's rows: here one piece after another, on a cluster part by part.

What is learned of a part of a table can be added to what was learned of the rows before it, to the
same bits. So whoever reads the rows, the model is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.estimators import StreamedDataset
from deltarule.tables.arrow import numbers_of
from deltarule.tables.batches import ExampleReader, buffer_rows
from deltarule.tables.columns import ParsedColumn
from deltarule.tables.evidence import ColumnEvidence
from deltarule.tables.parallel import together
from deltarule.tables.preprocessing import Examples, encode_examples
from deltarule.tables.profile import Learner, PieceRows
from deltarule.tables.record import Classes, PreprocessingRecord
from deltarule.tables.sources.dataset import Dataset
from deltarule.tables.split import Split
from deltarule.tables.statistics import DEV_SAMPLE, MEDIAN_SAMPLE, Sample, row_hash
from deltarule.tables.table import Piece, Source, Table
from deltarule.tables.target import TargetProfile
from deltarule.tables.understanding import ReadOptions
from deltarule.training.partitions import PartitionLayout

__all__ = ["Learned", "Passes", "Streams", "gather", "learn_pieces"]

DEV_ROWS = 20_000
"""Training watches at most so many dev rows of a dataset; all are scored at the end."""


class Learned:
    """What a pass learns: from the training rows of each column, and the dev rows to be watched.

    Attributes
    ----------
    target : TargetProfile
    columns : list of Learner
    dev : DevRows
    counts : array of 3
        The rows of each part.
    training : list of (int, int)
        Of every piece, the number of its first row, and how many rows are for training.
    """

    def __init__(self, target: TargetProfile, columns: list[Learner]) -> None:
        self.target, self.columns = target, columns
        self.dev = DevRows([*(column.name for column in columns), target.name])
        self.counts = np.zeros(3, dtype=np.int64)
        self.training: list[tuple[int, int]] = []

    def keep_pieces(self) -> None:
        """Keep what is learned of every piece, for `merge`."""
        self.target.keep_pieces()
        for column in self.columns:
            column.keep_pieces()

    def merge(self, other: Learned) -> None:
        """Add what was learned of the rows that follow."""
        self.target.merge(other.target)
        for mine, theirs in zip(self.columns, other.columns, strict=True):
            mine.merge(theirs)
        self.dev.merge(other.dev)
        self.counts += other.counts
        self.training += other.training


class Streams(NamedTuple):
    """The chunks of a dataset in one stream for each shard, and the training rows of each."""

    chunks: list[range]
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, dataset: Dataset, training: Sequence[tuple[int, int]], count: int) -> Streams:
        """Return neighbouring chunks in streams of about as many training rows."""
        begins = np.array([place.first for place in dataset.places])
        rows = np.zeros(len(begins), dtype=np.int64)
        for first, n in training:
            rows[np.searchsorted(begins, first, "right") - 1] += n
        layout = PartitionLayout(rows.tolist(), count)
        chunks = [layout.members(group) for group in range(count)]
        return cls(chunks, tuple(int(rows[list(members)].sum()) for members in chunks))


class Passes:
    """Passes over a source, by this process."""

    def understand(self, source: Source, every: list[ColumnEvidence], options: ReadOptions) -> None:
        """Gather evidence of every column."""
        for table, _ in source.scan():
            gather(table, every, options, whole=source.in_memory, path=source.path)

    def learn(
        self, source: Source, split: Split, missing: tuple[str, ...], learned: Learned
    ) -> None:
        """Learn from the training rows."""
        learn_pieces(source.scan(), source.in_memory, split, missing, learned)

    def dataset(
        self, reader: ExampleReader, width: int, rows: int, batch: int, streams: Streams | None
    ) -> StreamedDataset:
        """Return the training rows as blocks that are read again in every epoch."""
        size, target = buffer_rows(width, batch), reader.preprocessing.target

        def of_epoch(epoch: int) -> Iterator[tuple[Any, Any]]:
            return as_targets(reader, reader.epoch(epoch, size))

        def of_stream(epoch: int, number: int) -> Iterator[tuple[Any, Any]]:
            assert streams is not None
            return stream_examples(reader, streams, width, batch, epoch, number)

        labels = len(target.labels) if isinstance(target, Classes) else 0
        y: NDArray[Any] = np.arange(labels) if labels else np.zeros(2)
        head = np.zeros((len(y), width))
        lengths = None if streams is None else streams.lengths
        return StreamedDataset(rows, of_epoch, reader.identity, head, y, lengths, of_stream)


def gather(
    table: Table, every: list[ColumnEvidence], options: ReadOptions, *, whole: bool, path: Any
) -> None:
    """Add a piece of a table to the evidence of its columns."""
    if table.rows == 0:
        raise TableError(f"{path} has a header but no rows; add data below the header")
    together(partial(_gather, table=table, options=options, whole=whole), every, table.rows)


def _gather(evidence: ColumnEvidence, table: Table, options: ReadOptions, *, whole: bool) -> None:
    """Add a piece of a column; forget its texts if they will not be needed."""
    column = table.column(evidence.name, missing=options.missing)
    evidence.add(column, last=whole)
    # A decimal comma that was asked for may give whole numbers another notation.
    if whole and options.decimal != "," and evidence.texts_unused and evidence.surely_plain:
        table.keep_numbers(column)


def learn_pieces(
    pieces: Iterator[Piece],
    in_memory: bool,
    split: Split,
    missing: tuple[str, ...],
    learned: Learned,
) -> None:
    """Learn from the training rows of pieces, from first to last.

    The memory that it takes does not grow with the number of rows.
    """
    for piece in pieces:
        table, first = piece
        column = table.column(learned.target.name, missing=missing)
        part = split.parts(piece, column)
        counts = np.bincount(part[part >= 0], minlength=3)
        learned.counts += counts
        learned.training.append((first, int(counts[0])))
        if not in_memory:
            learned.dev.add(table, part == 1, row_hash(split.seed, DEV_SAMPLE, first, table.rows))
        hashes = row_hash(split.seed, MEDIAN_SAMPLE, first, table.rows)
        rows = PieceRows(part == 0, hashes)
        learned.target.add(column, rows)
        pairs = [(c, table.column(c.name, missing=missing)) for c in learned.columns]
        together(partial(_learn, rows=rows), pairs, table.rows)


def _learn(pair: tuple[Learner, ParsedColumn], rows: PieceRows) -> None:
    pair[0].add(pair[1], rows)


def stream_examples(
    reader: ExampleReader, streams: Streams, width: int, batch: int, epoch: int, number: int
) -> Iterator[tuple[Any, Any]]:
    """Yield the training rows of a stream in the order of an epoch."""
    count = len(streams.chunks)
    size = max(buffer_rows(width, batch) // count, 1)
    return as_targets(reader, reader.stream(epoch, size, number, streams.chunks[number], count))


def as_targets(reader: ExampleReader, examples: Iterator[Examples]) -> Iterator[tuple[Any, Any]]:
    """Yield examples with the targets that a network learns."""
    learn = reader.preprocessing.target.to_network
    for X, y in examples:
        yield X, learn(y)


class DevRows:
    """The cells of a uniform sample of dev rows, until they can be encoded."""

    def __init__(self, names: list[str]) -> None:
        self._names, self._sample, self._count = names, Sample(DEV_ROWS), 0
        self._held: list[tuple[NDArray[np.float64], Table]] = []

    def add(self, table: Table, dev: NDArray[np.bool_], hashes: NDArray[np.float64]) -> None:
        """Add the dev rows of a piece, with their hashes."""
        self._sample.add(hashes[dev], hashes[dev])
        mask = dev & (hashes < self._sample.limit)
        if not mask.any():
            return
        self._held.append((hashes[mask], _rows_of(table, self._names, mask)))
        self._count += int(mask.sum())
        if self._count > 2 * DEV_ROWS:
            self._shrink()

    def merge(self, other: DevRows) -> None:
        """Add the dev rows of the pieces that follow."""
        self._sample.merge(other._sample)
        self._held += other._held
        self._count += other._count
        self._shrink()

    def examples(self, record: PreprocessingRecord, reader: ExampleReader) -> Examples:
        """Return the rows of the sample as examples, in the table's order."""
        self._shrink()
        found = [encode_examples(record, table) for _, table in self._held]
        if not found:
            return reader.whole_part("dev", 0.0)
        return Examples(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))

    def _shrink(self) -> None:
        limit = self._sample.limit
        self._held = [
            (hashes[hashes < limit], _rows_of(table, self._names, hashes < limit))
            for hashes, table in self._held
            if (hashes < limit).any()
        ]
        self._count = sum(len(hashes) for hashes, _ in self._held)

    def __getstate__(self) -> dict[str, Any]:
        """Return what travels from a worker: no way to look a row's line up in its file."""
        held = [
            (hashes, replace(table, place=_SomeDevRow(), columns=table.columns))
            for hashes, table in self._held
        ]
        return vars(self) | {"_held": held}


class _SomeDevRow:
    """The place of a row that a worker has read."""

    def __call__(self, row: int) -> str:
        return "a dev row"


def _rows_of(table: Table, names: list[str], mask: NDArray[np.bool_]) -> Table:
    """Return some rows of a table, with copies of their cells."""
    rows = np.flatnonzero(mask)
    columns = {name: table.columns[name].take(numbers_of(rows)) for name in names}
    place = table.place
    return replace(table, columns=columns, rows=len(rows), place=lambda row: place(int(rows[row])))
