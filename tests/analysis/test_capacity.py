"""Least squares, ridge and capacity (M8) against mpmath, NumPy and scikit-learn."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.preprocessing import PolynomialFeatures

from deltarule.analysis import capacity_table, least_squares, polynomial_features, ridge
from deltarule.errors import DataError, ShapeError, SpecError

PROPERTY = settings(max_examples=30, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(0, 2**32 - 1)
METHODS = ["svd", "qr"]


def normal_equations(X: Any, y: Any, strength: float = 0.0) -> Any:
    """β = (XᵀX + λI)⁻¹Xᵀy at 60 digits."""
    with mpmath.workdps(60):
        A, b = mpmath.matrix(X.tolist()), mpmath.matrix(y.tolist())
        left = A.T * A + mpmath.mpf(strength) * mpmath.eye(X.shape[1])
        return np.array([float(v) for v in mpmath.lu_solve(left, A.T * b)])


def test_the_worked_example() -> None:
    assert polynomial_features(2, 2).tolist() == [1, 2, 4]
    assert polynomial_features([2, 3], 2).tolist() == [[1, 2, 4], [1, 3, 9]]
    assert polynomial_features([[2], [3]], 0).tolist() == [[1], [1]]


@PROPERTY
@given(SEEDS, st.integers(1, 3), st.integers(0, 4))
def test_features_agree_with_scikit_learn(seed: int, d: int, degree: int) -> None:
    x = np.random.default_rng(seed).normal(size=(5, d))
    expected = PolynomialFeatures(degree).fit_transform(x)
    assert polynomial_features(x, degree) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("degree", [1, 4, 9, 14])
def test_least_squares_is_exact_where_normal_equations_are_not(method: str, degree: int) -> None:
    rng = np.random.default_rng(degree)
    x = rng.uniform(0, 1, 40)  # powers on [0, 1]: condition number up to 1e10
    X, y = polynomial_features(x, degree), np.exp(x) + 0.1 * rng.normal(size=40)
    beta, expected = least_squares(X, y, method=method), normal_equations(X, y)
    # A backward-stable solver errs by about eps · (κ + κ² ‖r‖/(‖X‖‖β‖)).
    s = np.linalg.svd(X, compute_uv=False)
    kappa, size = s[0] / s[-1], np.linalg.norm(expected)
    residual = np.linalg.norm(y - X @ expected)
    bound = 100 * np.finfo(float).eps * (kappa + kappa**2 * residual / (s[0] * size))
    assert np.linalg.norm(beta - expected) <= max(bound, 1e-13) * size
    assert np.linalg.norm(X @ (beta - expected)) <= 100 * np.finfo(float).eps * kappa * s[0] * size


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(8, 3), (3, 8), (5, 5)])
def test_rank_deficient_least_squares_is_the_shortest(method: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(shape[0], 2)) @ rng.normal(size=(2, shape[1]))
    y = rng.normal(size=(shape[0], 2))
    assert least_squares(X, y, method=method) == pytest.approx(np.linalg.pinv(X) @ y, abs=1e-12)
    zeros = least_squares(np.zeros(shape), y, method=method)
    assert zeros.tolist() == np.zeros((shape[1], 2)).tolist()


@PROPERTY
@given(SEEDS, st.integers(1, 6), st.integers(1, 6), st.floats(1e-6, 1e6))
def test_ridge_is_the_formula(seed: int, n: int, p: int, strength: float) -> None:
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, p)), rng.normal(size=n)
    beta = ridge(X, y, strength)
    assert beta == pytest.approx(normal_equations(X, y, strength), rel=1e-9, abs=1e-12)
    gradient = X.T @ (X @ beta - y) + strength * beta
    assert np.abs(gradient).max() <= 1e-12 * max(1.0, np.abs(X.T @ y).max())


def test_ridge_agrees_with_scikit_learn_and_least_squares() -> None:
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(20, 4)), rng.normal(size=(20, 3))
    theirs = Ridge(2.5, fit_intercept=False, solver="cholesky").fit(X, y).coef_.T
    assert ridge(X, y, 2.5) == pytest.approx(theirs, rel=1e-10)
    assert ridge(X, y, 0).tolist() == least_squares(X, y).tolist()
    assert ridge(X, y, 1e-12) == pytest.approx(least_squares(X, y), rel=1e-10)
    twice = np.column_stack([X, X])  # rank-deficient: both limits are the shortest β
    assert ridge(twice, y, 1e-9) == pytest.approx(np.linalg.pinv(twice) @ y, abs=1e-8)
    assert np.count_nonzero(ridge(X, y, 1e6)) == 12  # erratum E-ad


def test_capacity_and_strength_move_the_errors() -> None:
    rng = np.random.default_rng(0)
    x, new = rng.uniform(-1, 1, 20), rng.uniform(-1, 1, 500)
    data = [(v, np.sin(np.pi * v) + 0.2 * rng.normal(size=len(v))) for v in (x, new)]
    strengths = [0.0, 1e-6, 1e-3, 1e-1, 10.0]
    table = capacity_table(data[0], data[1], range(16), strengths)
    assert (np.diff(table.train_rmse, axis=1) >= -1e-12).all()  # λ can only hurt training
    assert (np.diff(table.train_rmse[:, 0]) <= 1e-12).all()  # degree can only help training
    best = int(np.argmin(table.unseen_rmse[:, 0]))
    assert 3 <= best <= 8
    assert table.unseen_rmse[15, 0] > 5 * table.unseen_rmse[best, 0]  # too much capacity
    assert table.unseen_rmse[15, 2] < table.unseen_rmse[15, 0] / 5  # λ reduces it
    degree, strength = table.best
    i, j = list(table.degrees).index(degree), strengths.index(strength)
    assert table.unseen_rmse[i, j] == table.unseen_rmse.min()
    fit = np.polynomial.Polynomial.fit(x, data[0][1], 5)
    rmse = np.sqrt(np.mean((fit(new) - data[1][1]) ** 2))
    assert table.unseen_rmse[5, 0] == pytest.approx(rmse, rel=1e-9)
    lines = str(table).splitlines()
    assert len(lines) == 18
    assert "λ = 0.001" in lines[1]


X2 = np.ones((2, 1))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: polynomial_features(1, -1), SpecError, "degree must be an integer of at least 0"),
        (lambda: polynomial_features(1, True), SpecError, "got True"),
        (lambda: polynomial_features(1, 1.5), SpecError, "got 1.5"),
        (lambda: polynomial_features(np.ones((1, 1, 1)), 1), ShapeError, "x must be a number"),
        (lambda: polynomial_features(np.nan, 1), DataError, "x must hold finite numbers"),
        (lambda: polynomial_features("a", 1), DataError, "x must hold finite numbers"),
        (
            lambda: least_squares(X2, [1, 2], method="lu"),
            SpecError,
            "method must be one of qr, svd",
        ),
        (lambda: least_squares([1, 2], [1, 2]), ShapeError, r"X must have shape \(n, p\)"),
        (lambda: least_squares(np.ones((0, 1)), []), ShapeError, r"got \(0, 1\)"),
        (lambda: least_squares(X2, [1]), ShapeError, r"y must have shape \(2,\) or \(2, k\)"),
        (lambda: least_squares(X2, [1, np.inf]), DataError, "y must hold finite numbers"),
        (lambda: ridge(X2, [1, 2], -1), SpecError, r"strength must be in \[0, inf\); got -1"),
        (lambda: ridge(X2, [1, 2], np.inf), SpecError, "strength must be in"),
        (lambda: capacity_table(([1], [1]), ([1], [1]), []), SpecError, "must not be empty"),
        (
            lambda: capacity_table(([1], [1]), ([1], [1, 2]), [1]),
            ShapeError,
            r"features of shape \(1, 2\), expected \(2, 2\)",
        ),
    ],
)
def test_invalid_arguments_are_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
