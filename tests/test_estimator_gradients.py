"""``check_gradients`` on fitted estimators: "right" for right gradients, "wrong" for wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from deltarule.reference import interpreter
from estimator_support import ACTIVATIONS, TASKS, data, ours, unconverged


def fitted(task: str, X: Any = None, **arguments: Any) -> Any:
    rows, y = data(task)
    with unconverged():
        return ours(
            task, **{"hidden_layer_sizes": (5, 3), "max_iter": 4, "random_state": 0, **arguments}
        ).fit(rows if X is None else X, y)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("task", TASKS)
def test_gradients_are_right_after_every_solver_on_every_task(task: str, solver: str) -> None:
    X, y = data(task)
    for activation in ACTIVATIONS:
        model = fitted(task, solver=solver, activation=activation, alpha=0.3)
        check = model.check_gradients(X, y)
        assert check.verdict == "right", str(check)
        assert check.error <= check.tolerance == 1e-7
        assert check.n_checked + check.n_kinks == check.n_parameters
        assert check.n_parameters == sum(a.size for a in [*model.coefs_, *model.intercepts_])
        if activation != "relu":
            assert check.n_kinks == 0


@pytest.mark.parametrize("task", TASKS)
def test_gradients_are_right_with_weights_and_sparse_rows_in_float32(task: str) -> None:
    X, y = data(task)
    X[np.abs(X) < 0.5] = 0
    weight = np.random.default_rng(0).uniform(0, 3, len(X))
    model = fitted(task, X.astype(np.float32), activation="tanh")
    dense = model.check_gradients(X, y, weight)
    sparse = model.check_gradients(sp.csc_matrix(X), y, weight)
    assert model.coefs_[0].dtype == np.float32
    assert dense.verdict == sparse.verdict == "right"
    # a quotient of float32 costs would be off by more than a thousandth
    assert dense.error < 1e-7
    assert sparse.error < 1e-7
    assert dense.worst_analytic != model.check_gradients(X, y).worst_analytic


def test_units_at_their_kink_are_excluded_and_counted() -> None:
    """A row of zeros with zero biases puts every first hidden unit exactly at ReLU's kink."""
    X, y = data("numbers")
    X[0] = 0
    model = fitted("numbers", hidden_layer_sizes=(6,), activation="relu")
    assert model.check_gradients(X, y).n_kinks == 0
    model.intercepts_[0][:] = 0
    check = model.check_gradients(X, y)
    assert check.n_kinks == 6  # its biases; the row's zeros keep the weights away from it
    assert check.n_checked == check.n_parameters - 6
    assert check.verdict == "right"
    assert "kink: 6" in str(check)


def test_above_two_thousand_parameters_a_sample_of_every_array_is_compared() -> None:
    X, y = data("multiclass")
    model = fitted("multiclass", hidden_layer_sizes=(50, 38), activation="tanh", max_iter=1)
    check = model.check_gradients(X[:10], y[:10])
    sizes = [a.size for a in [*model.coefs_, *model.intercepts_]]
    assert check.n_parameters == sum(sizes) > 2000
    assert sum(min(8, size) for size in sizes) <= check.n_checked < sum(sizes)
    assert abs(check.n_checked - 2000) < 50
    assert check.verdict == "right"
    assert "sample" in str(check)
    few = model.check_gradients(X[:10], y[:10], max_parameters=60)
    assert few.n_checked < 160
    assert model.check_gradients(X[:10], y[:10], max_parameters=60, seed=0) == few  # seeded
    assert model.check_gradients(X[:10], y[:10], max_parameters=60, seed=1) != few


def test_at_the_minimum_the_verdict_is_cannot_tell() -> None:
    """At the exact least squares the gradient is zero and the quotients are rounding errors."""
    X, y = data("numbers")
    model = fitted("numbers", hidden_layer_sizes=(), alpha=0.0)
    solution = np.linalg.lstsq(np.column_stack([X, np.ones(len(X))]), y)[0]
    model.coefs_, model.intercepts_ = [solution[:4, None]], [solution[4:]]
    check = model.check_gradients(X, y)
    assert check.verdict == "cannot tell"
    assert check.error > check.tolerance
    assert "below the rounding error" in str(check)


def test_a_check_changes_nothing() -> None:
    X, y = data("binary")
    model = fitted("binary")
    before = [a.copy() for a in [*model.coefs_, *model.intercepts_]]
    model.check_gradients(X, y)
    for a, b in zip([*model.coefs_, *model.intercepts_], before, strict=True):
        assert_array_equal(a, b)


# --- what a mistake looks like -----------------------------------------------------------------

AFFINE, ACTIVATE = interpreter.affine, interpreter.activate


def broken_affine(change: Callable[..., tuple[Any, Any, Any]]) -> Callable[..., Any]:
    def affine(*args: Any, **kwargs: Any) -> Any:
        value, pull = AFFINE(*args, **kwargs)
        return value, lambda dz: change(*pull(dz))

    return affine


def broken_activate(change: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def activate(*args: Any) -> Any:
        value, pull = ACTIVATE(*args)
        return value, lambda da: change(pull(da), da)

    return activate


MISTAKES = {
    "a factor in the weights": ("affine", broken_affine(lambda dx, dw, db: (dx, 1.0001 * dw, db))),
    "the sign of the biases": ("affine", broken_affine(lambda dx, dw, db: (dx, dw, -db))),
    "biases forgotten": ("affine", broken_affine(lambda dx, dw, db: (dx, dw, 0 * db))),
    "layers below forgotten": (
        "affine",
        broken_affine(lambda dx, dw, db: (None if dx is None else 0 * dx, dw, db)),
    ),
    "the derivative of the activation": ("activate", broken_activate(lambda dz, da: da)),
    "a small slip in it": ("activate", broken_activate(lambda dz, da: dz + 1e-4 * da)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("task", ["multiclass", "several counts"])
def test_a_wrong_pullback_gives_the_verdict_wrong(
    task: str, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = data(task)
    model = fitted(task, activation="tanh")
    assert model.check_gradients(X, y).verdict == "right"
    monkeypatch.setattr(interpreter, *MISTAKES[mistake])
    check = model.check_gradients(X, y)
    assert check.verdict == "wrong"
    assert check.error > 1e-6
    name = check.worst[:2]
    assert name in ("W1", "W2", "W3", "b1", "b2", "b3")
    if mistake.startswith("biases"):
        assert name.startswith("b")
        assert check.worst_analytic == 0
    assert "Gradients: wrong" in str(check)
    assert check.worst in str(check)


# --- what it refuses ---------------------------------------------------------------------------


def test_data_that_do_not_fit_the_model_are_refused() -> None:
    X, y = data("binary")
    with pytest.raises(NotFittedError):
        ours("binary").check_gradients(X, y)
    model = fitted("binary")
    with pytest.raises(ValueError, match="X has 2 features, but MLPClassifier is expecting 4"):
        model.check_gradients(X[:, :2], y)
    with pytest.raises(ValueError, match="same number of rows; got 40 and 39"):
        model.check_gradients(X, y[:-1])
    with pytest.raises(ValueError, match=r"has not seen: \['perhaps'\]"):
        model.check_gradients(X, np.full(40, "perhaps"))
    with pytest.raises(ValueError, match="contains NaN"):
        model.check_gradients(np.full_like(X, np.nan), y)
