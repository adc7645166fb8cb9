"""Information criteria (AIC and BIC): the fit against the number of parameters (item E5)."""

from __future__ import annotations

import math
from typing import NamedTuple

from deltarule.errors import SpecError
from deltarule.utils.checks import check_between, check_positive_integer

__all__ = ["InformationCriteria", "information_criteria"]


_MOST = 1e300  # so that twice as much is finite


class InformationCriteria(NamedTuple):
    """AIC and BIC of a fitted model; of two models of the same data, prefer the lower value."""

    aic: float
    bic: float


def information_criteria(log_likelihood: float, n_parameters: int, n: int) -> InformationCriteria:
    """Return AIC = 2k − 2 ln L̂ and BIC = k ln n − 2 ln L̂ (item E5).

    Parameters
    ----------
    log_likelihood : float
        ln L̂, the log-likelihood of all n rows at the maximum (a sum, not a mean), in nats.
    n_parameters : int
        k, the number of fitted parameters. For Gaussian targets, σ² is one of them.
    n : int
        The number of rows.

    Raises
    ------
    SpecError
        If the log-likelihood is not finite, or a count is not an integer ≥ 1.

    Examples
    --------
    >>> information_criteria(-10.0, 3, 100)
    InformationCriteria(aic=26.0, bic=33.815510557964274)
    """
    fit = check_between(
        "log_likelihood", log_likelihood, float("-inf"), open_low=True, open_high=True
    )
    k = check_positive_integer("n_parameters", n_parameters)
    if abs(fit) > _MOST:
        raise SpecError(f"log_likelihood must be within ±{_MOST:g}; got {log_likelihood!r}.")
    return InformationCriteria(
        aic=2 * k - 2 * fit,
        bic=k * math.log(check_positive_integer("n", n)) - 2 * fit,
    )
