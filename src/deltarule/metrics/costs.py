"""The cost of a fitted model on given rows, for cross-validation and learning curves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.metrics._inputs import (
    Floats,
    any_array,
    check_rows,
    finite_array,
    flat_column,
)
from deltarule.utils.checks import check_call, shown

__all__ = ["Cost", "mean_loss", "row_losses"]

Cost = str | Callable[[Any, Any, Any], float] | None
"""The name of a scorer, a function of (fitted model, X, y) to be minimised, or None: the loss."""


def row_losses(model: Any, X: Any, y: Any) -> Floats:
    """Return the loss of every row under a fitted estimator of scikit-learn or deltarule.

    For classifiers −ln p of the true class, for regressors ½‖y − ŷ‖², summed over the targets: the
    losses that networks are trained with (items L2, L3), with the same ½.

    Parameters
    ----------
    model : fitted classifier or regressor
        A classifier needs ``predict_proba``.
    X, y : arrays
        Rows and their targets (classes or numbers).

    Returns
    -------
    losses : (n,) array
        Non-negative; ∞ is replaced by −ln 2.2e-16 = 36.04, as in scikit-learn's ``log_loss``.

    Raises
    ------
    SpecError
        If the classifier has no ``predict_proba``.
    DataError
        If y has a class that the model was not trained on, or several labels per row.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    >>> row_losses(model, [[2.0]], [4.0]).round(12).tolist()
    [2.0]
    """
    from sklearn.base import is_classifier

    if not hasattr(model, "__sklearn_tags__") or isinstance(model, type):
        raise SpecError(f"model must be a fitted classifier or regressor; got {shown(model)}.")
    check_rows(X, y)
    if not is_classifier(model):
        predicted = np.asarray(model.predict(X), dtype=np.float64)
        true = finite_array("y", y)
        if predicted.shape != true.shape:
            true, predicted = flat_column(true), flat_column(predicted)
        if predicted.shape != true.shape:
            raise ShapeError(
                f"y must have the shape of the model's predictions, {predicted.shape}; got "
                f"{true.shape}."
            )
        halves: Floats = (predicted - true) ** 2 / 2
        return halves if halves.ndim == 1 else np.asarray(halves.sum(axis=1))
    if not hasattr(model, "predict_proba"):
        raise SpecError(
            f"model must have predict_proba for the log-loss; {type(model).__name__} has none. "
            "Choose another cost, such as cost='accuracy'."
        )
    targets, classes = flat_column(any_array("y", y)), np.asarray(model.classes_)
    if targets.ndim != 1:
        raise DataError(
            f"y must contain one class per row; got shape {targets.shape}. Pass your own "
            "cost function."
        )
    try:
        at = np.searchsorted(classes, targets)
    except TypeError as error:
        raise DataError(
            f"y must contain the model's classes, such as {classes[0]!r}; got dtype "
            f"{targets.dtype}."
        ) from error
    known = classes[np.minimum(at, len(classes) - 1)] == targets
    if not np.all(known):
        unseen = np.unique(targets[~known])[:3].tolist()
        raise DataError(
            f"y has classes that the model was not trained on: {unseen}. Stratify the split."
        )
    probabilities = np.asarray(model.predict_proba(X), dtype=np.float64)
    of_true = probabilities[np.arange(len(targets)), at]
    return np.asarray(-np.log(np.clip(of_true, np.finfo(np.float64).eps, 1.0)))


def mean_loss(model: Any, X: Any, y: Any) -> float:
    """Return the mean of :func:`row_losses`.

    Parameters
    ----------
    model : fitted classifier or regressor
        A classifier needs ``predict_proba``.
    X, y : arrays
        Rows and their targets (classes or numbers).
    """
    return float(row_losses(model, X, y).mean())


def as_scorer(cost: Cost) -> Any:
    """Return the scorer of a cost: a function that scikit-learn maximises."""
    if cost is None:
        return lambda model, X, y: -mean_loss(model, X, y)
    if callable(cost):
        check_call("cost", cost, "cost(model, X, y)", 3)
        return lambda model, X, y: -float(cost(model, X, y))
    from sklearn.metrics import get_scorer

    try:
        if isinstance(cost, str):
            return get_scorer(cost)
        raise ValueError("neither a name nor a function")
    except ValueError as error:
        raise SpecError(
            f"cost must be a function, None, or one of sklearn.metrics.get_scorer_names(); "
            f"got {shown(cost)}."
        ) from error


def to_cost(cost: Cost, scores: Any) -> Floats:
    """Return costs from scores: −score, or 1 − score if the best possible score is 1."""
    best = 1.0 if isinstance(cost, str) and not cost.startswith("neg_") else 0.0
    return best - np.asarray(scores, dtype=np.float64)
