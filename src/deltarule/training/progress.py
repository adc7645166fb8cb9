"""Where a run stands between two calls of the interpreter: what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from deltarule.program import Order, State, Steps
from deltarule.training.batches import Rows
from deltarule.training.history import History
from deltarule.training.stopping import Stopping

__all__ = ["Epoch", "Keeper", "Progress"]


@dataclass
class Epoch:
    """An epoch that has begun: its batches and rates, and how many of them are done."""

    order: Order
    entered: State  # the state with which it began
    done: int = 0  # batches
    pieces: list[Steps] = field(default_factory=list)  # what they saw

    def add(self, steps: Steps) -> None:
        """Take in what the next batches saw."""
        self.pieces.append(steps)
        self.done += len(steps.loss)

    def seen(self) -> Steps:
        """Return what all batches so far saw, as one piece."""
        if len(self.pieces) != 1:
            self.pieces = [Steps.join(self.pieces)] if self.pieces else []
        return self.pieces[0]


@dataclass
class Progress:
    """All that the rest of a run depends on, beside its arguments, its data and the state.

    Parameters
    ----------
    history : History
        Of the finished epochs.
    watch : Stopping
        The best figure, and how long it has stood.
    rate : float
        The newest learning rate.
    memory : object
        What the schedule remembers.
    first, examples : int
        Epochs and examples of earlier runs that this one goes on with.
    n_steps : int
        Steps so far, those of the earlier runs and of the whole present epoch included.
    best, before, safe : State
        The best epoch's, the one with which that epoch began, and where to go after a divergence.
    rows : row numbers or None
        The newest epoch's order, if the next one follows from it.
    inside : Epoch or None
        The epoch that has begun and not ended.
    """

    history: History
    watch: Stopping
    rate: float
    memory: Any
    first: int
    examples: int
    n_steps: int
    best: State
    before: State
    safe: State
    rows: Rows | None = None
    inside: Epoch | None = None

    @property
    def place(self) -> tuple[int, int]:
        """Epochs finished and steps taken, those of earlier runs included."""
        left = 0 if self.inside is None else self.inside.order.n_batches - self.inside.done
        return self.first + self.history.n_epochs, self.n_steps - left


class Keeper(Protocol):
    """Whoever keeps checkpoints of a run."""

    def begin(self, state: State, progress: Progress, check: Callable[[State], None]) -> None:
        """Bring both to where an earlier run was left, or keep how this one begins.

        ``check`` raises ``DataError`` for a state that the interpreter cannot go on with.
        """
        ...

    def offer(self, state: State, progress: Progress) -> None:
        """Keep a checkpoint, if it is time; called between two calls of the interpreter."""
        ...

    def keep(self, state: State, progress: Progress) -> None:
        """Keep a checkpoint now."""
        ...
