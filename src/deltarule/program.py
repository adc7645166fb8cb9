"""What training and interpreters say to each other: five nouns and a few verbs.

Training hands *blocks* of rows and an *order* of batches to an interpreter, which moves a
*state*; what comes back are *steps* (one line a mini-batch) or *sums* (additive over pieces).
Training knows no interpreter, and an interpreter knows no epochs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from deltarule.arrays import Array, array_namespace

__all__ = ["Block", "Interpreter", "Order", "State", "Steps", "Sums"]


class Block(NamedTuple):
    """Rows in memory: what streaming, augmentation and workers make."""

    x: Array  # (n, d) inputs: dense, or SciPy CSR
    y: Array | None = None  # (n, k) targets, of θ's type
    weight: Array | None = None  # (n,) sample weights; None means all 1

    @property
    def n_rows(self) -> int:
        """How many rows the block holds."""
        return int(self.x.shape[0])

    def take(self, rows: npt.NDArray[np.int64] | slice) -> Block:
        """Return the block of the given rows, in their order."""

        def pick(array: Array | None) -> Array | None:
            if array is None:
                return None
            if isinstance(rows, slice) or not hasattr(array, "__array_namespace__"):
                return array[rows] if array.ndim == 1 else array[rows, :]
            xp = array_namespace(array)
            return xp.take(array, xp.asarray(rows), axis=0)

        return Block(pick(self.x), pick(self.y), pick(self.weight))


class Order(NamedTuple):
    """The mini-batches of an epoch: batch k holds rows[bounds[k]:bounds[k + 1]]."""

    rows: npt.NDArray[np.int64]
    bounds: npt.NDArray[np.int64]
    learning_rates: npt.NDArray[np.float64]  # (n_batches,) of each step

    @property
    def n_batches(self) -> int:
        """⌈n / b⌉."""
        return len(self.bounds) - 1

    def batch(self, k: int) -> npt.NDArray[np.int64]:
        """Return the row numbers of batch k."""
        return self.rows[self.bounds[k] : self.bounds[k + 1]]


@dataclass
class State:
    """All that training changes: what is checkpointed, rolled back and restored as best."""

    theta: Array  # (p,) every parameter of the network
    seed: int = 0  # the key of every random mask
    step: int = 0  # steps taken, over all epochs
    slots: Any = None  # the optimiser's running averages (a NamedTuple), once it began
    buffers: dict[str, Array] = field(default_factory=dict)  # statistics that are not learned

    def copy(self) -> State:
        """Return a copy that shares no memory with this one."""
        return replace(
            self,
            theta=_copied(self.theta),
            slots=_copied(self.slots),
            buffers={name: _copied(array) for name, array in self.buffers.items()},
        )

    def overwrite(self, other: State) -> None:
        """Become a copy of another state, in this one's own arrays where they fit."""
        self.theta = _moved(self.theta, other.theta)
        self.seed, self.step = other.seed, other.step
        self.slots = _moved(self.slots, other.slots)
        self.buffers = {n: _moved(self.buffers.get(n), a) for n, a in other.buffers.items()}

    def forget_population(self) -> None:
        """Begin the epoch's mean of the batches' statistics anew; the old one stays until then."""
        for name in self.buffers:
            if name.endswith(".weight"):
                self.buffers[name] = 0 * self.buffers[name]

    def restore(self, other: State) -> None:
        """Take over another state's numbers, θ in place: views of θ stay alive."""
        fresh = other.copy()
        self.theta[...] = fresh.theta
        self.seed, self.step = fresh.seed, fresh.step
        self.slots, self.buffers = fresh.slots, fresh.buffers


def _copied(value: Any) -> Any:
    if isinstance(value, tuple):
        return type(value)(*(_copied(item) for item in value))
    if hasattr(value, "shape"):
        return array_namespace(value).asarray(value, copy=True)
    return value


def _moved(mine: Any, theirs: Any) -> Any:
    """Return a copy of what another state holds, in what this one holds if it fits."""
    if isinstance(theirs, tuple) and type(mine) is type(theirs):
        return type(theirs)(*(_moved(a, b) for a, b in zip(mine, theirs, strict=True)))
    fits = isinstance(mine, np.ndarray) and isinstance(theirs, np.ndarray) and theirs.ndim > 0
    if not fits or mine.shape != theirs.shape or mine.dtype != theirs.dtype:
        return _copied(theirs)
    mine[...] = theirs
    return mine


class Sums(NamedTuple):
    """Sums over rows: adding those of two pieces gives those of both."""

    loss: float  # Σ w_i L_i
    weight: float  # Σ w_i
    gradient: Array  # (p,) Σ w_i ∂L_i/∂θ
    moments: tuple[Array, ...] = ()  # sums behind statistics of the batch, if layers ask for any

    def __add__(self, other: Sums) -> Sums:  # type: ignore[override]
        """Add up two pieces, in this order."""
        return Sums(
            self.loss + other.loss,
            self.weight + other.weight,
            self.gradient + other.gradient,
            tuple(a + b for a, b in zip(self.moments, other.moments, strict=True)),
        )


class Steps(NamedTuple):
    """What a run of steps saw, a line a mini-batch. The last line of a run that met a
    non-finite loss is that loss, and its step was not taken.
    """

    rows: npt.NDArray[np.int64]  # rows in the batch
    weight: npt.NDArray[np.float64]  # Σ w_i
    loss: npt.NDArray[np.float64]  # weighted mean loss, without penalties
    penalty: npt.NDArray[np.float64]  # the penalties' value

    @property
    def diverged(self) -> bool:
        """Whether the run stopped at a non-finite loss."""
        return len(self.loss) > 0 and not bool(np.isfinite(self.loss[-1] + self.penalty[-1]))

    @staticmethod
    def join(pieces: list[Steps]) -> Steps:
        """Return the pieces as one run."""
        return Steps(*(np.concatenate(column) for column in zip(*pieces, strict=True)))


class Interpreter(Protocol):
    """The seam. Whoever offers these verbs can train and predict."""

    def check(self, state: State) -> None:
        """Raise ``DataError`` unless ``advance`` can go on with the state, whoever made it."""
        ...

    def advance(self, state: State, block: Block, order: Order, steps: range) -> Steps:
        """Take the steps of these batches; k steps in one call equal k calls of one.

        It may take fewer than asked, to give control back, and stops before the step of a
        batch whose loss is not finite.
        """
        ...

    def gradient(
        self,
        state: State,
        block: Block,
        rows: npt.NDArray[np.int64] | slice | None = None,
        *,
        first: int = 0,
    ) -> Sums:
        """Return the sums over the rows (all of them by default); the state stays as it is.

        ``first`` is the place of the first row in the whole batch, of which these are a piece.
        """
        ...

    def apply(self, state: State, sums: Sums, learning_rate: float) -> None:
        """Take one step along the gradient of the cost of ``sums``."""
        ...

    def forward(self, state: State, block: Block, *, logits: bool = False) -> Array:
        """Return the outputs (n, k), or Z_L with ``logits``; no dropout, no batch statistics."""
        ...

    def losses(self, state: State, block: Block) -> Array:
        """Return the loss of every row (n,) at prediction, unweighted, without penalties."""
        ...

    def cost(self, state: State, sums: Sums) -> tuple[float, float, Array]:
        """Return (mean loss, penalty, gradient of their sum), which ``apply`` descends."""
        ...
