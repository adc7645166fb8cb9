"""The estimators take the same steps as scikit-learn's from the same ``random_state``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from packaging.version import Version
from sklearn.neural_network._base import LOSS_FUNCTIONS

from deltarule.estimators.class_targets import ClassTargets
from support.estimators import (
    ACTIVATIONS,
    OURS,
    SCHEDULES,
    TASKS,
    adam_as_published,
    assert_same_curves,
    assert_same_fit,
    data,
    noisy,
    ours,
    parameters,
    theirs,
    unconverged,
)

SOLVERS = [
    *({"solver": "sgd", "learning_rate": name, "learning_rate_init": 0.01} for name in SCHEDULES),
    {"solver": "sgd", "momentum": 0.5, "nesterovs_momentum": False, "learning_rate_init": 0.02},
    {"solver": "sgd", "momentum": 0.0, "shuffle": False, "learning_rate_init": 0.02},
    {"solver": "adam", "learning_rate_init": 0.01, "epsilon": 1e-2},
    {"solver": "adam", "beta_1": 0.5, "beta_2": 0.9, "shuffle": False},
    {"solver": "lbfgs"},
]


BEFORE_1_9 = Version(sklearn.__version__) < Version("1.9")


def half_the_sum_of_squares(y: Any, predicted: Any, weight: Any = None) -> Any:
    return np.average((y - predicted) ** 2, weights=weight, axis=0).sum() / 2


class ClippedError(Exception):
    """scikit-learn's cost does not fit its gradient: it clips or rounds probabilities near 0.

    1 - p of a p near 1 has an error of ε/2, which beside 10⁶ ε does not matter in float64.
    """


def unclipped(name: str) -> Any:
    """Return one of scikit-learn's log losses, raising an error where it clips or rounds."""
    loss = LOSS_FUNCTIONS[name]

    def cost(y_true: Any, y_prob: Any, sample_weight: Any = None) -> Any:
        likelihood = y_prob[y_true > 0]
        if name == "binary_log_loss" or y_prob.shape[1] == 1:
            likelihood = np.append(likelihood, 1 - y_prob[y_true < 1])
        if likelihood.min() < max(1e6 * np.finfo(float).eps, np.finfo(y_prob.dtype).eps):
            raise ClippedError
        return loss(y_true, y_prob, sample_weight)

    return cost


@contextmanager
def peers_cost_is_what_it_descends() -> Iterator[None]:
    """Make scikit-learn's cost the sum over targets, as its gradient is."""
    logs = {name: unclipped(name) for name in ("log_loss", "binary_log_loss")}
    with patch.dict(LOSS_FUNCTIONS, squared_error=half_the_sum_of_squares, **logs):
        yield


def fit_both(task: str, arguments: dict[str, Any], *calls: tuple[Any, ...]) -> tuple[Any, Any]:
    """Fit our estimator and scikit-learn's, once for each tuple of arguments of ``fit``."""
    mine, peers = ours(task, **arguments), theirs(task, **arguments)
    lbfgs = arguments.get("solver") == "lbfgs"  # the only solver that looks at the cost
    for call in calls:
        with unconverged():
            mine.fit(*call)
        same_cost = peers_cost_is_what_it_descends() if lbfgs else nullcontext()
        with noisy(), adam_as_published(), same_cost:
            peers.fit(*call)
    return mine, peers


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: "-".join(map(str, s.values())))
def test_every_solver_on_every_task(task: str, solver: dict[str, Any]) -> None:
    X, y = data(task)
    turn = SOLVERS.index(solver) + list(TASKS).index(task)
    arguments = {
        "activation": ACTIVATIONS[turn % 4],
        "hidden_layer_sizes": (5, 3),
        "batch_size": 16,
        "max_iter": 8,
        "random_state": 1,
        **solver,
    }
    mine, peers = fit_both(task, arguments, (X, y))
    assert_same_fit(mine, peers, X)
    if solver["solver"] != "lbfgs":
        assert_same_curves(mine, peers)
    elif task != "several numbers":  # the minimised cost is the sum, the reported one the mean
        assert mine.loss_ == pytest.approx(peers.loss_, rel=1e-9)


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Draw a task, the estimators' arguments, and the format of the data."""
    task = draw(st.sampled_from(sorted(TASKS)))
    weighted = draw(st.booleans())
    twice = draw(st.booleans())
    arguments = {
        "hidden_layer_sizes": draw(
            st.one_of(st.integers(1, 6), st.lists(st.integers(1, 5), max_size=3))
        ),
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "solver": draw(st.sampled_from(["sgd", "adam", "lbfgs"])),
        "alpha": draw(st.sampled_from([0.0, 1e-4, 0.3])),
        "batch_size": draw(st.sampled_from(["auto", 1, 7, 20])),
        "learning_rate": draw(st.sampled_from(SCHEDULES)),
        "learning_rate_init": draw(st.sampled_from([1e-3, 3e-3, 0.01])),
        "power_t": draw(st.sampled_from([0.0, 0.25, 0.5, 1.0])),
        "max_iter": draw(st.integers(1, 10)),
        "shuffle": draw(st.booleans()),
        "random_state": draw(st.integers(0, 1000)),
        "tol": draw(st.sampled_from([1e-4, 1e-2, 0.1])),
        "warm_start": draw(st.booleans()),
        "momentum": draw(st.sampled_from([0.0, 0.5, 0.9])),
        "nesterovs_momentum": draw(st.booleans()),
        # scikit-learn splits several classes without looking at them; see the decision 0002
        "early_stopping": draw(st.booleans()) and task != "multiclass",
        "validation_fraction": draw(st.sampled_from([0.1, 0.3])),
        "beta_1": draw(st.sampled_from([0.0, 0.5, 0.9])),
        "beta_2": draw(st.sampled_from([0.9, 0.999])),
        "epsilon": draw(st.sampled_from([1e-8, 1e-3, 0.5])),
        "n_iter_no_change": draw(st.sampled_from([1, 3, np.inf])),
        "max_fun": draw(st.sampled_from([5, 15000])),
    }
    if weighted and arguments["batch_size"] != "auto":
        # the mean over batches of unequal weight is another number than scikit-learn's,
        # so what stops a run must not depend on it
        arguments["n_iter_no_change"] = np.inf
    how = {
        "seed": draw(st.integers(0, 100)),
        "sparse": draw(st.sampled_from([None, sp.csr_matrix, sp.csc_array])),
        "weighted": weighted,
        # scikit-learn's second fit writes into the parameters it kept as the best of the first
        "twice": twice and not (arguments["warm_start"] and arguments["early_stopping"]),
    }
    return task, arguments, how


def check_case(case: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    task, arguments, how = case
    texts = isinstance(data(task)[1][0], str)
    assume(not (BEFORE_1_9 and texts and arguments.get("early_stopping")))  # it fails itself
    X, y = data(task, seed=how["seed"])
    inputs = X if how["sparse"] is None else how["sparse"](np.where(np.abs(X) < 0.4, 0, X))
    weight = np.random.default_rng(1).uniform(0.2, 2.0, len(X)) if how["weighted"] else None
    calls = [(inputs, y, weight)]
    if how["twice"]:
        calls.append((inputs[::-1], y[::-1], weight))
    try:
        mine, peers = fit_both(task, arguments, *calls)
    except ValueError as error:  # what diverges is test_estimator_divergence's
        assume("Solver produced non-finite parameter weights" not in str(error))
        raise
    except ClippedError:
        reject()
    assume(np.isfinite(peers.loss_) and np.abs(parameters(peers)).max() < 1e3)
    # scikit-learn sums in another order, and L-BFGS magnifies rounding: 2e-7 was seen
    assert_same_fit(mine, peers, inputs, tol=1e-6 if arguments["solver"] == "lbfgs" else 1e-9)
    one_batch = arguments["batch_size"] == "auto"
    if arguments["solver"] != "lbfgs" and (weight is None or one_batch):
        assert_same_curves(mine, peers)


@settings(max_examples=20, derandomize=True, deadline=None)
@given(case=cases())
def test_any_arguments(case: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    check_case(case)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=2000, derandomize=True, deadline=None)
@given(case=cases())
def test_any_arguments_many_times(case: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    check_case(case)


def test_several_classes_are_held_out_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = data("multiclass", n=90)
    y = np.where(np.arange(90) < 10, 8, np.where(y == 8, 3, y))  # one class is rare
    arguments = {"early_stopping": True, "random_state": 3, "max_iter": 15, "solver": "sgd"}
    seen: list[Any] = []
    # what is held out is what the fit scores: an accuracy over 9 rows, 1 of them of the rare class
    with monkeypatch.context() as patched:
        scores = ClassTargets.scores
        patched.setattr(
            ClassTargets,
            "scores",
            lambda self, t, *rest: seen.append(t.sum(axis=0)) or scores(self, t, *rest),
        )
        with unconverged():
            OURS["classifier"](**arguments).fit(X, y)
    assert {tuple(row) for row in seen} == {tuple(np.round([c / 10 for c in counts(y)]))}
    # and that is all the difference: without it the trajectories are scikit-learn's
    monkeypatch.setattr(ClassTargets, "strata", lambda self, targets: None)
    mine, peers = fit_both("multiclass", arguments, (X, y))
    assert_same_fit(mine, peers, X)
    assert_same_curves(mine, peers)


def counts(y: Any) -> list[int]:
    return np.unique(y, return_counts=True)[1].tolist()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "solver", [*SOLVERS[:3], SOLVERS[-3]], ids=lambda s: "-".join(map(str, s.values()))
)
def test_partial_fit_thirty_times(task: str, solver: dict[str, Any]) -> None:
    X, y = data(task)
    known = {"classes": np.unique(y)} if task in ("binary", "multiclass") else {}
    if task == "multilabel":
        known = {"classes": [0, 1, 2]}
    arguments = {"hidden_layer_sizes": 4, "batch_size": 15, "random_state": 5, **solver}
    mine, peers = ours(task, **arguments), theirs(task, **arguments)
    with noisy(), adam_as_published():
        for _ in range(30):
            peers.partial_fit(X, y, **known)
    for _ in range(30):
        assert mine.partial_fit(X, y, **known) is mine
    assert_same_fit(mine, peers, X)
    assert_same_curves(mine, peers)
    assert mine.t_ == 30 * len(X)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("learning_rate", SCHEDULES)
def test_partial_fit_continues_after_fit(task: str, learning_rate: str) -> None:
    X, y = data(task)
    arguments = {"solver": "sgd", "learning_rate": learning_rate, "learning_rate_init": 0.01,
                 "max_iter": 6, "random_state": 2, "batch_size": 9}  # fmt: skip
    mine, peers = fit_both(task, arguments, (X, y))
    for _ in range(4):
        mine.partial_fit(X, y)
        with noisy():
            peers.partial_fit(X, y)
    assert_same_fit(mine, peers, X)
    assert_same_curves(mine, peers)


@pytest.mark.parametrize("task", ["binary", "several numbers"])
@pytest.mark.parametrize("learning_rate", SCHEDULES)
def test_a_warm_fit_continues_in_the_same_way(learning_rate: str, task: str) -> None:
    X, y = data(task)
    arguments = {"solver": "sgd", "learning_rate": learning_rate, "learning_rate_init": 0.01,
                 "max_iter": 6, "random_state": 2, "batch_size": 9, "warm_start": True}  # fmt: skip
    mine, peers = fit_both(task, arguments, (X, y), (X[::-1], y[::-1]), (X, y))
    assert_same_fit(mine, peers, X)
    assert_same_curves(mine, peers)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(
    "solver", [SOLVERS[0], SOLVERS[2], SOLVERS[5]], ids=["sgd", "adaptive", "adam"]
)
def test_a_fit_stops_at_the_same_epoch(solver: dict[str, Any], early_stopping: bool) -> None:
    X, y = data("numbers", n=60)
    arguments = {"early_stopping": early_stopping, "n_iter_no_change": 3, "tol": 1e-3,
                 "max_iter": 400, "random_state": 2, "activation": "tanh", **solver}  # fmt: skip
    mine, peers = fit_both("numbers", arguments, (X, y))
    assert mine.n_iter_ < 400
    assert_same_fit(mine, peers, X)
    assert_same_curves(mine, peers)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_given_random_state_is_advanced_equally(solver: str) -> None:
    X, y = data("numbers")
    streams = np.random.RandomState(7), np.random.RandomState(7)
    arguments = {"solver": solver, "max_iter": 4, "early_stopping": True}
    with unconverged():
        ours("numbers", random_state=streams[0], **arguments).fit(X, y)
        theirs("numbers", random_state=streams[1], **arguments).fit(X, y)
    assert streams[0].uniform() == streams[1].uniform()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_float32(task: str, solver: str) -> None:
    X, y = data(task)
    arguments = {"solver": solver, "max_iter": 5, "random_state": 0, "hidden_layer_sizes": 5}
    mine, peers = fit_both(task, arguments, (X.astype(np.float32), y))
    assert {a.dtype for a in [*mine.coefs_, *mine.intercepts_]} == {np.dtype(np.float32)}
    if solver == "lbfgs":  # scikit-learn's parameters become float64 there
        double, _ = fit_both(task, arguments, (X, y))
        assert mine.loss_ == pytest.approx(double.loss_, rel=1e-2)
    else:
        assert_allclose(parameters(mine), parameters(peers), rtol=1e-3, atol=1e-4)
    output = mine.predict_proba if hasattr(mine, "classes_") else mine.predict
    assert output(X.astype(np.float32)).dtype == np.float32


def test_lbfgs_on_several_numbers_finds_the_least_squares() -> None:
    """Without a hidden layer the minimum of the sum over targets has a closed form."""
    X, y = data("several numbers", n=200)
    model = ours("several numbers", hidden_layer_sizes=(), solver="lbfgs", tol=1e-9, alpha=0.0,
                 max_iter=1000, random_state=0)  # fmt: skip
    model.fit(X, y)
    ones = np.column_stack([X, np.ones(len(X))])
    expected = ones @ np.linalg.lstsq(ones, y)[0]
    assert_allclose(model.predict(X), expected, atol=1e-5)
    assert model.loss_ == pytest.approx(np.mean((expected - y) ** 2) / 2, rel=1e-8)


@pytest.mark.parametrize("max_fun", range(2, 14))
def test_an_early_end_of_lbfgs_equals_that_of_scikit_learn(max_fun: int) -> None:
    """Even in the middle of a line search."""
    X, y = data("binary")
    arguments = {"solver": "lbfgs", "max_fun": max_fun, "hidden_layer_sizes": (4, 2)}
    mine, peers = fit_both("binary", {"random_state": 4, **arguments}, (X, y))
    assert_same_fit(mine, peers, X)
    assert mine.loss_ == pytest.approx(peers.loss_, rel=1e-9)


def test_weighted_batches_are_averaged_by_weight() -> None:
    """With a vanishing step the curve's entry is the weighted mean loss over the whole set."""
    X, y = data("numbers")
    weight = np.arange(1.0, 41.0)
    model = ours("numbers", solver="sgd", learning_rate_init=1e-12, alpha=0.0, batch_size=7,
                 max_iter=1, shuffle=False, random_state=0)  # fmt: skip
    with unconverged():
        model.fit(X, y, sample_weight=weight)
    expected = np.average((model.predict(X) - y) ** 2 / 2, weights=weight)
    assert model.loss_curve_[0] == pytest.approx(expected, rel=1e-9)
