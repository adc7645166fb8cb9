"""The error for a loss that is not finite (item H4)."""

from __future__ import annotations

import numpy as np

from deltarule.errors import DivergenceError
from deltarule.utils.arrays import Array, is_sparse

__all__ = ["divergence_error"]

_LARGE = 1e3  # larger inputs should be standardised


def divergence_error(
    x: Array, y: Array, *, epochs: int, learning_rate: float | None = None
) -> DivergenceError:
    """Return the error for a non-finite loss in epoch ``epochs``, with the likely cause.

    The first sentences are scikit-learn's, so that code which searches for them finds them.
    """
    values = x.data if is_sparse(x) else np.asarray(x)
    largest = float(np.max(np.abs(values))) if values.size else 0.0
    target = float(np.max(np.abs(np.asarray(y)))) if np.asarray(y).size else 0.0
    if largest > _LARGE:
        cause = (
            f"The largest |X| is {largest:.3g}: standardise the inputs "
            "(sklearn.preprocessing.StandardScaler)."
        )
    elif target > _LARGE:
        cause = (
            f"The largest |y| is {target:.3g}: standardise the targets "
            "(sklearn.compose.TransformedTargetRegressor)."
        )
    elif learning_rate is not None:
        cause = (
            f"The inputs are of moderate size, so the learning rate {learning_rate:g} is the "
            f"likely cause: try {learning_rate / 10:g}."
        )
    else:
        cause = "The inputs are of moderate size: try a stronger penalty, or other initial weights."
    return DivergenceError(
        "Solver produced non-finite parameter weights. The input data may contain large values "
        f"and need to be preprocessed. The loss stopped being finite in epoch {epochs}; the best "
        f"finite parameters were restored. {cause}"
    )
