"""``standardize``: the network uses scaled data, and the user data in their own units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from deltarule.errors import DataError, SpecError
from support.callbacks import scoring_monitor
from support.estimator_layers import fitted, new, outputs
from support.estimators import TASKS, data, parameters, unconverged

SMALL = {"standardize": True}
numbers = [t for t in TASKS if t in ("numbers", "several numbers")]


def far(task: str, n: int = 40) -> tuple[Any, Any]:
    """Return data with very different scales."""
    X, y = data(task, n=n)
    X = X * [1e-3, 1.0, 1e4, 7.0] + [0.0, 1e3, -5e4, 2.0]
    return X, (1e3 * y + 500 if task in numbers else y)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("task", TASKS)
def test_standardize_equals_scalers_before_and_after_the_network(task: str, solver: str) -> None:
    X, y = far(task)
    inside = new(task, solver=solver, **SMALL)
    outside = make_pipeline(StandardScaler(), new(task, solver=solver))
    if task in numbers:
        outside = TransformedTargetRegressor(outside, transformer=StandardScaler())
    with unconverged():
        inside.fit(X, y)
        outside.fit(X, y)
    assert_allclose(outputs(inside, X), outputs(outside, X), rtol=1e-7, atol=1e-9)
    network = (outside.regressor_ if task in numbers else outside)[-1]
    assert_allclose(parameters(inside), parameters(network), rtol=1e-7, atol=1e-9)
    assert_allclose(inside.loss_curve_, network.loss_curve_, rtol=1e-9)


@settings(deadline=None, max_examples=25)
@given(
    task=st.sampled_from(sorted(TASKS)),
    factor=st.lists(st.floats(1e-3, 1e3), min_size=4, max_size=4),
    shift=st.lists(st.floats(-1e2, 1e2), min_size=4, max_size=4),
    of_y=st.tuples(st.floats(1e-3, 1e3), st.floats(-100, 100)),
    dense=st.booleans(),
)
def test_units_do_not_matter(task: str, factor: Any, shift: Any, of_y: Any, dense: bool) -> None:
    X, y = data(task)
    c, d = of_y if task in numbers else (1.0, 0.0)
    shift = np.array(shift) * factor if dense else 0.0  # sparse rows are not centred
    here, there = X, X * factor + shift
    y_there = c * y + d * c if task in numbers else y
    if not dense:
        here, there = sp.csr_array(here), sp.csr_array(there)
    with unconverged():
        a = new(task, solver="sgd", **SMALL).fit(here, y)
        b = new(task, solver="sgd", **SMALL).fit(there, y_there)
    expected = outputs(a, here)
    found = outputs(b, there)
    assert_allclose(found / c - d if task in numbers else found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("task", TASKS)
def test_scales_use_the_sample_weights(task: str) -> None:
    X, y = far(task)
    weight = np.arange(40) % 4
    with unconverged():
        weighted = new(task, **SMALL).fit(X, y, sample_weight=weight)
    rows = np.repeat(X, weight, axis=0)
    assert_allclose(weighted.scales_.X_mean, rows.mean(axis=0), rtol=1e-10)
    assert_allclose(weighted.scales_.X_scale, rows.std(axis=0), rtol=1e-10)
    if task in numbers:
        targets = np.repeat(y, weight, axis=0)
        assert_allclose(np.ravel(weighted.scales_.y_mean), targets.mean(axis=0), rtol=1e-10)
        assert_allclose(np.ravel(weighted.scales_.y_scale), targets.std(axis=0), rtol=1e-10)
    else:
        assert weighted.scales_.y_mean is None


def test_scales_ignore_the_held_out_rows() -> None:
    X, y = far("numbers", n=80)
    X_val, y_val = X[40:] * 100, y[40:] * 100
    with unconverged():
        model = new(early_stopping=True, **SMALL).fit(X[:40], y[:40], X_val=X_val, y_val=y_val)
        split = new(early_stopping=True, validation_fraction=0.25, **SMALL).fit(X, y)
    assert_allclose(model.scales_.X_mean, X[:40].mean(axis=0))
    assert not np.allclose(split.scales_.X_mean, X.mean(axis=0), rtol=1e-6)
    score = model.score(X_val, y_val)
    assert score == pytest.approx(max(model.validation_scores_), rel=1e-9)


@pytest.mark.parametrize("how", ["partial_fit", "warm_start"])
def test_further_training_keeps_the_first_scales(how: str) -> None:
    X, y = far("numbers")
    model = new(warm_start=True, **SMALL)
    with unconverged():
        model.partial_fit(X, y) if how == "partial_fit" else model.fit(X, y)
        first = [np.array(a) for a in model.scales_]
        model.partial_fit(9 * X, 9 * y) if how == "partial_fit" else model.fit(9 * X, 9 * y)
    for a, b in zip(first, model.scales_, strict=True):
        assert_array_equal(a, b)
    with pytest.raises(SpecError, match="standardize=True, but standardize is now False"):
        model.set_params(standardize=False).fit(X, y)
    with unconverged():
        model.set_params(warm_start=False).fit(X, y)
    assert model.scales_ is None


def test_constant_features_and_targets_are_allowed() -> None:
    X, _ = data("numbers")
    X[:, 1] = 1e6 + 0.1
    with unconverged():
        model = new(**SMALL).fit(X, np.full(40, 3.0))
    assert model.scales_.X_scale[1] == 1.0
    assert_allclose(model.predict(X), 3.0, atol=1.0)
    assert np.isfinite(parameters(model)).all()


@pytest.mark.parametrize("make", [sp.csr_array, sp.csc_array, sp.csr_matrix])
def test_sparse_rows_stay_sparse(make: Any) -> None:
    X, y = far("numbers")
    X = np.where(np.abs(X - X.mean(axis=0)) < 0.5 * X.std(axis=0), 0, X)
    given = make(X)
    before = given.copy()
    with unconverged():
        model = new(**SMALL).fit(given, y)
        dense = new().fit(X / X.std(axis=0), (y - y.mean()) / y.std())
    assert abs(given - before).max() == 0
    assert_array_equal(model.scales_.X_mean, np.zeros(4))
    assert_allclose(model.scales_.X_scale, X.std(axis=0), rtol=1e-10)
    assert_allclose(parameters(model), parameters(dense), rtol=1e-7, atol=1e-9)
    assert_allclose(model.predict(given), model.predict(X), rtol=1e-10)
    with pytest.raises(DataError, match="X is a sparse matrix, but fit has centred a dense one"):
        fitted(**SMALL).predict(given)


@pytest.mark.parametrize("task", TASKS)
def test_float32_stays_float32(task: str) -> None:
    X, y = data(task)
    model = new(task, **SMALL)
    with unconverged():
        model.fit(X.astype(np.float32), y)
    assert outputs(model, X.astype(np.float32)).dtype == np.float32
    assert parameters(model).dtype == np.float32


@pytest.mark.parametrize("task", TASKS)
def test_gradients_are_checked_on_scaled_data(task: str) -> None:
    X, y = far(task)
    with unconverged():
        model = new(task, activation="tanh", **SMALL).fit(X, y)
    assert model.check_gradients(X, y).verdict == "right"


@pytest.mark.parametrize("task", ["numbers", "multiclass"])
def test_callbacks_see_the_users_units(task: str) -> None:
    X, y = far(task)
    scoring = "r2" if task == "numbers" else "accuracy"
    monitor = scoring_monitor(scoring=scoring)
    with unconverged():
        model = new(task, **SMALL).set_callbacks(monitor).fit(X, y)
    last = [row[scoring] for row in monitor.get_logs().data if row["task_name"] == "epoch"][-1]
    assert last == pytest.approx(model.score(X, y), rel=1e-9)


def test_values_without_a_finite_variance_are_refused() -> None:
    X, y = data("numbers")
    with pytest.raises(DataError, match="values in X whose variance is not finite"):
        new(**SMALL).fit(X * 1e200, y)
