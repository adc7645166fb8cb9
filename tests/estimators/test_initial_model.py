"""Initial weights, input dropout, augmented inputs, and dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

import deltarule
from deltarule import Normal, Uniform
from deltarule.errors import SpecError
from deltarule.spec import INITIALIZERS
from support.estimator_layers import STILL, fitted, new
from support.estimators import TASKS, data, parameters, unconverged

FULL = {"batch_size": 40, "shuffle": False, "alpha": 0.0}
"""The whole set in every step: 40 rows, as ``data`` makes them."""


def linear(**arguments: Any) -> Any:
    defaults = {"hidden_layer_sizes": (), "solver": "sgd", "momentum": 0.0, "tol": 0.0,
                "n_iter_no_change": np.inf, "learning_rate_init": 0.3,
                "max_iter": 3000}  # fmt: skip
    return new(**{**FULL, **defaults, **arguments})


# --- beginnings, inputs, types ------------------------------------------------------------------


def begun(**arguments: Any) -> Any:
    return fitted(learning_rate_init=STILL, max_iter=1, hidden_layer_sizes=(60, 50), **arguments)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initial_weights_follow_the_named_initializer(name: str) -> None:
    model = begun(weight_init=name, random_state=3)
    w = model.coefs_[1]  # (60, 50)
    assert all(np.abs(b).max() < 1e-290 for b in model.intercepts_)
    if name == "zeros":
        assert np.abs(w).max() < 1e-290
    elif name == "orthogonal":
        assert_allclose(w.T @ w, np.eye(50), atol=1e-12)
    else:
        variance = {"he": 2 / 60, "lecun": 1 / 60, "glorot": 2 / 110}[name.split("_")[0]]
        assert w.var() == pytest.approx(variance, rel=0.1)
        bound = np.sqrt(3 * variance)
        assert (np.abs(w).max() <= bound) == name.endswith("uniform")


def test_initial_weights_follow_a_distribution_or_a_function() -> None:
    assert begun(weight_init=Normal(0.5)).coefs_[1].std() == pytest.approx(0.5, rel=0.05)
    assert np.abs(begun(weight_init=Uniform(0.5)).coefs_[1]).max() == pytest.approx(0.5, rel=0.01)
    model = begun(weight_init=lambda rng, m, n: np.arange(m * n).reshape(m, n))
    assert_array_equal(model.coefs_[1].ravel(), np.arange(3000))
    once, twice, other = (begun(weight_init="he_normal", random_state=s) for s in (1, 1, 2))
    assert_array_equal(parameters(once), parameters(twice))
    assert not np.array_equal(parameters(once), parameters(other))
    with pytest.raises(SpecError, match=r"finite numbers of shape \(4, 60\)"):
        begun(weight_init=lambda rng, m, n: np.ones(3))


def test_input_dropout_is_a_dropout_before_the_first_layer() -> None:
    model = fitted(input_dropout=0.25, dropout=[0.5, 0.0])
    assert model.network_.layers[0] == deltarule.Dropout(0.25)
    assert model.network_.layers[2] == deltarule.Dropout(0.5)
    losses = fitted(input_dropout=0.5, learning_rate_init=STILL, max_iter=6, **FULL).loss_curve_
    assert len(set(losses)) == 6


def test_input_dropout_of_a_linear_model_is_ridge_on_average() -> None:
    """E‖y − (m ⊙ X/p) w‖² adds (1 − p)/p Σ_j w_j² Σ_i x_ij² (item R3; Wager et al. 2013)."""
    X, y = data("numbers", n=100)
    y = y - y.mean()
    X = X - X.mean(axis=0)
    model = linear(input_dropout=0.5, batch_size=100, learning_rate="inverse_time",
                   max_iter=6000, learning_rate_init=1.0)  # fmt: skip
    with unconverged():
        model.fit(X, y)
    expected = np.linalg.solve(X.T @ X + np.diag((X**2).sum(axis=0)), X.T @ y)
    assert_allclose(model.coefs_[0].ravel(), expected, atol=0.03)


def test_sparse_inputs_are_dropped_in_the_same_way() -> None:
    X, y = data("numbers")
    X = np.where(np.abs(X) < 0.5, 0, X)
    with unconverged():
        dense, sparse = (new(input_dropout=0.4).fit(rows, y) for rows in (X, sp.csr_array(X)))
    assert_allclose(parameters(sparse), parameters(dense), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_overrides_the_type_of_the_data(task: str, dtype: str) -> None:
    X, y = data(task)
    models = []
    for kind in (np.float32, np.float64):
        with unconverged():
            models.append(new(task, dtype=dtype).fit(X.astype(np.float32).astype(kind), y))
        assert {str(a.dtype) for a in [*models[-1].coefs_, *models[-1].intercepts_]} == {dtype}
        if task not in ("binary", "multiclass", "multilabel"):
            assert str(models[-1].predict(X).dtype) == dtype
    assert_array_equal(parameters(models[0]), parameters(models[1]))


# --- augmentation -------------------------------------------------------------------------------


def test_augment_is_called_every_epoch_with_rows_in_the_users_units() -> None:
    X, y = data("numbers")
    seen: list[Any] = []

    def augment(x: Any, rows: Any, epoch: int) -> Any:
        seen.append((x.copy(), rows.copy(), epoch))
        return x + 0.0

    for standardize in (False, True):
        arguments = {"standardize": standardize, "max_iter": 3}
        model = fitted(augment=augment, **arguments)
        assert [epoch for _, _, epoch in seen] == [0, 1, 2]
        assert all(np.array_equal(x, X) for x, _, _ in seen)
        assert_array_equal(seen[0][1], np.arange(40))
        assert_allclose(parameters(model), parameters(fitted(**arguments)), rtol=1e-12)
        seen.clear()
    parts = new(augment=augment)
    for _ in range(2):
        parts.partial_fit(X, y)
    assert [epoch for _, _, epoch in seen] == [0, 1]


def test_training_uses_the_augmented_rows() -> None:
    """A fit with the augmentation x ↦ −x equals a fit on −X."""
    X, y = data("numbers")
    flipped = fitted(augment=lambda x, rows, epoch: -x)
    with unconverged():
        plain = new().fit(-X, y)
    assert_allclose(parameters(flipped), parameters(plain), rtol=1e-12)
