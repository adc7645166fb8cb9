"""History of a training: losses, scores and rates, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from deltarule.schedules import Position

__all__ = ["History"]


@dataclass
class History:
    """History of a training; every list has one entry for each epoch.

    Attributes
    ----------
    loss : list of float
        Training loss: the weighted mean over the epoch's batches, without penalties, each at the
        θ before its step.
    penalty : list of float
        The value of the penalties, averaged likewise; ``loss + penalty`` is the cost.
    validation_loss, validation_score : list of float
        On the validation set, after the epoch; empty without one. The score is the accuracy for
        classes, R² for numbers.
    learning_rate : list of float
        The learning rate of the epoch's last step.
    health : list of Health
        Norms, dead and saturated units after the epoch, with ``record_health``.
    best_epoch : int or None
        The epoch, counted from 1, with the best parameters so far (the lowest validation loss or
        highest score; without a validation set, the lowest cost).
    stopped_by : str
        Why training ended: "epochs", "no improvement", "divergence", "interrupt" or "callback".
    message : str
        How LBFGS or LineSearch ended, in words; empty for other optimisers.
    converged : bool or None
        Whether LBFGS or LineSearch found a minimum; None for other optimisers.
    position : Position or None
        Position of the training at the end; None for LBFGS and LineSearch.
    resume_point : object or None
        What ``train(..., resume=history)`` continues from, with copies of the parameters. Like
        the position it is not part of comparisons, and not in checkpoints.
    """

    loss: list[float] = field(default_factory=list)
    penalty: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    health: list[Any] = field(default_factory=list)
    best_epoch: int | None = None
    stopped_by: str = ""
    message: str = ""
    converged: bool | None = None

    def __post_init__(self) -> None:
        # No fields: they do not take part in comparisons.
        self.position: Position | None = None
        self.resume_point: Any = None

    def copy(self) -> History:
        """Return a copy whose lists are its own, without a resume point."""
        lists: dict[str, Any] = {
            f.name: list(value)
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), list)
        }
        return replace(self, **lists)

    @property
    def n_epochs(self) -> int:
        """The number of epochs, with one that diverged."""
        return len(self.loss)

    @property
    def last_cost(self) -> float:
        """Loss plus penalty of the newest epoch."""
        return self.cost_of(self.n_epochs)

    def cost_of(self, epoch: int) -> float:
        """Return loss plus penalty of an epoch, counted from 1."""
        return self.loss[epoch - 1] + self.penalty[epoch - 1]

    @property
    def cost(self) -> list[float]:
        """Loss plus penalty, epoch by epoch."""
        return [a + b for a, b in zip(self.loss, self.penalty, strict=True)]
