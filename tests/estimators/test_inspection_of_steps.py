"""Traces, gradients, likelihood, AIC and BIC of estimators against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.metrics import log_loss

from deltarule import MLPClassifier, MLPRegressor
from deltarule.errors import SpecError
from support.estimators import unconverged

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
COLOURS = np.array(["red", "green", "blue"])[np.argmax(X, axis=1)]
PRICES = 1000 + 50 * X[:, 0] - 20 * X[:, 1] ** 2 + rng.normal(size=60)


def test_a_trace_is_of_the_networks_numbers() -> None:
    with unconverged():
        model = MLPClassifier((5,), max_iter=20, standardize=True, random_state=0).fit(X, COLOURS)
    trace = model.trace(X, COLOURS)
    assert_allclose(trace["A0"], (X - X.mean(axis=0)) / X.std(axis=0), rtol=1e-9, atol=1e-12)
    assert_allclose(trace["A2"], model.predict_proba(X), rtol=1e-6, atol=1e-9)
    assert trace["loss"] == pytest.approx(log_loss(COLOURS, model.predict_proba(X)), rel=1e-6)
    expected = (trace["A2"] - (model.classes_ == COLOURS[:, None])) / len(X)
    assert_allclose(trace["delta2"], expected, atol=1e-12)
    for name, gradient in model.gradients(X, COLOURS).items():
        assert_allclose(gradient, trace[f"d{name}"], rtol=1e-9, atol=1e-14)
    assert "delta1" not in model.trace(X)


def test_gradients_with_penalties_are_those_of_the_check() -> None:
    with unconverged():
        model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=5, alpha=3.0, random_state=0).fit(
            X, PRICES
        )
    check = model.check_gradients(X, PRICES)
    name, _, rest = check.worst.partition("[")
    index = tuple(int(i) for i in rest.rstrip("]").split(","))
    found = model.gradients(X, PRICES, penalties=True)[name][index]
    assert found == pytest.approx(check.worst_analytic, rel=1e-9)
    without = model.gradients(X, PRICES)["W1"]
    with_penalty = model.gradients(X, PRICES, penalties=True)["W1"]
    assert_allclose(with_penalty - without, 3.0 / 60 * model.coefs_[0], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("standardize", [False, True])
def test_likelihood_aic_and_bic_in_the_users_unit(standardize: bool) -> None:
    with unconverged():
        model = MLPRegressor(
            hidden_layer_sizes=(4,),
            max_iter=50,
            standardize=standardize,
            random_state=0,
            solver="lbfgs",
        ).fit(X, PRICES)
    residual = PRICES - model.predict(X)
    expected = stats.norm.logpdf(residual, scale=np.sqrt(np.mean(residual**2))).sum()
    found = model.log_likelihood(X, PRICES)
    assert found == pytest.approx(expected, rel=1e-6)
    k = sum(w.size for w in (*model.coefs_, *model.intercepts_)) + 1  # and the variance
    assert model.aic(X, PRICES) == pytest.approx(2 * k - 2 * found)
    assert model.bic(X, PRICES) == pytest.approx(k * np.log(60) - 2 * found)


def test_likelihood_of_classes_with_label_smoothing() -> None:
    with unconverged():
        model = MLPClassifier((5,), max_iter=9, label_smoothing=0.2, random_state=0)
        model.fit(X, COLOURS)
    weight = rng.integers(1, 4, size=60)
    logs = np.log(model.predict_proba(X)[np.arange(60), np.searchsorted(model.classes_, COLOURS)])
    assert model.log_likelihood(X, COLOURS) == pytest.approx(logs.sum(), rel=1e-6)
    assert model.log_likelihood(X, COLOURS, weight) == pytest.approx(weight @ logs, rel=1e-6)
    k = model.network_.tape.n_parameters
    assert model.aic(X, COLOURS) == pytest.approx(2 * k - 2 * logs.sum(), rel=1e-6)


def test_a_loss_without_likelihood_is_named() -> None:
    with unconverged():
        model = MLPRegressor(hidden_layer_sizes=(2,), loss="absolute_error", max_iter=2).fit(
            X, PRICES
        )
    with pytest.raises(SpecError, match="no log-likelihood"):
        model.log_likelihood(X, PRICES)
