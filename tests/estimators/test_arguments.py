"""Activations, solvers, schedules and regularisation as arguments of the estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import erf, expit, log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, Ridge

import deltarule
from deltarule import (
    ELU,
    LBFGS,
    SGD,
    Adam,
    AdamW,
    Cosine,
    LeakyReLU,
    LineSearch,
    MLPRegressor,
    PiecewiseConstant,
    RMSprop,
)
from deltarule.errors import SpecError
from deltarule.estimators.options import FitOptions
from deltarule.schedules import SCHEDULES
from deltarule.spec import ACTIVATIONS
from deltarule.spec.optimizers import OPTIMIZERS
from support.estimator_layers import STILL, fitted, new, outputs
from support.estimators import data, ours, parameters, unconverged

FULL = {"batch_size": 40, "shuffle": False, "alpha": 0.0}
"""The whole set in every step: 40 rows, as ``data`` makes them."""


def moved(task: str = "numbers", **arguments: Any) -> tuple[Any, Any]:
    """Return the parameters before and after one step of plain gradient descent."""
    arguments = {"solver": "sgd", "momentum": 0.0, "max_iter": 1, **FULL, **arguments}
    begin = fitted(task, **{**arguments, "learning_rate_init": STILL})
    return parameters(begin).copy(), parameters(fitted(task, **arguments))


# --- activations --------------------------------------------------------------------------------

FORMULAS: dict[str, Any] = {
    "logistic": expit,
    "sigmoid": expit,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "gelu": lambda z: z * (1 + erf(z / np.sqrt(2))) / 2,
    "silu": lambda z: z * expit(z),
    "mish": lambda z: z * np.tanh(np.logaddexp(0, z)),
    "softsign": lambda z: z / (1 + np.abs(z)),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z > 0, z, np.expm1(z)),
}


@pytest.mark.parametrize(
    ("given", "formulas"),
    [
        (["gelu", "tanh"], ("gelu", "tanh")),
        (("logistic", "leaky_relu"), ("logistic", "leaky_relu")),
        ([LeakyReLU(0.2), ELU(2.0)], (lambda z: np.where(z > 0, z, 0.2 * z),
                                      lambda z: np.where(z > 0, z, 2 * np.expm1(z)))),
        (np.array(["mish", "softsign"]), ("mish", "softsign")),
        (LeakyReLU(0.3), (lambda z: np.where(z > 0, z, 0.3 * z),) * 2),
        ("silu", ("silu", "silu")),
        ("elu", ("elu", "elu")),
    ],
    ids=["list", "tuple", "instances", "array", "one instance", "silu", "elu"],
)  # fmt: skip
def test_every_layer_has_its_activation(given: Any, formulas: Any) -> None:
    X, _ = data("numbers")
    model = fitted(activation=given)
    h = X
    for i, formula in enumerate(formulas):
        g = FORMULAS[formula] if isinstance(formula, str) else formula
        h = g(h @ model.coefs_[i] + model.intercepts_[i])
    expected = h @ model.coefs_[2] + model.intercepts_[2]
    assert_allclose(model.predict(X), expected.ravel(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["relu", "logistic", "tanh"])
def test_a_list_of_one_activation_equals_the_activation(name: str) -> None:
    once, listed = fitted(activation=name), fitted(activation=[name, name])
    assert_array_equal(parameters(listed), parameters(once))


def test_sigmoid_is_logistic() -> None:
    assert_array_equal(
        parameters(fitted(activation="sigmoid")), parameters(fitted(activation="logistic"))
    )


@pytest.mark.parametrize("name", sorted({*ACTIVATIONS, "logistic"}))
def test_gradients_are_right_whatever_the_activation(name: str) -> None:
    X, y = data("multiclass")
    model = fitted("multiclass", activation=[name, "tanh"], max_iter=1)
    assert model.check_gradients(X, y).verdict == "right"


# --- solvers and schedules ----------------------------------------------------------------------


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_every_solver_learns(solver: str) -> None:
    X, y = data("binary", n=120)
    rate = {"adadelta": 3.0, "adagrad": 0.3, "sgd": 0.2, "ema_momentum": 1.0}.get(solver, 0.01)
    model = ours("binary", solver=solver, hidden_layer_sizes=8, learning_rate_init=rate,
                 max_iter=150, random_state=0)  # fmt: skip
    with unconverged():
        assert model.fit(X, y).score(X, y) > 0.9
    assert hasattr(model, "partial_fit") == (solver not in ("lbfgs", "line_search"))


@pytest.mark.parametrize(
    ("name", "instance"),
    [
        ("sgd", SGD(0.01, 0.9, nesterov=True)),
        ("adam", Adam(0.01)),
        ("adamw", AdamW(0.01)),
        ("rmsprop", RMSprop(0.01)),
        ("lbfgs", LBFGS()),
        ("line_search", LineSearch()),
    ],
)
def test_a_name_equals_the_instance_with_the_estimators_rate(name: str, instance: Any) -> None:
    named = fitted(solver=name, learning_rate_init=0.01)
    given = fitted(solver=instance, learning_rate_init=123.0)  # which then says nothing
    assert_array_equal(parameters(named), parameters(given))


def test_adamw_shrinks_weights_in_addition_to_adams_step() -> None:
    """Every weight, but no bias, shrinks by η λ in addition to Adam's step from the same point."""
    X, y = data("numbers")
    start = fitted(learning_rate_init=STILL, max_iter=1, **FULL)
    steps = [
        new(solver=s, max_iter=1, **FULL).partial_fit(X, y) for s in (AdamW(0.01, weight_decay=0.5),
                                                                     Adam(0.01))
    ]  # fmt: skip
    for begin, decayed, plain in zip(start.coefs_, steps[0].coefs_, steps[1].coefs_, strict=True):
        assert_allclose(decayed, plain - 0.01 * 0.5 * begin, rtol=1e-10, atol=1e-14)
    for decayed, plain in zip(steps[0].intercepts_, steps[1].intercepts_, strict=True):
        assert_array_equal(decayed, plain)


def test_rprop_uses_the_full_batch() -> None:
    X, y = data("numbers", n=300)
    model = new(solver="rprop", batch_size="auto", max_iter=3)
    with unconverged():
        model.fit(X, y)
    assert model.state_.step == 3
    with pytest.raises(SpecError, match="batch_size='auto', which is all 300 rows"):
        new(solver="rprop", batch_size=200).fit(X, y)


@pytest.mark.parametrize("name", sorted({*SCHEDULES} - {"invscaling", "adaptive"}))
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_schedule_by_name_equals_that_of_train(name: str, solver: str) -> None:
    """Without shuffling a fit equals ``train`` on its network from the same initial state."""
    X, y = data("numbers")
    arguments = {"solver": solver, "learning_rate_init": 0.01, "shuffle": False, "max_iter": 5,
                 "learning_rate": name, "tol": 0.0}  # fmt: skip
    model = fitted(**arguments)
    begin = fitted(**{**arguments, "learning_rate_init": STILL, "learning_rate": "constant"})
    net, state = begin.network_, begin.state_.copy()
    optimizer = SGD(0.01, 0.9, nesterov=True) if solver == "sgd" else Adam(0.01)
    deltarule.train(net, state, X, y, optimizer=optimizer, schedule=SCHEDULES[name](),
                    batch_size=8, epochs=5, shuffle=False)  # fmt: skip
    assert_allclose(model.state_.theta, state.theta, rtol=1e-12, atol=1e-280)


def test_calls_of_partial_fit_are_epochs_of_one_schedule() -> None:
    X, y = data("numbers")
    arguments = {"learning_rate": Cosine(warm_up=1), "max_iter": 6, "shuffle": False, "tol": 0.0}
    whole, parts = fitted(**arguments), new(**arguments)
    for _ in range(6):
        parts.partial_fit(X, y)
    assert_allclose(parameters(parts), parameters(whole), rtol=1e-12)


def test_after_a_fit_partial_fit_restarts_the_schedule() -> None:
    X, y = data("numbers")
    model = fitted(learning_rate="cosine", max_iter=5)
    before = parameters(model).copy()
    model.partial_fit(X, y)
    assert np.abs(parameters(model) - before).max() > 1e-4


def test_piecewise_constant_rates_are_used() -> None:
    """With rates of nearly zero from the third epoch, the parameters stay the same."""
    early = fitted(learning_rate=PiecewiseConstant([2], [STILL]), max_iter=8)
    assert_array_equal(parameters(early), parameters(fitted(max_iter=2)))


# --- what keeps weights small -------------------------------------------------------------------


def linear(**arguments: Any) -> Any:
    defaults = {"hidden_layer_sizes": (), "solver": "sgd", "momentum": 0.0, "tol": 0.0,
                "n_iter_no_change": np.inf, "learning_rate_init": 0.3,
                "max_iter": 3000}  # fmt: skip
    return new(**{**FULL, **defaults, **arguments})


@pytest.mark.parametrize("strength", [0.5, 4.0, 20.0])
def test_l1_without_hidden_layers_is_the_lasso(strength: float) -> None:
    X, y = data("numbers")
    with unconverged():
        model = linear(l1=strength).fit(X, y)
    lasso = Lasso(alpha=strength / 40, tol=1e-14, max_iter=10**6).fit(X, y)
    assert_allclose(model.coefs_[0].ravel(), lasso.coef_, atol=1e-9)
    assert_array_equal(model.coefs_[0].ravel() == 0, lasso.coef_ == 0)


def test_alpha_with_l1_stays_a_ridge_penalty() -> None:
    X, y = data("numbers")
    with unconverged():
        model = linear(alpha=3.0, l1=1e-13).fit(X, y)
    assert_allclose(model.coefs_[0].ravel(), Ridge(alpha=3.0).fit(X, y).coef_, atol=1e-9)


@settings(deadline=None, max_examples=15)
@given(limit=st.floats(0.01, 1.0), solver=st.sampled_from(["sgd", "adam", "rmsprop"]))
def test_no_unit_has_a_larger_norm_than_max_norm(limit: float, solver: str) -> None:
    model = fitted("multiclass", solver=solver, max_norm=limit, learning_rate_init=0.1)
    largest = max(np.linalg.norm(w, axis=0).max() for w in model.coefs_)
    assert largest == pytest.approx(limit, rel=1e-12)


@pytest.mark.parametrize("clip", [1e-3, ("norm", 1e-3), ["norm", 1e-3]], ids=str)
def test_a_clipped_gradient_has_the_norm_given(clip: Any) -> None:
    before, after = moved(gradient_clip=clip, learning_rate_init=0.5)
    assert np.linalg.norm(after - before) == pytest.approx(0.5e-3, rel=1e-9)
    free_before, free_after = moved(learning_rate_init=0.5)
    free = free_after - free_before
    assert_allclose(after - before, 0.5e-3 * free / np.linalg.norm(free), rtol=1e-6, atol=1e-15)


def test_clipped_entries_stop_at_the_value_given() -> None:
    before, after = moved(gradient_clip=("value", 1e-2), learning_rate_init=0.5)
    free_before, free_after = moved(learning_rate_init=0.5)
    expected = np.clip((free_after - free_before) / 0.5, -1e-2, 1e-2) * 0.5
    assert_allclose(after - before, expected, rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_smoothed_labels_pull_probabilities_towards_each_other(task: str) -> None:
    """Without hidden layers and penalty, on constant rows, probabilities are mean targets."""
    _, y = data(task)
    X = np.zeros((40, 1))
    s = 0.2
    model = new(task, hidden_layer_sizes=(), solver="lbfgs", label_smoothing=s, tol=1e-12,
                max_iter=500, alpha=0.0).fit(X, y)  # fmt: skip
    if task == "multilabel":
        expected = (1 - s) * y.mean(axis=0) + s / 2
    else:
        share = np.array([np.mean(y == label) for label in model.classes_])
        expected = (1 - s) * share + s / len(share)
    assert_allclose(model.predict_proba(X)[0], expected, atol=1e-6)


def test_the_loss_of_smoothed_labels() -> None:
    X, y = data("multiclass")
    model = fitted("multiclass", label_smoothing=0.3, learning_rate_init=STILL, max_iter=1, **FULL)
    one_hot = (y[:, None] == model.classes_).astype(float)
    z = np.log(model.predict_proba(X))
    expected = -np.sum((0.7 * one_hot + 0.1) * log_softmax(z, axis=1), axis=1).mean()
    assert model.loss_ == pytest.approx(expected, rel=1e-12)


# --- what is refused ----------------------------------------------------------------------------

WHOLE = "does not go with solver='lbfgs'"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no such activation": ({"activation": "swish"}, "'activation' parameter of MLPRegressor"),
    "none in a list": ({"activation": ["relu", "gleu"]}, "'gleu'. Did you mean 'gelu'"),
    "one for two layers": ({"activation": ["relu"]}, r"one for each of the 2; got \['relu'\]"),
    "no such solver": ({"solver": "adamax"}, "'solver' parameter of MLPRegressor"),
    "a class of solvers": ({"solver": Adam}, "'solver' parameter of MLPRegressor"),
    "no such schedule": ({"learning_rate": "linear"}, "'learning_rate' parameter of MLPRegressor"),
    "a number for a schedule": ({"learning_rate": 0.1}, "'learning_rate' parameter"),
    "a negative l1": ({"l1": -1.0}, "'l1' parameter"),
    "a norm of zero": ({"max_norm": 0.0}, "'max_norm' parameter"),
    "clipping at zero": ({"gradient_clip": 0.0}, "'gradient_clip' parameter"),
    "clipping what": ({"gradient_clip": ("max", 1.0)}, r"or \('value', c\).*got \('max', 1.0\)"),
    "clipping at nothing": ({"gradient_clip": ("value",)}, r"got \('value',\)"),
    "clipping below zero": ({"gradient_clip": ("value", -1.0)}, "gradient_clip=.*must be in"),
    "no such beginning": ({"weight_init": "xavier"}, "'weight_init' parameter"),
    "all inputs dropped": ({"input_dropout": 1.0}, "'input_dropout' parameter"),
    "half precision": ({"dtype": "float16"}, "'dtype' parameter"),
    "l1 with corners": ({"l1": 0.1, "solver": "lbfgs"}, f"l1=0.1 {WHOLE}.*or l1=0"),
    "projections": ({"max_norm": 1.0, "solver": "lbfgs"}, f"max_norm=1.0 {WHOLE}.*max_norm=None"),
    "clips": ({"gradient_clip": 1.0, "solver": "lbfgs"}, f"gradient_clip=1.0 {WHOLE}"),
    "pictures": ({"augment": np.negative, "solver": "lbfgs"}, f"augment=.*{WHOLE}"),
    "masks": ({"input_dropout": 0.1, "solver": LBFGS()}, r"input_dropout=0.1 does not.*LBFGS\("),
    "rates for lbfgs": ({"learning_rate": "cosine", "solver": "lbfgs"}, "has no effect.*constant"),
    "rates for rprop": ({"learning_rate": Cosine(), "solver": "rprop", "batch_size": 40},
                        "'rprop' adapts a step size of its own"),
    "both betas": ({"solver": "ema_momentum", "momentum": 1.0}, "beta must be in"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_arguments_are_refused(name: str) -> None:
    arguments, message = REFUSED[name]
    X, y = data("numbers")
    good = fitted()
    before = outputs(good, X)
    for model in (new(**arguments), good.set_params(**arguments)):
        with pytest.raises(ValueError, match=message):
            model.fit(X, y)
    good.set_params(dtype="auto", activation="relu")
    assert_array_equal(outputs(good, X), before)


def test_sparse_rows_cannot_be_augmented() -> None:
    X, y = data("numbers")
    with pytest.raises(ValueError, match="augment needs a dense X"):
        new(augment=lambda x, rows, epoch: x).fit(sp.csr_array(X), y)


def test_changing_the_dtype_between_calls_is_refused() -> None:
    X, y = data("numbers")
    model = fitted(warm_start=True)
    with pytest.raises(SpecError, match="dtype='float64', but dtype is now 'float32'"):
        model.set_params(dtype="float32").fit(X, y)


def test_arguments_are_read_again_only_if_they_may_have_changed(monkeypatch: Any) -> None:
    X, y = data("numbers")
    reads: list[bool] = []
    read = FitOptions.read

    def counting(*given: Any, incremental: bool = False) -> FitOptions:
        reads.append(incremental)
        return read(*given, incremental=incremental)

    monkeypatch.setattr(FitOptions, "read", counting)
    plain = MLPRegressor(hidden_layer_sizes=(3,), max_iter=1, tol=0.0)
    for _ in range(3):
        plain.partial_fit(X, y)
    assert reads == [True]
    with pytest.warns(ConvergenceWarning):
        plain.fit(X, y)
    plain.set_params(alpha=0.5).partial_fit(X, y)
    assert reads == [True, False, True]
    sizes = [3]
    listed = MLPRegressor(hidden_layer_sizes=sizes).partial_fit(X, y)
    sizes.append(2)
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        listed.partial_fit(X, y)
