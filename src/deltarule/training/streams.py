"""Streams of rows as partitions: every shard of a batch takes its next rows from its streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from deltarule.errors import DataError
from deltarule.program import BatchSchedule, Block, ShardedSchedule
from deltarule.program.shards import even_cuts
from deltarule.training.data import EpochView
from deltarule.training.partitions import BatchPlan, PartitionedData, PartitionLayout
from deltarule.utils.arrays import is_sparse

__all__ = ["StreamRows", "StreamedPartitions", "joined_blocks"]


class StreamRows:
    """The rows of one stream, which is read again in every epoch.

    What it returns depends on its arguments alone: if the rows asked for are behind it, it reads
    the epoch from its beginning.

    Parameters
    ----------
    blocks : callable
        epoch -> the blocks of that epoch, in their order; a pure function.
    """

    def __init__(self, blocks: Callable[[int], Iterator[Block]]) -> None:
        self._blocks = blocks
        self._epoch, self._first = -1, 0  # the number of the first row held
        self._waiting: Iterator[Block] = iter(())
        self._held: list[Block] = []

    def take(self, epoch: int, rows: slice) -> Block | None:
        """Return rows of an epoch's order; None for no rows.

        Raises
        ------
        DataError
            If the stream ends before.
        """
        if rows.start == rows.stop:
            return None
        if epoch != self._epoch or rows.start < self._first:
            self._epoch, self._first, self._held = epoch, 0, []
            self._waiting = self._blocks(epoch)
        taken: list[Block] = []
        at = self._first
        while at < rows.stop:
            if not self._held:
                self._held.append(self._next())
            block = self._held[0]
            end = at + block.n_rows
            low, high = max(rows.start, at), min(rows.stop, end)
            if low < high:
                taken.append(block.take(slice(low - at, high - at)))
            if end <= rows.stop:
                self._held.pop(0)
                at = end
            else:
                self._held[0] = block.take(slice(high - at, block.n_rows))
                at = high
            self._first = at
        return joined_blocks(taken)

    def _next(self) -> Block:
        fresh = next(self._waiting, None)
        if fresh is None:
            self._epoch = -1
            raise DataError(
                "the stream ended before its epoch: it has fewer rows than at first. Do not change "
                "the data while a network is trained on it."
            )
        return fresh


class StreamedPartitions(PartitionedData):
    """Rows in streams, a partition each, which this process reads in turn.

    Parameters
    ----------
    head : Block
        A few rows, as the network takes them.
    layout : PartitionLayout
        The rows of every stream.
    streams : list of StreamRows
    """

    def __init__(self, head: Block, layout: PartitionLayout, streams: list[StreamRows]) -> None:
        super().__init__(head, layout)
        self._streams = streams

    def of_epoch(self, epoch: int) -> EpochView:
        """Return the rows of an epoch, batch by batch."""
        return _StreamedEpoch(self._streams, self.layout, self.plan, epoch)


class _StreamedEpoch(EpochView):
    def __init__(
        self, streams: list[StreamRows], layout: PartitionLayout, plan: BatchPlan, epoch: int
    ) -> None:
        self._streams, self._layout, self._plan, self._epoch = streams, layout, plan, epoch

    def at(self, order: BatchSchedule, step: int) -> tuple[Block, BatchSchedule, int]:
        """Return the rows of a batch, and an order of two: as large as the largest, and the batch.

        The first one is not trained on.
        """
        cut, lengths = self._plan.cut(step), self._layout.lengths
        taken = [
            stream.take(self._epoch, cut.of(p, lengths[p]))
            for p, stream in enumerate(self._streams)
        ]
        block = joined_blocks([part for part in taken if part is not None])
        assert block is not None  # a batch has rows
        n, largest = block.n_rows, int(np.diff(order.bounds).max())
        rows = np.append(np.zeros(largest, dtype=np.int64), np.arange(n))
        bounds = np.array([0, largest, largest + n], dtype=np.int64)
        rates = np.array([0.0, order.learning_rates[step]])
        cuts = np.stack([even_cuts(largest, self._layout.count), self._plan.shards[step]])
        return block, ShardedSchedule.of(BatchSchedule(rows, bounds, rates), cuts), 1


def joined_blocks(blocks: list[Block]) -> Block | None:
    """Return blocks as one; None if there are none."""
    if len(blocks) < 2:
        return blocks[0] if blocks else None

    first = blocks[0]
    if is_sparse(first.x):
        from scipy.sparse import vstack

        x = vstack([block.x for block in blocks], format="csr")
    else:
        x = np.concatenate([block.x for block in blocks])
    weight = None if first.weight is None else np.concatenate([b.weight for b in blocks])
    return Block(x, np.concatenate([np.asarray(block.y) for block in blocks]), weight)
