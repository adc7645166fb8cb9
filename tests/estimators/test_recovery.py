"""``on_divergence="recover"`` and Ctrl-C: both return the best finite model, and soon."""

from __future__ import annotations

import _thread
import threading
import time
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from deltarule import SGD, PiecewiseConstant
from deltarule.errors import DivergenceError
from support.estimator_layers import fitted, new, outputs
from support.estimators import data, parameters, unconverged

CONTINUES = "Training continues from there with every learning rate times 0.1"
WILD: dict[str, Any] = {
    "solver": "sgd", "momentum": 0.0, "activation": "identity", "hidden_layer_sizes": (),
    "batch_size": 40, "shuffle": False, "alpha": 0.0, "tol": 0.0, "n_iter_no_change": np.inf,
    "on_divergence": "recover",
}  # fmt: skip
"""Descent on a quadratic: it diverges if and only if the rate is above 2/λ_max."""


def wild_rate(factor: float) -> float:
    X, _ = data("numbers")
    ones = np.column_stack([X, np.ones(40)])
    return factor * 2 / np.linalg.eigvalsh(ones.T @ ones / 40)[-1]


def fit_wildly(**arguments: Any) -> tuple[Any, list[str]]:
    X, y = data("numbers")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model = new(**{**WILD, "max_iter": 1500, **arguments}).fit(X, y)
    return model, [str(w.message) for w in seen if w.category is ConvergenceWarning]


def test_a_too_high_rate_is_lowered_once_and_the_minimum_is_found() -> None:
    X, y = data("numbers")
    model, said = fit_wildly(learning_rate_init=wild_rate(4))
    assert CONTINUES in said[0]
    assert "stopped being finite" in said[0]
    ones = np.column_stack([X, np.ones(40)])
    assert_allclose(model.predict(X), ones @ np.linalg.lstsq(ones, y)[0], atol=1e-8)
    curve = np.array(model.loss_curve_)
    assert np.isfinite(curve).sum() == len(curve) - 1  # the epoch that diverged
    at = int(np.flatnonzero(~np.isfinite(curve))[0])
    assert curve[at + 1] <= np.min(curve[:at])  # from the best state
    assert model.n_iter_ == 1500 == len(curve)
    assert model.best_loss_ == curve[np.isfinite(curve)].min()


def test_it_recovers_once() -> None:
    X, y = data("numbers")
    model = new(**WILD, learning_rate_init=wild_rate(40), max_iter=3000)
    with (
        pytest.warns(ConvergenceWarning, match=CONTINUES),
        pytest.raises(DivergenceError, match="finite parameters were restored"),
    ):
        model.fit(X, y)
    assert np.isfinite(parameters(model)).all()


def test_a_loss_that_is_never_finite_raises_an_error() -> None:
    X, y = data("numbers")
    model = new(on_divergence="recover")
    before = fitted(max_iter=1, learning_rate_init=1e-300)
    with (
        pytest.warns(ConvergenceWarning, match=CONTINUES),
        pytest.raises(DivergenceError, match=r"largest \|y\|"),
    ):
        model.fit(X, y * 1e300)
    assert_allclose(parameters(model), parameters(before), atol=1e-290)


@pytest.mark.parametrize(
    "schedule", ["constant", "inverse_time", "adaptive", PiecewiseConstant([1], [4.0])], ids=str
)
def test_the_rates_of_every_schedule_are_lowered(schedule: Any) -> None:
    model, said = fit_wildly(
        learning_rate_init=wild_rate(4), learning_rate=schedule, max_iter=600, tol=1e-12
    )
    if schedule != "inverse_time":  # which slows down by itself in time
        assert CONTINUES in said[0]
    assert np.isfinite(parameters(model)).all()
    assert np.isfinite(model.loss_curve_[-1])


def test_the_rate_of_a_solver_instance_is_lowered() -> None:
    model, said = fit_wildly(solver=SGD(wild_rate(4)))
    named, _ = fit_wildly(learning_rate_init=wild_rate(4))
    assert CONTINUES in said[0]
    assert_array_equal(parameters(model), parameters(named))


def test_calls_of_partial_fit_keep_the_lower_rate() -> None:
    X, y = data("numbers")
    model = new(**WILD, learning_rate_init=wild_rate(4))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(1500):
            model.partial_fit(X, y)
    assert [CONTINUES in str(w.message) for w in seen] == [True]
    ones = np.column_stack([X, np.ones(40)])
    assert_allclose(model.predict(X), ones @ np.linalg.lstsq(ones, y)[0], atol=1e-8)
    with warnings.catch_warnings(record=True) as seen:  # a fit starts again
        warnings.simplefilter("always")
        model.set_params(max_iter=1500).fit(X, y)
    assert CONTINUES in str(seen[0].message)


def test_early_stopping_recovers_before_it_gives_up() -> None:
    X, y = data("numbers", n=80)
    model = new(**{**WILD, "batch_size": 20}, learning_rate_init=wild_rate(6), max_iter=500,
                early_stopping=True, monitor="loss")  # fmt: skip
    with unconverged():
        model.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    assert np.isnan(model.validation_loss_curve_).sum() == 1
    best = np.nanmin(model.validation_loss_curve_)
    assert np.mean((y[40:] - model.predict(X[40:])) ** 2) / 2 == pytest.approx(best, rel=1e-9)


def test_a_diverging_last_epoch_restores_the_best() -> None:
    X, y = data("numbers")
    free = new(**{**WILD, "on_divergence": "raise"}, learning_rate_init=wild_rate(4), max_iter=3000)
    with pytest.raises(DivergenceError):
        free.fit(X, y)
    model, said = fit_wildly(learning_rate_init=wild_rate(4), max_iter=free.n_iter_)
    assert CONTINUES in said[0]
    assert_array_equal(parameters(model), parameters(free))
    assert model.n_iter_ == free.n_iter_


@pytest.mark.parametrize("solver", ["lbfgs", "line_search"])
def test_a_minimiser_restores_its_best_point_and_warns(solver: str) -> None:
    """The loss of e^z overflows during the search, but the initial loss is finite."""
    X, y = data("counts")
    arguments = {"solver": solver, "alpha": 0.0, "hidden_layer_sizes": (), "loss": "poisson"}
    with unconverged():
        model = new("numbers", on_divergence="recover", **arguments).fit(X * 500, y)
    assert np.isfinite(parameters(model)).all()


def test_an_unknown_on_divergence_is_refused() -> None:
    with pytest.raises(ValueError, match="'on_divergence' parameter of MLPRegressor"):
        new(on_divergence="ignore").fit(*data("numbers"))


# --- Ctrl-C -------------------------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_control_c_takes_effect_soon(engine: str, early_stopping: bool) -> None:
    """Even if an epoch takes much longer; the fit returns the best model so far."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20_000, 50)), rng.normal(size=20_000)
    model = new(hidden_layer_sizes=(100, 100), batch_size=100, max_iter=10**6, tol=0.0,
                n_iter_no_change=np.inf, engine=engine, early_stopping=early_stopping)  # fmt: skip
    fitted(engine=engine, early_stopping=early_stopping)  # everything is compiled
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        _thread.interrupt_main()

    timer = threading.Timer(0.6, press)
    timer.start()
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, y)
    assert time.monotonic() - pressed[0] < 10  # 0.5 where nothing else runs: make faults measures
    timer.join()
    assert np.isfinite(outputs(model, X[:5])).all()
    if early_stopping and model.validation_scores_:
        assert model.best_validation_score_ == max(model.validation_scores_)


@pytest.mark.parametrize("solver", ["lbfgs", "line_search", "rprop"])
def test_control_c_takes_effect_during_full_batch_steps(solver: str) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30_000, 50)), rng.normal(size=30_000)
    fitted(solver=solver, batch_size="auto")
    model = new(hidden_layer_sizes=(100, 100), solver=solver, batch_size="auto", max_iter=10**6,
                max_fun=10**9, tol=0.0, n_iter_no_change=np.inf)  # fmt: skip
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        _thread.interrupt_main()

    timer = threading.Timer(0.6, press)
    timer.start()
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, y)
    assert time.monotonic() - pressed[0] < 10  # 0.5 where nothing else runs: make faults measures
    timer.join()
    assert np.isfinite(model.predict(X[:5])).all()
