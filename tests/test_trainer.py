"""Arguments of ``train`` other than optimisers: minimisers, class weights, augmentation, health."""

from __future__ import annotations

import re
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.sparse import csr_array
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight

from deltarule import (
    L1,
    L2,
    LBFGS,
    SGD,
    Adam,
    BatchNorm,
    ClipNorm,
    Cosine,
    Dense,
    Dropout,
    EarlyStopping,
    History,
    LineSearch,
    MaxNorm,
    MLPRegressor,
    Network,
    OneCycle,
    Rprop,
    train,
)
from deltarule.augmentation import Compose, Rotation, Translation
from deltarule.errors import DataError, DivergenceError, ShapeError, SpecError
from deltarule.network.data import make_block
from deltarule.schedules import SCHEDULES
from deltarule.spec.optimizers import OPTIMIZERS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
LABELS = (X @ [1.0, -2.0, 0.5, 0.0] + 0.3 * RNG.normal(size=60) > 0.4).astype(int)
LOGISTIC = Network(4, [Dense(1, "sigmoid")], "binary_cross_entropy", penalties=[L2(0.05)])


@pytest.mark.parametrize("optimizer", [LBFGS(tol=1e-9), LineSearch(tol=1e-7)], ids=repr)
def test_minimisers_reach_scikit_learns_logistic_regression(optimizer: Any) -> None:
    state = LOGISTIC.initialize(0)
    history = train(LOGISTIC, state, X, LABELS, optimizer=optimizer, epochs=2000)
    peer = LogisticRegression(C=1 / (0.05 * len(X)), tol=1e-10, max_iter=10_000).fit(X, LABELS)
    np.testing.assert_allclose(state.theta, [*peer.coef_[0], *peer.intercept_], atol=2e-5)
    assert history.cost == sorted(history.cost, reverse=True)


def test_line_search_never_rises_and_beats_a_fixed_step() -> None:
    net = Network(4, [Dense(6, "tanh"), Dense(1, "sigmoid")], "binary_cross_entropy")
    exact, fixed = net.initialize(0), net.initialize(0)
    searched = train(net, exact, X, LABELS, optimizer=LineSearch(), epochs=30)
    stepped = train(net, fixed, X, LABELS, optimizer=SGD(0.1), batch_size=60, epochs=30)
    assert np.diff(searched.cost).max() <= 0
    assert searched.cost[-1] < stepped.cost[-1]


@pytest.mark.parametrize("weight", ["balanced", {0: 1.0, 1: 5.0}, {1: 0.0}])
def test_class_weights_are_sample_weights(weight: Any) -> None:
    mapping = weight if isinstance(weight, str) else {0: 1.0, 1: 1.0} | weight
    rows = compute_sample_weight(mapping, LABELS)
    one, other = LOGISTIC.initialize(0), LOGISTIC.initialize(0)
    train(LOGISTIC, one, X, LABELS, class_weight=weight, epochs=3)
    train(LOGISTIC, other, X, LABELS, sample_weight=rows, epochs=3)
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-13)


def test_class_weights_multiply_sample_weights() -> None:
    rows = RNG.random(60)
    one, other = LOGISTIC.initialize(0), LOGISTIC.initialize(0)
    train(LOGISTIC, one, X, LABELS, class_weight={1: 3.0}, sample_weight=rows)
    train(LOGISTIC, other, X, LABELS, sample_weight=rows * np.where(LABELS == 1, 3.0, 1.0))
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-13)


@pytest.mark.parametrize("weight", ["even", {2: 1.0}, {0: -1.0}, {0: float("nan")}])
def test_bad_class_weights_are_told(weight: Any) -> None:
    with pytest.raises(SpecError, match=r"class_weight (must|names)"):
        train(LOGISTIC, LOGISTIC.initialize(), X, LABELS, class_weight=weight)


def test_class_weights_need_classes() -> None:
    net = Network(4, [Dense(1)])
    with pytest.raises(DataError, match="class_weight is for networks that tell classes apart"):
        train(net, net.initialize(), X, LABELS, class_weight="balanced")


def test_augmentation_is_drawn_afresh_each_epoch_and_repeats_with_its_seed() -> None:
    images, digits = load_digits(return_X_y=True)
    images, digits = images[:300] / 16, digits[:300]
    net = Network(64, [Dense(16, "relu"), Dense(10, "softmax")], "categorical_cross_entropy")
    pieces = Compose([Rotation(15.0), Translation(1.0)], shape=(8, 8), seed=3)
    seen: list[Any] = []

    def spy(x: Any, rows: Any, epoch: int) -> Any:
        seen.append(pieces(x, rows, epoch))
        return seen[-1]

    states = [net.initialize(0) for _ in range(3)]
    train(net, states[0], images, digits, optimizer=Adam(), epochs=2, augment=spy)
    train(net, states[1], images, digits, optimizer=Adam(), epochs=2, augment=pieces)
    train(net, states[2], images, digits, optimizer=Adam(), epochs=2)
    assert len(seen) == 2
    assert not np.array_equal(seen[0], seen[1])
    assert states[0].theta.tobytes() == states[1].theta.tobytes() != states[2].theta.tobytes()


@pytest.mark.parametrize(
    ("broken", "error", "words"),
    [
        (lambda x, rows, epoch: x[:, :2], ShapeError, "augment must return rows of the shape"),
        (lambda x, rows, epoch: x * np.nan, DataError, "augment returned NaN"),
    ],
)
def test_what_augmentation_returns_is_checked(broken: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        train(LOGISTIC, LOGISTIC.initialize(), X, LABELS, augment=broken)


def test_health_is_recorded_for_every_layer_and_epoch() -> None:
    net = Network(4, [Dense(8, "relu"), Dense(5, "tanh"), Dense(1, "sigmoid")],
                  "binary_cross_entropy")  # fmt: skip
    history = train(net, net.initialize(0), X, LABELS, epochs=3, record_health=True)
    assert [len(health.layers) for health in history.health] == [3, 3, 3]
    first, second, third = history.health[-1].layers
    assert first.dead is not None
    assert second.dead is None
    assert second.saturated is not None
    assert third.update_ratio is not None
    assert third.update_ratio > 0
    assert "rms A" in str(history.health[-1])


MINIMIZERS = pytest.mark.parametrize("optimizer", ["lbfgs", "line_search", LBFGS(), LineSearch()])


@MINIMIZERS
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"validation": (X, LABELS)}, "minimises over the whole set and does not stop early"),
        ({"stopping": EarlyStopping()}, "minimises over the whole set and does not stop early"),
        ({"schedule": Cosine()}, "finds its step lengths by line searches"),
        ({"schedule": "adaptive"}, "finds its step lengths by line searches"),
        ({"clipping": ClipNorm(1.0)}, "takes no steps by mini-batch"),
        ({"augment": lambda x, rows, epoch: x}, "takes no steps by mini-batch"),
        ({"checkpoint": "folder"}, "whose line searches remember"),
        ({"resume": History()}, "whose line searches remember"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_what_minimisers_cannot_use_is_told(optimizer: Any, given: Any, words: str) -> None:
    name = next(iter(given))
    with pytest.raises(SpecError, match=f"{name}=.*{words}.*optimizer='adam' or 'sgd'"):
        train(LOGISTIC, LOGISTIC.initialize(), X, LABELS, optimizer=optimizer, **given)


REFUSED = {  # of a network, with what an estimator is given for the same
    "dropout": ({"layers": [Dense(3), Dropout(0.8), Dense(1)]}, {"dropout": 0.2}),
    "input dropout": ({"layers": [Dropout(0.8), Dense(3), Dense(1)]}, {"input_dropout": 0.2}),
    "batch norm": (
        {"layers": [Dense(3, batch_norm=BatchNorm()), Dense(1)]}, {"batch_norm": True},
    ),
    "proximal": ({"penalties": [L1(0.1, proximal=True)]}, {"l1": 0.1}),
    "l1": ({"penalties": [L1(0.1)]}, {"l1": 0.1}),
    "max norm": ({"constraints": [MaxNorm(2.0)]}, {"max_norm": 2.0}),
}  # fmt: skip


def refusal(call: Any) -> str:
    with pytest.raises(SpecError) as caught:
        call()
    reason = re.search(r", which? .*?\.|, whose .*?\.", str(caught.value))
    assert reason is not None, caught.value
    return reason[0]


@MINIMIZERS
@pytest.mark.parametrize("case", REFUSED)
def test_train_refuses_in_a_network_what_estimators_refuse(optimizer: Any, case: str) -> None:
    network, arguments = REFUSED[case]
    net = Network(4, **({"layers": [Dense(3, "tanh"), Dense(1)]} | network))
    state = net.initialize()
    before = state.theta.copy()
    ours = refusal(lambda: train(net, state, X, LABELS, optimizer=optimizer))
    model = MLPRegressor(solver=optimizer, hidden_layer_sizes=3, **arguments)
    assert ours == refusal(lambda: model.fit(X, LABELS))
    np.testing.assert_array_equal(state.theta, before)


def test_augmentation_needs_dense_rows() -> None:
    message = "augment needs a dense X; got a sparse matrix"
    given = {"augment": lambda x, rows, epoch: x}
    with pytest.raises(DataError, match=message):
        train(LOGISTIC, LOGISTIC.initialize(), csr_array(X), LABELS, **given)
    with pytest.raises(DataError, match=message):
        MLPRegressor(**given).fit(csr_array(X), LABELS)


def test_batch_norm_needs_two_rows() -> None:
    net = Network(4, [Dense(3, batch_norm=BatchNorm()), Dense(1)])
    message = "needs at least 2 samples of non-zero weight.*got n_samples=1"
    weight = np.eye(60)[0]
    with pytest.raises(DataError, match=message):
        train(net, net.initialize(), X, LABELS, sample_weight=weight)
    with pytest.raises(DataError, match=message):
        MLPRegressor(batch_norm=True).fit(X, LABELS, sample_weight=weight)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_name_is_the_optimiser_with_its_defaults(name: str) -> None:
    ends = []
    for optimizer in (name, OPTIMIZERS[name]()):
        state = LOGISTIC.initialize(0)
        history = train(LOGISTIC, state, X, LABELS, optimizer=optimizer, epochs=3)
        ends.append([*state.theta, *history.cost])
    assert ends[0] == ends[1]


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_name_is_the_schedule_with_its_defaults(name: str) -> None:
    ends = []
    for schedule in (name, SCHEDULES[name]()):
        state = LOGISTIC.initialize(0)
        history = train(LOGISTIC, state, X, LABELS, optimizer="adam", schedule=schedule)
        ends.append([*state.theta, *history.learning_rate])
    assert ends[0] == ends[1]


def test_the_default_length_depends_on_the_optimiser() -> None:
    assert train(LOGISTIC, LOGISTIC.initialize(0), X, LABELS).n_epochs == 10
    flat = LBFGS(tol=0.0, ftol=0.0)
    net = Network(4, [Dense(30, "tanh"), Dense(1, "sigmoid")], "binary_cross_entropy")
    noise = np.random.default_rng(1).integers(0, 2, 60)
    assert train(net, net.initialize(0), X, noise, optimizer=flat).n_epochs == 200


def test_rprop_takes_all_rows_by_default() -> None:
    state, other = LOGISTIC.initialize(0), LOGISTIC.initialize(0)
    train(LOGISTIC, state, X, LABELS, optimizer="rprop")
    train(LOGISTIC, other, X, LABELS, optimizer=Rprop(), batch_size=60)
    np.testing.assert_array_equal(state.theta, other.theta)


def test_a_prepared_block_is_trained_on_as_it_is() -> None:
    one, other = LOGISTIC.initialize(0), LOGISTIC.initialize(0)
    block, _ = make_block(LOGISTIC, X, LABELS, smoothed=True)
    train(LOGISTIC, one, block)
    train(LOGISTIC, other, X, LABELS)
    np.testing.assert_array_equal(one.theta, other.theta)
    with pytest.raises(SpecError, match="do not go with a block"):
        train(LOGISTIC, one, block, LABELS)


def test_class_weights_count_by_sample_weights() -> None:
    """A row of weight 2 counts as two rows when classes are balanced."""
    rows = np.where(np.arange(60) < 20, 2.0, 1.0)
    twice = np.repeat(np.arange(60), rows.astype(int))
    one, other = LOGISTIC.initialize(0), LOGISTIC.initialize(0)
    given = {"class_weight": "balanced", "batch_size": 100, "shuffle": False}
    train(LOGISTIC, one, X, LABELS, sample_weight=rows, **given)
    train(LOGISTIC, other, X[twice], LABELS[twice], **given)
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-12)


def test_a_divergence_leaves_the_history() -> None:
    net = Network(4, [Dense(8, "relu"), Dense(1)])
    with pytest.raises(DivergenceError) as caught:
        train(net, net.initialize(0), X, LABELS, optimizer=SGD(1e3), epochs=50)
    history = caught.value.history
    assert history.stopped_by == "divergence"
    assert history.resume_point is None
    assert not np.isfinite(history.loss[-1])


def test_batch_norm_needs_mini_batches_of_two() -> None:
    net = Network(4, [Dense(3, "relu", batch_norm=BatchNorm()), Dense(1)])
    with pytest.raises(SpecError, match="batch_size must be at least 2"):
        train(net, net.initialize(), X, LABELS, batch_size=1)
    with pytest.raises(SpecError, match="which has no mini-batches to gather statistics over"):
        train(net, net.initialize(), X, LABELS, optimizer=LBFGS())


def test_clipping_must_be_a_clipping() -> None:
    with pytest.raises(SpecError, match="clipping must be ClipNorm"):
        train(LOGISTIC, LOGISTIC.initialize(), X, LABELS, clipping=1.0)  # type: ignore[arg-type]


def test_a_schedule_by_step_gives_every_step_its_rate() -> None:
    """One plain step a batch with the rates that the schedule promises, added up by hand."""
    net = Network(1, [Dense(1)])
    ones = np.ones((6, 1))
    state = net.initialize(0)
    before = state.theta.copy()
    schedule = OneCycle()
    history = train(net, state, ones, np.zeros(6), optimizer=SGD(0.1), batch_size=2, epochs=4,
                    schedule=schedule)  # fmt: skip
    assert len(set(history.learning_rate)) == 4
    shrink = state.theta.sum() / before.sum()  # w + b shrinks by (1 - 2 η) at every step
    bound = minimize(lambda eta: (np.log((1 - 2 * eta[0]) ** 12) - np.log(shrink)) ** 2, [0.05],
                     bounds=[(1e-6, 0.4)])  # fmt: skip
    assert 0 < bound.x[0] < 0.1  # on average below the peak


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"batch_size": 59}, "leave batch_size out, which is all 60 rows; got batch_size=59"),
        (
            {"schedule": Cosine()},
            "adapts a step size of its own for every weight. Set schedule=None",
        ),
    ],
)
def test_what_rprop_cannot_go_with_is_told(given: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        train(LOGISTIC, LOGISTIC.initialize(), X, LABELS, optimizer=Rprop(), **given)


def test_rprop_has_no_proximal_step() -> None:
    net = Network(4, [Dense(1)], penalties=[L1(0.1, proximal=True)])
    with pytest.raises(SpecError, match="has no learning rate for a proximal step"):
        train(net, net.initialize(), X, LABELS, optimizer=Rprop(), batch_size=60)


def test_rprop_trains_on_the_whole_set() -> None:
    state = LOGISTIC.initialize(0)
    history = train(LOGISTIC, state, X, LABELS, optimizer=Rprop(), batch_size=60, epochs=60)
    peer = LogisticRegression(C=1 / (0.05 * len(X)), tol=1e-10, max_iter=10_000).fit(X, LABELS)
    assert history.cost[-1] < history.cost[0]
    np.testing.assert_allclose(state.theta, [*peer.coef_[0], *peer.intercept_], atol=1e-3)


# --- engines -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer", [SGD(0.1, 0.9), Adam(0.01), LBFGS(), LineSearch()], ids=lambda o: type(o).__name__
)
def test_the_engines_train_alike(optimizer: Any) -> None:
    ends = {}
    for engine in ("auto", "compiled", "reference"):
        state = LOGISTIC.initialize(0)
        kind = {} if isinstance(optimizer, LBFGS | LineSearch) else {"validation": (X, LABELS)}
        history = train(
            LOGISTIC, state, X, LABELS, optimizer=optimizer, engine=engine, n_threads=1, **kind
        )
        ends[engine] = [*state.theta, *history.cost, *history.validation_score]
    assert ends["auto"] == ends["compiled"]
    np.testing.assert_allclose(ends["compiled"], ends["reference"], rtol=1e-9)


def test_arrays_of_other_libraries_go_to_the_reference() -> None:
    x, y = strict.asarray(X), strict.asarray(LABELS)
    state = LOGISTIC.initialize(0, like=x)
    train(LOGISTIC, state, x, y, validation=(x, y))
    twin = LOGISTIC.initialize(0)
    train(LOGISTIC, twin, X, LABELS, engine="reference")
    np.testing.assert_array_equal(np.asarray(state.theta), twin.theta)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"engine": "numba"}, r"engine must be one of auto, .*reference; got 'numba'"),
        ({"n_threads": 0}, "n_threads must be an integer of at least 1; got 0"),
    ],
)
@pytest.mark.parametrize("optimizer", [SGD(0.1), LBFGS()], ids=["sgd", "lbfgs"])
def test_an_engine_that_does_not_exist_is_refused(optimizer: Any, given: Any, words: str) -> None:
    state = LOGISTIC.initialize(0)
    before = state.theta.copy()
    with pytest.raises(SpecError, match=words):
        train(LOGISTIC, state, X, LABELS, optimizer=optimizer, **given)
    np.testing.assert_array_equal(state.theta, before)
