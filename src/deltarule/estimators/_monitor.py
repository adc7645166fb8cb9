"""Validation of a fit: loss and score of the held-out rows, after every epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from deltarule.errors import SpecError
from deltarule.estimators._rows import Given, HeldOut
from deltarule.estimators._sklearn import resolve_scorer, takes_weights
from deltarule.program import State
from deltarule.training import Metrics

if TYPE_CHECKING:
    from deltarule.estimators._base import BaseMLP

__all__ = ["check_monitor", "maximizes", "monitor_of"]


def maximizes(estimator: BaseMLP) -> bool:
    """Return whether early stopping watches a score, which is to be high, not a loss."""
    return bool(estimator.early_stopping) and estimator.monitor != "loss"


def check_monitor(estimator: BaseMLP, given: Given) -> None:
    """Refuse a scorer that takes no sample weights, if the held-out rows have weights."""
    _scorer(estimator, given)


def monitor_of(estimator: BaseMLP, held_out: HeldOut) -> Callable[[State], Metrics]:
    """Return the function that measures a state on the held-out rows.

    Both metrics are NaN if an output is not finite.
    """
    interpreter = estimator._interpreter()
    block, scale = held_out.block, estimator._loss_scale()
    scorer = _scorer(estimator, held_out.given)

    def measure(state: State) -> Metrics:
        outputs = interpreter.forward(state, block)
        if not np.isfinite(outputs).all():
            return Metrics(loss=float("nan"), score=float("nan"))
        with np.errstate(over="ignore"):  # R² of numbers whose squares are infinite: -inf
            if scorer is not None:
                score = scorer(held_out.given)
            else:
                score = estimator._score_targets(block.y, outputs, block.weight)
            loss = float(np.average(interpreter.losses(state, block), weights=block.weight))
        return Metrics(loss=scale * loss, score=score)

    return measure


def _scorer(estimator: BaseMLP, given: Given) -> Callable[[Given], float] | None:
    """Return a function that scores the estimator by the user's scorer; None if there is none."""
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
