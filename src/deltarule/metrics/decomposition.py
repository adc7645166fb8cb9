"""Noise, bias² and variance of the expected squared error, by refitting (item E6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.checks import check_between, check_positive_integer
from deltarule.errors import DataError, ShapeError
from deltarule.metrics._inputs import Floats, finite_array

__all__ = ["Decomposition", "decompose_error"]

Rows = Callable[[np.random.Generator], Any]


@dataclass(frozen=True, eq=False)
class Decomposition:
    """What :func:`decompose_error` measured; each array has an entry for every row of ``at``.

    Attributes
    ----------
    noise : float
        σ², what no model can avoid.
    bias_squared_at, variance_at, error_at : (m,) arrays
        (ḡ − f)², the mean of (g_r − ḡ)² over the refits r, and σ² + the mean of (g_r − f)².
    mean_prediction : (m,) array
        ḡ, the mean of the refits' predictions.
    observed : float
        Mean squared error against fresh noisy targets: agrees with ``error`` up to chance.
    """

    noise: float
    bias_squared_at: Floats
    variance_at: Floats
    error_at: Floats
    mean_prediction: Floats
    observed: float

    @property
    def error(self) -> float:
        """E = noise + bias² + variance, measured on its own: not as their sum."""
        return float(self.error_at.mean())

    @property
    def bias_squared(self) -> float:
        """Mean of ``bias_squared_at``."""
        return float(self.bias_squared_at.mean())

    @property
    def variance(self) -> float:
        """Mean of ``variance_at``."""
        return float(self.variance_at.mean())

    def __str__(self) -> str:
        return (
            f"error {self.error:.6g} = noise {self.noise:.6g} + bias² {self.bias_squared:.6g} "
            f"+ variance {self.variance:.6g}"
        )


def decompose_error(
    estimator: Any,
    truth: Callable[[Any], npt.ArrayLike],
    X: Any | Rows,
    at: Any,
    *,
    noise: float,
    refits: int = 200,
    seed: int = 0,
) -> Decomposition:
    """Decompose the expected squared error of a method for a known regression function.

    E[(Y − g(x))²] = σ² + (f(x) − E g(x))² + Var g(x), averaged over the rows of ``at`` (item E6;
    Mebsout §6, whose formula is garbled: erratum E-ac). Each refit r sees new data
    y = f(X) + σξ, ξ standard normal. With the refits' own mean in the place of E g, and their mean
    square in that of the variance, the identity holds for the measured numbers exactly. As
    estimates, bias² is too large and the variance too small by Var g / refits on average; their
    sum is unbiased.

    Parameters
    ----------
    estimator : regressor, scikit-learn's or ours
        Cloned for each refit; give it a ``random_state`` for a repeatable answer.
    truth : callable
        f: rows to (n,) numbers.
    X : (n, d) array, or callable
        The training rows, the same for each refit; or a function of a ``Generator`` that draws new
        ones.
    at : (m, d) array
        Where the error is taken.
    noise : float
        σ ≥ 0, the standard deviation of Y about f.
    refits : int, default=200
        How many.
    seed : int, default=0
        Of all draws.

    Returns
    -------
    parts : Decomposition

    Raises
    ------
    SpecError
        If ``noise`` is negative, or ``refits`` no integer ≥ 1.
    ShapeError, DataError
        If f or the estimator returns something else than one finite number a row.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> x = np.linspace(-1, 1, 20)[:, None]
    >>> parts = decompose_error(LinearRegression(), lambda x: x[:, 0] ** 2, x, x, noise=0.1)
    >>> abs(parts.noise + parts.bias_squared + parts.variance - parts.error) < 1e-15
    True
    """
    from sklearn.base import clone

    sigma = check_between("noise", noise, 0.0, open_high=True)
    count = check_positive_integer("refits", refits)
    rng = np.random.default_rng(seed)
    f_at = _column("truth(at)", truth(at), len(at))
    predictions, squares = np.empty((count, len(f_at))), np.empty(count)
    for r in range(count):
        rows = X(rng) if callable(X) else X
        f = _column("truth(X)", truth(rows), len(rows))
        fitted = clone(estimator).fit(rows, f + sigma * rng.standard_normal(len(f)))
        predictions[r] = _column("estimator's prediction", fitted.predict(at), len(f_at))
        fresh = f_at + sigma * rng.standard_normal(len(f_at))
        squares[r] = np.mean((fresh - predictions[r]) ** 2)
    mean = predictions.mean(axis=0)
    return Decomposition(
        noise=sigma**2,
        bias_squared_at=(mean - f_at) ** 2,
        variance_at=((predictions - mean) ** 2).mean(axis=0),
        error_at=sigma**2 + ((predictions - f_at) ** 2).mean(axis=0),
        mean_prediction=mean,
        observed=float(squares.mean()),
    )


def _column(name: str, values: Any, n_rows: int) -> Floats:
    numbers = finite_array(name, values)
    if numbers.shape == (n_rows, 1):
        numbers = numbers[:, 0]
    if numbers.shape != (n_rows,):
        raise ShapeError(
            f"{name} must have shape {(n_rows,)}, one number a row; got {numbers.shape}."
        )
    if n_rows == 0:
        raise DataError(f"{name} is empty: there are no rows. Give at least one.")
    return numbers
