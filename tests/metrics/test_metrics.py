"""Metrics of regression, criteria and generalisation error (E2, E5, E8) against references."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.svm import LinearSVC

from deltarule import Dense, Network
from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.metrics import (
    estimate_generalization_error,
    information_criteria,
    mean_loss,
    measure_regression,
    row_losses,
)

PROPERTY = settings(max_examples=30, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(0, 2**32 - 1)

# --- E2 ------------------------------------------------------------------------------------------


@PROPERTY
@given(SEEDS, st.integers(2, 30), st.integers(1, 3), st.booleans())
def test_regression_metrics_equal_the_formulas(seed: int, n: int, k: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    y, said = rng.normal(size=(n, k)) + 3, rng.normal(size=(n, k)) + 3
    w = rng.uniform(0.5, 2, size=n) if weighted else np.ones(n)
    flat = (y[:, 0], said[:, 0]) if k == 1 else (y, said)
    report = measure_regression(*flat, sample_weight=w if weighted else None)
    share = (w / w.sum())[:, None]
    mse = (share * (said - y) ** 2).sum(axis=0)
    centre = (share * y).sum(axis=0)
    assert report.n == n
    assert report.mse == pytest.approx(mse.mean(), rel=1e-12)
    assert report.rmse == pytest.approx(np.sqrt(mse).mean(), rel=1e-12)
    assert report.mae == pytest.approx((share * abs(said - y)).sum(axis=0).mean(), rel=1e-12)
    mape = (share * abs(said - y) / abs(y)).sum(axis=0).mean()
    assert report.mape == pytest.approx(mape, rel=1e-12)
    r2 = 1 - mse / (share * (y - centre) ** 2).sum(axis=0)
    assert report.r2 == pytest.approx(r2.mean(), rel=1e-9)
    assert str(report).endswith(f"R² {report.r2:.6g} on {n} rows")


def test_mape_is_a_fraction_of_the_absolute_target() -> None:
    assert measure_regression([-2.0, 4.0], [-1.0, 5.0]).mape == 0.375  # (1/2 + 1/4)/2
    assert measure_regression([1.0], [2.0]).mape == 1.0


def test_zero_targets() -> None:
    report = measure_regression([0.0, 1.0], [0.5, 1.0], zero_targets="scikit-learn")
    assert report.mape == metrics.mean_absolute_percentage_error([0.0, 1.0], [0.5, 1.0]) > 1e15
    assert report.zero_targets == 1
    assert "MAPE has no meaning: 1 targets are 0" in str(report)
    with pytest.raises(
        DataError, match=r"must not contain 0 for MAPE; 1 of 2 .* Remove those rows"
    ):
        measure_regression([0.0, 1.0], [0.5, 1.0])


def test_r2_of_one_row_is_undefined() -> None:
    assert math.isnan(measure_regression([1.0], [1.0]).r2)


@pytest.mark.parametrize(
    ("y", "said", "error", "message"),
    [
        ([1.0, 2.0], [1.0], ShapeError, r"both \(n, k\); got \(2,\) and \(1,\)"),
        ([[1.0, 2.0]], [1.0], ShapeError, r"got \(1, 2\) and \(1,\)"),
        ([[[1.0]]], [[[1.0]]], ShapeError, r"got \(1, 1, 1\)"),
        ([], [], DataError, "y_true has no rows"),
        ([1.0], [np.nan], DataError, "y_pred must be finite; 1 of 1 values"),
        (["a"], [1.0], DataError, "y_true must contain numbers; got dtype <U1"),
    ],
)
def test_bad_regression_input_is_refused(
    y: Any, said: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        measure_regression(y, said)


def test_an_unknown_rule_for_zero_targets_is_refused() -> None:
    with pytest.raises(SpecError, match=r"zero_targets must be one of .* Did you mean 'refuse'"):
        measure_regression([1.0], [1.0], zero_targets="refused")


# --- E5 ------------------------------------------------------------------------------------------


def test_criteria_equal_scikit_learns_for_a_gaussian() -> None:
    x = np.random.default_rng(0).normal(2, 3, size=(50, 1))
    mixture = GaussianMixture(1, reg_covar=0).fit(x)  # parameters: μ and σ²
    sigma2 = x.var()
    log_likelihood = -25 * (math.log(2 * math.pi * sigma2) + 1)
    aic, bic = information_criteria(log_likelihood, 2, 50)
    assert aic == pytest.approx(mixture.aic(x), rel=1e-12)
    assert bic == pytest.approx(mixture.bic(x), rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((math.nan, 1, 1), r"log_likelihood must be in \(-inf, inf\); got nan"),
        ((math.inf, 1, 1), "log_likelihood must be in"),
        ((0.0, 0, 1), "n_parameters must be an integer of at least 1; got 0"),
        ((0.0, 1, 1.5), "n must be an integer of at least 1; got 1.5"),
    ],
)
def test_bad_criteria_input_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        information_criteria(*arguments)


# --- E8 ------------------------------------------------------------------------------------------


@PROPERTY
@given(SEEDS, st.integers(2, 50))
def test_the_generalization_error_is_scipys_mean_and_standard_error(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    losses, seen = rng.exponential(size=n), rng.exponential(size=3)
    estimated = estimate_generalization_error(losses, seen)
    assert estimated.mean == pytest.approx(losses.mean())
    assert estimated.standard_error == pytest.approx(stats.sem(losses), rel=1e-12)
    assert estimated.gap == pytest.approx(losses.mean() - seen.mean())
    expected = stats.ttest_1samp(losses, 0).confidence_interval(0.9)
    assert estimated.interval(0.9) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert estimate_generalization_error(losses).gap is None
    text = (
        f"generalisation error {estimated.mean:.6g} ± {estimated.standard_error:.2g} on {n} unseen"
    )
    assert str(estimated).startswith(text)
    assert str(estimated).endswith(f"gap {estimated.gap:+.6g}")


def test_the_interval_has_its_nominal_coverage() -> None:
    rng = np.random.default_rng(1)
    trials, held = 1000, 0
    for losses in rng.normal(1.0, 2.0, size=(trials, 20)):
        low, high = estimate_generalization_error(losses).interval(0.9)
        held += low <= 1.0 <= high
    # Binomial(1000, 0.9) leaves this interval with probability 1e-6.
    low, high = stats.binom.interval(1 - 1e-6, trials, 0.9)
    assert low <= held <= high


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0],), DataError, "losses must have at least 2 values; got 1"),
        (([[1.0, 2.0]],), ShapeError, r"losses must have shape \(n,\)"),
        (([1.0, np.nan],), DataError, "losses must be finite"),
        (([1.0, 2.0], []), DataError, "training_losses must have at least 1 values; got 0"),
    ],
)
def test_a_bad_generalization_error_is_refused(
    arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        estimate_generalization_error(*arguments)
    with pytest.raises(SpecError, match=r"level must be in \(0, 1\)"):
        estimate_generalization_error([1.0, 2.0]).interval(1.0)


def test_row_losses_average_to_scikit_learns() -> None:
    X, y = load_iris(return_X_y=True)
    names = np.array(["c", "a", "b"])[y]
    model = LogisticRegression(max_iter=500).fit(X, names)
    expected = metrics.log_loss(names, model.predict_proba(X))
    assert row_losses(model, X, names[:, None]).mean() == pytest.approx(expected, rel=1e-12)
    targets = X[:, 2:]
    line = LinearRegression().fit(X[:, :2], targets)
    squared = metrics.mean_squared_error(targets, line.predict(X[:, :2]))  # two targets, and ½
    assert mean_loss(line, X[:, :2], targets) == pytest.approx(squared, rel=1e-12)
    net = Network(2, [Dense(2)])  # the loss of the network that the line is
    state = net.initialize(0)
    state.theta[:] = np.r_[line.coef_.T.ravel(), line.intercept_]
    np.testing.assert_allclose(
        row_losses(line, X[:, :2], targets), net.losses(state, X[:, :2], targets), rtol=1e-9
    )


def test_row_losses_are_finite_for_a_wrong_probability_of_one() -> None:
    class Sure:
        _estimator_type = "classifier"
        classes_ = np.array([0, 1])

        def predict_proba(self, X: Any) -> Any:
            return np.array([[1.0, 0.0]] * len(X))

        def __sklearn_tags__(self) -> Any:
            return LogisticRegression().__sklearn_tags__()

    losses = row_losses(Sure(), np.zeros((2, 1)), [0, 1])
    assert losses.tolist() == [0.0, pytest.approx(-math.log(2**-52))]


def test_bad_row_losses_input_is_refused() -> None:
    X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1])
    with pytest.raises(SpecError, match=r"LinearSVC has none. Choose another cost"):
        row_losses(LinearSVC().fit(X, y), X, y)
    model = LogisticRegression().fit(X, y)
    with pytest.raises(
        DataError, match=r"classes that the model was not trained on: \[2\]. Stratify"
    ):
        row_losses(model, X, [0, 1, 2])
    with pytest.raises(DataError, match=r"one class per row; got shape \(3, 2\)"):
        row_losses(model, X, np.zeros((3, 2)))
