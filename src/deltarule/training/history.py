"""History of a training: losses, scores and rates, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from deltarule.schedules import Position
from deltarule.training.curve import Column, Curve, Records, SumOfCurves
from deltarule.utils.charts import curves_svg, facts_html, report_html

__all__ = ["History"]

_CURVES = ("loss", "penalty", "validation_loss", "validation_score", "learning_rate")


@dataclass
class History:
    """History of a training; every curve has one entry for each epoch.

    A curve reads like a list; reading an entry takes as long after a million epochs as after ten.

    Attributes
    ----------
    loss : Curve
        Training loss: the weighted mean over the epoch's batches, without penalties, each at the
        θ before its step.
    penalty : Curve
        The value of the penalties, averaged likewise; ``loss + penalty`` is the cost.
    validation_loss, validation_score : Curve
        On the validation set, after the epoch; empty without one. The score is the accuracy for
        classes, R² for numbers.
    learning_rate : Curve
        The learning rate of the epoch's last step.
    health : Records of Health
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

    loss: Curve = field(default_factory=Curve)
    penalty: Curve = field(default_factory=Curve)
    validation_loss: Curve = field(default_factory=Curve)
    validation_score: Curve = field(default_factory=Curve)
    learning_rate: Curve = field(default_factory=Curve)
    health: Records = field(default_factory=Records)
    best_epoch: int | None = None
    stopped_by: str = ""
    message: str = ""
    converged: bool | None = None

    def __post_init__(self) -> None:
        for name in _CURVES:
            if not isinstance(getattr(self, name), Curve):  # the user's list
                setattr(self, name, Curve(getattr(self, name)))
        if not isinstance(self.health, Records):
            self.health = Records(self.health)
        # No fields: they do not take part in comparisons.
        self.position: Position | None = None
        self.resume_point: Any = None

    def copy(self) -> History:
        """Return a copy whose curves are its own, without a resume point."""
        curves: dict[str, Any] = {name: getattr(self, name).copy() for name in (*_CURVES, "health")}
        return replace(self, **curves)

    @property
    def n_epochs(self) -> int:
        """The number of epochs, with one that diverged."""
        return len(self.loss)

    @property
    def last_cost(self) -> float:
        """Loss plus penalty of the newest epoch."""
        return self.loss.last + self.penalty.last

    def cost_of(self, epoch: int) -> float:
        """Return loss plus penalty of an epoch, counted from 1."""
        return self.loss.at(epoch - 1) + self.penalty.at(epoch - 1)

    @property
    def cost(self) -> Column[float]:
        """Loss plus penalty, epoch by epoch."""
        return SumOfCurves(self.loss, self.penalty)

    def _repr_html_(self) -> str:
        """Return how the training ended, and its curves, for a notebook."""
        facts = [("epochs", f"{self.n_epochs:,}"), ("ended by", self.stopped_by or "not ended")]
        if self.message:
            facts.append(("minimiser", self.message))
        if self.n_epochs:
            facts.append(("last loss", f"{self.loss.last:.6g}"))
            if any(self.penalty):
                facts.append(("last penalty", f"{self.penalty.last:.6g}"))
        if self.best_epoch is not None:
            facts.append(("best epoch", f"{self.best_epoch:,}"))
        for name, curve in (("loss", self.validation_loss), ("score", self.validation_score)):
            if curve and self.best_epoch is not None and self.best_epoch <= len(curve):
                facts.append((f"validation {name} there", f"{curve[self.best_epoch - 1]:.6g}"))
        losses = {"loss": self.loss, "validation loss": self.validation_loss}
        return report_html(
            "History",
            facts_html(facts),
            curves_svg("Loss by epoch", losses, mark=self.best_epoch),
            curves_svg("Validation score by epoch", {"validation score": self.validation_score}),
            curves_svg("Learning rate by epoch", {"learning rate": self.learning_rate})
            if len(set(self.learning_rate)) > 1
            else "",
        )
