"""How to train: every choice that the training loop needs, in one frozen description."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from deltarule.program import Block, State
from deltarule.schedules import Constant, Schedule
from deltarule.training.batches import Rows
from deltarule.training.early_stopping import EarlyStopping
from deltarule.training.history import History
from deltarule.training.state import Checkpointer

__all__ = ["Metrics", "TrainingConfig", "Validation"]


@dataclass(frozen=True)
class Metrics:
    """Result of a validation; either number may be missing."""

    loss: float | None = None
    score: float | None = None


Validation: TypeAlias = Callable[[State], Metrics]
"""A function that measures a state on validation data.

It gets a read-only view, or the state itself if it has an attribute ``keeps_state`` that is True.
With an attribute ``evaluation``, which an interpreter made, its method ``measure_all`` returns the
metrics of several epochs from the outputs (epochs, n, k) and losses (epochs, n) of that.
"""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train: everything that the loop needs except interpreter, state and data.

    Parameters
    ----------
    epochs : int
        The length of the history at which training ends.
    batch_size : int
        Rows in a mini-batch.
    learning_rate : float
        η₀, the optimiser's learning rate.
    shuffle : callable, optional
        Returns the order of the next epoch's rows from the last one's; None keeps the order.
    schedule : Schedule
        How the learning rate changes.
    stopping : EarlyStopping, optional
        When training ends early, and whether it returns to its best epoch; None never does.
    validation : callable, optional
        state -> ``Metrics``, called after every epoch.
    epoch_block : callable, optional
        epoch -> the block of that epoch, where blocks differ (augmentation).
    min_rows : int, default=1
        Rows of non-zero weight that every mini-batch needs; smaller ones are merged.
    planned_epochs : int, optional
        The epochs of the whole training, as the schedule sees them; by default, those up to the
        end of this call.
    loss_scale : float, default=1.0
        The recorded training loss is multiplied by this number.
    on_epoch_begin : callable, optional
        Called before every epoch with the state that the epoch begins with.
    on_epoch : callable, optional
        Called with the history after every epoch; returning True ends training. With an attribute
        ``only_records`` that is True it returns False, and its method ``record(history, epochs)``
        may be called after several epochs instead.
    checkpointer : Checkpointer, optional
        Writes checkpoints, and restores the newest one.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    shuffle: Callable[[Rows], Rows] | None = None
    schedule: Schedule = field(default_factory=Constant)
    stopping: EarlyStopping | None = None
    validation: Validation | None = None
    epoch_block: Callable[[int], Block] | None = None
    min_rows: int = 1
    planned_epochs: int | None = None
    loss_scale: float = 1.0
    on_epoch_begin: Callable[[State], None] | None = None
    on_epoch: Callable[[History], bool] | None = None
    checkpointer: Checkpointer | None = None

    @property
    def watches_score(self) -> bool:
        """Whether the metric that decides which epoch is best is the validation score."""
        return self.stopping is not None and self.stopping.maximize

    def watched(self, metrics: Metrics) -> float:
        """Return that metric of a validation: its score, or its loss."""
        if self.watches_score:
            return float("nan") if metrics.score is None else metrics.score
        if metrics.loss is None:
            raise ValueError("validation must measure a loss, or a score that is maximised.")
        return metrics.loss
