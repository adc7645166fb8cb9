"""What the history records of an epoch: the means of its steps' losses and penalties."""

from __future__ import annotations

from math import isfinite

import numpy as np

from deltarule.program import StepLog
from deltarule.utils.arrays import Array
from deltarule.utils.blas import dot

__all__ = ["epoch_means", "mean_of_one"]


def epoch_means(steps: StepLog, *, diverged: bool) -> tuple[float, float]:
    """Return an epoch's mean loss and penalty by weight; after a divergence, the last ones."""
    weights = steps.weight
    if len(weights) == 1:
        return mean_of_one(
            float(steps.loss[0]), float(steps.penalty[0]), float(weights[0]), diverged=diverged
        )
    weight = float(weights.sum())
    if diverged or weight == 0:
        return float(steps.loss[-1]), float(steps.penalty[-1])
    return _mean(steps.loss, weights, weight), _mean(steps.penalty, weights, weight)


def mean_of_one(
    loss: float, penalty: float, weight: float, *, diverged: bool
) -> tuple[float, float]:
    """Return the same for an epoch of one step, which is often a short one."""
    if diverged or weight == 0:
        return loss, penalty
    return _alone(loss, weight), 0.0 if penalty == 0.0 else _alone(penalty, weight)


def _alone(value: float, weight: float) -> float:
    mean = (0.0 + value * weight) / weight
    return mean if isfinite(mean) else value * (weight / weight)


def _mean(values: Array, weights: Array, total: float) -> float:
    with np.errstate(over="ignore"):
        mean = dot(values, weights) / total
    return mean if isfinite(mean) else dot(values, weights / total)  # their sum overflows
