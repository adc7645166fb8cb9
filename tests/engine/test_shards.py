"""Shards: one step has the same bits in one call, shard by shard, and on any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from deltarule import (
    L1,
    L2,
    SGD,
    Adam,
    ClipNorm,
    ClipValue,
    Dense,
    Dropout,
    MaxNorm,
    Network,
    RMSprop,
    State,
    train,
)
from deltarule.engine import Engine
from deltarule.errors import SpecError
from deltarule.program import BatchSchedule, Block, ShardedSchedule, StepLog
from deltarule.program.shards import even_cuts, tree_sum
from deltarule.reference import Reference
from deltarule.training.shards import Sharded

BOUNDS = np.array([0, 50, 100, 103, 150, 203])


class ShardByShard:
    """An engine that does not cut batches by itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        if name == "takes_shards":
            raise AttributeError(name)
        return getattr(self._engine, name)


def run(interpreter: Any, state: State, block: Block, order: BatchSchedule) -> StepLog:
    logs: list[StepLog] = []
    done = 0
    while done < order.n_batches:
        logs.append(interpreter.train_steps(state, block, order, range(done, order.n_batches)))
        done += len(logs[-1].loss)
    return StepLog.join(logs)


def bits(state: State, log: StepLog) -> tuple[bytes, ...]:
    return (state.theta.tobytes(), *(np.ascontiguousarray(column).tobytes() for column in log))


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    output, loss, k = draw(
        st.sampled_from(
            [
                ("softmax", "categorical_cross_entropy", 5),
                ("sigmoid", "binary_cross_entropy", 1),
                ("identity", "squared_error", 2),
                ("identity", "absolute_error", 1),
            ]
        )
    )
    units = draw(st.lists(st.sampled_from([1, 7, 33, 130]), max_size=2))
    kind = draw(st.sampled_from(["relu", "tanh", "gelu", "softmax", "sigmoid"]))
    layers: list[Any] = [Dropout(0.9)] if draw(st.booleans()) else []
    for width in units:
        layers += [Dense(width, kind), Dropout(0.8)]
    net = Network(
        29,
        [*layers, Dense(k, output)],
        loss=loss,
        penalties=draw(
            st.sampled_from([(), (L2(0.01, "batch"),), (L1(0.01, proximal=True), L2(0.001))])
        ),
        constraints=draw(st.sampled_from([(), (MaxNorm(1.0),), (MaxNorm(2.0, "network"),)])),
        dtype=draw(st.sampled_from(["float32", "float64"])),
    )
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.standard_normal((203, 29)).astype(net.dtype)
    y = rng.random((203, k)).astype(net.dtype)
    if k == 5:
        y = np.eye(k, dtype=net.dtype)[rng.integers(0, k, 203)]
    weight = None
    if draw(st.booleans()):
        weight = np.where(rng.random(203) < 0.1, 0, rng.random(203)).astype(net.dtype)
    x = sparse.csr_array(np.where(x > 0.5, x, 0)) if draw(st.booleans()) else x
    cuts = None
    count = draw(st.sampled_from([1, 2, 8]))
    if draw(st.booleans()):  # of any sizes, some empty
        inner = np.sort(rng.integers(0, np.diff(BOUNDS)[:, None] + 1, (5, count - 1)), axis=1)
        cuts = np.hstack([np.zeros((5, 1), int), inner, np.diff(BOUNDS)[:, None]]).astype(np.int64)
    order = BatchSchedule(rng.permutation(203), BOUNDS, np.full(5, 0.01))
    order = order if cuts is None else ShardedSchedule.of(order, cuts)
    steps = draw(st.sampled_from([Adam(0.01), SGD(0.1, momentum=0.9), RMSprop(0.01)]))
    clipping = draw(st.sampled_from([None, ClipNorm(0.5), ClipValue(0.01)]))
    return {"net": net, "block": Block(x, y, weight), "order": order, "count": count,
            "steps": (steps, clipping)}  # fmt: skip


def check_bits(case: dict[str, Any]) -> None:
    net, count = case["net"], case["count"]
    found = []
    for threads, wrap in ((1, None), (2, None), (2, ShardByShard)):
        engine: Any = Engine(net.tape, *case["steps"], n_threads=threads, n_shards=count)
        state = net.initialize(3)
        sharded = Sharded(engine if wrap is None else wrap(engine), count)
        found.append(bits(state, run(sharded, state, case["block"], case["order"])))
    assert found[0] == found[1] == found[2]


@given(cases())
@settings(max_examples=25)
def test_a_step_has_the_same_bits_in_one_call_and_shard_by_shard(case: dict[str, Any]) -> None:
    check_bits(case)


@pytest.mark.long
@given(cases())
@settings(max_examples=1000)
def test_a_step_has_the_same_bits_in_one_call_and_shard_by_shard_long(
    case: dict[str, Any],
) -> None:
    check_bits(case)


@given(cases())
@settings(max_examples=25)
def test_sums_over_shards_are_those_over_the_batch(case: dict[str, Any]) -> None:
    net, block, count = case["net"], case["block"], case["count"]
    state = net.initialize(3)
    close = {"rtol": 1e-4, "atol": 1e-4} if net.dtype == "float32" else {"rtol": 1e-10}
    for make in (Engine, Reference):
        whole = make(net.tape).gradient(state, block)
        inner = Engine(net.tape, n_shards=count) if make is Engine else Reference(net.tape)
        cut = Sharded(inner, count).gradient(state, block)
        np.testing.assert_allclose(cut.loss, whole.loss, **close)
        np.testing.assert_allclose(cut.weight, whole.weight, rtol=1e-5)
        scale = np.abs(whole.gradient).max() or 1.0
        np.testing.assert_allclose(cut.gradient / scale, whole.gradient / scale, atol=1e-5)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "line_search"])
def test_a_training_with_shards_is_the_one_without_up_to_rounding(
    engine: str, optimizer: str
) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((90, 4)), rng.standard_normal(90)
    net = Network(4, [Dense(8, "tanh"), Dense(1)])
    thetas, losses = [], []
    for shards in (None, 8):
        state = net.initialize(0)
        history = train(
            net, state, x, y, optimizer=optimizer, epochs=4, engine=engine, shards=shards
        )
        thetas.append(state.theta)
        losses.append(history.loss)
    np.testing.assert_allclose(thetas[0], thetas[1], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-8)


def test_shards_of_more_than_a_run_of_rows_are_taken_one_by_one() -> None:
    rng = np.random.default_rng(0)
    net = Network(3, [Dense(4, "tanh"), Dense(1)])
    block = Block(rng.standard_normal((5000, 3)), rng.standard_normal((5000, 1)))
    order = BatchSchedule(rng.permutation(5000), np.array([0, 5000]), np.array([0.1]))
    engines = [Engine(net.tape, Adam(0.1), n_threads=n, n_shards=2) for n in (1, 2)]
    assert engines[0].takes_shards(1024)
    assert not engines[0].takes_shards(2500)
    found = []
    for engine in engines:
        state = net.initialize(0)
        found.append(bits(state, run(Sharded(engine, 2), state, block, order)))
    assert found[0] == found[1]


def test_a_loss_that_is_not_finite_stops_before_its_step() -> None:
    net = Network(1, [Dense(1)], dtype="float32")
    x = np.ones((8, 1), np.float32)
    y = np.array([[1.0]] * 4 + [[3e38]] * 4, dtype=np.float32)
    order = BatchSchedule(np.arange(8), np.array([0, 4, 8]), np.full(2, 0.1))
    for wrap in (None, ShardByShard):
        engine: Any = Engine(net.tape, n_shards=2)
        state = net.initialize(0)
        sharded = Sharded(engine if wrap is None else wrap(engine), 2)
        log = run(sharded, state, Block(x, y), order)
        assert log.diverged
        assert state.step == 1
        assert np.isfinite(state.theta).all()


def test_the_tree_is_balanced_and_cuts_are_even() -> None:
    assert tree_sum(["a"], "({}{})".format) == "a"
    assert tree_sum("abcdefgh", "({}{})".format) == "(((ab)(cd))((ef)(gh)))"
    for n in (0, 1, 7, 64, 1000):
        cuts = even_cuts(n, 8)
        assert cuts[0] == 0
        assert cuts[-1] == n
        assert np.diff(cuts).max() - np.diff(cuts).min() <= 1


@pytest.mark.parametrize("count", [0, 3, -8, 2048, True, 2.0, "8"])
def test_other_numbers_of_shards_are_refused(count: Any) -> None:
    net = Network(1, [Dense(1)])
    with pytest.raises(SpecError, match="shards must be a power of two"):
        train(net, net.initialize(0), np.ones((4, 1)), np.ones(4), shards=count)
