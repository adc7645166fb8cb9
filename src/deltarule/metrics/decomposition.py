"""Decomposition of the expected squared error into noise, bias² and variance (item E6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError, ShapeError
from deltarule.metrics._inputs import Floats, check_estimator, finite_array
from deltarule.utils.checks import check_between, check_call, check_count, check_seed, shown

__all__ = ["Decomposition", "decompose_error"]

_MOST_NOISE = 1e150  # so that σ² is finite
_MOST_REFITS = 2**31

Rows = Callable[[np.random.Generator], Any]


@dataclass(frozen=True, eq=False)
class Decomposition:
    """The result of :func:`decompose_error`; arrays have an entry for every row of ``at``.

    Attributes
    ----------
    noise : float
        σ², the error that no model can avoid.
    bias_squared_at, variance_at, error_at : (m,) arrays
        (ḡ − f)², the mean of (g_r − ḡ)² over the refits r, and σ² + the mean of (g_r − f)².
    mean_prediction : (m,) array
        ḡ, the mean of the refits' predictions.
    observed : float
        The mean squared error against new noisy targets; equal to ``error`` in expectation.
    """

    noise: float
    bias_squared_at: Floats
    variance_at: Floats
    error_at: Floats
    mean_prediction: Floats
    observed: float

    @property
    def error(self) -> float:
        """E = noise + bias² + variance, measured independently of the three terms."""
        return float(self.error_at.mean())

    @property
    def bias_squared(self) -> float:
        """The mean of ``bias_squared_at``."""
        return float(self.bias_squared_at.mean())

    @property
    def variance(self) -> float:
        """The mean of ``variance_at``."""
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
    """Return the decomposed expected squared error of a method, for a known regression function.

    E[(Y − g(x))²] = σ² + (f(x) − E g(x))² + Var g(x), averaged over the rows of ``at`` (item E6;
    Mebsout §6, whose formula is garbled: erratum E-ac). Each refit r uses new data
    y = f(X) + σξ, ξ standard normal. With the refits' mean for E g and their mean squared deviation
    for Var g, the identity holds exactly for the measured numbers. As an estimate, bias² is too
    large and the variance too small by Var g / refits on average; their sum is unbiased.

    Parameters
    ----------
    estimator : scikit-learn regressor
        Cloned for each refit. Set its ``random_state`` for a reproducible result.
    truth : callable
        f: a function from rows to (n,) numbers.
    X : (n, d) array, or callable
        The training rows, the same for each refit; or a function of a ``Generator`` that draws new
        rows.
    at : (m, d) array
        The rows at which the error is measured.
    noise : float
        σ in [0, 10¹⁵⁰], the standard deviation of Y about f.
    refits : int, default=200
        The number of refits.
    seed : int, default=0
        The seed of all random draws.

    Returns
    -------
    parts : Decomposition

    Raises
    ------
    SpecError
        If ``noise`` is negative, or ``refits`` is not an integer ≥ 1.
    ShapeError, DataError
        If f or the estimator does not return one finite number per row.

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
    check_between("noise", noise, 0.0, _MOST_NOISE)
    count = check_count("refits", refits, least=1, below=_MOST_REFITS)
    rng = np.random.default_rng(check_seed("seed", seed))
    check_estimator("estimator", estimator, "fit", "predict")
    check_call("truth", truth, "truth(X)", 1)
    for name, given in (("X", X), ("at", at)):
        if name == "X" and callable(given) and not isinstance(given, type):
            continue
        if len(getattr(given, "shape", ())) != 2:
            raise ShapeError(f"{name} must be an (n, d) array; got {shown(given)}.")
    if callable(X):
        check_call("X", X, "X(rng)", 1)
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
            f"{name} must have shape {(n_rows,)}, one number per row; got {numbers.shape}. "
            "Return a single column."
        )
    if n_rows == 0:
        raise DataError(f"{name} has no rows. Pass at least one row.")
    return numbers
