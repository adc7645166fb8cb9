"""scikit-learn's callbacks on our estimators, and callbacks of one's own."""

from __future__ import annotations

import signal
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV

from estimator_support import data, ours, parameters, unconverged

SOLVERS = pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])


class Recorder:
    """Write down what it is told; stop, or be interrupted, after a given epoch."""

    def __init__(self, stop_after: int | None = None, interrupt_after: int | None = None) -> None:
        self.stop_after, self.interrupt_after = stop_after, interrupt_after
        self.events: list[tuple[str, str]] = []
        self.models: list[Any] = []
        self.shapes: set[Any] = set()
        self.metadata: dict[str, Any] = {}

    def setup(self, estimator: Any, context: Any) -> None:
        self.events.append(("setup", context.task_name))

    def teardown(self, estimator: Any, context: Any) -> None:
        self.events.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.events.append(("begin", context.task_name))

    def on_fit_task_end(
        self,
        estimator: Any,
        context: Any,
        *,
        X: Any = None,
        y: Any = None,
        metadata: Any = None,
        fitted_estimator: Any = None,
    ) -> bool:
        self.events.append(("end", context.task_name))
        if context.task_name != "epoch":
            return False
        self.models.append(fitted_estimator)
        self.shapes.add((X.shape, y.shape))
        self.metadata = metadata
        if len(self.models) == self.interrupt_after:
            signal.raise_signal(signal.SIGINT)
        return len(self.models) == self.stop_after


def model_for(task: str = "numbers", **arguments: Any) -> Any:
    defaults = {"hidden_layer_sizes": 4, "max_iter": 6, "random_state": 0, "activation": "tanh"}
    return ours(task, **{**defaults, **arguments})


@SOLVERS
def test_a_callback_is_told_of_every_epoch(solver: str) -> None:
    X, y = data("numbers")
    recorder = Recorder()
    with unconverged():
        model = model_for(solver=solver).set_callbacks(recorder).fit(X, y)
    epoch = [("begin", "epoch"), ("end", "epoch")]
    assert recorder.events == [
        ("setup", "fit"), ("begin", "fit"), *(epoch * 6), ("end", "fit"), ("teardown", "fit"),
    ]  # fmt: skip
    assert model.n_iter_ == 6
    assert recorder.shapes == {((40, 4), (40, 1))}
    assert recorder.metadata == {}


@SOLVERS
def test_the_estimator_of_an_epoch_is_ready_to_use_and_stays_as_it_is(solver: str) -> None:
    X, y = data("multiclass")
    recorder = Recorder()
    arguments = {"solver": solver, "shuffle": False}
    with unconverged():
        model = model_for("multiclass", **arguments).set_callbacks(recorder).fit(X, y)
    for epochs, snapshot in enumerate(recorder.models, start=1):
        with unconverged():
            shorter = model_for("multiclass", **{**arguments, "max_iter": epochs}).fit(X, y)
        assert_array_equal(parameters(snapshot), parameters(shorter))
        assert_array_equal(snapshot.predict(X), shorter.predict(X))
        assert 0 < snapshot.score(X, y) <= 1
    assert_array_equal(parameters(recorder.models[-1]), parameters(model))
    assert len({float(parameters(m)[0]) for m in recorder.models}) == 6


@SOLVERS
def test_a_callback_that_says_stop_stops_without_a_warning(solver: str) -> None:
    X, y = data("numbers")
    recorder = Recorder(stop_after=3)
    model = model_for(solver=solver).set_callbacks(recorder).fit(X, y)
    assert model.n_iter_ == 3
    assert len(model.loss_curve_) == 3
    assert recorder.events[-2:] == [("end", "fit"), ("teardown", "fit")]
    with unconverged():
        shorter = model_for(solver=solver, max_iter=3).fit(X, y)
    assert_array_equal(parameters(model), parameters(shorter))


@SOLVERS
def test_control_c_in_a_callback_keeps_the_model(solver: str) -> None:
    X, y = data("numbers")
    recorder = Recorder(interrupt_after=2)
    model = model_for(solver=solver).set_callbacks(recorder)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        assert model.fit(X, y) is model
    assert model.n_iter_ == 2
    assert np.isfinite(parameters(model)).all()
    assert recorder.events[-1] == ("teardown", "fit")
    with unconverged():
        shorter = model_for(solver=solver, max_iter=2).fit(X, y)
    assert_array_equal(parameters(model), parameters(shorter))


def test_what_a_callback_raises_comes_out_and_it_is_torn_down() -> None:
    class Failing(Recorder):
        def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
            super().on_fit_task_begin(estimator, context)
            if context.task_name == "epoch":
                raise RuntimeError("no more")

    recorder = Failing()
    with pytest.raises(RuntimeError, match="no more"):
        model_for().set_callbacks(recorder).fit(*data("numbers"))
    assert recorder.events[-1] == ("teardown", "fit")


def test_sample_weights_reach_the_callback() -> None:
    X, y = data("numbers")
    recorder, weight = Recorder(), np.linspace(1, 2, 40)
    with unconverged():
        model_for().set_callbacks(recorder).fit(X, y, sample_weight=weight)
    assert_array_equal(recorder.metadata["sample_weight"], weight)


def test_partial_fit_is_one_epoch() -> None:
    X, y = data("binary")
    recorder = Recorder()
    model = model_for("binary").set_callbacks(recorder)
    model.partial_fit(X, y, classes=["no", "yes"]).partial_fit(X, y)
    assert len(recorder.models) == 2
    assert recorder.events.count(("begin", "fit")) == 2
    assert_array_equal(recorder.models[-1].predict_proba(X), model.predict_proba(X))


@SOLVERS
def test_the_scoring_monitor_follows_the_training_score(solver: str) -> None:
    X, y = data("numbers")
    monitor = ScoringMonitor(scoring="r2")
    with unconverged():
        model = model_for(solver=solver).set_callbacks(monitor).fit(X, y)
    log = monitor.get_logs().data
    epochs = [row["r2"] for row in log if row["task_name"] == "epoch"]
    assert len(epochs) == 6
    assert epochs[-1] == pytest.approx(model.score(X, y), rel=1e-12)
    assert epochs[0] < epochs[-1]


def test_the_scoring_monitor_uses_the_weights() -> None:
    X, y = data("numbers")
    monitor, weight = ScoringMonitor(scoring="r2"), np.linspace(0.1, 3, 40)
    with unconverged():
        model = model_for().set_callbacks(monitor).fit(X, y, sample_weight=weight)
    last = [row["r2"] for row in monitor.get_logs().data if row["task_name"] == "epoch"][-1]
    assert last == pytest.approx(model.score(X, y, sample_weight=weight), rel=1e-12)


@SOLVERS
def test_the_progress_bar_runs_to_its_end(solver: str, capsys: pytest.CaptureFixture[str]) -> None:
    X, y = data("numbers")
    with unconverged():
        model_for(solver=solver).set_callbacks(ProgressBar()).fit(X, y)
    out = capsys.readouterr().out
    assert "MLPRegressor" in out
    assert "100%" in out


def test_a_progress_bar_over_a_search_reaches_our_estimator(
    capsys: pytest.CaptureFixture[str],
) -> None:
    X, y = data("numbers")
    search = GridSearchCV(model_for(), {"alpha": [1e-4, 1.0]}, cv=2)
    if not hasattr(search, "set_callbacks"):
        search.estimator.set_callbacks(ProgressBar())
    else:
        search.set_callbacks(ProgressBar())
    with unconverged():
        search.fit(X, y)
    assert "MLPRegressor" in capsys.readouterr().out
    assert search.best_estimator_.n_iter_ == 6


def test_only_callbacks_are_taken() -> None:
    for thing in ("progress", Recorder, None):
        with pytest.raises(TypeError, match="FitCallback protocol"):
            model_for().set_callbacks(thing)
    with unconverged():  # and none is none
        model_for().set_callbacks(Recorder()).set_callbacks().fit(*data("numbers"))
