"""Whole training runs through ``train``: they learn, repeat to the bit, and fail well."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits, make_circles
from sklearn.model_selection import train_test_split

from deltarule import (
    L2,
    SGD,
    Adam,
    Dense,
    EarlyStopping,
    EMAMomentum,
    History,
    Network,
    State,
    train,
)
from deltarule.errors import DataError, DivergenceError, ShapeError, SpecError
from deltarule.schedules import EpochSchedule
from support.networks import random_data

XOR = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0, 1, 1, 0])


@pytest.fixture(scope="module")
def digits() -> Any:
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, test_size=0.3, random_state=0, stratify=y)


@pytest.mark.parametrize(
    ("hidden", "output", "loss", "optimizer", "epochs"),
    [
        ("sigmoid", "sigmoid", "squared_error", SGD(3.0), 15),  # Nielsen's first network
        ("tanh", "softmax", "categorical_cross_entropy", SGD(0.1, 0.9, nesterov=True), 5),
        ("relu", "softmax", "categorical_cross_entropy", Adam(0.003), 5),
        ("relu", "sigmoid", "binary_cross_entropy", EMAMomentum(0.5), 5),
    ],
)
def test_digits_are_learned(
    hidden: str, output: str, loss: str, optimizer: Any, epochs: int, digits: Any
) -> None:
    X, Xv, y, yv = digits
    if loss == "binary_cross_entropy":  # one label a digit
        y, yv = np.eye(10)[y], np.eye(10)[yv]
    net = Network(64, [Dense(30, hidden), Dense(10, output)], loss=loss)
    state = net.initialize(seed=0)
    history = train(
        net, state, X, y, optimizer=optimizer, batch_size=10, epochs=epochs, seed=0,
        validation=(Xv, yv),
    )  # fmt: skip
    assert isinstance(history, History)
    columns = (history.loss, history.penalty, history.learning_rate)
    columns += (history.validation_loss, history.validation_score)
    assert {len(column) for column in columns} == {history.n_epochs} == {epochs}
    assert history.validation_loss[-1] == net.loss_of(state, Xv, yv)
    assert history.validation_score[-1] == net.score(state, Xv, yv)
    assert history.loss[-1] < history.loss[0] / 2
    assert state.step == epochs * -(-len(X) // 10)
    found = np.argmax(net.predict(state, Xv), axis=1)
    truth = np.argmax(yv, axis=1) if yv.ndim == 2 else yv
    assert np.mean(found == truth) > 0.9


# --- M1 fails where M3 succeeds -------------------------------------------------------------------


def rings() -> Any:
    return make_circles(100, noise=0.05, factor=0.5, random_state=0)


@pytest.mark.parametrize("hidden", ["tanh", "sigmoid", "relu"])
@pytest.mark.parametrize("table", ["xor", "rings"])
def test_a_hidden_layer_separates_what_lines_cannot(table: str, hidden: str) -> None:
    """M1 compared with M3 (Matt R §2): XOR and rings are not linearly separable."""
    X, y = XOR if table == "xor" else rings()
    scores = {}
    for width in (0, 8):
        layers = [Dense(8, hidden)] if width else []
        net = Network(2, [*layers, Dense(1, "sigmoid")], "binary_cross_entropy")
        state = net.initialize(seed=0)
        train(net, state, X, y, optimizer=Adam(0.05), batch_size=100, epochs=300)
        scores[width] = net.score(state, X, y)
    assert scores[8] == 1.0
    assert scores[0] <= 0.75  # no line is right on more than three of the four


# --- the same seed, the same bits -----------------------------------------------------------------


def outcome(seed: int = 0, **given: Any) -> tuple[State, History]:
    net = Network(4, [Dense(6, "tanh"), Dense(3, "softmax")], "categorical_cross_entropy")
    data = random_data(net, 30, 0)
    state = net.initialize(given.pop("begin", 0))
    settings = {"optimizer": Adam(0.01), "batch_size": 7, "epochs": 4} | given
    x, y = settings.pop("X", data.x), settings.pop("y", np.argmax(data.y, axis=1))
    return state, train(net, state, x, y, seed=seed, **settings)


def test_a_seed_repeats_a_run_to_the_bit() -> None:
    (a, first), (b, again) = outcome(), outcome()
    assert a.theta.tobytes() == b.theta.tobytes()
    assert first == again
    others = [outcome(seed=1), outcome(begin=1), outcome(shuffle=False)]
    assert len({state.theta.tobytes() for state, _ in [(a, first), *others]}) == 4


def test_without_shuffling_the_seed_says_nothing() -> None:
    runs = [outcome(seed=seed, shuffle=False)[0].theta.tobytes() for seed in (0, 1)]
    assert runs[0] == runs[1]


def test_a_full_batch_is_batch_gradient_descent() -> None:
    """D3: b ≥ n takes one step an epoch, whatever the order up to rounding."""
    runs = [outcome(batch_size=b, seed=s)[0] for b, s in ((30, 0), (31, 1), (10**9, 2))]
    for state in runs:
        assert state.step == 4
        np.testing.assert_allclose(state.theta, runs[0].theta, rtol=1e-9, atol=1e-12)


def test_one_hot_rows_train_as_class_numbers() -> None:
    labels = np.random.default_rng(3).integers(0, 3, 30)
    a, b = (outcome(y=y)[0] for y in (labels, np.eye(3)[labels]))
    assert a.theta.tobytes() == b.theta.tobytes()


def test_csr_trains_as_dense() -> None:
    X = np.random.default_rng(4).normal(size=(30, 4)) * (np.arange(120).reshape(30, 4) % 3 == 0)
    a, b = (outcome(X=x)[0] for x in (X, sparse.csr_matrix(X)))
    np.testing.assert_allclose(a.theta, b.theta, rtol=1e-10, atol=1e-13)


def test_epochs_add_up_where_the_optimiser_remembers_nothing() -> None:
    net = Network(2, [Dense(3, "tanh"), Dense(1)])
    data = random_data(net, 9, 0)
    given = {"optimizer": SGD(0.1), "batch_size": 4, "shuffle": False}
    one, two = net.initialize(0), net.initialize(0)
    train(net, one, data.x, data.y, epochs=5, **given)
    for epochs in (2, 3):
        train(net, two, data.x, data.y, epochs=epochs, **given)
    assert one.theta.tobytes() == two.theta.tobytes()
    assert one.step == two.step == 15


def test_the_optimiser_begins_anew() -> None:
    net = Network(2, [Dense(3, "tanh"), Dense(1)])
    data = random_data(net, 9, 0)
    used = net.initialize(0)
    train(net, used, data.x, data.y, optimizer=Adam(0.1), epochs=2)
    fresh = State(used.theta.copy())
    for state in (used, fresh):
        train(net, state, data.x, data.y, optimizer=SGD(0.1, 0.9), epochs=2)
    assert used.theta.tobytes() == fresh.theta.tobytes()


def test_the_data_stay_as_they_are() -> None:
    net = Network(2, [Dense(3, "tanh"), Dense(1)], penalties=[L2(0.1)])
    data = random_data(net, 9, 0)
    kept = [a.copy() for a in (data.x, data.y, data.weight)]
    state = net.initialize()
    train(
        net, state, data.x, data.y, sample_weight=data.weight, validation=(data.x, data.y)
    )  # fmt: skip
    for array, before in zip((data.x, data.y, data.weight), kept, strict=True):
        np.testing.assert_array_equal(array, before)


# --- what the history says ------------------------------------------------------------------------


def test_the_loss_of_an_epoch_is_the_mean_over_its_batches() -> None:
    """In one batch of all rows: the loss before the step, by weight, with the penalty apart."""
    net = Network(2, [Dense(3, "tanh"), Dense(1)], penalties=[L2(0.3)])
    data = random_data(net, 9, 0)
    state = net.initialize(0)
    before = net.loss_of(state, data.x, data.y, data.weight)
    size = 0.15 * sum(np.sum(v**2) for n, v in net.parameters(state).items() if n[0] == "W")
    history = train(net, state, data.x, data.y, sample_weight=data.weight, batch_size=9, epochs=1)
    assert history.loss == [pytest.approx(before, rel=1e-13)]
    assert history.penalty == [pytest.approx(size, rel=1e-13)]
    assert history.cost == [pytest.approx(before + size, rel=1e-13)]
    assert (history.best_epoch, history.stopped_by) == (1, "epochs")


def test_a_step_so_small_that_nothing_moves_weighs_uneven_batches_right() -> None:
    net = Network(2, [Dense(3, "tanh"), Dense(1)])
    data = random_data(net, 10, 0)
    state = net.initialize(0)
    expected = net.loss_of(state, data.x, data.y, data.weight)
    history = train(
        net, state, data.x, data.y, sample_weight=data.weight, batch_size=4, epochs=2,
        optimizer=SGD(1e-300),
    )  # fmt: skip
    np.testing.assert_allclose(history.loss, expected, rtol=1e-13)


def test_validation_may_be_weighted() -> None:
    net = Network(2, [Dense(3, "tanh"), Dense(1)])
    data = random_data(net, 10, 0)
    state = net.initialize(0)
    history = train(net, state, data.x, data.y, validation=(data.x, data.y, data.weight))
    assert history.validation_loss[-1] == net.loss_of(state, data.x, data.y, data.weight)
    score = net.score(state, data.x, data.y, data.weight)
    assert history.validation_score[-1] == pytest.approx(score, rel=1e-12)
    assert history.validation_loss[-1] != net.loss_of(state, data.x, data.y)


def test_on_epoch_sees_the_history_grow_and_can_stop() -> None:
    seen = []

    def watch(history: History) -> bool:
        seen.append(history.n_epochs)
        return history.n_epochs == 3

    _, history = outcome(on_epoch=watch, epochs=10)
    assert seen == [1, 2, 3]
    assert (history.n_epochs, history.stopped_by) == (3, "callback")


# --- divergence -----------------------------------------------------------------------------------


class Cliff(EpochSchedule):
    """A schedule that is gentle for three epochs, and then is not."""

    def rate(self, initial: float, position: Any) -> float:
        return 0.05 if position.epochs < 3 else 1e30

    def on_plateau(self, current: float) -> None:
        return None


def test_a_run_that_diverges_ends_at_its_best_epoch() -> None:
    """H4: a clear error that says what to change; the best finite parameters are kept."""
    net = Network(3, [Dense(4, "relu"), Dense(1)])
    data = random_data(net, 20, 0)
    good, state = net.initialize(0), net.initialize(0)
    given = {"batch_size": 5, "seed": 0}
    calm = train(net, good, data.x, data.y, optimizer=SGD(0.05), epochs=3, **given)
    assert calm.best_epoch == 3
    words = "Solver produced non-finite parameter weights.*stopped being finite in epoch 4"
    with pytest.raises(DivergenceError, match=words) as caught:
        train(net, state, data.x, data.y, optimizer=SGD(0.05), schedule=Cliff(), epochs=9, **given)
    assert isinstance(caught.value, ValueError)
    assert state.theta.tobytes() == good.theta.tobytes()
    assert state.step == good.step


def test_a_last_step_out_of_the_numbers_is_divergence_too() -> None:
    """Every loss was finite; the parameters after the last step are not."""
    net = Network(3, [Dense(1)])
    data = random_data(net, 20, 0)
    state = net.initialize(0)
    with pytest.raises(DivergenceError, match="in epoch 1"):
        train(net, state, data.x, 1e3 * data.y, optimizer=SGD(1e308), batch_size=20, epochs=1)
    assert state.theta.tobytes() == net.initialize(0).theta.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [SGD(1e6), SGD(1e6, 0.9), EMAMomentum(1e8)], ids=repr)
def test_a_rate_that_is_far_too_large_never_leaves_non_finite_parameters(
    optimizer: Any, dtype: str
) -> None:
    net = Network(3, [Dense(4, "relu"), Dense(1)], dtype=dtype)
    data = random_data(net, 20, 0)
    state = net.initialize(0)
    with pytest.raises(DivergenceError, match=r"learning rate .* is the likely cause: try"):
        train(net, state, data.x, data.y, optimizer=optimizer, epochs=50)
    assert np.isfinite(state.theta).all()
    assert np.isfinite(net.loss_of(state, data.x, data.y))


@pytest.mark.parametrize(
    ("scale_x", "scale_y", "words"),
    [
        (1e200, 1.0, r"largest \|X\| is .*standardise the inputs"),
        (1.0, 1e200, r"largest \|y\| is .*standardise the targets"),
    ],
)
def test_divergence_names_the_likely_cause(scale_x: float, scale_y: float, words: str) -> None:
    net = Network(3, [Dense(4, "relu"), Dense(1)])
    data = random_data(net, 20, 0)
    for x in (scale_x * data.x, sparse.csr_array(scale_x * data.x)):
        state = net.initialize(0)
        with pytest.raises(DivergenceError, match=words):
            train(net, state, x, scale_y * data.y, epochs=20)
        assert np.isfinite(state.theta).all()


# --- bad arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"epochs": 0}, SpecError, "epochs must be an integer of at least 1; got 0"),
        ({"epochs": 2.5}, SpecError, r"epochs must be an integer of at least 1; got 2\.5"),
        ({"batch_size": 0}, SpecError, "batch_size must be an integer of at least 1; got 0"),
        ({"batch_size": "all"}, SpecError, "batch_size .* got 'all'"),
        ({"optimizer": "adamm"}, SpecError, r"optimizer must be one of .*Did you mean 'adam'"),
        (
            {"optimizer": 0.1},
            SpecError,
            r"optimizer .*SGD\(0\.1\), Adam\(\) or LBFGS\(\); got 0\.1",
        ),
        ({"optimizer": Adam}, SpecError, "optimizer must be a name such as .*, or an optimiser"),
        ({"validation": (XOR[0],)}, ShapeError, r"validation must be \(X, y\) or .* got 1 items"),
        ({"validation": (XOR[0], [0, 1])}, ShapeError, "y must have shape"),
        ({"validation": (XOR[0], [0, 1, 2, 3])}, DataError, "y must lie in"),
        ({"sample_weight": [1, 1]}, ShapeError, "sample_weight must have shape"),
    ],
)
def test_bad_arguments_are_told_before_anything_moves(given: Any, error: Any, words: str) -> None:
    net = Network(2, [Dense(3, "tanh"), Dense(1, "sigmoid")], "binary_cross_entropy")
    state = net.initialize(0)
    with pytest.raises(error, match=words):
        train(net, state, *XOR, **given)
    assert state.theta.tobytes() == net.initialize(0).theta.tobytes()
    assert (state.step, state.optimizer_state) == (0, None)


@pytest.mark.parametrize("given", [{"schedule": "cosin"}, {"schedule": 0.5}, {"stopping": True}])
def test_a_schedule_or_stopping_rule_that_is_none_is_told(given: Any) -> None:
    net = Network(2, [Dense(1, "sigmoid")], "binary_cross_entropy")
    with pytest.raises(SpecError, match=next(iter(given))):
        train(net, net.initialize(0), *XOR, **given)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"stopping": EarlyStopping(patience=1000)},
        {"validation": (XOR[0], XOR[1]), "stopping": EarlyStopping(patience=1000)},
        {"record_health": True},
        {"schedule": "reduce_on_plateau", "sample_weight": np.ones(4), "shuffle": False},
    ],
    ids=["plain", "stopping", "validation", "health", "schedule"],
)
def test_a_late_epoch_costs_no_more_than_an_early_one(given: Any) -> None:
    net = Network(2, [Dense(3, "tanh"), Dense(1, "sigmoid")], loss="binary_cross_entropy")
    counted, at_epoch = 0, []

    def count(frame: Any, event: str, arg: Any) -> Any:
        nonlocal counted
        frame.f_trace_opcodes = True
        counted += event == "opcode"
        return count

    def note(history: History) -> bool:
        at_epoch.append(counted)
        return False

    state, before = net.initialize(seed=0), sys.gettrace()
    sys.settrace(count)
    try:
        train(net, state, *XOR, batch_size=4, epochs=90, on_epoch=note, **given)
    finally:
        sys.settrace(before)
    costs = np.diff(at_epoch)  # instructions of the interpreter: they count what time only hints at
    early, late = costs[10:40], costs[-30:]
    assert np.median(late) < np.median(early) + 30  # a pass over the history takes 300 more
