"""The interface between training and the interpreters: its data types and its protocol.

Training passes *blocks* of rows and an *order* of batches to an interpreter, which changes a
*state* and returns *steps* (one entry per mini-batch) or *sums* (additive over parts of a batch).
Training depends on no interpreter, and an interpreter does not know about epochs.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from deltarule.program.state import State
from deltarule.utils.arrays import Array, array_namespace

__all__ = [
    "BatchSchedule",
    "Block",
    "EpochOrders",
    "EpochRun",
    "GradientSums",
    "Interpreter",
    "ShardedSchedule",
    "StepLog",
]


class Block(NamedTuple):
    """Rows of data in memory."""

    x: Array  # (n, d) inputs: dense, or SciPy CSR
    y: Array | None = None  # (n, k) targets, of the dtype of θ
    weight: Array | None = None  # (n,) sample weights; None means all 1

    @property
    def n_rows(self) -> int:
        """Number of rows in the block."""
        return int(self.x.shape[0])

    def take(self, rows: npt.NDArray[np.int64] | slice) -> Block:
        """Return a block of the given rows, in the given order."""

        def pick(array: Array | None) -> Array | None:
            if array is None:
                return None
            if isinstance(rows, slice) or not hasattr(array, "__array_namespace__"):
                return array[rows] if array.ndim == 1 else array[rows, :]
            xp = array_namespace(array)
            return xp.take(array, xp.asarray(rows), axis=0)

        return Block(pick(self.x), pick(self.y), pick(self.weight))


class BatchSchedule(NamedTuple):
    """Mini-batches of an epoch: batch k consists of rows[bounds[k]:bounds[k + 1]]."""

    rows: npt.NDArray[np.int64]
    bounds: npt.NDArray[np.int64]
    learning_rates: npt.NDArray[np.float64]  # (n_batches,) one per step

    @property
    def n_batches(self) -> int:
        """Number of batches, ⌈n / b⌉."""
        return len(self.bounds) - 1

    def batch(self, k: int) -> npt.NDArray[np.int64]:
        """Return the row numbers of batch k."""
        return self.rows[self.bounds[k] : self.bounds[k + 1]]

    @property
    def shards(self) -> npt.NDArray[np.int64] | None:
        """Where batches are cut into shards; None: evenly, if at all."""
        return None


class ShardedSchedule(BatchSchedule):
    """Mini-batches with shards of any sizes.

    Shard s of batch k consists of its rows from ``cuts[k, s]`` to ``cuts[k, s + 1]``.
    """

    _cuts: npt.NDArray[np.int64]  # (n_batches, S + 1)

    @classmethod
    def of(cls, order: BatchSchedule, cuts: npt.NDArray[np.int64]) -> ShardedSchedule:
        """Return an order with these cuts."""
        made = cls(*order)
        made._cuts = cuts
        return made

    @property
    def shards(self) -> npt.NDArray[np.int64] | None:
        """Where batches are cut into shards."""
        return self._cuts


class GradientSums(NamedTuple):
    """Sums over the rows of a batch or a part of it; two parts add up to the sums of both."""

    loss: float  # Σ w_i L_i
    weight: float  # Σ w_i
    gradient: Array  # (p,) Σ w_i ∂L_i/∂θ
    moments: tuple[Array, ...] = ()  # of the batch, one pair per normalisation

    def __add__(self, other: GradientSums) -> GradientSums:  # type: ignore[override]
        """Return the sums of both parts, added in this order."""
        return GradientSums(
            self.loss + other.loss,
            self.weight + other.weight,
            self.gradient + other.gradient,
            tuple(a + b for a, b in zip(self.moments, other.moments, strict=True)),
        )


class StepLog(NamedTuple):
    """Losses of a sequence of steps, one entry per mini-batch.

    If a loss is infinite or NaN, it is the last entry, and its step was not taken.
    """

    rows: npt.NDArray[np.int64]  # number of rows in the batch
    weight: npt.NDArray[np.float64]  # Σ w_i
    loss: npt.NDArray[np.float64]  # weighted mean loss, without penalties
    penalty: npt.NDArray[np.float64]  # value of the penalties

    @property
    def diverged(self) -> bool:
        """Whether the last loss is infinite or NaN."""
        if len(self.loss) == 0:
            return False
        return not isfinite(float(self.loss[-1]) + float(self.penalty[-1]))

    @staticmethod
    def join(logs: list[StepLog]) -> StepLog:
        """Return the concatenation of several sequences of steps."""
        return StepLog(*(np.concatenate(column) for column in zip(*logs, strict=True)))


class EpochOrders(NamedTuple):
    """Mini-batches of several epochs, all with the same bounds."""

    rows: npt.NDArray[np.int64]  # (epochs, n)
    bounds: npt.NDArray[np.int64]
    learning_rates: npt.NDArray[np.float64]  # (epochs, n_batches)

    def of(self, epoch: int) -> BatchSchedule:
        """Return the batches of an epoch, counted from 0."""
        return BatchSchedule(self.rows[epoch], self.bounds, self.learning_rates[epoch])


class EpochRun(NamedTuple):
    """What a run of whole epochs in one call left, epoch by epoch."""

    steps: StepLog  # of every epoch that began: (epochs, n_batches), and rows (n_batches,)
    whole: int  # the epochs before one that diverged
    stop: int  # steps of the epoch that diverged, whose last loss is infinite or NaN
    finite: int  # the epochs before one with a θ that is not finite at its end
    states: Callable[[int], State]  # epoch, from 0 -> the state after it, in memory of the run
    outputs: Array | None  # of the evaluation after each epoch (epochs, n, k)
    losses: Array | None  # likewise (epochs, n)

    def log(self, epoch: int) -> StepLog:
        """Return the losses of an epoch's steps."""
        rows, *columns = self.steps
        n = self.stop if epoch == self.whole else len(rows)
        weight, loss, penalty = (column[epoch, :n] for column in columns)
        return StepLog(rows[:n], weight, loss, penalty)


class Interpreter(Protocol):
    """Protocol that the reference and the compiled engine implement.

    The training loop depends on nothing else.
    """

    def code_identity(self) -> dict[str, str]:
        """Return what decides the bits of a step beside its arguments, by name.

        A checkpoint holds it, so that a training that resumes with other code can say so.
        """
        ...

    def check(self, state: State) -> None:
        """Raise ``DataError`` unless ``train_steps`` can continue from this state."""
        ...

    def train_steps(
        self, state: State, block: Block, order: BatchSchedule, steps: range
    ) -> StepLog:
        """Take one step per batch; one call with k steps equals k calls with one step.

        It may return early with fewer steps, so that the caller regains control, and it stops
        before the step of a batch whose loss is infinite or NaN.
        """
        ...

    def gradient(
        self,
        state: State,
        block: Block,
        rows: npt.NDArray[np.int64] | slice | None = None,
        *,
        first: int = 0,
    ) -> GradientSums:
        """Return the sums over the rows (default: all of them); the state is not changed.

        If the rows are a part of a batch, ``first`` is the position of the first row in the whole
        batch.
        """
        ...

    def apply_gradient(self, state: State, sums: GradientSums, learning_rate: float) -> None:
        """Take one step with the gradient of the cost of ``sums``."""
        ...

    def forward(
        self, state: State, block: Block, *, logits: bool = False, if_finite: bool = False
    ) -> Array:
        """Return the outputs (n, k), or Z_L with ``logits``; no dropout, no batch statistics.

        With ``if_finite`` return None if a dense input is NaN or infinite.
        """
        ...

    def losses(self, state: State, block: Block) -> Array:
        """Return the loss of every row (n,) as in prediction, without weights and penalties."""
        ...

    def evaluation(self, block: Block) -> Callable[[State], tuple[Array, Array]]:
        """Return a function of a state: ``forward`` and ``losses`` of this block, by one pass."""
        ...

    def cost(self, state: State, sums: GradientSums) -> tuple[float, float, Array]:
        """Return mean loss, penalty and gradient of their sum, as ``apply_gradient`` uses it."""
        ...
