"""What displays are made of: checks with messages that name the argument."""

from __future__ import annotations

from typing import Any

import numpy as np

from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.network import Network
from deltarule.network.trace import Trace
from deltarule.utils.checks import numeric_array, shown

__all__ = ["check_estimator", "check_network", "check_trace", "finite_numbers", "two_classes"]


def check_estimator(estimator: Any, method: str) -> None:
    """Raise ``SpecError`` unless this is an estimator that has what a display needs of it.

    A method that is not there before a fit raises scikit-learn's ``NotFittedError``.
    """
    from sklearn.utils.validation import check_is_fitted

    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise SpecError(
            f"estimator must be a fitted MLPClassifier or MLPRegressor; got {shown(estimator)}."
        )
    check_is_fitted(estimator)
    if not hasattr(estimator, method):
        raise SpecError(
            f"estimator must have {method}, as a fitted MLPClassifier has; got {shown(estimator)}."
        )


def check_network(net: Any) -> None:
    """Raise ``SpecError`` unless this is a network."""
    if not isinstance(net, Network):
        raise SpecError(f"net must be a Network; got {shown(net)}.")


def check_trace(trace: Any) -> None:
    """Raise ``SpecError`` unless this is what ``Network.trace`` returns."""
    if not isinstance(trace, Trace):
        raise SpecError(f"trace must be what net.trace(state, X, y) returns; got {shown(trace)}.")


def finite_numbers(name: str, values: Any) -> Any:
    """Return numbers as a float64 array, or raise ``DataError`` unless they are finite."""
    array = numeric_array(name, values).astype(np.float64)
    if not np.isfinite(array).all():
        raise DataError(f"{name} must be finite; got NaN or infinity. Leave such rows out.")
    return array


def two_classes(y_true: Any, y_score: Any) -> tuple[Any, Any]:
    """Return 0/1 targets (n,) and their scores (n,), checked together."""
    scores = finite_numbers("y_score", y_score)
    if scores.ndim != 1 or not len(scores):
        raise ShapeError(f"y_score must have shape (n,) with n ≥ 1; got {scores.shape}.")
    targets = numeric_array("y_true", y_true)
    if targets.shape != scores.shape:
        raise ShapeError(
            f"y_true must have the shape of y_score, {scores.shape}; got {targets.shape}."
        )
    if not np.isin(targets, (0, 1)).all():
        raise DataError(
            "y_true must be 0 or 1, or False or True; got other values. Give y == the positive "
            "class."
        )
    return targets.astype(bool), scores
