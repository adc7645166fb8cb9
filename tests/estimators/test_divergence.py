"""If the loss diverges, ``fit`` says why and what to change, and the model contains no NaN."""

from __future__ import annotations

import _thread
import re
import signal
import threading
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from deltarule.errors import DeltaruleError, DivergenceError
from deltarule.reference import Reference
from support.estimators import TASKS, data, noisy, ours, parameters, theirs

SENTENCE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)


def sgd(task: str = "numbers", **arguments: Any) -> Any:
    return ours(
        task,
        **{
            "hidden_layer_sizes": 5, "solver": "sgd", "random_state": 0, "max_iter": 30,
            "batch_size": 10, "n_iter_no_change": np.inf, **arguments,
        },
    )  # fmt: skip


def refusal(model: Any, X: Any, y: Any) -> str | None:
    """Fit, and return the error message, if there is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            model.fit(X, y)
        except DivergenceError as error:
            message = str(error)
        else:
            return None
    assert message.startswith(SENTENCE)
    return message


def check_refused(model: Any, X: Any, y: Any, hint: str) -> None:
    with pytest.raises(DivergenceError) as caught:
        model.fit(X, y)
    message = str(caught.value)
    assert message.startswith(SENTENCE)
    assert hint in message
    assert "the best finite parameters were restored" in message
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, DeltaruleError)
    assert np.isfinite(parameters(model)).all()


def test_messages_agree_with_scikit_learn() -> None:
    X, y = data("numbers")
    with noisy(), pytest.raises(ValueError, match=re.escape(SENTENCE)):
        theirs("numbers", solver="sgd", learning_rate_init=1e6).fit(X, y)


@pytest.mark.parametrize("task", ["numbers", "several numbers", "counts"])
def test_a_much_too_large_learning_rate(task: str) -> None:
    X, y = data(task)
    model = sgd(task, learning_rate_init=1e6)
    check_refused(model, X, y, "so the learning rate 1e+06 is the likely cause: try 100000.")


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_a_learning_rate_that_is_too_large_for_the_penalty(task: str) -> None:
    """Log-losses grow slowly; a shrinkage factor 1 − η α/b below −1 makes them diverge."""
    X, y = data(task)
    model = sgd(task, learning_rate_init=1e6, alpha=1.0, max_iter=200)
    check_refused(model, X, y, "try 100000")


@pytest.mark.filterwarnings("ignore::deltarule.errors.FrozenTrainingWarning")
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("task", TASKS)
def test_much_too_large_inputs(task: str, solver: str) -> None:
    """X × 1e300 is refused, or gives a finite model."""
    X, y = data(task)
    model = sgd(task, solver=solver)
    error = refusal(model, X * 1e300, y)
    if error is None:
        assert task in ("binary", "multiclass", "multilabel")
        assert np.isfinite(model.loss_curve_).all()
    else:
        assert "standardise the inputs (sklearn.preprocessing.StandardScaler)" in error
        assert f"The largest |X| is {np.abs(X).max() * 1e300:.3g}" in error
    assert np.isfinite(parameters(model)).all()


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_much_too_large_targets(solver: str) -> None:
    X, y = data("numbers")
    check_refused(
        sgd(solver=solver), X, y * 1e300,
        "standardise the targets (sklearn.compose.TransformedTargetRegressor)",
    )  # fmt: skip


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_float32_overflows_earlier(solver: str) -> None:
    X, y = data("numbers")
    large = (X * 1e25).astype(np.float32)
    model = sgd(solver=solver)
    check_refused(model, large, y, "The largest |X| is ")
    assert parameters(model).dtype == np.float32
    with warnings.catch_warnings():  # in float64 these squares still fit
        warnings.simplefilter("ignore", ConvergenceWarning)
        sgd(solver="adam").fit(large.astype(np.float64), y)


def test_targets_that_float32_cannot_hold() -> None:
    X, y = data("numbers")
    check_refused(sgd(), X.astype(np.float32), y * 1e100, "The largest |y| is inf")


def test_the_parameters_of_the_best_epoch_are_kept() -> None:
    """The parameters equal those of the same fit, stopped after the epoch with the lowest loss."""
    X, y = data("numbers")
    model = sgd(learning_rate_init=0.9, momentum=0.0, batch_size=40, activation="identity")
    check_refused(model, X, y, "try 0.09")
    assert np.isnan(model.loss_) or np.isinf(model.loss_)
    best = int(np.nanargmin(model.loss_curve_))
    shorter = sgd(
        learning_rate_init=0.9, momentum=0.0, batch_size=40, activation="identity",
        max_iter=best + 1,
    )  # fmt: skip
    with pytest.warns(ConvergenceWarning):
        shorter.fit(X, y)
    assert_array_equal(parameters(model), parameters(shorter))


def test_the_result_is_not_worse_than_the_beginning() -> None:
    X, y = data("numbers")
    model = sgd(learning_rate_init=1e6)
    check_refused(model, X, y, "try 100000")
    fresh = sgd(learning_rate_init=1e-300, max_iter=1)
    with pytest.warns(ConvergenceWarning):
        fresh.fit(X, y)
    assert np.abs(model.predict(X)).max() <= 2 * np.abs(fresh.predict(X)).max()


def test_without_a_finite_epoch_the_initial_parameters_are_restored() -> None:
    X, y = data("numbers")
    model = sgd()
    check_refused(model, X * 1e300, y, "in epoch 1;")
    fresh = sgd(learning_rate_init=1e-300, max_iter=1)
    with pytest.warns(ConvergenceWarning):
        fresh.fit(X, y)
    assert_array_equal(parameters(model), parameters(fresh))


def test_partial_fit_keeps_its_last_finite_parameters() -> None:
    X, y = data("numbers")
    model = sgd(learning_rate_init=0.01).partial_fit(X, y).partial_fit(X, y)
    before = parameters(model).copy()
    with pytest.raises(DivergenceError, match=re.escape(SENTENCE)):
        model.partial_fit(X * 1e300, y)
    assert_array_equal(parameters(model), before)
    model.partial_fit(X, y)  # and training can continue
    assert np.isfinite(parameters(model)).all()
    assert not np.array_equal(parameters(model), before)


# --- under early stopping a warning, as scikit-learn's tests ask -------------------------------


@pytest.mark.parametrize("arguments", [{"learning_rate_init": 1e6}, {"learning_rate_init": 1.0}])
def test_with_early_stopping_divergence_is_a_warning(arguments: dict[str, float]) -> None:
    X, y = load_iris(return_X_y=True)
    model = ours(
        "numbers", hidden_layer_sizes=100, activation="identity", solver="sgd", max_iter=20,
        early_stopping=True, random_state=0, **arguments,
    )  # fmt: skip
    with pytest.warns(ConvergenceWarning, match="^" + re.escape(SENTENCE)) as caught:
        assert model.fit(X, y) is model
    assert [w.filename for w in caught] == [__file__]
    assert isinstance(model.validation_scores_[-1], float)
    assert np.isnan(model.validation_scores_[-1])
    assert len(model.validation_scores_) == model.n_iter_ == len(model.loss_curve_)
    assert np.isfinite(parameters(model)).all()
    assert np.isfinite(model.predict(X)).all()


def test_with_early_stopping_the_best_score_is_kept() -> None:
    X, y = data("numbers", n=60)
    model = sgd(early_stopping=True, learning_rate_init=0.4, momentum=0.0, activation="identity")
    with pytest.warns(ConvergenceWarning, match=re.escape(SENTENCE)):
        model.fit(X[:45], y[:45], X_val=X[45:], y_val=y[45:])
    finite = [s for s in model.validation_scores_ if s == s]
    assert len(finite) >= 1
    assert model.best_validation_score_ == max(finite)
    assert model.score(X[45:], y[45:]) == pytest.approx(max(finite), rel=1e-12)


# --- whatever is asked, what is returned is finite ---------------------------------------------

DIVERGING = st.fixed_dictionaries(
    {
        "solver": st.sampled_from(["sgd", "adam", "lbfgs"]),
        "learning_rate": st.sampled_from(["constant", "invscaling", "adaptive"]),
        "learning_rate_init": st.floats(-3, 12).map(lambda e: 10.0**e),
        "activation": st.sampled_from(["identity", "logistic", "tanh", "relu"]),
        "momentum": st.sampled_from([0.0, 0.9, 1.0]),
        "alpha": st.sampled_from([0.0, 1e-4, 1e4]),
        "early_stopping": st.booleans(),
        "hidden_layer_sizes": st.sampled_from([(), (3,), (4, 3, 2)]),
        "max_iter": st.integers(1, 12),
        "shuffle": st.booleans(),
    }
)
SCALES = st.floats(-300, 300).map(lambda e: 10.0**e)


def check_finite(
    task: str, arguments: dict[str, Any], scale: float, y_scale: float, single: bool
) -> None:
    X, y = data(task)
    X = X * scale
    if single:
        X = np.clip(X, -1e35, 1e35).astype(np.float32)
    if task.endswith("numbers"):
        y = y * y_scale
    model = ours(task, random_state=0, batch_size=9, **arguments)
    if refusal(model, X, y) is None and not arguments["early_stopping"]:
        assert np.isfinite(model.loss_curve_).all()
        assert np.isfinite(model.loss_)
    assert np.isfinite(parameters(model)).all()


EVERYTHING = {
    "task": st.sampled_from(sorted(TASKS)),
    "arguments": DIVERGING,
    "scale": SCALES,
    "y_scale": SCALES,
    "single": st.booleans(),
}


HUGE = {"solver": "sgd", "learning_rate": "constant", "learning_rate_init": 10.0**9.96875,
        "activation": "logistic", "momentum": 1.0, "alpha": 0.0, "early_stopping": True,
        "hidden_layer_sizes": (4, 3, 2), "max_iter": 4, "shuffle": False}  # fmt: skip
"""Ends with finite losses whose sum is not finite."""


@settings(max_examples=60, derandomize=True, deadline=None)
@given(**EVERYTHING)
@example(task="several numbers", arguments=HUGE, scale=1.0, y_scale=0.1, single=False)
def test_no_fit_returns_a_model_that_is_not_finite(**case: Any) -> None:
    check_finite(**case)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore::deltarule.errors.FrozenTrainingWarning")
@settings(max_examples=3000, derandomize=True, deadline=None)
@given(**EVERYTHING)
def test_no_fit_returns_a_model_that_is_not_finite_many_times(**case: Any) -> None:
    check_finite(**case)


# --- Ctrl-C ------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_control_c_between_two_steps(solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the signal the fit warns and restores the best earlier epoch."""
    X, y = data("numbers")
    calls = 0
    name = "gradient" if solver == "lbfgs" else "_step"
    original = getattr(Reference, name)

    def interrupted(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 10:
            signal.raise_signal(signal.SIGINT)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Reference, name, interrupted)
    arguments = {"solver": solver, "learning_rate_init": 1e-3, "engine": "reference"}
    model = sgd(**arguments, max_iter=50)
    with pytest.warns(UserWarning, match="Training interrupted by user") as caught:
        assert model.fit(X, y) is model
    assert [w.filename for w in caught] == [__file__]
    assert np.isfinite(parameters(model)).all()
    if solver == "lbfgs":
        assert model.loss_ <= min(model.loss_curve_)
        return
    assert model.n_iter_ == 2  # 4 steps an epoch: the 10th falls into the third
    monkeypatch.undo()
    two = sgd(**arguments, max_iter=2)
    with pytest.warns(ConvergenceWarning):
        two.fit(X, y)
    assert_array_equal(parameters(model), parameters(two))


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_control_c_at_any_time(solver: str) -> None:
    X, y = data("numbers", n=400)
    model = sgd(solver=solver, max_iter=10**6, max_fun=10**9, tol=0.0, hidden_layer_sizes=(60, 60),
                learning_rate_init=1e-5)  # fmt: skip
    timer = threading.Timer(0.4, _thread.interrupt_main)
    timer.start()
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, y)
    timer.join()
    assert np.isfinite(parameters(model)).all()
    assert np.isfinite(model.predict(X)).all()
    assert 0 < model.n_iter_ < 10**6
