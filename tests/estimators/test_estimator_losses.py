"""The losses of the regressor: absolute error, Huber, quantiles that do not cross, Poisson."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq
from sklearn.linear_model import PoissonRegressor, QuantileRegressor
from sklearn.metrics import d2_pinball_score, mean_pinball_loss, r2_score
from sklearn.preprocessing import StandardScaler

from deltarule import Cosine
from deltarule.errors import SpecError
from support.estimator_layers import STILL, fitted, new
from support.estimators import data, parameters, unconverged

LOSSES: dict[str, dict[str, Any]] = {
    "absolute error": {"loss": "absolute_error"},
    "huber": {"loss": "huber", "huber_delta": 0.3},
    "quantile": {"loss": "quantile", "quantile": 0.8},
    "quantiles": {"loss": "quantile", "quantile": [0.9, 0.1, 0.5]},
}


def constant(y: Any, **arguments: Any) -> Any:
    """Return the prediction of a network without features, after many epochs."""
    model = new(hidden_layer_sizes=(), alpha=0.0, batch_size=len(y), solver="sgd", momentum=0.0,
                learning_rate_init=3.0, learning_rate=Cosine(), max_iter=1000, tol=0.0,
                n_iter_no_change=np.inf, **arguments)  # fmt: skip
    with unconverged():
        return model.fit(np.zeros((len(y), 1)), y).predict([[0.0]])[0]


def test_without_features_each_loss_has_its_own_constant() -> None:
    y = np.random.default_rng(0).gumbel(size=101)
    assert constant(y, loss="absolute_error") == pytest.approx(np.median(y), abs=0.02)
    assert constant(y, loss="quantile") == pytest.approx(np.median(y), abs=0.02)
    for q in (0.1, 0.9):
        low, high = np.quantile(y, [q - 0.02, q + 0.02])
        assert low < constant(y, loss="quantile", quantile=q) < high
    for delta in (0.2, 1.0):
        m = brentq(lambda m, d=delta: np.clip(y - m, -d, d).sum(), y.min(), y.max())
        assert constant(y, loss="huber", huber_delta=delta) == pytest.approx(m, abs=1e-6)


def test_several_quantiles_at_once() -> None:
    y = np.random.default_rng(0).gumbel(size=101)
    levels = [0.75, 0.05, 0.5]
    found = constant(y, loss="quantile", quantile=levels)
    for q, value in zip(levels, found, strict=True):
        assert np.quantile(y, q - 0.03) < value < np.quantile(y, q + 0.03)


@pytest.mark.parametrize("q", [0.2, 0.5, 0.9])
def test_a_linear_network_with_the_quantile_loss_is_quantile_regression(q: float) -> None:
    X, y = data("numbers")
    peer = QuantileRegressor(quantile=q, alpha=0.0).fit(X, y)
    model = new(hidden_layer_sizes=(), loss="quantile", quantile=q, alpha=0.0, batch_size=40,
                learning_rate_init=0.1, learning_rate="cosine", max_iter=1500, tol=0.0,
                n_iter_no_change=np.inf)  # fmt: skip
    with unconverged():
        model.fit(X, y)
    best = mean_pinball_loss(y, peer.predict(X), alpha=q)
    assert best <= mean_pinball_loss(y, model.predict(X), alpha=q) < best * 1.01


def test_a_linear_network_with_the_poisson_loss_is_poisson_regression() -> None:
    X, y = data("counts")
    peer = PoissonRegressor(alpha=0.0, tol=1e-10, max_iter=1000).fit(X, y)
    model = new("counts", hidden_layer_sizes=(), alpha=0.0, solver="lbfgs", tol=1e-9, max_iter=1000)
    assert_allclose(model.fit(X, y).predict(X), peer.predict(X), rtol=1e-4)


@pytest.mark.parametrize("arguments", LOSSES.values(), ids=LOSSES)
def test_the_reported_loss_is_the_named_one(arguments: dict[str, Any]) -> None:
    X, y = data("numbers")
    model = fitted(learning_rate_init=STILL, max_iter=1, batch_size=40, alpha=0.0, shuffle=False,
                   **arguments)  # fmt: skip
    if isinstance(
        arguments.get("quantile"), list
    ):  # of what the outputs are before they are sorted
        predicted = model.layer_activations(X)[-1]
        columns = zip(arguments["quantile"], predicted.T, strict=True)
        expected = sum(mean_pinball_loss(y, column, alpha=q) for q, column in columns)
    elif "quantile" in arguments:
        expected = mean_pinball_loss(y, model.predict(X), alpha=arguments["quantile"])
    else:
        r = np.abs(y - model.predict(X))
        d = arguments.get("huber_delta", 0.3)
        huber = np.where(r <= d, r**2 / 2, d * (r - d / 2))
        expected = float(np.mean(r if arguments["loss"] == "absolute_error" else huber))
    assert model.loss_ == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("arguments", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("standardize", [False, True])
def test_the_engines_agree_and_gradients_are_right(
    arguments: dict[str, Any], standardize: bool
) -> None:
    X, y = data("numbers")
    arguments = {"standardize": standardize, "activation": "tanh", **arguments}
    compiled, reference = (fitted(engine=e, **arguments) for e in ("compiled", "reference"))
    assert_allclose(parameters(compiled), parameters(reference), rtol=1e-9, atol=1e-9)
    assert compiled.check_gradients(X, y).verdict == "right"


# --- several quantiles --------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(
    levels=st.lists(st.floats(0.01, 0.99), min_size=2, max_size=5),
    seed=st.integers(0, 10**6),
    standardize=st.booleans(),
)
def test_quantiles_never_cross(levels: list[float], seed: int, standardize: bool) -> None:
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(30, 2)), 100 * rng.normal(size=30) + 1e3
    model = new(loss="quantile", quantile=levels, max_iter=2, standardize=standardize)
    with unconverged():
        predicted = model.fit(X, y).predict(rng.normal(size=(50, 2)))
    assert predicted.shape == (50, len(levels))
    order = np.argsort(levels, kind="stable")
    assert (np.diff(predicted[:, order], axis=1) >= 0).all()


def test_quantiles_have_their_share_of_the_rows_below() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(2000, 1))
    y = X[:, 0] + (1 + 0.4 * X[:, 0]) * rng.normal(size=2000)
    levels = [0.1, 0.5, 0.9]
    model = new(loss="quantile", quantile=levels, hidden_layer_sizes=(16,), max_iter=40,
                batch_size=100, learning_rate_init=0.01)  # fmt: skip
    with unconverged():
        model.fit(X, y)
    for q, column in zip(levels, model.predict(X).T, strict=True):
        assert np.mean(y <= column) == pytest.approx(q, abs=0.03)
    expected = np.mean([d2_pinball_score(y, c, alpha=q) for q, c in zip(levels, model.predict(X).T,
                                                                        strict=True)])  # fmt: skip
    assert model.score(X, y) == pytest.approx(expected, rel=1e-12)


def test_a_single_quantile_in_a_list_is_one_quantile() -> None:
    X, y = data("numbers")
    listed = fitted(loss="quantile", quantile=[0.3])
    single = fitted(loss="quantile", quantile=0.3)
    assert_array_equal(listed.predict(X), single.predict(X))
    assert single.score(X, y) == pytest.approx(r2_score(y, single.predict(X)))


def test_one_quantile_of_several_targets() -> None:
    X, Y = data("several numbers")
    assert fitted("several numbers", loss="quantile", quantile=0.3).predict(X).shape == Y.shape
    message = r"quantile=\[0.1, 0.9\] predicts several quantiles of one target; y has 2 columns"
    with pytest.raises(SpecError, match=message):
        new("several numbers", loss="quantile", quantile=[0.1, 0.9]).fit(X, Y)


@pytest.mark.parametrize("given", [0.0, 1.0, [0.5, 1.0], [], ["half"], "half"], ids=str)
def test_invalid_quantiles_are_refused(given: Any) -> None:
    X, y = data("numbers")
    with pytest.raises(ValueError, match="quantile"):
        new(loss="quantile", quantile=given).fit(X, y)


def test_quantiles_go_with_early_stopping_sparse_rows_and_more_epochs() -> None:
    X, y = data("numbers", n=80)
    X = np.where(np.abs(X) < 0.5, 0, X)
    model = new(loss="quantile", quantile=(0.2, 0.8), early_stopping=True, standardize=True)
    with unconverged():
        model.fit(sp.csr_array(X), y)
    assert len(model.validation_scores_) == model.n_iter_
    model.set_params(early_stopping=False).partial_fit(sp.csr_array(X), y)
    assert model.predict(sp.csr_array(X)).shape == (80, 2)


def test_huber_counts_standard_deviations_when_targets_are_standardised() -> None:
    X, y = data("numbers")
    by_hand = StandardScaler().fit_transform(100 * y[:, None]).ravel()
    X_scaled = StandardScaler().fit_transform(X)
    arguments = {"loss": "huber", "huber_delta": 0.5}
    with unconverged():
        inside = new(standardize=True, **arguments).fit(X, 100 * y)
        outside = new(**arguments).fit(X_scaled, by_hand)
    assert_allclose(inside.loss_curve_, outside.loss_curve_, rtol=1e-9)
