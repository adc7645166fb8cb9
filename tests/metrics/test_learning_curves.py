"""Decomposition and learning curves (E6, E7, R4) against closed forms and scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import KFold, learning_curve
from sklearn.neural_network import MLPRegressor

from deltarule import History
from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.metrics import (
    decompose_error,
    epoch_curve,
    plot_learning_curves,
    separation_epoch,
    size_curve,
)

PROPERTY = settings(max_examples=25, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(0, 2**32 - 1)


def line_data(n: int = 60) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 2))
    return X, X @ [1.0, -2.0] + 0.5 * rng.normal(size=n)


# --- E6 ------------------------------------------------------------------------------------------


class Polynomial(BaseEstimator, RegressorMixin):
    """Least squares by NumPy alone."""

    def __init__(self, degree: int = 1) -> None:
        self.degree = degree

    def fit(self, X: Any, y: Any) -> Polynomial:
        self.beta_ = np.linalg.pinv(np.vander(X[:, 0], self.degree + 1)) @ y
        return self

    def predict(self, X: Any) -> Any:
        return np.vander(X[:, 0], self.degree + 1) @ self.beta_


def cubic(x: Any) -> Any:
    return x[:, 0] ** 3 - x[:, 0]


@pytest.mark.parametrize("degree", [0, 1, 3, 6])
def test_decomposition_of_least_squares_equals_the_closed_form(degree: int) -> None:
    x, at = np.linspace(-1, 1, 15)[:, None], np.linspace(-0.9, 0.9, 7)[:, None]
    sigma, refits = 0.3, 400
    parts = decompose_error(
        Polynomial(degree), cubic, x, at, noise=sigma, refits=refits, seed=degree
    )
    # ĝ(at) = H y with H = Φ_at Φ⁺: mean H f, covariance Σ = σ² H Hᵀ.
    H = np.vander(at[:, 0], degree + 1) @ np.linalg.pinv(np.vander(x[:, 0], degree + 1))
    bias = H @ cubic(x) - cubic(at)
    cov = sigma**2 * H @ H.T
    m = len(at)
    mean_bias = bias @ bias / m + np.trace(cov) / m / refits
    sd_bias = np.sqrt(4 * bias @ cov @ bias / refits + 2 * (cov**2).sum() / refits**2) / m
    assert abs(parts.bias_squared - mean_bias) < 5 * sd_bias
    mean_variance = np.trace(cov) / m * (refits - 1) / refits
    sd_variance = np.sqrt(2 * (cov**2).sum() / refits) / m
    assert abs(parts.variance - mean_variance) < 5 * sd_variance
    assert parts.noise == sigma**2
    total = sigma**2 + bias @ bias / m + np.trace(cov) / m
    assert parts.error == pytest.approx(total, rel=0.1)
    assert parts.observed == pytest.approx(total, rel=0.1)


@PROPERTY
@given(SEEDS, st.integers(1, 8), st.floats(0, 10), st.booleans())
def test_the_identity_holds_up_to_rounding(
    seed: int, refits: int, noise: float, draw: bool
) -> None:
    at = np.linspace(-1, 1, 5)[:, None]
    rows = (lambda rng: rng.uniform(-1, 1, size=(9, 1))) if draw else np.linspace(-2, 2, 9)[:, None]
    parts = decompose_error(
        LinearRegression(), cubic, rows, at, noise=noise, refits=refits, seed=seed
    )
    summed = parts.noise + parts.bias_squared_at + parts.variance_at
    assert parts.error_at == pytest.approx(summed, rel=1e-12)
    whole = parts.noise + parts.bias_squared + parts.variance
    assert parts.error == pytest.approx(whole, rel=1e-12)
    assert f"noise {noise**2:.6g}" in str(parts)


def test_without_noise_a_right_model_has_no_error() -> None:
    x = np.linspace(-1, 1, 9)[:, None]
    parts = decompose_error(Polynomial(3), cubic, x, x, noise=0, refits=3)
    assert parts.error < 1e-26
    assert parts.mean_prediction == pytest.approx(cubic(x), abs=1e-14)


def test_the_same_seed_gives_the_same_parts() -> None:
    x = np.linspace(-1, 1, 9)[:, None]
    column = lambda x: x  # noqa: E731 - (n, 1) is taken for (n,)
    first, second = (
        decompose_error(LinearRegression(), column, x, x, noise=1, refits=3, seed=4)
        for _ in range(2)
    )
    assert first.error == second.error


@pytest.mark.parametrize(
    ("truth", "options", "error", "message"),
    [
        (cubic, {"noise": -1}, SpecError, r"noise must be in \[0, inf\); got -1"),
        (cubic, {"noise": 1, "refits": 0}, SpecError, "refits must be an integer of at least 1"),
        (
            lambda x: 1.0,
            {"noise": 1},
            ShapeError,
            r"truth\(at\) must have shape \(3,\), one number",
        ),
        (lambda x: x[:, 0] / 0, {"noise": 1}, DataError, r"truth\(at\) must be finite"),
    ],
)
def test_bad_decomposition_input_is_refused(
    truth: Any, options: Any, error: type[Exception], message: str
) -> None:
    x = np.array([[1.0], [2.0], [3.0]])
    with np.errstate(divide="ignore"), pytest.raises(error, match=message):
        decompose_error(LinearRegression(), truth, x, x, **options)


def test_decomposition_without_rows_is_refused() -> None:
    x = np.empty((0, 1))
    with pytest.raises(DataError, match=r"truth\(at\) has no rows"):
        decompose_error(LinearRegression(), cubic, x, x, noise=1)


# --- E7, R4 --------------------------------------------------------------------------------------


def test_size_curve_equals_scikit_learns() -> None:
    X, y = line_data()
    curve = size_curve(Ridge(), X, y, sizes=[10, 20, 40], folds=3, seed=1)
    sizes, seen, unseen = learning_curve(
        Ridge(),
        X,
        y,
        train_sizes=[10, 20, 40],
        cv=KFold(3, shuffle=True, random_state=1),
        scoring="neg_mean_squared_error",
        shuffle=True,
        random_state=1,
    )
    assert curve.at.tolist() == sizes.tolist() == [10, 20, 40]
    assert curve.training == pytest.approx(-seen.mean(axis=1) / 2, rel=1e-12)
    assert curve.validation == pytest.approx(-unseen.mean(axis=1) / 2, rel=1e-12)
    assert curve.validation_std == pytest.approx(unseen.std(axis=1) / 2, rel=1e-9)
    assert len(str(curve).splitlines()) == 4


def test_epoch_curves_of_deltarule_and_scikit_learn() -> None:
    X, y = line_data(30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = MLPRegressor(hidden_layer_sizes=(3,), max_iter=4, random_state=0).fit(X, y)
    curve = epoch_curve(theirs)
    assert curve.training.tolist() == theirs.loss_curve_
    assert curve.at.tolist() == [1, 2, 3, 4]
    assert len(curve.validation) == 0
    assert len(str(curve).splitlines()[-1].split()) == 2


def test_curves_share_one_plot() -> None:
    mpl.use("Agg")
    X, y = line_data()
    curves = {
        "ridge": size_curve(Ridge(), X, y, folds=2),
        "line": size_curve(LinearRegression(), X, y, folds=2),
    }
    ax = plot_learning_curves(curves)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["ridge training", "ridge validation", "line training", "line validation"]
    assert ax.get_xlabel() == "training rows"
    assert ax.lines[1].get_ydata() == pytest.approx(curves["ridge"].validation)
    one = epoch_curve(History(loss=[2.0, 1.0]))
    again = plot_learning_curves(one, ax=mpl.figure.Figure().subplots())
    assert [line.get_label() for line in again.lines] == ["training"]
    with pytest.raises(SpecError, match=r"one unit, epochs or rows; got units \['epoch', 'rows'\]"):
        plot_learning_curves({"a": one, "b": curves["line"]})
    with pytest.raises(SpecError, match="got no curve"):
        plot_learning_curves({})
    mpl.pyplot.close("all")


@pytest.mark.parametrize(
    ("seen", "unseen", "tolerance", "epoch"),
    [
        ([3, 2, 1, 0.5], [4, 3, 3.5, 4], 0.0, 2),  # the usual picture
        ([3, 2, 1, 0.5], [4, 3, 3.5, 4], 3.0, None),  # widened by 2.5 only
        ([3, 2, 1], [4, 3, 2], 0.0, None),  # still falling together
        ([3, 2, 1, 0.5], [4, 3, 3, 3], 0.0, 2),  # dev stands still: the first of the equals
        ([3, 2, 2, 2], [4, 3, 5, 6], 0.0, None),  # training stands still: nothing is learned
        ([3, 2, 1, np.inf], [4, 3, 5, np.nan], 0.0, 2),  # a last, diverged epoch does not count
        ([3, 2, 1], [4, 5], 0.0, 1),  # interrupted before the last validation
        ([1], [2], 0.0, None),
    ],
)
def test_separation(seen: Any, unseen: Any, tolerance: float, epoch: int | None) -> None:
    history = History(loss=seen, validation_loss=unseen)
    assert separation_epoch(history, tolerance) == epoch


@pytest.mark.parametrize(
    ("model", "tolerance", "error", "message"),
    [
        (History(loss=[1.0]), 0.0, DataError, "no validation loss.*Train with validation="),
        (History(), 0.0, DataError, "no epochs: it was not trained"),
        (Ridge(), 0.0, SpecError, "must be a History or an estimator with loss_curve_; got Ridge"),
        (History(loss=[1.0], validation_loss=[1.0]), -1, SpecError, "tolerance must be in"),
        (
            History(loss=[np.nan], validation_loss=[1.0]),
            0.0,
            DataError,
            "no epoch with finite losses. Lower the learning rate",
        ),
        (
            History(loss=[1.0], validation_loss=[1.0, 2.0]),
            0.0,
            ShapeError,
            "must not be longer than loss; got 2 and 1 epochs",
        ),
    ],
)
def test_bad_separation_input_is_refused(
    model: Any, tolerance: float, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        separation_epoch(model, tolerance)
