"""State of a training between two calls of the interpreter: what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from deltarule.program import BatchSchedule, State, StepLog
from deltarule.schedules import Position
from deltarule.training.history import History

__all__ = ["Checkpointer", "Epoch", "TrainingState"]


@dataclass
class Epoch:
    """An epoch that has begun: its batches and rates, and how many batches are done."""

    order: BatchSchedule
    entered: State  # the state before the epoch's first step
    done: int = 0  # batches
    reports: list[StepLog] = field(default_factory=list)  # what their steps reported

    def add(self, steps: StepLog) -> None:
        """Append the report of the next batches."""
        self.reports.append(steps)
        self.done += len(steps.loss)

    def steps(self) -> StepLog:
        """Return the report of all batches so far, joined into one."""
        if len(self.reports) != 1:
            self.reports = [StepLog.join(self.reports)] if self.reports else []
        return self.reports[0]


@dataclass
class TrainingState:
    """Everything that the rest of a training depends on, except its arguments, data and state.

    Parameters
    ----------
    history : History
        Of the finished epochs.
    position : Position
        Position of the training after the last finished epoch.
    best : State
        The state after the best epoch.
    before : State
        The state before the best epoch.
    safe : State
        The state to return to after a divergence.
    epoch : Epoch or None
        The epoch that has begun and is not finished.
    last : State or None
        At the end, the state after the last step, if the best state was restored after it.
    consistent : bool
        Whether state and training state belong to the same step. It is False inside a call of the
        interpreter and while an epoch's results are recorded.
    frozen : int
        At the end, the parameters that an overflow in the optimiser's memory keeps from moving.
    """

    history: History
    position: Position
    best: State
    before: State
    safe: State
    epoch: Epoch | None = None
    last: State | None = None
    consistent: bool = True
    frozen: int = 0

    @classmethod
    def begin(cls, state: State, position: Position) -> TrainingState:
        """Return the training state before the first epoch of a new history."""
        now = state.copy()
        return cls(History(), position, best=now, before=now, safe=now)

    @property
    def place(self) -> tuple[int, int]:
        """Epochs finished and steps taken, those of earlier calls included."""
        done = 0 if self.epoch is None else self.epoch.done
        return self.position.epochs, self.position.steps + done


@runtime_checkable
class Checkpointer(Protocol):
    """Protocol of what writes a training's checkpoints and restores the newest one."""

    def compare_code(self, code: dict[str, str]) -> None:
        """Warn, or raise ``CheckpointError``, if other code took the steps so far."""
        ...

    def begin(self, state: State, training: TrainingState, check: Callable[[State], None]) -> None:
        """Restore both from the newest checkpoint, or write the first one.

        ``check`` raises ``DataError`` for a state that the interpreter cannot continue with.
        """
        ...

    def offer(self, state: State, training: TrainingState) -> None:
        """Write a checkpoint if one is due; called between two calls of the interpreter."""
        ...

    def write(self, state: State, training: TrainingState) -> None:
        """Write a checkpoint now."""
        ...
