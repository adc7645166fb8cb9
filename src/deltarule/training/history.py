"""What a training run saw, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["History"]


@dataclass
class History:
    """A record of a training run; every list has one entry an epoch.

    Attributes
    ----------
    loss : list of float
        Training loss: the weighted mean over the epoch's batches, each at the θ it was met with,
        without penalties.
    penalty : list of float
        The penalties' value, averaged likewise; ``loss + penalty`` is the cost.
    validation_loss, validation_score : list of float
        On the validation set, after the epoch; empty without one. The score is the accuracy for
        classes, R² for numbers.
    learning_rate : list of float
        The rate of the epoch's steps.
    health : list of Health
        Norms, dead and saturated units after the epoch, if they were asked for.
    best_epoch : int or None
        The epoch, counted from 1, whose parameters are the best so far (the lowest validation
        loss or highest score; without a validation set, the lowest cost).
    stopped_by : str
        Why the run ended: "epochs", "no improvement", "divergence", "interrupt" or "callback".
    """

    loss: list[float] = field(default_factory=list)
    penalty: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    health: list[Any] = field(default_factory=list)
    best_epoch: int | None = None
    stopped_by: str = ""

    @property
    def n_epochs(self) -> int:
        """How many epochs were begun."""
        return len(self.loss)

    @property
    def cost(self) -> list[float]:
        """Loss plus penalty, epoch by epoch."""
        return [a + b for a, b in zip(self.loss, self.penalty, strict=True)]
