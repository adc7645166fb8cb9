"""Rows in partitions: the order of an epoch and its batches, without rows changing partitions.

Partitions never mix their rows, because on a cluster they lie on different machines. An epoch's
order permutes the rows of each partition by itself, drawn from (seed, epoch, partition). Batch k of
n_b takes the rows from ⌊(n_p k + u_p)/n_b⌋ to ⌊(n_p (k + 1) + u_p)/n_b⌋ of partition p, in that
order, so that every batch has its share of every partition; u_p is fixed, and spreads partitions of
a few rows over the batches. Neighbouring partitions form groups, as many as there are shards: shard
s of a batch holds the rows of group s.

All of it depends on the partitions' lengths only, never on which machine holds which.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deltarule.errors import SpecError
from deltarule.program import BatchSchedule, Block, ShardedSchedule
from deltarule.spec.shards import Shards
from deltarule.training.data import EpochData, EpochView

__all__ = [
    "BatchCut",
    "BatchPlan",
    "PartitionLayout",
    "PartitionedBlock",
    "PartitionedData",
    "held_out_rows",
    "permutation",
]

_GOLDEN = 0x9E3779B97F4A7C15  # 2⁶⁴/φ: its multiples modulo 2⁶⁴ are spread evenly
_HELD_OUT = 2**32 - 1  # in place of an epoch's number


def permutation(seed: int, epoch: int, partition: int, n_rows: int) -> npt.NDArray[np.int64]:
    """Return the order of a partition's rows in an epoch."""
    return np.random.default_rng([seed, epoch, partition]).permutation(n_rows).astype(np.int64)


def held_out_rows(seed: int, partition: int, n_rows: int, fraction: float) -> Any:
    """Return which rows of a partition are held out (n_rows,): ⌊fraction n + u⌋ at random ones.

    u in [0, 1) is drawn for each partition, so that small ones give their share on average.
    """
    rng = np.random.default_rng([seed, _HELD_OUT, partition])
    count = min(n_rows, int(fraction * n_rows + rng.random()))
    held = np.zeros(n_rows, dtype=bool)
    held[rng.permutation(n_rows)[:count]] = True
    return held


class BatchCut(NamedTuple):
    """One of the batches of an epoch, as whoever holds a partition needs to know it."""

    batch: int
    n_batches: int

    def of(self, partition: int, length: int) -> slice:
        """Return which places of a partition's order belong to the batch."""
        offset = _offset(partition, self.n_batches)
        low, high = ((length * b + offset) // self.n_batches for b in (self.batch, self.batch + 1))
        return slice(low, high)


class BatchPlan:
    """The batches of an epoch over partitions.

    Attributes
    ----------
    bounds : array of shape (n_batches + 1,)
        As those of ``BatchSchedule``.
    shards : array of shape (n_batches, S + 1)
        As those of ``ShardedSchedule``.
    """

    def __init__(self, layout: PartitionLayout, batch_size: int) -> None:
        n = layout.n_rows
        self._n_batches = count = -(-n // min(batch_size, n))
        places = np.arange(count + 1, dtype=np.int64)
        sizes = np.zeros((count, layout.count), dtype=np.int64)
        for p, length in enumerate(layout.lengths):
            sizes[:, layout.group[p]] += np.diff((length * places + _offset(p, count)) // count)
        self._kept = np.flatnonzero(sizes.sum(axis=1))  # a batch of tiny partitions may be empty
        sizes = sizes[self._kept]
        self.bounds = np.append(0, np.cumsum(sizes.sum(axis=1))).astype(np.int64)
        zeros = np.zeros((len(sizes), 1), dtype=np.int64)
        self.shards = np.ascontiguousarray(np.hstack([zeros, np.cumsum(sizes, axis=1)]))

    def cut(self, k: int) -> BatchCut:
        """Return batch k."""
        return BatchCut(int(self._kept[k]), self._n_batches)


def _offset(p: int, n_batches: int) -> int:
    return ((p * _GOLDEN) % 2**64) * n_batches >> 64


class PartitionLayout:
    """Partitions in groups, one group for each shard.

    A partition belongs to the group in which the middle of its rows falls. So groups have about
    as many rows, as far as whole partitions allow; some are empty if there are few partitions.

    Parameters
    ----------
    lengths : sequence of int
        Rows of every partition.
    count : int
        S, the number of shards.

    Attributes
    ----------
    group : list of int
        The group of every partition; it never falls.
    starts : array of shape (n_partitions + 1,)
        The number of each partition's first row.
    row_cuts : array of shape (S + 1,)
        The number of each group's first row.

    Examples
    --------
    >>> PartitionLayout([4, 4, 2, 6], 2).group
    [0, 0, 1, 1]
    """

    def __init__(self, lengths: Sequence[int], count: int) -> None:
        self.lengths, self.count = [int(n) for n in lengths], count
        self.starts = np.append(0, np.cumsum(self.lengths)).astype(np.int64)
        self.n_rows = int(self.starts[-1])
        twice = self.starts[:-1] + self.starts[1:]
        self.group: list[int] = np.minimum(twice * count // (2 * self.n_rows), count - 1).tolist()
        first = np.searchsorted(self.group, np.arange(count + 1))
        self.row_cuts = self.starts[first]

    @classmethod
    def of(cls, shards: Shards) -> PartitionLayout:
        """Return the layout of an argument ``shards`` with partitions."""
        assert shards.partitions is not None
        return cls(shards.partitions, shards.count)

    def check(self, n_rows: int) -> None:
        """Raise ``SpecError`` unless the data have as many rows as the partitions."""
        if self.n_rows != n_rows:
            raise SpecError(
                f"the partitions of shards have {self.n_rows} rows in all, but X has {n_rows}. "
                "Give the length of every partition of X, in order, or a number of shards only."
            )

    def members(self, group: int) -> range:
        """Return the partitions of a group."""
        first, end = np.searchsorted(self.group, [group, group + 1])
        return range(int(first), int(end))


class PartitionedData(EpochData):
    """Rows in partitions, wherever they lie.

    Parameters
    ----------
    head : Block
        Some rows, or all.
    layout : PartitionLayout
    """

    seed: int  # of the orders
    shuffle: bool  # whether every epoch has a new order
    plan: BatchPlan  # the batches of every epoch

    def __init__(self, head: Block, layout: PartitionLayout) -> None:
        self.head, self.layout, self.n_rows = head, layout, layout.n_rows

    def ordered(self, seed: int, batch_size: int, shuffle: bool) -> PartitionedData:
        """Return the same rows with orders drawn from a seed."""
        made = copy(self)
        made.seed, made.shuffle, made.plan = seed, shuffle, BatchPlan(self.layout, batch_size)
        return made

    def bounds(self, batch_size: int) -> npt.NDArray[np.int64]:
        """Return the bounds of the batches."""
        return self.plan.bounds


class PartitionedBlock(PartitionedData):
    """Rows in memory that are trained on as the partitions of a cluster are."""

    def of_epoch(self, epoch: int) -> EpochView:
        """Return the rows of an epoch, in order."""
        layout, plan = self.layout, self.plan
        orders = [
            permutation(self.seed, epoch, p, n) + start if self.shuffle else np.arange(n) + start
            for p, (n, start) in enumerate(zip(layout.lengths, layout.starts, strict=False))
        ]
        cut = (
            orders[p][plan.cut(k).of(p, len(orders[p]))]
            for k in range(len(plan.shards))
            for p in range(len(orders))
        )
        return _PartitionedEpoch(self.head, np.concatenate(list(cut)), plan.shards)


class _PartitionedEpoch(EpochView):
    """The rows of an epoch, batch by batch and partition by partition."""

    def __init__(self, block: Block, rows: Any, shards: Any) -> None:
        self._block, self._rows, self._shards = block, rows, shards

    def at(self, order: BatchSchedule, step: int) -> tuple[Block, BatchSchedule, int]:
        """Return all rows and all batches."""
        whole = BatchSchedule(self._rows, order.bounds, order.learning_rates)
        return self._block, ShardedSchedule.of(whole, self._shards), step
