"""scikit-learn's callbacks on our estimators, and callbacks of one's own."""

from __future__ import annotations

import signal
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from support.callbacks import progress_bar, scoring_monitor
from support.estimators import TASKS, data, ours, parameters, unconverged

SOLVERS = pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])


class Recorder:
    """Record its calls; stop, or be interrupted, after a given epoch."""

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
    assert recorder.shapes == {((40, 4), (40,))}
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
    monitor = scoring_monitor(scoring="r2")
    with unconverged():
        model = model_for(solver=solver).set_callbacks(monitor).fit(X, y)
    log = monitor.get_logs().data
    epochs = [row["r2"] for row in log if row["task_name"] == "epoch"]
    assert len(epochs) == 6
    assert epochs[-1] == pytest.approx(model.score(X, y), rel=1e-12)
    assert epochs[0] < epochs[-1]


def test_the_scoring_monitor_uses_the_weights() -> None:
    X, y = data("numbers")
    monitor, weight = scoring_monitor(scoring="r2"), np.linspace(0.1, 3, 40)
    with unconverged():
        model = model_for().set_callbacks(monitor).fit(X, y, sample_weight=weight)
    last = [row["r2"] for row in monitor.get_logs().data if row["task_name"] == "epoch"][-1]
    assert last == pytest.approx(model.score(X, y, sample_weight=weight), rel=1e-12)


def default_scoring(task: str) -> str:
    """Return the name of what ``score`` measures (1.9.1's monitor fails with ``scoring=None``)."""
    return "accuracy" if TASKS[task] == "classifier" else "r2"


def epochs(monitor: Any, name: str) -> list[float]:
    """Return the scores of a monitor's last run, epoch by epoch."""
    return [row[name] for row in monitor.get_logs().data if row["task_name"] == "epoch"]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_the_scoring_monitor_scores_as_score_does(task: str, named: bool) -> None:
    """Whatever y is, and whether X has names: the monitor is given what a user has."""
    X, y = data(task)
    X = pd.DataFrame(X, columns=list("abcd")) if named else X
    monitor = scoring_monitor(scoring=default_scoring(task))
    with unconverged():
        model = model_for(task).set_callbacks(monitor).fit(X, y)
    assert len(epochs(monitor, default_scoring(task))) == 6
    assert epochs(monitor, default_scoring(task))[-1] == pytest.approx(model.score(X, y), rel=1e-12)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_the_scoring_monitor_scores_probabilities(task: str) -> None:
    X, y = data(task)
    monitor = scoring_monitor(scoring=["neg_log_loss", "roc_auc_ovr"])
    with unconverged():
        model = model_for(task).set_callbacks(monitor).fit(X, y)
    for name in ("neg_log_loss", "roc_auc_ovr"):
        assert epochs(monitor, name)[-1] == pytest.approx(get_scorer(name)(model, X, y), rel=1e-12)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_scoring_monitor_sees_the_rows_that_are_trained_on(sparse: bool) -> None:
    X, y = data("multiclass", n=50)
    recorder, monitor = Recorder(), scoring_monitor(scoring="accuracy")
    with unconverged():
        model_for("multiclass", early_stopping=True, validation_fraction=0.2).set_callbacks(
            recorder, monitor
        ).fit(sp.csr_array(X) if sparse else X, y)
    assert recorder.shapes == {((40, 4), (40,))}
    assert len(epochs(monitor, "accuracy")) == 6


@pytest.mark.parametrize("task", ["binary", "numbers"])
def test_the_scoring_monitor_over_partial_fits(task: str) -> None:
    X, y = data(task)
    monitor = scoring_monitor(scoring=default_scoring(task))
    model = model_for(task, learning_rate_init=0.01).set_callbacks(monitor)
    named = {"classes": ["no", "yes"]} if task == "binary" else {}
    for _ in range(3):
        model.partial_fit(X, y, **named)
        assert epochs(monitor, default_scoring(task)) == [
            pytest.approx(model.score(X, y), rel=1e-12)
        ]
    assert len(monitor.get_logs(select="all")) == 3


@pytest.mark.parametrize("task", ["multiclass", "numbers"])
def test_the_scoring_monitor_in_a_pipeline_in_a_search(task: str) -> None:
    """It is set on the network, whose clones take it along; a run is one fit of the search."""
    X, y = data(task)
    monitor = scoring_monitor(scoring=default_scoring(task))
    pipeline = Pipeline([("scale", StandardScaler()), ("net", model_for(task, max_iter=2))])
    pipeline["net"].set_callbacks(monitor)
    with unconverged():
        search = GridSearchCV(pipeline, {"net__alpha": [1e-4, 1.0]}, cv=3).fit(X, y)
    rows = [row for log in monitor.get_logs(select="all") for row in log.data]
    scored = [row[default_scoring(task)] for row in rows if row["task_name"] == "epoch"]
    assert len(scored) == 2 * (2 * 3 + 1)  # epochs of the candidates' folds and of the refit
    assert any(score == pytest.approx(search.score(X, y), rel=1e-12) for score in scored)


@pytest.mark.long
def test_the_scoring_monitor_hears_of_fits_in_other_processes() -> None:
    X, y = data("multiclass")
    monitor = scoring_monitor(scoring="accuracy")
    search = GridSearchCV(
        model_for("multiclass", max_iter=2).set_callbacks(monitor), {"alpha": [1e-4, 1.0]},
        cv=2, n_jobs=2,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(X, y)
    rows = [row for log in monitor.get_logs(select="all") for row in log.data]
    assert sum(row["task_name"] == "epoch" for row in rows) == 2 * (2 * 2 + 1)


@pytest.mark.parametrize("task", ["binary", "numbers"])
@SOLVERS
def test_the_progress_bar_runs_to_its_end(
    solver: str, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    X, y = data(task)
    with unconverged():
        model = model_for(task, solver=solver).set_callbacks(progress_bar()).fit(X, y)
    out = capsys.readouterr().out
    assert f"{type(model).__name__} - fit" in out
    assert "100%" in out


def test_the_progress_bar_of_a_fit_that_stops_early(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = data("binary")
    model = model_for("binary", early_stopping=True, tol=1.0, n_iter_no_change=1, max_iter=500)
    model.set_callbacks(progress_bar()).fit(X, y)
    assert model.n_iter_ < 500
    assert "100%" in capsys.readouterr().out


def test_the_progress_bar_of_partial_fits(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = data("numbers")
    model = model_for().set_callbacks(progress_bar())
    model.partial_fit(X, y).partial_fit(X, y)
    assert capsys.readouterr().out.count("100%") == 2


@pytest.mark.parametrize("task", ["multiclass", "numbers"])
@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.long)])
def test_a_progress_bar_over_a_search_reaches_the_network(
    n_jobs: int | None, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = progress_bar(max_propagation_depth=None)
    X, y = data(task)
    pipeline = Pipeline([("scale", StandardScaler()), ("net", model_for(task))])
    search = GridSearchCV(pipeline, {"net__alpha": [1e-4, 1.0]}, cv=2, n_jobs=n_jobs)
    search.set_callbacks(bar)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(X, y)
    out = capsys.readouterr().out
    for name in ("GridSearchCV", "Pipeline", type(pipeline["net"]).__name__):
        assert name in out
    assert search.best_estimator_["net"].n_iter_ == 6


def test_a_progress_bar_over_a_pipeline_stops_at_its_depth(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bar = progress_bar(max_propagation_depth=0)
    X, y = data("numbers")
    pipeline = Pipeline([("scale", StandardScaler()), ("net", model_for())])
    with unconverged():
        pipeline.set_callbacks(bar).fit(X, y)
    out = capsys.readouterr().out
    assert "Pipeline" in out
    assert "MLPRegressor - fit" not in out


def test_only_callbacks_are_taken() -> None:
    for thing in ("progress", Recorder, None):
        with pytest.raises(TypeError, match="FitCallback protocol"):
            model_for().set_callbacks(thing)
    with unconverged():  # and none is none
        model_for().set_callbacks(Recorder()).set_callbacks().fit(*data("numbers"))
