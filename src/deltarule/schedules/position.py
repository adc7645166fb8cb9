"""Position of a training: what schedules read, and what a later call continues from."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Position"]


class Position(NamedTuple):
    """Position of a training between two epochs; the training loop makes a new one after each.

    Attributes
    ----------
    epochs : int
        Epochs finished, those of earlier calls included.
    steps : int
        Steps taken in those epochs.
    examples : int
        Examples seen, over all epochs.
    planned_epochs : int
        How many epochs the whole training is planned to have.
    learning_rate : float or None
        The current learning rate η; None before the first epoch, which begins at η₀.
    schedule_state : object
        What the schedule remembers.
    stopping_state : StoppingState or None
        The best metric so far, and the number of epochs since.
    order : (n,) array of int or None
        The newest epoch's order of rows, if the next one is drawn from it.
    """

    epochs: int = 0
    steps: int = 0
    examples: int = 0
    planned_epochs: int = 1
    learning_rate: float | None = None
    schedule_state: Any = None
    stopping_state: Any = None
    order: Any = None

    def total_steps(self, n_steps: int) -> int:
        """Return the steps of the whole training, if every later epoch has ``n_steps``."""
        return self.steps + (self.planned_epochs - self.epochs) * n_steps
