"""Layers of single features: waves of numbers and embeddings of categories."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from deltarule import (
    L2,
    AdamW,
    Dense,
    Dropout,
    Embedding,
    Network,
    Periodic,
    Scale,
    State,
    check_gradients,
    explain,
    train,
)
from deltarule.analysis.sensitivity import input_gradients
from deltarule.errors import SpecError
from deltarule.onnx import Exportable, matrix_model
from deltarule.program import Block
from deltarule.reference import Reference
from deltarule.reference.features import (
    blocks,
    blocks_pullback_differential,
    waves,
    waves_pullback_differential,
)
from support.networks import (
    LIBRARIES,
    SEEDS,
    assert_hessian_vector_product,
    inner,
    proves,
    random_data,
    random_state,
)
from support.onnx import DTYPES, TOLERANCE, assert_close, run
from support.strategies import feature_layers

LAYERS = [
    Dropout(0.2), Scale(), Periodic([0, 2, 6], frequencies=5, units=3, deviation=0.5),
    Embedding([(1, 4), (5, 6)], units=2), Dropout(0.1), Dense(6, "tanh"), Dense(3, "softmax"),
]  # fmt: skip


def network(layers: Any = LAYERS, **given: Any) -> Network:
    return Network(7, layers, "categorical_cross_entropy", **given)


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_waves_and_their_maps_are_those_of_the_equations(engine: str) -> None:
    net = Network(3, [Periodic([0, 2], frequencies=4, units=2), Dense(5)])
    state, x = random_state(net, 1), np.random.default_rng(1).normal(size=(6, 3))
    p = net.parameters(state)
    assert {name: view.shape for name, view in p.items()} == {
        "frequency1": (2, 4), "phase1": (2, 4), "wave1": (8, 2), "shift1": (2, 2), "W1": (7, 5),
        "b1": (5,),
    }  # fmt: skip
    parts = [x]
    for j, column in enumerate((0, 2)):
        z = np.cos(2 * np.pi * (np.outer(x[:, column], p["frequency1"][j]) + p["phase1"][j]))
        parts.append(z @ p["wave1"][4 * j : 4 * j + 4] + p["shift1"][j])
    expected = np.hstack(parts) @ p["W1"] + p["b1"]
    given = (
        net.predict(state, x)
        if engine == "compiled"
        else Reference(net.tape).forward(state, Block(x))
    )
    np.testing.assert_allclose(given, expected, rtol=1e-12, atol=1e-13)


def test_an_embedding_of_one_hot_columns_is_a_row_of_its_matrix() -> None:
    net = Network(9, [Embedding([(1, 4), (4, 8)], units=3), Dense(5)])
    state, rng = random_state(net, 2), np.random.default_rng(2)
    first, second, numbers = (
        rng.integers(0, 3, 20),
        rng.integers(0, 4, 20),
        rng.normal(size=(20, 2)),
    )
    x = np.hstack([numbers[:, :1], np.eye(3)[first], np.eye(4)[second], numbers[:, 1:]])
    p = net.parameters(state)
    rows = p["embedding1"]
    inputs = np.hstack([numbers, rows[:3][first], rows[3:][second]])
    expected = inputs @ p["W1"] + p["b1"]
    for data in (x, csr_array(x)):
        np.testing.assert_allclose(net.predict(state, data), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_cosines_are_accurate_and_nan_where_they_have_none(dtype: str) -> None:
    net = Network(1, [Periodic(frequencies=1, units=1), Dense(1)], dtype=dtype)
    state = State(np.array([1, 0, 1, 0, 0, 1, 0], dtype=dtype))  # c, φ, V, v, W, b
    rng = np.random.default_rng(3)
    u = np.concatenate([rng.uniform(-2, 2, 500), rng.normal(size=500) * 100, [0, 0.25, 0.5, 1e12]])
    u = u.astype(dtype)[:, None]
    found = net.predict(state, u)
    exact = np.cos(2 * np.pi * np.remainder(u.astype(np.float64), 1.0))
    assert np.abs(found - exact).max() <= {"float64": 2e-15, "float32": 5e-7}[dtype]
    state.theta[0] = np.inf
    assert np.isnan(net.predict(state, u[:2])).all()


def test_columns_are_all_by_default_and_initial_parameters_as_documented() -> None:
    net = Network(40, [Periodic(frequencies=50, units=3, deviation=0.2), Dense(1)])
    p = net.parameters(net.initialize(4))
    assert p["frequency1"].shape == (40, 50)
    assert abs(p["frequency1"].std() / 0.2 - 1) < 0.1
    assert np.abs(p["phase1"]).max() <= 0.5
    assert abs(p["phase1"].std() * np.sqrt(12) - 1) < 0.1
    assert abs(p["wave1"].std() * np.sqrt(50) - 1) < 0.1
    np.testing.assert_array_equal(p["shift1"], 0.0)
    rows = Network(600, [Embedding([(0, 600)], units=5), Dense(1)])
    drawn = rows.parameters(rows.initialize(4))["embedding1"]
    assert abs(drawn.std() - 1) < 0.1


# --- derivatives ----------------------------------------------------------------------------------


def test_gradients_by_central_differences() -> None:
    for first in (0, 3):
        net = network(LAYERS[first:], penalties=[L2(0.1)])
        state, data = random_state(net, first), random_data(net, 4, first)
        check = check_gradients(net, state, data.x, data.y, sample_weight=data.weight)
        assert check.verdict == "right", str(check)


@proves(short=10, full=200, layers=feature_layers(4), seed=SEEDS)
def test_hessian_vector_products_by_differences_of_gradients(layers: Any, seed: int) -> None:
    net = Network(4, [*layers, Dense(3, "tanh"), Dense(2)], penalties=[L2(0.1)])
    state, data = random_state(net, seed), random_data(net, 5, seed)
    assert_hessian_vector_product(net, state, data, seed)


@pytest.mark.parametrize("xp", LIBRARIES)
@pytest.mark.parametrize("kind", ["waves", "blocks"])
def test_second_derivatives_of_the_maps_are_differentials_of_their_pullbacks(
    kind: str, xp: Any
) -> None:
    rng, sizes = np.random.default_rng(5), [2, 3]
    shapes = [(4, 5), (5, 3), (5, 3)] if kind == "waves" else [(4, 5), (5, 3), (2, 3)]
    at, along = ([xp.asarray(rng.normal(size=s)) for s in shapes] for _ in range(2))
    shape = (4, 5, 3) if kind == "waves" else (4, 6)
    dz, ddz = (xp.asarray(rng.normal(size=shape)) for _ in range(2))
    if kind == "waves":
        found = waves_pullback_differential(tuple(at), tuple(along), dz, ddz)
    else:
        found = blocks_pullback_differential(tuple(at), tuple(along[:2]), dz, ddz, sizes)

    def pulled(t: float) -> Any:
        moved = [a + t * d for a, d in zip(at, along, strict=True)]
        value = waves(*moved) if kind == "waves" else blocks(*moved, sizes)
        return value[1](dz + t * ddz)

    h = 1e-5
    for got, plus, minus in zip(found, pulled(h), pulled(-h), strict=True):
        expected = np.asarray(plus - minus) / (2 * h)
        np.testing.assert_allclose(np.asarray(got), expected, rtol=1e-7, atol=1e-7)


def test_jacobians_by_central_differences() -> None:
    for first in (1, 2, 3):
        net = network(LAYERS[first:])
        state, x = random_state(net, 6), np.random.default_rng(6).normal(size=(4, 7))
        found, h = input_gradients(net, state, x), 1e-6
        for j in range(7):
            step = h * np.eye(7)[j]
            slope = (net.predict(state, x + step) - net.predict(state, x - step)) / (2 * h)
            np.testing.assert_allclose(found[:, :, j], slope, rtol=1e-6, atol=1e-8)


def test_only_dense_weights_decay() -> None:
    net = Network(4, [Periodic([0], 3, 2), Embedding([(1, 3)], 2), Dense(1)])
    state = random_state(net, 7)
    views = net.parameters(state)
    for name in views:
        if name != "W1":
            views[name][...] = 0.0  # so that no gradient reaches W1
    before = views["W1"].copy()
    x = np.zeros((6, 4))
    train(
        net, state, x, np.zeros(6), optimizer=AdamW(0.1, weight_decay=0.5), epochs=1,
        batch_size=6, stopping=None,
    )  # fmt: skip
    np.testing.assert_allclose(net.parameters(state)["W1"], 0.95 * before, rtol=1e-12)
    for name in ("frequency1", "wave1", "embedding1"):
        np.testing.assert_array_equal(net.parameters(state)[name], 0.0)


# --- around them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("first", [0, 2, 3])
def test_onnx_models_predict_the_same(first: int, dtype: str) -> None:
    net = network(LAYERS[first:])
    state, x = random_state(net, 8), random_data(net, 9, 8).x
    found = run(matrix_model(Exportable(net, state), dtype), x)["outputs"]
    assert_close(found, net.predict(state, x), TOLERANCE[dtype])


def test_traces_graphs_and_summaries_name_them() -> None:
    net = network([layer for layer in LAYERS if not isinstance(layer, Dropout)])
    state, data = random_state(net, 9), random_data(net, 4, 9)
    trace = net.trace(state, data.x, data.y)
    assert trace["H1"].shape == (4, 7 + 15)
    assert trace["Q1"].shape == (4, 7 + 9)
    assert trace["E1"].shape == (4, 16 - 4 + 4)
    np.testing.assert_array_equal(trace["H1"][:, :7], trace["S1"])
    np.testing.assert_allclose(
        trace["Z1"], trace["E1"] @ net.parameters(state)["W1"] + net.parameters(state)["b1"]
    )
    assert {"dfrequency1", "dphase1", "dwave1", "dshift1", "dembedding1"} <= {*trace}
    assert "E1,1" in net.graph(state, data.x, data.y).svg()
    summary = net.summary()
    assert re.search(r"periodic, 5 waves +7 → 16 +84\n3 +embedding +16 → 16 +8\n", summary)
    assert f"{net.tape.n_parameters:,}" in summary


def test_explanations_show_their_equations() -> None:
    net = network(LAYERS[1:])
    data = random_data(net, 3, 10)
    text = str(explain(net, data.x, data.y, state=random_state(net, 10)))
    assert "H1 = (S1, cos 2π(frequency1 x + phase1))" in text
    assert "E1 = (others of Q1, x_g embedding1)" in text
    assert "∂C/∂wave1 = Σ_rows x_gᵀ D_g" in text


def test_training_learns_a_wave_that_a_dense_layer_does_not() -> None:
    rng = np.random.default_rng(11)
    x = rng.uniform(-2, 2, size=(400, 1))
    y = np.sin(2 * np.pi * 1.5 * x[:, 0])
    layers = [Dense(16, "relu"), Dense(1)]
    losses = []
    for first in ([], [Periodic(frequencies=16, units=4, deviation=1.0)]):
        net = Network(1, [*first, *layers])
        state = net.initialize(0)
        train(net, state, x, y, optimizer=AdamW(3e-3), epochs=60, batch_size=32, stopping=None)
        losses.append(net.loss_of(state, x, y))
    assert losses[1] < 0.1 * losses[0]
    assert inner((y,), (y,)) > 100


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Periodic([2, 0]), r"columns must be ascending columns.*got \[2, 0\]"),
        (lambda: Periodic([]), "columns must be ascending"),
        (lambda: Periodic("ab"), "columns must be ascending columns such as"),
        (lambda: Periodic(frequencies=0), "frequencies"),
        (lambda: Periodic(deviation=0.0), "deviation"),
        (lambda: Embedding([]), "Leave the layer out"),
        (lambda: Embedding([(3, 3)]), "groups must be columns start < stop"),
        (lambda: Embedding([(0, 3), (2, 4)]), "apart from each"),
        (lambda: Embedding([3]), r"groups\[0\] must be \(start, stop\)"),
        (lambda: Embedding([(0, 2)], units=0), "units"),
        (lambda: Network(2, [Periodic([2]), Dense(1)]), r"layers\[0\] must name columns below 2"),
        (lambda: Network(2, [Dense(3), Periodic(), Dense(1)]), "before the first Dense"),
        (lambda: Network(2, [Periodic(), Dense(1)], members=2), "does not go with members=2"),
        (lambda: Network(2, [Dense(1), Embedding([(0, 1)])]), "before the first Dense"),
    ],
)
def test_wrong_layers_are_named(make: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()


def test_a_network_of_these_layers_is_replaced_and_compared_like_others() -> None:
    net = network()
    assert replace(net, dtype="float64") == net
    assert Periodic([0, 2]) == Periodic(np.array([0, 2]))
    assert Embedding([(0, 2)]) == Embedding(np.array([[0, 2]]))
