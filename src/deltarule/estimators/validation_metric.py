"""Validation of a fit: loss and score of the held-out rows, after every epoch."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from numbers import Real
from typing import Any

import numpy as np

from deltarule.errors import SpecError
from deltarule.estimators.fit_data import HeldOut
from deltarule.estimators.fitted_model import FittedModel
from deltarule.estimators.sklearn_compat import resolve_scorer, takes_weights
from deltarule.program import Interpreter, State
from deltarule.training import Metrics

__all__ = ["as_score", "read_scorer", "validation_metric"]


def read_scorer(monitor: Any, *, weighted: bool) -> Callable[..., float] | None:
    """Return the user's scorer ``(estimator, X, y)``; None for the estimator's own score.

    Parameters
    ----------
    monitor : str or callable
        The estimator's argument.
    weighted : bool
        Whether the rows held out have sample weights, which the scorer then must take.
    """
    if isinstance(monitor, str) and monitor in ("auto", "loss"):
        return None
    scorer = resolve_scorer(monitor)
    check_call(scorer, monitor)
    if weighted and not takes_weights(scorer):
        raise SpecError(
            f"monitor={monitor!r} takes no sample_weight, but the rows held out have weights. "
            "Choose a scorer that does, or fit without weights."
        )
    return scorer


def check_call(scorer: Callable[..., float], monitor: Any) -> None:
    """Refuse a function that cannot be called with an estimator, X and y."""
    try:
        signature(scorer).bind(None, None, None)
    except ValueError:  # a function in C without a signature
        return
    except TypeError as error:
        raise SpecError(
            f"monitor={monitor!r} must be callable as monitor(estimator, X, y); {error}. Give "
            "it these three parameters, or name a scorer such as 'r2'."
        ) from error


def as_score(value: Any, monitor: Any) -> float:
    """Return what the user's scorer returned as a float.

    Raises
    ------
    SpecError
        If it is not one number.
    """
    plain = value.item() if getattr(value, "shape", None) == () else value
    if not isinstance(plain, Real):
        raise SpecError(
            f"monitor={monitor!r} must return a number, which is better when higher; got "
            f"{value!r:.80}. Return a float, such as the value of a scorer."
        )
    return float(plain)


def validation_metric(
    model: FittedModel,
    held_out: HeldOut,
    interpreter: Interpreter,
    score: Callable[[], float] | None,
) -> Callable[[State], Metrics]:
    """Return what measures the rows held out; both metrics are NaN if an output is not finite.

    ``score`` is the user's scorer of the estimator as it stands, on these rows.
    """
    block, scale = held_out.block, model.loss_scale

    def measure(state: State) -> Metrics:
        outputs = interpreter.forward(state, block)
        if not np.isfinite(outputs).all():
            return Metrics(loss=float("nan"), score=float("nan"))
        with np.errstate(over="ignore"):  # numbers whose squares are infinite have an R² of -inf
            if score is not None:
                scored = score()
            else:
                scored = model.targets.score(block.y, outputs, block.weight)
            loss = float(np.average(interpreter.losses(state, block), weights=block.weight))
        return Metrics(loss=scale * loss, score=scored)

    return measure
