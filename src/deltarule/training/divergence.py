"""Numbers that overflow in training: the error for a loss, the warning for steps (item H4)."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np

from deltarule.errors import DivergenceError, FrozenTrainingWarning
from deltarule.program import State
from deltarule.utils.arrays import Array, is_sparse, to_numpy

__all__ = ["divergence_error", "frozen_parameters", "has_jumped", "warn_of_frozen"]

_LARGE = 1e3  # larger inputs should be standardised
_RATIO = 10.0
"""If an epoch starts with a cost more than this many times the best one, the steps of the best
epoch are assumed to have caused the divergence."""


def has_jumped(first_cost: float, best_cost: float) -> bool:
    """Return whether the cost of an epoch's first step is NaN, or far above the best epoch's."""
    return not first_cost <= _RATIO * best_cost


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


def frozen_parameters(state: State) -> int:
    """Return how many parameters no longer move, because the squares of their gradients overflow.

    The memories of optimisers such as Adam and RMSprop divide the steps by them.
    """
    held: Any = () if state.optimizer_state is None else state.optimizer_state
    held = getattr(held, "inner", held) or ()
    arrays = [to_numpy(array) for array in held if hasattr(array, "shape")]
    if all(bool(np.isfinite(array).all()) for array in arrays):
        return 0
    return int(np.count_nonzero(np.any([np.isinf(array) for array in arrays], axis=0)))


def warn_of_frozen(frozen: int, state: State, x: Array, optimizer: Any) -> None:
    """Warn that ``frozen`` parameters stand still; the warning points outside of deltarule."""
    values = x.data if is_sparse(x) else np.asarray(x)
    largest = float(np.max(np.abs(values))) if values.size else 0.0
    dtype = to_numpy(state.theta).dtype
    wider = ", use float64" if dtype.itemsize < 8 else ""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_inside(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    warnings.warn(
        f"{frozen} of {state.theta.size} parameters no longer move: the squares of their gradients "
        f"overflow {dtype} in the memory of {type(optimizer).__name__}, which divides steps by "
        f"them. The largest |X| is {largest:.3g}. Standardise X and y{wider}, or clip gradients "
        "(clipping=ClipNorm(1.0) in train, gradient_clip=1.0 in the estimators).",
        FrozenTrainingWarning,
        stacklevel=level,
    )


def _is_inside(module: str) -> bool:
    return module.partition(".")[0] in ("deltarule", "sklearn")
