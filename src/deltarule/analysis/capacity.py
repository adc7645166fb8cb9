"""Least squares and ridge regression, and capacity by polynomial degree (item M8; Khabar §9-10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.utils.blas import one_blas_thread
from deltarule.utils.checks import (
    check_between,
    check_count,
    check_name,
    check_sequence,
    shown,
)

__all__ = ["CapacityTable", "capacity_table", "least_squares", "polynomial_features", "ridge"]

Floats = npt.NDArray[np.float64]

_MOST_DEGREES = 2**20


def polynomial_features(x: npt.ArrayLike, degree: int) -> Floats:
    """Return all monomials of x up to a degree, starting with the constant.

    For one feature, x = 2 and degree 2 give [1, 2, 4]. For several features the order is that of
    scikit-learn's ``PolynomialFeatures``.

    Parameters
    ----------
    x : number, (n,) or (n, d) array-like
        One example, n examples of one feature, or n examples of d features.
    degree : int
        ≥ 0.

    Returns
    -------
    features : (degree + 1,), (n, degree + 1) or (n, C(d + degree, d)) array

    Raises
    ------
    SpecError
        If the degree is not an integer ≥ 0.
    ShapeError, DataError
        If x is not a number, column or matrix of finite numbers.

    Examples
    --------
    >>> polynomial_features(2, 2).tolist()
    [1.0, 2.0, 4.0]
    """
    return _monomials("x", x, check_count("degree", degree, below=_MOST_DEGREES))


def _monomials(name: str, x: npt.ArrayLike, degree: int) -> Floats:
    rows = _finite(name, x)
    if rows.ndim > 2 or rows.size == 0:
        raise ShapeError(
            f"{name} must be a number, (n,) or (n, d), with at least one value; got shape "
            f"{rows.shape}."
        )
    with np.errstate(over="ignore"):  # reported below
        if rows.ndim == 2 and rows.shape[1] != 1:
            from sklearn.preprocessing import PolynomialFeatures

            powers = np.asarray(PolynomialFeatures(degree).fit_transform(rows))
        else:
            powers = np.vander(rows.ravel(), degree + 1, increasing=True)
    if not np.isfinite(powers).all():
        raise DataError(
            f"{name} has powers that are too large for a float; got values up to "
            f"{np.abs(rows).max():g} and degree {degree}. Scale {name} to about [−1, 1]."
        )
    return powers[0] if rows.ndim == 0 else powers


@one_blas_thread()
def least_squares(X: npt.ArrayLike, y: npt.ArrayLike, *, method: str = "svd") -> Floats:
    """Return the β with the smallest norm among those that minimise ‖y − Xβ‖².

    If X has full column rank, β = (XᵀX)⁻¹Xᵀy (Khabar §9). It is computed without XᵀX, whose
    condition number is the square of that of X. Otherwise many β fit equally well, and this one is
    the shortest.

    Parameters
    ----------
    X : (n, p) array-like
        Features; add a column of ones for an intercept.
    y : (n,) or (n, k) array-like
        Targets.
    method : {"svd", "qr"}, default="svd"
        Singular values, or QR with column pivoting; both give the same β up to rounding. Singular
        values below max(n, p)·2.2e-16 times the largest one count as zero.

    Returns
    -------
    beta : (p,) or (p, k) array

    Raises
    ------
    SpecError, ShapeError, DataError
        If the method is unknown, or if X and y do not match or are not finite.

    Examples
    --------
    >>> least_squares([[1, 0], [1, 1], [1, 2]], [1, 3, 5]).round(12).tolist()
    [1.0, 2.0]
    """
    from scipy.linalg import lstsq

    check_name("method", method, ("svd", "qr"))
    matrix, targets = _problem(X, y)
    driver = {"svd": "gelsd", "qr": "gelsy"}[method]
    return np.asarray(lstsq(matrix, targets, cond=_cut(matrix), lapack_driver=driver)[0])


@one_blas_thread()
def ridge(X: npt.ArrayLike, y: npt.ArrayLike, strength: float) -> Floats:
    """Return the β that minimises ‖y − Xβ‖² + λ‖β‖² (ridge regression), by singular values.

    β = (XᵀX + λI)⁻¹Xᵀy = V diag(s/(s² + λ)) Uᵀy for X = U diag(s) Vᵀ (Khabar §10). Every column
    is penalised, a constant column too. Unlike L1, ridge makes no β_j exactly zero (erratum E-ad).

    Parameters
    ----------
    X : (n, p) array-like
        Features.
    y : (n,) or (n, k) array-like
        Targets.
    strength : float
        λ ≥ 0; with 0 it is :func:`least_squares`.

    Returns
    -------
    beta : (p,) or (p, k) array

    Raises
    ------
    SpecError, ShapeError, DataError
        If λ is negative or not finite, or if X and y do not match or are not finite.

    Examples
    --------
    >>> ridge([[3.0], [4.0]], [3.0, 4.0], 25.0).round(12).tolist()
    [0.5]
    """
    lam = check_between("strength", strength, 0.0, open_high=True)
    if lam == 0:
        return least_squares(X, y)
    matrix, targets = _problem(X, y)
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    factors = np.where(s > _cut(matrix) * s[0], s / (s**2 + lam), 0.0)
    return np.asarray((vt.T * factors) @ (u.T @ targets))


@dataclass(frozen=True, eq=False)
class CapacityTable:
    """Result of :func:`capacity_table`; ``print`` shows it as a table.

    Attributes
    ----------
    degrees : (a,) array of int
    strengths : (b,) array
        λ.
    train_rmse, unseen_rmse : (a, b) arrays
        Root mean squared errors.
    """

    degrees: npt.NDArray[np.int64]
    strengths: Floats
    train_rmse: Floats
    unseen_rmse: Floats

    @property
    def best(self) -> tuple[int, float]:
        """Degree and λ with the lowest RMSE on unseen rows."""
        i, j = np.unravel_index(np.argmin(self.unseen_rmse), self.unseen_rmse.shape)
        return int(self.degrees[i]), float(self.strengths[j])

    def __str__(self) -> str:
        lines = [
            "RMSE on training rows / on unseen rows",
            "degree" + "".join(f"{f'λ = {strength:g}':>22}" for strength in self.strengths),
        ]
        for i, degree in enumerate(self.degrees):
            cells = zip(self.train_rmse[i], self.unseen_rmse[i], strict=True)
            lines.append(f"{degree:>6}" + "".join(f"{f'{a:.4g} / {b:.4g}':>22}" for a, b in cells))
        return "\n".join(lines)


@one_blas_thread()
def capacity_table(
    training: tuple[npt.ArrayLike, npt.ArrayLike],
    unseen: tuple[npt.ArrayLike, npt.ArrayLike],
    degrees: Sequence[int],
    strengths: Sequence[float] = (0.0,),
) -> CapacityTable:
    """Return the RMSE on training and on unseen rows for every degree and λ (item M8).

    As the degree grows, capacity grows: the training error can only fall, and the error on unseen
    rows falls and then rises. A growing λ has the opposite effect. Scale x to about [−1, 1] first,
    because λ is negligible compared with powers of large numbers.

    Parameters
    ----------
    training, unseen : (x, y)
        x as for :func:`polynomial_features`, (n,) or (n, d); y (n,).
    degrees : sequence of int
        Degrees of the polynomials.
    strengths : sequence of float, default=(0.0,)
        Values λ of :func:`ridge`.

    Returns
    -------
    table : CapacityTable

    Raises
    ------
    SpecError, ShapeError, DataError
        If an argument is invalid.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 9)
    >>> table = capacity_table((x, x**2), (x / 2, x**2 / 4), degrees=[1, 2])
    >>> table.best, bool(table.train_rmse[1, 0] < 1e-12)
    ((2, 0.0), True)
    """
    from sklearn.metrics import root_mean_squared_error

    given = [_pair("training", training), _pair("unseen", unseen)]
    degrees = [
        check_count(f"degrees[{i}]", degree, below=_MOST_DEGREES)
        for i, degree in enumerate(check_sequence("degrees", degrees, "a list such as [1, 2]"))
    ]
    strengths = [
        check_between(f"strengths[{i}]", strength, 0.0, open_high=True)
        for i, strength in enumerate(check_sequence("strengths", strengths, "a list such as [0.1]"))
    ]
    if len(degrees) == 0 or len(strengths) == 0:
        raise SpecError("degrees and strengths must not be empty. Give at least one of each.")
    shape = (len(degrees), len(strengths))
    train_rmse, unseen_rmse = np.empty(shape), np.empty(shape)
    parts = [y for _, _, y in given]
    for i, degree in enumerate(degrees):
        seen, new = (_monomials(f"x of {name}", x, degree) for name, x, _ in given)
        for j, strength in enumerate(strengths):
            beta = ridge(seen, parts[0], strength)
            if new.shape != (len(parts[1]), len(beta)):
                raise ShapeError(
                    f"unseen must have as many features as training, and one target per row; got "
                    f"features of shape {new.shape}, expected {(len(parts[1]), len(beta))}."
                )
            train_rmse[i, j] = root_mean_squared_error(parts[0], seen @ beta)
            unseen_rmse[i, j] = root_mean_squared_error(parts[1], new @ beta)
    return CapacityTable(
        np.asarray(degrees, dtype=np.int64), np.asarray(strengths, float), train_rmse, unseen_rmse
    )


def _pair(name: str, pair: Any) -> tuple[str, Any, Floats]:
    """Return the name, x and y of a pair (x, y) with one number of y for each row of x."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise SpecError(f"{name} must be a pair (x, y); got {shown(pair)}.")
    x, y = _finite(f"x of {name}", pair[0]), _finite(f"y of {name}", pair[1])
    if x.ndim == 0 or y.ndim != 1 or (name == "training" and len(x) != len(y)):
        raise ShapeError(
            f"{name} must have one number of y for each row of x; got shapes {x.shape} and "
            f"{y.shape}."
        )
    return name, x, y


def _cut(matrix: Floats) -> float:
    """Return the relative threshold below which a singular value is only rounding."""
    return max(matrix.shape) * float(np.finfo(np.float64).eps)


def _problem(X: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Floats, Floats]:
    matrix, targets = _finite("X", X), _finite("y", y)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ShapeError(
            f"X must have shape (n, p) with n, p ≥ 1; got {matrix.shape}. Pass a single feature "
            "as X[:, None]."
        )
    if targets.ndim not in (1, 2) or len(targets) != len(matrix):
        raise ShapeError(
            f"y must have shape ({len(matrix)},) or ({len(matrix)}, k), one row per row of X; "
            f"got {targets.shape}."
        )
    return matrix, targets


def _finite(name: str, values: Any) -> Floats:
    try:
        array = np.asarray(values)
        finite = array.dtype.kind in "biuf" and bool(np.isfinite(array).all())
    except ValueError:  # rows of unequal length
        finite = False
    if not finite:
        raise DataError(
            f"{name} must hold finite numbers; got {shown(values)}. Drop or impute missing values."
        )
    return np.asarray(array, dtype=np.float64)
