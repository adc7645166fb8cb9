"""The data of an epoch: new blocks by augmentation (item D4), or blocks read one at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError, ShapeError
from deltarule.program import BatchSchedule, Block, Interpreter, State, StepLog
from deltarule.training.batches import batch_bounds
from deltarule.utils.arrays import Array

__all__ = [
    "Augmenter",
    "EpochData",
    "EpochIterator",
    "EpochView",
    "StreamedBlock",
    "advance",
    "augmented",
    "augmented_blocks",
]

Augmenter: TypeAlias = Callable[[Any, Any, int], Any]
"""``augment(x, rows, epoch) -> x'``: changes that keep the labels, drawn again for each epoch."""


def augmented(augment: Augmenter, x: Array, rows: Any, epoch: int) -> Array:
    """Return ``augment(x, rows, epoch)`` in the type of x.

    A user's function gets copies, which it may change in place.

    Raises
    ------
    ShapeError, DataError
        If it has another shape, or numbers that are not finite.
    """
    from deltarule.augmentation import Compose

    given = x if type(augment) is Compose else x.copy()  # ours copies by itself
    fresh = np.asarray(augment(given, np.array(rows), epoch), dtype=x.dtype)
    if fresh.shape != tuple(x.shape):
        raise ShapeError(
            f"augment must return rows of the shape that it gets, {tuple(x.shape)}; got "
            f"{fresh.shape}."
        )
    if not np.isfinite(fresh).all():
        raise DataError("augment returned NaN or infinity. Check its parameters.")
    return fresh


def augmented_blocks(block: Block, augment: Augmenter) -> Callable[[int], Block]:
    """Return a function from an epoch's number to its block: new inputs, the same targets."""
    rows = np.arange(block.n_rows)
    return lambda epoch: block._replace(x=augmented(augment, block.x, rows, epoch))


class EpochView(ABC):
    """The rows of one epoch, in their order."""

    @abstractmethod
    def at(self, order: BatchSchedule, step: int) -> tuple[Any, BatchSchedule, int]:
        """Return rows that contain batch ``step``, an order of them, and the batch's place in it.

        What the order holds does not change the bits of a step, except for its largest batch. So
        it holds all batches of the epoch, or batches of one size.
        """


class EpochData(ABC):
    """Rows with an order of their own in every epoch; the training loop keeps none.

    Attributes
    ----------
    n_rows : int
        The number of rows in every epoch.
    head : Block
        A few rows, or all, for messages about the data.
    """

    n_rows: int
    head: Block

    @property
    def x(self) -> object:
        """Inputs of the few rows."""
        return self.head.x

    @property
    def y(self) -> object:
        """Targets of the few rows."""
        return self.head.y

    @property
    def weight(self) -> Any:
        """Weights of the few rows."""
        return self.head.weight

    @abstractmethod
    def of_epoch(self, epoch: int) -> EpochView:
        """Return an epoch's rows: a pure function of its number."""

    def ordered(self, seed: int, batch_size: int, shuffle: bool) -> EpochData:
        """Return the same rows with orders drawn from a seed, if they draw any."""
        return self

    @abstractmethod
    def bounds(self, batch_size: int) -> npt.NDArray[np.int64]:
        """Return the bounds of every epoch's batches."""


@dataclass(frozen=True)
class StreamedBlock(EpochData):
    """Rows that are read again in every epoch; the training loop takes it in place of a block.

    Attributes
    ----------
    n_rows : int
        The number of rows in every epoch.
    blocks : callable
        epoch -> the blocks of that epoch, in their order. It must be a pure function of the
        number, so that epoch and step say which data come next.
    head : Block
        A few rows, for messages about the data.
    """

    n_rows: int
    blocks: Callable[[int], Iterator[Block]]
    head: Block

    @property
    def weight(self) -> None:
        """None: all rows of a stream have the same weight."""
        return None

    def bounds(self, batch_size: int) -> npt.NDArray[np.int64]:
        """Return the bounds of the batches: as many rows in each, but for the last."""
        return batch_bounds(self.n_rows, batch_size)

    def of_epoch(self, epoch: int) -> EpochIterator:
        """Return an iterator over an epoch's rows."""
        return EpochIterator(self.blocks(epoch))


class EpochIterator(EpochView):
    """Iterator over one epoch's blocks. ``at(order, k)`` returns the block that contains batch k.

    The order's row numbers are not used: the blocks are shuffled already. Blocks and batches need
    not end at the same rows: the rest of a block is joined with the next block.
    """

    def __init__(self, blocks: Iterator[Block]) -> None:
        self._blocks = blocks
        self._current: Block | None = None
        self._first_row = 0  # of the current block

    def at(self, order: BatchSchedule, step: int) -> tuple[Block, BatchSchedule, int]:
        """Return a block that contains batch ``step``, an order of the batches in the block, and 0.

        The order begins with that batch. Steps must not decrease. A training that is resumed in
        the middle of an epoch begins with a later step, and the blocks before it are skipped.

        Raises
        ------
        DataError
            If the blocks end before the order does.
        """
        start, end = int(order.bounds[step]), int(order.bounds[step + 1])
        while self._current is None or self._first_row + self._current.n_rows < end:
            self._read(start)
        block_end = self._first_row + self._current.n_rows
        last = int(np.searchsorted(order.bounds, block_end, "right")) - 1
        bounds = order.bounds[step : last + 1] - self._first_row
        rows = np.arange(self._current.n_rows, dtype=np.int64)
        return self._current, BatchSchedule(rows, bounds, order.learning_rates[step:last]), 0

    def _read(self, start: int) -> None:
        """Append the next block to the rows of the current one from row ``start`` on."""
        rest: Block | None = None
        if self._current is not None:  # copied: a source may read its next rows into the same array
            skipped = min(max(start - self._first_row, 0), self._current.n_rows)
            rest = self._current.take(np.arange(skipped, self._current.n_rows))
            self._first_row += skipped
        fresh = next(self._blocks, None)
        if fresh is None:
            raise DataError(
                "the stream ended before its epoch: it has fewer rows than at first. Do not change "
                "the data while a network is trained on it."
            )
        self._current = fresh if rest is None or rest.n_rows == 0 else _joined(rest, fresh)


def advance(
    interpreter: Interpreter,
    state: State,
    block: Block | EpochView,
    order: BatchSchedule,
    steps: range,
) -> StepLog:
    """Take steps as ``interpreter.train_steps`` does, with a block or an iterator over blocks.

    It may take fewer steps than asked, too: those of the batches in memory.
    """
    rows: Any = block
    if isinstance(block, EpochView):
        rows, order, begin = block.at(order, steps.start)
        steps = range(begin, min(begin + len(steps), order.n_batches))
    return state.change(lambda: interpreter.train_steps(state, rows, order, steps))


def _joined(a: Block, b: Block) -> Block:
    y = None if a.y is None or b.y is None else np.concatenate([np.asarray(a.y), np.asarray(b.y)])
    return Block(np.concatenate([np.asarray(a.x), np.asarray(b.x)]), y)
