"""The reference mathematics on arrays that allow nothing but the array API standard."""

from __future__ import annotations

from typing import Any

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import strategies as st

from deltarule import L2, SGD, Adam, Dense, EMAMomentum, LeakyReLU, Network, State, train
from deltarule.program import Block
from deltarule.reference import Reference
from support.networks import SEEDS, networks, proves, random_data, random_state

OPTIMIZERS = [SGD(0.05), SGD(0.05, 0.9, nesterov=True), EMAMomentum(0.05), Adam(0.05)]
KIND = type(strict.asarray(0.0))


def assert_close(ours: Any, numpys: Any) -> None:
    assert isinstance(ours, KIND)
    size = max(1.0, float(np.abs(numpys).max(initial=0.0)))
    np.testing.assert_allclose(np.asarray(ours), numpys, rtol=1e-12, atol=1e-13 * size)


@proves(short=15, full=500, net=networks(penalties=(L2(0.1),)), seed=SEEDS, n=st.integers(1, 6))
def test_forward_losses_and_gradient(net: Network, seed: int, n: int) -> None:
    state, data = random_state(net, seed), random_data(net, n, seed)
    twin = State(strict.asarray(state.theta))
    block = Block(*(strict.asarray(a) for a in (data.x, data.y, data.weight)))
    reference = Reference(net.tape)
    assert_close(reference.forward(twin, block), reference.forward(state, data.block))
    assert_close(reference.losses(twin, block), reference.losses(state, data.block))
    rows = np.arange(n)[::2]
    ours = reference.gradient(twin, block, rows)
    numpys = reference.gradient(state, data.block, rows)
    assert isinstance(ours.loss, float)
    assert ours.loss == pytest.approx(numpys.loss, rel=1e-12, abs=1e-14)
    assert ours.weight == pytest.approx(numpys.weight)
    assert_close(ours.gradient, numpys.gradient)
    left, right = reference.cost(twin, ours), reference.cost(state, numpys)
    assert left[:2] == pytest.approx(right[:2], rel=1e-12, abs=1e-14)
    assert_close(left[2], right[2])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_training_agrees_with_numpy(optimizer: Any, dtype: str) -> None:
    layers = [Dense(5, "relu"), Dense(4, LeakyReLU(0.1)), Dense(3, "softmax")]
    net = Network(2, layers, "categorical_cross_entropy", [L2(0.01)], dtype=dtype)
    data = random_data(net, 20, 0)
    given = {"optimizer": optimizer, "batch_size": 6, "epochs": 4, "seed": 3}
    state = net.initialize(1)
    history = train(
        net, state, data.x, data.y, sample_weight=data.weight,
        validation=(data.x, data.y), **given,
    )  # fmt: skip
    x, y = strict.asarray(data.x), strict.asarray(data.y)
    twin = net.initialize(1, like=x)
    assert isinstance(twin.theta, KIND)
    same = train(net, twin, x, y, sample_weight=data.weight, validation=(x, y), **given)
    room = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-13}
    assert isinstance(twin.theta, KIND)
    assert twin.theta.dtype == getattr(strict, dtype)
    np.testing.assert_allclose(np.asarray(twin.theta), state.theta, **room)
    np.testing.assert_allclose(same.loss, history.loss, **room)
    np.testing.assert_allclose(same.validation_loss, history.validation_loss, **room)
    assert same.validation_score == history.validation_score
    assert (twin.theta.shape, twin.step) == (state.theta.shape, state.step)


def test_the_low_level_interface() -> None:
    net = Network(3, [Dense(4, "tanh"), Dense(2, "softmax")], "categorical_cross_entropy")
    data = random_data(net, 8, 0)
    labels = np.argmax(data.y, axis=1)
    state, x = net.initialize(0), strict.asarray(data.x)
    twin = net.initialize(0, like=x)
    assert_close(net.predict(twin, x), net.predict(state, data.x))
    assert net.loss_of(twin, x, labels) == pytest.approx(net.loss_of(state, data.x, labels))
    assert net.score(twin, x, strict.asarray(labels)) == net.score(state, data.x, labels)
    for name, view in net.parameters(twin).items():
        assert_close(view, net.parameters(state)[name])


def test_copies_and_restoring() -> None:
    state = State(strict.asarray([1.0, 2.0]), optimizer_state=None)
    kept = state.copy()
    state.theta[...] = strict.asarray([3.0, 4.0])
    assert np.asarray(kept.theta).tolist() == [1.0, 2.0]
    theta = state.theta
    state.restore(kept)
    assert state.theta is theta
    assert np.asarray(theta).tolist() == [1.0, 2.0]
