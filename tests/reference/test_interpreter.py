"""The methods of an interpreter: gradient, apply, advance and forward."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import expit, ndtr
from scipy.special import softmax as scipy_softmax

from deltarule import L2, SGD, Adam, Dense, EMAMomentum, LeakyReLU, MaxNorm, Network, State
from deltarule.program import BatchSchedule, Block
from deltarule.reference import Reference
from support.networks import (
    SEEDS,
    networks,
    one_order,
    proves,
    random_data,
    random_state,
    train_all_steps,
)

OPTIMIZERS = [SGD(0.05), SGD(0.05, 0.9, nesterov=True), EMAMomentum(0.05), Adam(0.05)]
EVERY_OPTIMIZER = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)

NUMPY = {
    "identity": lambda z: z,
    "sigmoid": expit,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "softmax": lambda z: scipy_softmax(z, axis=1),
    "exp": np.exp,
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(z)),
    "elu": lambda z: np.where(z > 0, z, np.expm1(z)),
    "gelu": lambda z: z * ndtr(z),
    "silu": lambda z: z * expit(z),
    "softplus": lambda z: np.logaddexp(0, z),
    "mish": lambda z: z * np.tanh(np.logaddexp(0, z)),
    "softsign": lambda z: z / (1 + np.abs(z)),
    "hard_sigmoid": lambda z: np.clip(z / 6 + 0.5, 0, 1),
    "hard_tanh": lambda z: np.clip(z, -1, 1),
}


def trained(net: Network, optimizer: Any, data: Any, seed: int = 0, epochs: int = 2) -> State:
    """Return a state after two epochs in batches of three."""
    state = random_state(net, seed)
    reference = Reference(net.tape, optimizer)
    for epoch in range(epochs):
        rows = np.random.default_rng(epoch).permutation(len(data.x))
        train_all_steps(reference, state, data.block, one_order(rows, 3, 0.05))
    return state


# --- forward --------------------------------------------------------------------------------------


@proves(short=20, full=2000, net=networks(), seed=SEEDS, n=st.integers(1, 6))
def test_forward_is_the_composition_of_the_layers(net: Network, seed: int, n: int) -> None:
    state, data = random_state(net, seed), random_data(net, n, seed)
    a, views = data.x, list(net.parameters(state).values())
    for layer, w, b in zip(net.layers, views[::2], views[1::2], strict=True):
        z = a @ w + b
        a = NUMPY[layer.activation](z)
    reference = Reference(net.tape)
    np.testing.assert_allclose(reference.forward(state, data.block), a, rtol=1e-12, atol=1e-14)
    logits = reference.forward(state, data.block, logits=True)
    np.testing.assert_allclose(logits, z, rtol=1e-12, atol=1e-14)


def test_the_slope_of_a_leaky_layer_is_its_own() -> None:
    net = Network(1, [Dense(1, LeakyReLU(0.25))])
    state = State(np.array([1.0, 0.0]))
    assert net.predict(state, [[-4.0], [4.0]]).tolist() == [[-1.0], [4.0]]


# --- gradient -------------------------------------------------------------------------------------


@proves(
    short=15,
    full=1000,
    net=networks(),
    seed=SEEDS,
    n=st.integers(1, 12),
    cuts=st.lists(st.integers(0, 12), max_size=3),
)
def test_sums_are_additive_over_parts(net: Network, seed: int, n: int, cuts: list[int]) -> None:
    state, data = random_state(net, seed), random_data(net, n, seed)
    reference = Reference(net.tape)
    whole = reference.gradient(state, data.block)
    edges = sorted({0, n, *(min(cut, n) for cut in cuts)})
    pieces = [reference.gradient(state, data.block, slice(a, b)) for a, b in pairwise(edges)]
    total = pieces[0]
    for piece in pieces[1:]:
        total = total + piece
    assert total.loss == pytest.approx(whole.loss, rel=1e-12)
    assert total.weight == pytest.approx(whole.weight, rel=1e-14)
    size = np.abs(whole.gradient).max() + sum(np.abs(p.gradient).max() for p in pieces)
    np.testing.assert_allclose(total.gradient, whole.gradient, rtol=0, atol=1e-13 * size)


def test_rows_are_named_by_number_or_slice() -> None:
    net = Network(2, [Dense(3, "tanh"), Dense(1)])
    state, data = random_state(net, 0), random_data(net, 6, 0)
    reference = Reference(net.tape)
    named = reference.gradient(state, data.block, np.array([1, 2, 3]))
    sliced = reference.gradient(state, data.block, slice(1, 4))
    np.testing.assert_array_equal(named.gradient, sliced.gradient)
    assert named.loss == sliced.loss


def test_the_gradient_does_not_change_the_state() -> None:
    net = Network(2, [Dense(3, "tanh"), Dense(1)], penalties=[L2(0.1)])
    data = random_data(net, 6, 0)
    state = trained(net, Adam(), data)
    kept = state.copy()
    reference = Reference(net.tape, Adam())
    sums = reference.gradient(state, data.block)
    reference.cost(state, sums)
    reference.forward(state, data.block)
    assert_same(state, kept)


@pytest.mark.parametrize(
    "head", [("squared_error", "tanh"), ("categorical_cross_entropy", "softmax")]
)
def test_rows_of_weight_zero_have_no_effect(head: tuple[str, str]) -> None:
    loss, output = head
    net = Network(3, [Dense(4, "tanh"), Dense(2, output)], loss)
    state, data = random_state(net, 0), random_data(net, 9, 0)
    weight = data.weight.copy()
    weight[[1, 4, 8]] = 0.0
    reference = Reference(net.tape)
    muted = reference.gradient(state, Block(data.x, data.y, weight))
    present = reference.gradient(state, Block(data.x, data.y, weight), np.flatnonzero(weight))
    assert muted.loss == pytest.approx(present.loss, rel=1e-15)
    assert muted.weight == pytest.approx(present.weight, rel=1e-15)
    np.testing.assert_allclose(muted.gradient, present.gradient, rtol=1e-13, atol=1e-15)


def test_a_weight_of_two_is_a_row_given_twice() -> None:
    net = Network(3, [Dense(4, "tanh"), Dense(2)])
    state, data = random_state(net, 0), random_data(net, 5, 0)
    counts = np.array([1, 2, 3, 1, 2])
    twice = np.repeat(np.arange(5), counts)
    reference = Reference(net.tape)
    weighted = reference.gradient(state, Block(data.x, data.y, counts * 1.0))
    repeated = reference.gradient(state, Block(data.x, data.y), twice)
    assert (weighted.loss, weighted.weight) == (pytest.approx(repeated.loss), repeated.weight)
    np.testing.assert_allclose(weighted.gradient, repeated.gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csr_array], ids=["matrix", "array"])
@proves(short=8, full=500, net=networks(), seed=SEEDS, n=st.integers(1, 8))
def test_csr_inputs_are_dense_inputs(make: Any, net: Network, seed: int, n: int) -> None:
    state, data = random_state(net, seed), random_data(net, n, seed)
    x = np.where(np.random.default_rng(seed).random(data.x.shape) < 0.5, 0.0, data.x)
    dense, csr = Block(x, data.y, data.weight), Block(make(x), data.y, data.weight)
    reference = Reference(net.tape)
    a, b = reference.gradient(state, dense), reference.gradient(state, csr)
    assert isinstance(b.gradient, np.ndarray)
    assert a.loss == pytest.approx(b.loss, rel=1e-12)
    size = max(1.0, np.abs(a.gradient).max())
    np.testing.assert_allclose(a.gradient, b.gradient, rtol=1e-12, atol=1e-14 * size)
    rows = np.arange(n)[::2]
    a, b = reference.gradient(state, dense, rows), reference.gradient(state, csr, rows)
    np.testing.assert_allclose(a.gradient, b.gradient, rtol=1e-12, atol=1e-14 * size)
    left, right = reference.forward(state, dense), reference.forward(state, csr)
    np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-14)


# --- apply and advance ----------------------------------------------------------------------------


def assert_same(a: State, b: State) -> None:
    """Assert that two states are the same bits."""
    assert a.theta.tobytes() == b.theta.tobytes()
    assert (a.step, a.seed) == (b.step, b.seed)
    assert (a.optimizer_state is None) == (b.optimizer_state is None)
    for left, right in zip(a.optimizer_state or (), b.optimizer_state or (), strict=True):
        assert np.asarray(left).tobytes() == np.asarray(right).tobytes()


@EVERY_OPTIMIZER
@proves(short=10, full=200, net=networks(), seed=SEEDS, k=st.integers(1, 4))
def test_many_steps_in_one_call_are_as_many_calls_of_one(
    optimizer: Any, net: Network, seed: int, k: int
) -> None:
    data = random_data(net, 11, seed)
    order = one_order(np.random.default_rng(seed).permutation(11), 2, 0.01)
    reference = Reference(net.tape, optimizer)
    together, apart, by_hand = (random_state(net, seed) for _ in range(3))
    a = train_all_steps(reference, together, data.block, order)
    b = train_all_steps(reference, apart, data.block, order, most=k)
    for column_a, column_b in zip(a, b, strict=True):
        assert column_a.tobytes() == column_b.tobytes()
    assert_same(together, apart)
    for step in range(len(a.loss)):
        sums = reference.gradient(by_hand, data.block, order.batch(step))
        loss, penalty, _ = reference.cost(by_hand, sums)
        assert (loss, penalty) == (a.loss[step], a.penalty[step])
        if np.isfinite(loss + penalty):
            reference.apply_gradient(by_hand, sums, 0.01)
    assert_same(together, by_hand)
    assert together.step == (len(a.loss) - a.diverged)


def test_the_contents_of_steps() -> None:
    net = Network(2, [Dense(1)], penalties=[L2(0.5)])
    state, data = random_state(net, 0), random_data(net, 7, 0)
    first = net.loss_of(state, data.x[:3], data.y[:3], data.weight[:3])
    size = 0.25 * float(np.sum(net.parameters(state)["W1"] ** 2))
    steps = train_all_steps(Reference(net.tape), state, data.block, one_order(np.arange(7), 3, 0.1))
    assert steps.rows.tolist() == [3, 3, 1]
    cut = [data.weight[:3].sum(), data.weight[3:6].sum(), data.weight[6]]
    np.testing.assert_allclose(steps.weight, cut, rtol=1e-14)
    assert steps.loss[0] == pytest.approx(first, rel=1e-13)
    assert steps.penalty[0] == pytest.approx(size, rel=1e-13)
    assert not steps.diverged


def test_every_batch_has_its_own_rate() -> None:
    net = Network(1, [Dense(1)])
    block = Block(np.zeros((3, 1)), np.array([[1.0], [1.0], [1.0]]))
    state = net.initialize()
    state.theta[:] = 0.0
    order = BatchSchedule(np.arange(3), np.arange(4), np.array([0.5, 0.25, 1.0]))
    steps = train_all_steps(Reference(net.tape), state, block, order)
    # b ← b − η (b − 1), so 1 − b is multiplied by 1 − η
    np.testing.assert_allclose(steps.loss, [0.5, 0.5 * 0.5**2, 0.5 * (0.5 * 0.75) ** 2])
    assert state.theta.tolist() == [0.0, 1.0]


@EVERY_OPTIMIZER
def test_a_batch_of_weight_zero_takes_no_step(optimizer: Any) -> None:
    net = Network(3, [Dense(4, "tanh"), Dense(2)], penalties=[L2(0.1)])
    data = random_data(net, 9, 0)
    weight = data.weight.copy()
    weight[3:6] = 0.0
    block = Block(data.x, data.y, weight)
    reference = Reference(net.tape, optimizer)
    with_it, without = random_state(net, 0), random_state(net, 0)
    steps = train_all_steps(reference, with_it, block, one_order(np.arange(9), 3, 0.1))
    assert [float(column[1]) for column in steps] == [3, 0, 0, 0]
    train_all_steps(reference, without, block, one_order(np.array([0, 1, 2, 6, 7, 8]), 3, 0.1))
    assert_same(with_it, without)
    assert with_it.step == 2


@EVERY_OPTIMIZER
@pytest.mark.parametrize("bad", [np.nan, 1e200])
def test_advance_stops_before_the_step_of_a_loss_that_is_not_finite(
    optimizer: Any, bad: float
) -> None:
    net = Network(2, [Dense(3, "tanh"), Dense(1)])
    data = random_data(net, 8, 0)
    y = data.y.copy()
    y[5] = bad  # in the third batch; the square of 1e200 overflows
    reference = Reference(net.tape, optimizer)
    state, before = random_state(net, 0), random_state(net, 0)
    order = one_order(np.arange(8), 2, 0.1)
    steps = train_all_steps(reference, state, Block(data.x, y), order)
    assert steps.diverged
    assert len(steps.loss) == 3
    assert np.isfinite(steps.loss[:2]).all()
    assert not np.isfinite(steps.loss[2])
    train_all_steps(reference, before, Block(data.x, data.y), one_order(np.arange(4), 2, 0.1))
    assert_same(state, before)
    assert np.isfinite(state.theta).all()


def test_weights_of_zero_satisfy_a_constraint_on_all_of_them() -> None:
    net = Network(2, [Dense(1, initializer="zeros")], constraints=[MaxNorm(1.0, per="network")])
    state = net.initialize()
    reference = Reference(net.tape, SGD(0.1))
    sums = reference.gradient(state, Block(np.zeros((1, 2)), np.ones((1, 1))))
    reference.apply_gradient(
        state, sums, 0.1
    )  # the inputs are zero: the bias moves, the weights do not
    np.testing.assert_allclose(state.theta, [0.0, 0.0, 0.1], rtol=1e-15)


# --- the state ------------------------------------------------------------------------------------


@EVERY_OPTIMIZER
def test_copies_share_nothing_and_restoring_keeps_views_alive(optimizer: Any) -> None:
    net = Network(2, [Dense(3, "tanh"), Dense(1)])
    data = random_data(net, 9, 0)
    state = trained(net, optimizer, data)
    state.buffers["mean"] = np.arange(3.0)
    views, theta = net.parameters(state), state.theta
    kept, frozen = state.copy(), state.copy()
    reference = Reference(net.tape, optimizer)
    statistics = state.buffers.pop("mean")  # of no normalisation of this network
    train_all_steps(reference, state, data.block, one_order(np.arange(9), 2, 0.1))
    state.buffers["mean"] = statistics
    statistics += 1
    assert_same(kept, frozen)
    assert kept.buffers["mean"].tolist() == [0, 1, 2]
    assert state.theta.tobytes() != kept.theta.tobytes()
    state.restore(kept)
    assert_same(state, kept)
    assert state.theta is theta
    assert state.buffers["mean"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(views["W1"].ravel(), kept.theta[:6])
    views["W1"][...] = 7.0
    assert (state.theta[:6] == 7.0).all()
    assert not (kept.theta == 7.0).any()
    # The restored state trains like the copy.
    state.restore(kept)
    for each in (state, kept):
        each.buffers.clear()
        train_all_steps(reference, each, data.block, one_order(np.arange(9), 2, 0.1))
    assert_same(state, kept)


@EVERY_OPTIMIZER
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_everything_keeps_the_networks_number_type(optimizer: Any, dtype: str) -> None:
    layers = [Dense(4, "tanh"), Dense(4, LeakyReLU(0.1)), Dense(3, "softmax")]
    net = Network(2, layers, "categorical_cross_entropy", [L2(0.1)], dtype=dtype)
    data = random_data(net, 9, 0)
    state = trained(net, optimizer, data)
    reference = Reference(net.tape, optimizer)
    sums = reference.gradient(state, data.block)
    arrays = [state.theta, sums.gradient, reference.forward(state, data.block)]
    arrays += [slot for slot in state.optimizer_state if hasattr(slot, "dtype")]
    arrays += [reference.cost(state, sums)[2], net.predict(state, data.x.astype(np.float64))]
    assert {a.dtype for a in arrays} == {np.dtype(dtype)}


@EVERY_OPTIMIZER
def test_float32_follows_float64(optimizer: Any) -> None:
    layers = [Dense(4, "tanh"), Dense(3, "softmax")]
    ends = []
    for dtype in ("float32", "float64"):
        net = Network(2, layers, "categorical_cross_entropy", dtype=dtype)
        ends.append(trained(net, optimizer, random_data(net, 30, 0), epochs=3).theta)
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-3, atol=1e-4)
    assert np.abs(ends[0] - ends[1]).max() > 0
