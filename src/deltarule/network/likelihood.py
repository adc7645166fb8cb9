"""Losses as negative log-likelihoods (item L5; Khabar §4.1-4.3, §5; Ayrapetyan §2)."""

from __future__ import annotations

from math import log, pi
from typing import Any

import numpy as np

from deltarule.errors import SpecError
from deltarule.network.targets import Targets
from deltarule.program import Block
from deltarule.spec import NetworkSpec, loss_name
from deltarule.utils.arrays import to_numpy
from deltarule.utils.blas import dot

__all__ = ["log_likelihood"]


def log_likelihood(
    spec: NetworkSpec, mean_loss: float, outputs: Any, targets: Targets, block: Block
) -> float:
    """Return the log-likelihood Σ_i w_i log p(y_i | x_i), in natural logarithms.

    * Cross-entropies: −Σ w L, since each loss is −log p of a Bernoulli or categorical row (with
      soft targets, the expectation of −log p).
    * Squared error: Gaussian with one variance per target. Its maximum-likelihood value is
      σ̂_k² = RSS_k/n, which gives −(n/2) Σ_k (log 2πσ̂_k² + 1).
    * Poisson: Σ w (y log a − a − log y!).

    With members, cross-entropies are those of the mean output, not the mean of the losses.
    """
    from scipy.special import gammaln, xlog1py, xlogy

    y = np.asarray(targets.values, dtype=np.float64)
    n = y.shape[0]
    weight = np.ones(n) if block.weight is None else to_numpy(block.weight).astype(np.float64)
    total = float(weight.sum())
    name = loss_name(spec.loss)
    if spec.members > 1 and name in ("binary_cross_entropy", "categorical_cross_entropy"):
        a = np.asarray(outputs, dtype=np.float64)
        terms = xlogy(y, a)
        if name == "binary_cross_entropy":
            terms = terms + xlog1py(1 - y, -a)
        return dot(weight, terms.sum(axis=1))
    if name in ("binary_cross_entropy", "categorical_cross_entropy"):
        return -total * mean_loss
    if name == "squared_error":
        squares = (np.asarray(outputs, dtype=np.float64) - y) ** 2
        variance = np.sum(weight[:, None] * squares, axis=0) / total
        if (variance == 0).any():
            return float("inf")
        return float(-total / 2 * sum(log(2 * pi * v) + 1 for v in variance))
    if name == "poisson":
        return dot(weight, (xlogy(y, outputs) - outputs - gammaln(y + 1)).sum(axis=1))
    raise SpecError(
        f"loss={name!r} has no log-likelihood. Use a network with the loss squared_error, "
        "binary_cross_entropy, categorical_cross_entropy or poisson."
    )
