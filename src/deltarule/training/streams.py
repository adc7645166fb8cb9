"""Epochs whose rows come as several blocks, of which one is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from deltarule.errors import DataError
from deltarule.program import Block, Interpreter, Order, State, Steps
from deltarule.training.batches import Orders

__all__ = ["Stream", "StreamedEpoch", "advance"]


@dataclass(frozen=True)
class Stream:
    """Rows that are read anew in every epoch; it stands where a training loop takes a block.

    Attributes
    ----------
    n_rows : int
        How many rows every epoch has.
    blocks : callable
        epoch -> the blocks of that epoch, in their order: a pure function of the number, so that
        (epoch, step) is all that a run must remember of its place in the data.
    head : Block
        A few rows, for those who look at a block to say something about it.
    """

    n_rows: int
    blocks: Callable[[int], Iterator[Block]]
    head: Block

    @property
    def orders(self) -> Orders:
        """The order of every epoch: no row numbers, since whoever makes the blocks shuffles."""
        return Orders(np.empty(0, dtype=np.int64), None)

    @property
    def x(self) -> object:
        """Inputs of the few rows."""
        return self.head.x

    @property
    def y(self) -> object:
        """Targets of the few rows."""
        return self.head.y

    @property
    def weight(self) -> None:
        """Rows of a stream weigh the same."""
        return None

    def of_epoch(self, epoch: int) -> StreamedEpoch:
        """Return an epoch's rows, from the first one."""
        return StreamedEpoch(self.blocks(epoch))


class StreamedEpoch:
    """The rows of one epoch, going by; batch k of an `Order` is found where k comes.

    The order's row numbers are not looked at: whoever makes the blocks has shuffled them. Blocks
    and batches need not end at the same rows: what is left of a block goes in front of the next.
    """

    def __init__(self, blocks: Iterator[Block]) -> None:
        self._blocks = blocks
        self._held: Block | None = None
        self._first_row = 0  # of the block held

    def at(self, order: Order, step: int) -> tuple[Block, Order]:
        """Return a block that holds a batch, and an order of it and those after it in the block.

        Steps may only go forward; a run that is resumed in mid-epoch begins with a later one, and
        the blocks before it go by unused.

        Raises
        ------
        DataError
            If the blocks end before the order does.
        """
        start, end = int(order.bounds[step]), int(order.bounds[step + 1])
        while self._held is None or self._first_row + self._held.n_rows < end:
            self._read(start)
        last = int(np.searchsorted(order.bounds, self._first_row + self._held.n_rows, "right")) - 1
        bounds = order.bounds[step : last + 1] - self._first_row
        rows = np.arange(self._held.n_rows, dtype=np.int64)
        return self._held, Order(rows, bounds, order.learning_rates[step:last])

    def _read(self, start: int) -> None:
        """Take the next block up, behind the rows from `start` on of the one held."""
        fresh = next(self._blocks, None)
        if fresh is None:
            raise DataError(
                "the stream ended before its epoch: it has fewer rows than it had at first. Leave "
                "the data alone while a network is trained on it."
            )
        if self._held is None:
            self._held = fresh
            return
        skipped = min(max(start - self._first_row, 0), self._held.n_rows)
        rest = self._held.take(slice(skipped, None))
        self._first_row += skipped
        self._held = _joined(rest, fresh) if rest.n_rows else fresh


def advance(
    interpreter: Interpreter,
    state: State,
    block: Block | StreamedEpoch,
    order: Order,
    steps: range,
) -> Steps:
    """Take steps as ``interpreter.advance`` does, of a block or of rows that go by.

    It may take fewer than asked, as that may: those of the batches that are in memory.
    """
    if not isinstance(block, StreamedEpoch):
        return interpreter.advance(state, block, order, steps)
    held, own = block.at(order, steps.start)
    return interpreter.advance(state, held, own, range(min(len(steps), own.n_batches)))


def _joined(a: Block, b: Block) -> Block:
    y = None if a.y is None or b.y is None else np.concatenate([np.asarray(a.y), np.asarray(b.y)])
    return Block(np.concatenate([np.asarray(a.x), np.asarray(b.x)]), y)
