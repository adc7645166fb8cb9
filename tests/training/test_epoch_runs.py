"""Runs of epochs in one call: the same bits as one epoch after another, and the same ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltarule import (
    L2,
    SGD,
    Adam,
    Dense,
    Dropout,
    EarlyStopping,
    MLPClassifier,
    MLPRegressor,
    Network,
    train,
)
from deltarule.engine.engine import Engine
from deltarule.errors import DivergenceError
from deltarule.spec.optimizers import Nadam, RMSprop, Rprop

OPTIMIZERS = {
    "sgd": lambda rate: SGD(rate),
    "momentum": lambda rate: SGD(rate, momentum=0.9),
    "adam": lambda rate: Adam(rate),
    "nadam": lambda rate: Nadam(rate),
    "rmsprop": lambda rate: RMSprop(rate),
    "rprop": lambda rate: Rprop(min(rate, 0.5)),
}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Runs of up to five epochs, whatever the time; return the list of their lengths."""
    lengths: list[int] = []
    inner = Engine.train_epochs

    def train_epochs(self, state, block, orders, evaluation=None):
        ran = inner(self, state, block, orders, evaluation)
        lengths.append(0 if ran is None else len(orders.rows))
        return ran

    monkeypatch.setattr(Engine, "epochs_a_call", lambda self, block, n_steps: 5)
    monkeypatch.setattr(Engine, "train_epochs", train_epochs)
    return lengths


def arrays_of(state):
    """Return the bytes of everything that a state holds."""
    held = [state.theta, *(state.optimizer_state or ())]
    return [np.asarray(a).tobytes() for a in held], state.step


def outcome(net, state, data, **arguments):
    """Return all that a training leaves, and how it ended."""
    error = None
    try:
        history = train(net, state, *data, n_threads=1, **arguments)
    except DivergenceError as diverged:
        history, error = diverged.history, str(diverged)
    curves = (
        history.loss, history.penalty, history.learning_rate,
        history.validation_loss, history.validation_score,
    )  # fmt: skip
    position = history.position
    order = None if position.order is None else position.order.tobytes()
    facts = (error, history.stopped_by, history.best_epoch, position._replace(order=None), order)
    return history, (facts, [c.numbers().tobytes() for c in curves], arrays_of(state))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_runs_leave_what_single_epochs_leave(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "epochs_a_call", lambda self, block, n_steps: most)
        draw = data.draw
        most, seed = draw(st.integers(2, 9)), draw(st.integers(0, 99))
        n, batch = draw(st.integers(5, 30)), draw(st.integers(3, 30))
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(n, 3)), rng.integers(0, 2, n)
        name = draw(st.sampled_from(sorted(OPTIMIZERS)))
        layers = [Dense(4, "tanh"), Dense(1, "sigmoid")]
        if draw(st.booleans()):
            layers.insert(1, Dropout(0.3))
        net = Network(
            3, layers, loss="binary_cross_entropy", penalties=[L2(0.01)] * draw(st.integers(0, 1)),
            dtype=draw(st.sampled_from(["float32", "float64"])),
        )  # fmt: skip
        shared = {
            "optimizer": OPTIMIZERS[name](draw(st.sampled_from([0.01, 0.5, 1e4, 1e38]))),
            "batch_size": None if name == "rprop" else batch,
            "epochs": draw(st.integers(1, 25)),
            "shuffle": draw(st.booleans()),
            "sample_weight": rng.random(n) if draw(st.booleans()) else None,
            "validation": (X[:4], y[:4]) if draw(st.booleans()) else None,
        }
        if draw(st.booleans()):
            patience, maximize = draw(st.sampled_from([0, 1.5, 4, np.inf])), draw(st.booleans())
            maximize = maximize and shared["validation"] is not None
            shared["stopping"] = EarlyStopping(patience=patience, maximize=maximize)
        if name != "rprop":
            shared["schedule"] = draw(st.sampled_from([None, "inverse_time", "adaptive"]))
        states = [net.initialize(seed), net.initialize(seed)]
        seen = []
        for state, watcher in zip(states, (None, lambda history: False), strict=True):
            history, first = outcome(net, state, (X, y), seed=seed, on_epoch=watcher, **shared)
            again = None
            if history.resume_point is not None:
                again = outcome(net, state, (X, y), resume=history, on_epoch=watcher, **shared)[1]
            seen.append((first, again))
        assert seen[0] == seen[1]


def test_runs_take_nearly_all_epochs(runs):
    X, y = np.eye(4), np.array([0, 1, 1, 0])
    net = Network(4, [Dense(3, "tanh"), Dense(1, "sigmoid")], loss="binary_cross_entropy")
    train(net, net.initialize(0), X, y, optimizer=SGD(0.1), epochs=23, n_threads=1)
    assert runs == [5, 5, 5, 5, 2]


def test_a_run_does_not_go_beyond_where_patience_may_end_it(runs):
    X, y = np.eye(4), np.array([0, 1, 1, 0])
    net = Network(4, [Dense(3, "tanh"), Dense(1, "sigmoid")], loss="binary_cross_entropy")
    rule = EarlyStopping(tol=10.0, patience=6)  # no epoch but the first is progress
    history = train(
        net, net.initialize(0), X, y, optimizer=SGD(0.1), epochs=100, stopping=rule, n_threads=1
    )
    assert (history.n_epochs, history.stopped_by, runs) == (8, "no improvement", [5, 2])


@pytest.mark.parametrize("watch", [{"on_epoch": lambda h: False}, {"on_epoch_begin": print}])
def test_who_looks_on_sees_single_epochs(runs, watch, capsys):
    X, y = np.eye(4), np.array([0, 1, 1, 0])
    net = Network(4, [Dense(3, "tanh"), Dense(1, "sigmoid")], loss="binary_cross_entropy")
    train(net, net.initialize(0), X, y, optimizer=SGD(0.1), epochs=9, n_threads=1, **watch)
    assert runs == []


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_an_estimator_leaves_the_same(runs, monkeypatch, kind, early):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.integers(0, 3, 40)
    seen = []
    for most in (5, 0):
        monkeypatch.setattr(Engine, "epochs_a_call", lambda self, block, n, most=most: most)
        generator = np.random.RandomState(3)
        model = kind(
            hidden_layer_sizes=(5,), max_iter=60, random_state=generator, early_stopping=early,
            n_iter_no_change=100, tol=0, learning_rate_init=0.01, n_threads=1,
        )  # fmt: skip
        with pytest.warns(UserWarning, match="Maximum iterations"):
            model.fit(X, y)
        scores = (model.validation_scores_, model.best_validation_score_) if early else None
        seen.append((
            [a.tobytes() for a in model.coefs_], list(model.loss_curve_), model.best_loss_,
            model.n_iter_, model.t_, model.loss_, scores, generator.randint(2**31),
        ))  # fmt: skip
    assert seen[0] == seen[1]
    assert sum(runs) == 59


def test_a_divergence_in_a_run_ends_in_the_same_epoch_and_leaves_the_same_generator(runs):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 1)) * 1e3
    net = Network(3, [Dense(1)], loss="squared_error", dtype="float32")
    seen = []
    for watcher in (None, lambda history: False):
        state, generator = net.initialize(0), np.random.default_rng(5)
        with pytest.raises(DivergenceError) as caught:
            train(
                net, state, X, y, optimizer=SGD(2.0), batch_size=4, epochs=100, seed=generator,
                on_epoch=watcher, n_threads=1,
            )  # fmt: skip
        history = caught.value.history
        seen.append((
            str(caught.value), history.n_epochs, history.loss.numbers().tobytes(),
            arrays_of(state), generator.integers(2**31),
        ))  # fmt: skip
    assert seen[0] == seen[1]
    assert runs
    assert 1 < seen[0][1] < 100
