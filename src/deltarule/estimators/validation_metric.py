"""What early stopping measures after every epoch: the loss and a score of the held-out rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from deltarule.errors import SpecError
from deltarule.estimators.fit_data import Given, HeldOut
from deltarule.estimators.sklearn_compat import resolve_scorer, takes_weights
from deltarule.program import State
from deltarule.training.loop import Figures

if TYPE_CHECKING:
    from deltarule.estimators.base import BaseMLP

__all__ = ["check_monitor", "maximizes", "monitor_of"]


def maximizes(estimator: BaseMLP) -> bool:
    """Whether what is watched is better when it is high: a score, not a loss."""
    return bool(estimator.early_stopping) and estimator.monitor != "loss"


def check_monitor(estimator: BaseMLP, given: Given) -> None:
    """Refuse a scorer that cannot take the weights of the rows held out."""
    _scorer(estimator, given)


def monitor_of(estimator: BaseMLP, held_out: HeldOut) -> Callable[[State], Figures]:
    """Return what measures the held-out rows; a figure that is no number comes as NaN."""
    interpreter = estimator._interpreter()
    block, scale = held_out.block, estimator._loss_scale()
    scorer = _scorer(estimator, held_out.given)

    def measure(state: State) -> Figures:
        outputs = interpreter.forward(state, block)
        if not np.isfinite(outputs).all():
            return Figures(loss=float("nan"), score=float("nan"))
        with np.errstate(over="ignore"):  # R² of numbers whose squares are infinite: -inf
            if scorer is not None:
                score = scorer(held_out.given)
            else:
                score = estimator._score_targets(block.y, outputs, block.weight)
            loss = float(np.average(interpreter.losses(state, block), weights=block.weight))
        return Figures(loss=scale * loss, score=score)

    return measure


def _scorer(estimator: BaseMLP, given: Given) -> Callable[[Given], float] | None:
    """Return a user's scorer of the estimator as it stands; None for the estimator's own score."""
    monitor: Any = estimator.monitor
    if isinstance(monitor, str) and monitor in ("auto", "loss"):
        return None
    scorer = resolve_scorer(monitor)
    if given.weight is not None and not takes_weights(scorer):
        raise SpecError(
            f"monitor={monitor!r} takes no sample_weight, but the rows held out have weights. "
            "Choose a scorer that does, or fit without weights."
        )

    def score(rows: Given) -> float:
        weights = {} if rows.weight is None else {"sample_weight": rows.weight}
        return float(scorer(estimator, rows.X, rows.y, **weights))

    return score
