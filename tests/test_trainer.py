"""What ``train`` takes beside an optimiser: minimisers, class weights, augmentation, health."""

from __future__ import annotations

from typing import Any

import array_api_strict as strict
import numpy as np
import pytest
from scipy.optimize import minimize
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
    EarlyStopping,
    LineSearch,
    Network,
    OneCycle,
    Rprop,
    train,
)
from deltarule.augmentation import Compose, Rotation, Translation
from deltarule.errors import DataError, ShapeError, SpecError

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
    with pytest.raises(DataError, match="class_weight must"):
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


@pytest.mark.parametrize(
    "given",
    [
        {"validation": (X, LABELS)},
        {"stopping": EarlyStopping()},
        {"schedule": Cosine()},
        {"clipping": ClipNorm(1.0)},
        {"augment": lambda x, rows, epoch: x},
    ],
    ids=lambda given: next(iter(given)),
)
def test_what_minimisers_cannot_use_is_told(given: Any) -> None:
    name = next(iter(given))
    with pytest.raises(SpecError, match=f"{name} is for optimisers that take a step a mini-batch"):
        train(LOGISTIC, LOGISTIC.initialize(), X, LABELS, optimizer=LBFGS(), **given)


def test_batch_norm_needs_mini_batches_of_two() -> None:
    net = Network(4, [Dense(3, "relu", batch_norm=BatchNorm()), Dense(1)])
    with pytest.raises(SpecError, match="batch_size must be at least 2"):
        train(net, net.initialize(), X, LABELS, batch_size=1)
    with pytest.raises(SpecError, match="optimizer=LBFGS minimises over the whole set"):
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
        ({"batch_size": 59}, "set batch_size to at least 60"),
        ({"batch_size": 60, "schedule": Cosine()}, "leave schedule out"),
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
        ({"engine": "numba"}, r"engine must be one of 'auto', .*'reference'; got 'numba'"),
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
