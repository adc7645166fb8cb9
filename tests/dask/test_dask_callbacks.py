"""Callbacks and printed lines of a fit on a cluster are those of the local fit."""

from __future__ import annotations

import pickle
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone

from deltarule import MLPClassifier, MLPRegressor, Shards
from deltarule.errors import BusyError
from support.callbacks import progress_bar, scoring_monitor
from support.clusters import connected, cut, sha

pytest.importorskip("distributed")

import dask.dataframe as dd
from distributed import Client

from deltarule.dask import DaskMLPClassifier, DaskMLPRegressor

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*converge.*", "ignore::DeprecationWarning", "ignore:steps of", "ignore:.*interrupted.*"
)

LENGTHS = (50, 0, 30, 40, 1)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((121, 5))
LABELS = np.array(["a", "b", "c"])[np.argmax(X[:, :3] + RNG.normal(size=(121, 3)), axis=1)]
NUMBERS = X @ np.arange(5.0) + RNG.normal(size=121)
WEIGHT = RNG.random(121)
FIT: dict[str, Any] = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0,
                       "batch_size": 60}  # fmt: skip


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with connected(2) as made:
        yield made


class Recorder:
    """Record what every hook is given; stop, raise, or be interrupted after an epoch."""

    def __init__(self, **after: int) -> None:
        self.after = after  # "stop", "raise" or "interrupt": after which epoch
        self.events: list[Any] = []
        self.epochs = 0

    def _record(self, hook: str, estimator: Any, context: Any, *more: Any) -> None:
        fitted = getattr(estimator, "_model", None) is not None
        curve = [*estimator.loss_curve_] if fitted else None
        place = [getattr(context, name, None) for name in ("task_id", "max_subtasks")]
        self.events.append((hook, context.task_name, place, type(estimator), curve, *more))

    def setup(self, estimator: Any, context: Any) -> None:
        self._record("setup", estimator, context)

    def teardown(self, estimator: Any, context: Any) -> None:
        self._record("teardown", estimator, context)

    def on_fit_task_begin(
        self, estimator: Any, context: Any, *, X: Any, y: Any, metadata: Any
    ) -> None:
        self._record("begin", estimator, context, *shown(X, y, metadata))

    def on_fit_task_end(
        self,
        estimator: Any,
        context: Any,
        *,
        X: Any,
        y: Any,
        metadata: Any,
        fitted_estimator: Any,
    ) -> bool:
        found = sha(fitted_estimator), fitted_estimator.predict(X).tolist()
        score = fitted_estimator.score(X, y), fitted_estimator.n_features_in_
        self._record("end", estimator, context, *shown(X, y, metadata), *found, *score)
        if context.task_name != "epoch":
            return False
        self.epochs += 1
        if self.epochs == self.after.get("raise"):
            raise RuntimeError("no more")
        if self.epochs == self.after.get("interrupt"):
            signal.raise_signal(signal.SIGINT)
        return self.epochs == self.after.get("stop")


def shown(X: Any, y: Any, metadata: Any) -> tuple[Any, ...]:
    """Return the rows that a hook is given, and whether it could change them."""
    arrays = [X.toarray() if sparse.issparse(X) else np.asarray(X), np.asarray(y)]
    arrays += [np.asarray(weight) for weight in metadata.values()]
    mutable = [getattr(getattr(a, "data", a), "flags", None) for a in (X, y)]
    writeable = [None if flags is None else flags.writeable for flags in mutable]
    return (*((str(a.dtype), a.tolist()) for a in arrays), sorted(metadata), writeable)


CASES: dict[str, tuple[Any, Any, dict[str, Any], bool]] = {
    "adam": (MLPClassifier, LABELS, {}, True),
    "sgd, early stopping": (
        MLPClassifier,
        LABELS,
        {"solver": "sgd", "early_stopping": True, "dropout": 0.2, "class_weight": "balanced"},
        False,
    ),
    "rprop": (MLPRegressor, NUMBERS, {"solver": "rprop", "batch_size": 121}, False),
    "numbers, early stopping": (
        MLPRegressor, NUMBERS, {"early_stopping": True, "standardize": True}, True
    ),
    "lbfgs": (MLPClassifier, LABELS, {"solver": "lbfgs"}, False),
    "line search": (MLPRegressor, NUMBERS, {"solver": "line_search", "max_iter": 2}, True),
    "two labels each": (MLPClassifier, (X[:, :2] > 0).astype(int), {}, False),
    "average": (MLPClassifier, LABELS, {"sync": "average", "every": 1}, True),
    "average, numbers": (
        MLPRegressor, NUMBERS, {"sync": "average", "early_stopping": True}, False
    ),
}  # fmt: skip


def fits(case: str, client: Client, **more: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Return the local estimator and the cluster's, each with its data."""
    kind, y, given, weighted = CASES[case]
    there = DaskMLPClassifier if kind is MLPClassifier else DaskMLPRegressor
    local = FIT | given | more
    every = local.pop("every", "epoch") if local.pop("sync", None) else None
    data = (X, y, WEIGHT if weighted else None)
    yield kind(shards=Shards(8, LENGTHS, every), **local), data
    parts = tuple(None if array is None else cut(array, LENGTHS) for array in data)
    yield there(client=client, **FIT | given | more), parts


def tasks_left(client: Client) -> list[Any]:
    """Return the tasks of fits that the scheduler knows, when it has had time to forget them."""
    for _ in range(100):
        left = [key for key in client.cluster.scheduler.tasks if "deltarule" in str(key)]
        if not left:
            break
        time.sleep(0.05)
    return left


@pytest.mark.parametrize("case", CASES)
def test_callbacks_see_what_they_see_in_a_local_fit(client: Client, case: str) -> None:
    seen = []
    for model, data in fits(case, client):
        recorder = Recorder()
        assert model.set_callbacks(recorder) is model
        model.fit(*data)
        seen.append((recorder.events, sha(model), model.loss_curve_))
    assert seen[0][0][0][:2] == ("setup", "fit")
    assert seen[0][0][-1][:2] == ("teardown", "fit")
    assert len(seen[0][0]) >= 8
    assert seen[1] == seen[0]


@pytest.mark.parametrize("how", ["stop", "interrupt"])
@pytest.mark.parametrize("case", ["adam", "sgd, early stopping", "lbfgs", "average"])
def test_a_callback_ends_a_fit_as_locally(client: Client, case: str, how: str) -> None:
    seen = []
    for model, data in fits(case, client, max_iter=20):
        recorder = Recorder(**{how: 2})
        model.set_callbacks(recorder).fit(*data)
        seen.append((recorder.events, sha(model), model.n_iter_))
    assert seen[0][2] == 2
    assert seen[1] == seen[0]


@pytest.mark.parametrize("case", ["adam", "lbfgs", "average"])
def test_an_error_in_a_callback_ends_the_fit_and_leaves_nothing_running(
    client: Client, case: str
) -> None:
    seen = []
    for model, data in fits(case, client, max_iter=20):
        recorder = Recorder(**{"raise": 2})
        model.set_callbacks(recorder)
        with pytest.raises(RuntimeError, match="no more"):
            model.fit(*data)
        seen.append(recorder.events)
    assert seen[1] == seen[0]
    assert seen[1][-1][:2] == ("teardown", "fit")
    assert tasks_left(client) == []
    assert not any(client.processing().values())
    assert not model.__sklearn_is_fitted__()
    model.set_callbacks().fit(*data)  # the cluster and the estimator are free again
    assert model.n_iter_ > 2


def test_a_callback_without_rows_brings_none_here(client: Client) -> None:
    from deltarule.dask.crew import Crew

    class Silent(Recorder):
        def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
            self._record("begin", estimator, context)

        def on_fit_task_end(self, estimator: Any, context: Any) -> None:
            self._record("end", estimator, context)

    submit, names = Crew.submit, set()

    def submitting(self: Crew, name: str, *given: Any, **kwargs: Any) -> Any:
        names.add(name)
        return submit(self, name, *given, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Crew, "submit", submitting)
        seen = []
        for model, data in fits("adam", client):
            recorder = Silent()
            model.set_callbacks(recorder).fit(*data)
            seen.append(recorder.events)
        assert seen[1] == seen[0]
        assert "sums" in names
        assert "rows" not in names
        model.set_callbacks(Recorder()).fit(*data)
        assert "rows" in names


def test_rows_that_are_sparse_are_shown_sparse(client: Client) -> None:
    rows = sparse.csr_array(np.where(np.abs(X) > 0.7, X, 0))
    seen = []
    for model, data in fits("sgd, early stopping", client):
        recorder = Recorder()
        shape = rows if data[0] is X else cut(rows, LENGTHS)
        model.set_callbacks(recorder).fit(shape, *data[1:])
        seen.append(recorder.events)
    assert seen[1] == seen[0]


def test_a_callback_gets_the_columns_of_a_dataframe(client: Client) -> None:
    monitor = scoring_monitor(scoring="accuracy")
    frame = pd.DataFrame(X, columns=list("uvwxy")).assign(label=LABELS)
    table = dd.from_pandas(frame, npartitions=2)
    model = DaskMLPClassifier(client=client, **FIT).set_callbacks(monitor)
    model.fit(table[list("uvwxy")], table["label"])
    log = [row["accuracy"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(log) == 3
    assert log[-1] == (model.to_local().predict(frame[list("uvwxy")]) == LABELS).mean()


def test_scikit_learns_callbacks_say_the_same(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    for model, data in fits("adam", client):
        monitor = scoring_monitor(scoring="accuracy")
        model.set_callbacks(monitor, progress_bar()).fit(*data)
        scores = [row["accuracy"] for row in monitor.get_logs().data]
        assert "100%" in capsys.readouterr().out
        seen.append(scores)
    assert seen[1] == seen[0]


def test_callbacks_stay_with_the_estimator_and_not_with_its_model(client: Client) -> None:
    recorder = Recorder()
    model, data = list(fits("adam", client))[1]
    model.set_callbacks(recorder).fit(*data)
    assert not hasattr(model.to_local(), "_skl_callbacks")
    before = len(recorder.events)
    clone(model).fit(*data)
    after = len(recorder.events)
    assert after in (before, 2 * before)  # scikit-learn 1.9 clones callbacks by reference
    model.set_callbacks().fit(*data)
    assert len(recorder.events) == after
    pickle.dumps(model)
    with pytest.raises(TypeError, match="FitCallback"):
        model.set_callbacks(Recorder)


def test_a_fit_inside_a_fit_of_the_same_estimator_is_refused(client: Client) -> None:
    model, data = list(fits("adam", client))[1]

    class Again(Recorder):
        def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
            model.fit(*data)

    with pytest.raises(BusyError, match="this DaskMLPClassifier is being fitted"):
        model.set_callbacks(Again()).fit(*data)


@pytest.mark.parametrize("case", CASES)
def test_verbose_prints_the_lines_of_a_local_fit(
    client: Client, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []
    for model, data in fits(case, client, verbose=True):
        model.fit(*data)
        printed.append(capsys.readouterr().out)
    assert "Iteration 1, loss = " in printed[0]
    assert ("Validation score: " in printed[0]) == ("early stopping" in case or "," in case)
    assert printed[1] == printed[0]


def test_verbose_draws_the_bar_of_a_local_fit_on_a_terminal(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: list[Any] = []

    class Bar:
        def __init__(self, total: int, stream: Any) -> None:
            self.seen: list[Any] = [total]
            drawn.append(self.seen)

        def update(self, epoch: int, newest: str) -> None:
            self.seen.append((epoch, newest))

        def stop(self) -> None:
            self.seen.append("stopped")

    monkeypatch.setattr("deltarule.estimators.base.progress_bar", Bar)
    monkeypatch.setattr("deltarule.dask.fitting.progress_bar", Bar)
    for model, data in fits("sgd, early stopping", client, verbose=True):
        model.fit(*data)
    assert capsys.readouterr().out == ""
    assert drawn[0][-1] == "stopped"
    assert len(drawn[0]) == 5
    assert drawn[1] == drawn[0]
