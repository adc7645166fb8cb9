"""Inspection of a fitted estimator: derivatives, activations, its network and its health."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from deltarule import Network, State, network_health, train
from support.estimator_layers import fitted, layered, new, outputs
from support.estimators import KINDS, OURS, TASKS, data, unconverged

QUANTILES = {"loss": "quantile", "quantile": [0.9, 0.1]}


def central(model: Any, X: Any, h: float = 1e-6) -> Any:
    """Return difference quotients of the predictions, (n, k, d)."""

    def predicted(rows: Any) -> Any:
        found = np.asarray(outputs(model, rows))
        found = found[:, None] if found.ndim == 1 else found
        binary = hasattr(model, "classes_") and model.n_outputs_ == 1
        return found[:, 1:] if binary else found

    columns = []
    for j in range(X.shape[1]):
        step = np.zeros(X.shape[1])
        step[j] = h
        columns.append((predicted(X + step) - predicted(X - step)) / (2 * h))
    return np.stack(columns, axis=2)


@settings(deadline=None, max_examples=40)
@given(
    task=st.sampled_from(sorted(TASKS)),
    activation=st.sampled_from(["tanh", "gelu", "softplus", ["silu", "logistic"]]),
    batch_norm=st.booleans(),
    standardize=st.booleans(),
    sparse=st.booleans(),
)
def test_input_gradients_are_slopes(
    task: str, activation: Any, batch_norm: bool, standardize: bool, sparse: bool
) -> None:
    X, y = data(task)
    rows = sp.csr_array(X) if sparse else X
    model = new(task, activation=activation, batch_norm=batch_norm, standardize=standardize)
    with unconverged():
        model.fit(rows, y)
    found = model.input_gradients(rows)
    assert found.shape == (40, model.n_outputs_, 4)
    assert_allclose(found, central(model, X), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("standardize", [False, True])
def test_input_gradients_of_quantiles_are_in_the_order_of_prediction(standardize: bool) -> None:
    X, _ = data("numbers")
    model = fitted(activation="tanh", standardize=standardize, **QUANTILES)
    levels = model.layer_activations(X)[-1]
    assert (levels[:, 0] < levels[:, 1]).any()  # some had to change places
    assert_allclose(model.input_gradients(X), central(model, X), rtol=1e-5, atol=1e-7)


def test_input_gradients_without_hidden_layers_are_the_weights() -> None:
    X, _ = data("several numbers")
    model = fitted("several numbers", hidden_layer_sizes=())
    expected = np.broadcast_to(model.coefs_[0].T, (40, 2, 4))
    assert_array_equal(model.input_gradients(X), expected)


@pytest.mark.parametrize("task", TASKS)
@layered
def test_the_last_activations_give_the_prediction(task: str, arguments: dict[str, Any]) -> None:
    X, _ = data(task)
    model = fitted(task, activation="tanh", **arguments)
    layers = model.layer_activations(X)
    assert [a.shape for a in layers] == [(40, 5), (40, 3), (40, model.n_outputs_)]
    z = layers[1] @ model.coefs_[2] + model.intercepts_[2]
    assert_allclose(model.network_.predict(model.state_, X), layers[-1], rtol=1e-12)
    if task in ("numbers", "several numbers"):
        assert_allclose(z, layers[-1], rtol=1e-12)
        assert_allclose(np.ravel(model.predict(X)), layers[-1].ravel(), rtol=1e-9)
    elif task in ("binary", "multilabel"):
        assert_allclose(1 / (1 + np.exp(-z)), layers[-1], rtol=1e-9)
    if "batch_norm" not in arguments:
        assert_allclose(layers[0], np.tanh(X @ model.coefs_[0] + model.intercepts_[0]), rtol=1e-12)


def test_the_network_and_its_state_are_the_live_ones() -> None:
    X, y = data("numbers")
    model = fitted(l1=0.1, max_norm=2.0, dropout=0.2)
    assert isinstance(model.network_, Network)
    assert isinstance(model.state_, State)
    assert np.shares_memory(model.state_.theta, model.coefs_[0])
    before = model.predict(X)
    train(model.network_, model.state_, X, y, epochs=1)
    assert not np.array_equal(model.predict(X), before)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unfitted_estimator_has_no_inspection(kind: str) -> None:
    model = OURS[kind]()
    for name in ("network_", "state_", "coefs_"):
        with pytest.raises(AttributeError, match=f"object has no attribute '{name}'"):
            getattr(model, name)
    for name in ("input_gradients", "layer_activations"):
        with pytest.raises(NotFittedError):
            getattr(model, name)([[1.0]])


def test_rows_of_another_width_are_refused() -> None:
    for name in ("input_gradients", "layer_activations"):
        with pytest.raises(ValueError, match="X has 3 features, but MLPRegressor is expecting 4"):
            getattr(fitted(), name)(np.ones((2, 3)))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("task", ["numbers", "multiclass"])
def test_health_is_recorded_epoch_by_epoch(task: str, solver: str) -> None:
    X, y = data(task)
    model = fitted(task, record_health=True, solver=solver, activation=["relu", "tanh"])
    assert len(model.health_) == model.n_iter_
    if solver == "adam":
        codes = y if task == "numbers" else np.searchsorted(model.classes_, y)
        now = network_health(model.network_, model.state_, X, codes)
        for a, b in zip(model.health_[-1].layers, now.layers, strict=True):
            assert a._replace(update_ratio=None) == pytest.approx(b, nan_ok=True)
            assert a.update_ratio > 0
    assert fitted(task).health_ == []


def test_health_continues_over_calls() -> None:
    X, y = data("numbers")
    model = new(record_health=True)
    for _ in range(3):
        model.partial_fit(X, y)
    assert len(model.health_) == 3
