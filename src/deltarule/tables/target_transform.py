"""Skewed targets made even: a network learns their square roots or logarithms, and predicts y.

Squared errors of a target with a long tail are nearly all of its few largest values. Of the square
root and the logarithm, each as z ↦ (z − mean)/scale, the one with less skewness is learned, if it
takes away more than half of the target's.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["TargetTransform", "back_from", "choose_transform", "onto"]

TargetTransform = Literal["none", "sqrt", "log"]
Numbers = NDArray[np.float64]

_SKEWED, _REST = 1.0, 0.5
"""Highly skewed targets (Bulmer 1979) are transformed, if at most this share of it is left."""


def onto(transform: TargetTransform, y: NDArray[Any], offset: float = 0.0) -> NDArray[Any]:
    """Return y, √y or log(y + offset)."""
    if transform == "sqrt":
        return np.sqrt(y)
    return np.log(y + offset) if transform == "log" else y


def back_from(transform: TargetTransform, z: NDArray[Any], offset: float = 0.0) -> NDArray[Any]:
    """Return z, z² of numbers above 0 and else 0, or exp(z) − offset; what overflows is ∞."""
    with np.errstate(over="ignore"):
        if transform == "sqrt":
            return np.maximum(z, 0) ** 2
        return np.exp(z) - offset if transform == "log" else z


def choose_transform(y: Numbers, offset: float) -> TargetTransform:
    """Return what makes numbers y ≥ 0 even, if anything does; "log" is that of y + offset."""
    before = _skewness(y)
    if before <= _SKEWED:
        return "none"
    ways: tuple[TargetTransform, ...] = ("sqrt", "log")
    after = {way: abs(_skewness(onto(way, y, offset))) for way in ways}
    best = min(ways, key=lambda way: after[way])
    return best if after[best] < _REST * before else "none"


def _skewness(y: Numbers) -> float:
    """Return the mean of ((y − mean)/standard deviation)³; 0 if all numbers are the same."""
    deviations = y - y.mean()
    largest = np.abs(deviations).max(initial=0.0)
    if largest == 0:
        return 0.0
    deviations = deviations / largest  # so that no cube overflows
    return float(np.mean(deviations**3) / np.mean(deviations**2) ** 1.5)
