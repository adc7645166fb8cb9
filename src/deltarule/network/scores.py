"""Accuracy and R² as scikit-learn computes them, to the bit, without its checks in every epoch."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["accuracy", "mean_of_rows", "means_of_rows", "r_squared"]


def accuracy(truth: Any, predicted: Any, weight: Any = None) -> float:
    """Return the weighted share of rows that are right; of several labels, all must be.

    Parameters
    ----------
    truth, predicted : (n,) or (n, k) arrays
        Class numbers, or labels 0 and 1.
    weight : (n,) array, optional
        Weights of the rows.
    """
    right = truth == predicted
    if right.ndim == 2:
        right = right[:, 0] if right.shape[1] == 1 else right.all(axis=1)
    if weight is None:
        return int(np.count_nonzero(right)) / len(right)
    return float(np.average(right, weights=weight))


def r_squared(truth: Any, predicted: Any, weight: Any = None) -> float:
    """Return R², the mean over the columns; 1 or 0 for a column of equal numbers.

    Parameters
    ----------
    truth, predicted : (n, k) arrays
        Finite numbers.
    weight : (n,) array, optional
        Weights of the rows.
    """
    dtypes = {array.dtype for array in (truth, predicted, weight) if array is not None}
    if len(truth) < 2 or len(dtypes) > 1:  # a warning, or another type to compute in
        from sklearn.metrics import r2_score

        return float(r2_score(truth, predicted, sample_weight=weight))
    w = 1.0 if weight is None else weight[:, None]
    mean = np.average(truth, axis=0, weights=weight)
    residual = np.sum(w * (truth - predicted) ** 2, axis=0)
    total = np.sum(w * (truth - mean) ** 2, axis=0)
    scores = np.ones(len(total), dtype=residual.dtype)
    wrong, varies = residual != 0, total != 0
    valid = wrong & varies
    scores[valid] = 1 - residual[valid] / total[valid]
    scores[wrong & ~varies] = 0.0
    return float(np.average(scores))


def mean_of_rows(values: Any, weight: Any = None) -> float:
    """Return the weighted mean of a number for each row (n,), in the type of the numbers."""
    if weight is not None:
        return float(np.average(values, weights=weight))
    total = np.add.reduce(values)
    return float(total.dtype.type(float(total) / len(values)))  # as mean() rounds


def means_of_rows(values: Any, weight: Any = None) -> list[float]:
    """Return ``mean_of_rows`` of every line of (m, n) numbers, to the bit."""
    if weight is not None:
        return [mean_of_rows(line, weight) for line in values]
    totals, n = np.add.reduce(values, axis=1), values.shape[1]
    means: list[float] = (totals.astype(np.float64) / n).astype(totals.dtype).tolist()
    return means
