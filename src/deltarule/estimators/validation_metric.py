"""Validation of a fit: loss and score of the held-out rows, after every epoch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from inspect import signature
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np

from deltarule.errors import SpecError
from deltarule.estimators.fit_data import HeldOut, RawRows
from deltarule.estimators.fitted_model import FittedModel
from deltarule.estimators.sklearn_compat import (
    is_metric_scorer,
    resolve_scorer,
    takes_weights,
    with_labels,
)
from deltarule.network.scores import mean_of_rows, means_of_rows
from deltarule.program import Interpreter, State
from deltarule.training import Metrics
from deltarule.utils.arrays import all_finite, is_sparse

__all__ = ["ValidationMetric", "read_scorer", "score_of"]

_UNDEFINED = Metrics(loss=float("nan"), score=float("nan"))


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
    _check_call(scorer, monitor)
    if weighted and not takes_weights(scorer):
        raise SpecError(
            f"monitor={monitor!r} takes no sample_weight, but the rows held out have weights. "
            "Choose a scorer that does, or fit without weights."
        )
    return scorer


def score_of(
    scored: Callable[..., Any], monitor: Any, rows: RawRows, classes: Any
) -> Callable[[], float] | None:
    """Return what scores a fit as it stands on these rows; None for the model's own score.

    ``scored(scorer, X, y, **weights)`` is the value of a scorer for the fit.

    Scikit-learn's scorers are told all ``classes`` of the training set (None for a regressor), and
    are tried once on the untrained network.

    Raises
    ------
    SpecError
        If the metric is not defined on these rows, before the first epoch. A function of the
        user's is not tried, and raises its own errors.
    """
    scorer = read_scorer(monitor, weighted=rows.weight is not None)
    if scorer is None:
        return None
    if not is_metric_scorer(scorer):
        return _scoring(scorer, scored, monitor, rows)
    told = scorer if classes is None else with_labels(scorer, classes)
    metric = _scoring(told, scored, monitor, rows)

    def score() -> float:
        try:
            return metric()
        except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
            raise _undefined(monitor, classes, rows.y, f": {error}") from error

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an untrained network's predictions
        first = score()
    if not isfinite(first) and classes is not None and _lacking(classes, rows.y):
        raise _undefined(monitor, classes, rows.y, "")
    return score


def _scoring(
    scorer: Callable[..., float], scored: Callable[..., Any], monitor: Any, rows: RawRows
) -> Callable[[], float]:
    """Return a function that scores the estimator on the rows."""

    def score() -> float:
        given = rows.read_only()
        weights = {} if given.weight is None else {"sample_weight": given.weight}
        return _as_score(scored(scorer, given.X, given.y, **weights), monitor)

    return score


def _lacking(classes: Any, y: Any) -> str:
    """Return which classes or labels a metric misses in y, as part of a sentence; or nothing."""
    if np.ndim(y) == 2 and np.shape(y)[1] > 1:
        values = np.asarray(y.toarray() if is_sparse(y) else y)
        same = np.flatnonzero((values == values[:1]).all(axis=0))
        return f"have one value only in the columns {same.tolist()} of y" if len(same) else ""
    if len(classes) == 1:
        return f"have one class, {classes.tolist()[0]!r}, as the training rows do"
    missing = np.setdiff1d(classes, np.ravel(np.asarray(y)))
    return f"lack the classes {missing.tolist()}" if len(missing) else ""


def _undefined(monitor: Any, classes: Any, y: Any, reason: str) -> SpecError:
    """Return the error for a metric that these rows do not define."""
    if classes is None:
        instead = "such as 'r2' or 'neg_mean_squared_error'"
    elif np.ndim(y) == 2:
        instead = "such as 'f1_micro'"
    else:
        instead = "such as 'accuracy'"
    lacking, remedy = "" if classes is None else _lacking(classes, y), "Set"
    if lacking:
        lacking = f" The rows {lacking}."
        if len(classes) > 1:
            remedy = "Give rows of every class as X_val and y_val, or set"
    return SpecError(
        f"monitor={monitor!r} is not defined for the predictions on the validation rows"
        f"{reason.rstrip('.')}.{lacking} {remedy} monitor='loss', 'auto' or a scorer for these "
        f"targets, {instead}."
    )


def _check_call(scorer: Callable[..., float], monitor: Any) -> None:
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


def _as_score(value: Any, monitor: Any) -> float:
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


class ValidationMetric:
    """What measures the rows held out; both metrics are NaN if an output is not finite.

    Parameters
    ----------
    model : FittedModel
        The model that is fitted.
    held_out : HeldOut
        The rows.
    interpreter : Interpreter
        What runs the network.
    """

    keeps_state = True  # so that training passes its state and no read-only view
    evaluation: Any
    """What ``measure`` is given; None if the score needs the model as it stands."""

    def __init__(self, model: FittedModel, held_out: HeldOut, interpreter: Interpreter) -> None:
        self._block, self._score = held_out.block, held_out.score
        self._targets, self._scale = model.targets, model.loss_scale
        evaluation = interpreter.evaluation(held_out.block)
        self._evaluate = evaluation
        self.evaluation = evaluation if self._score is None else None

    def __call__(self, state: State) -> Metrics:
        """Return the mean loss and the score of a state."""
        outputs, losses = self._evaluate(state)
        if self._score is None:
            return self.measure_all(outputs[None], losses[None])[0]
        if not all_finite(outputs):
            return _UNDEFINED
        with np.errstate(over="ignore"):
            score = self._score()  # of the model, whose state this is
            return Metrics(self._scale * mean_of_rows(losses, self._block.weight), score)

    def measure_all(self, outputs: Any, losses: Any) -> list[Metrics]:
        """Return the metrics of several states with these outputs (m, n, k) and losses (m, n)."""
        y, weight = self._block.y, self._block.weight
        if not all_finite(outputs) and len(outputs) > 1:
            pairs = zip(outputs[:, None], losses[:, None], strict=True)
            return [self.measure_all(*pair)[0] for pair in pairs]
        if not all_finite(outputs):
            return [_UNDEFINED]
        with np.errstate(over="ignore"):  # numbers whose squares are infinite have an R² of -inf
            scores = self._targets.scores(y, outputs, weight)
            means = means_of_rows(losses, weight)
        return [
            Metrics(self._scale * mean, score) for mean, score in zip(means, scores, strict=True)
        ]
