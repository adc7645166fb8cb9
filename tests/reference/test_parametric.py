"""Parametric activations: z + α ⊙ (g(z) − z), with a learned α for every unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deltarule import (
    ELU,
    L2,
    AdamW,
    BatchNorm,
    ClipNorm,
    Dense,
    Dropout,
    LeakyReLU,
    Network,
    Parametric,
    State,
    check_gradients,
    explain,
    hessian_vector_product,
)
from deltarule.analysis.sensitivity import input_gradients
from deltarule.engine import Engine
from deltarule.engine.compiler import is_compiled
from deltarule.errors import SpecError
from deltarule.onnx import Exportable, matrix_model
from deltarule.program import Block
from deltarule.program.opcodes import ActivationCode
from deltarule.reference import Reference
from deltarule.reference.activations import (
    ELEMENTWISE,
    parametric,
    parametric_pullback_differential,
)
from engine.test_engine_members import BOUNDS, trained
from support.networks import LIBRARIES, random_data, random_state
from support.onnx import DTYPES, TOLERANCE, assert_close, run

LAYERS = [
    Dense(6, Parametric("tanh"), batch_norm=BatchNorm()), Dropout(0.2),
    Dense(5, Parametric(ELU(0.5))), Dense(4, Parametric(LeakyReLU(0.1))), Dense(3, "softmax"),
]  # fmt: skip


def network(layers: Any = LAYERS, **given: Any) -> Network:
    return Network(4, layers, "categorical_cross_entropy", **given)


@pytest.mark.parametrize("engine", [Engine, Reference])
def test_the_value_is_that_of_the_equation(engine: Any) -> None:
    net = Network(3, [Dense(4, Parametric("relu")), Dense(2)])
    state, x = random_state(net, 1), np.random.default_rng(1).normal(size=(7, 3))
    p = net.parameters(state)
    z = x @ p["W1"] + p["b1"]
    a = np.where(z > 0, z, (1 - p["alpha1"]) * z)  # PReLU
    found = engine(net.tape).forward(state, Block(x))
    np.testing.assert_allclose(found, a @ p["W2"] + p["b2"], rtol=1e-12, atol=1e-13)


def test_it_begins_as_the_activation_and_is_linear_at_zero() -> None:
    net, plain = (Network(3, [Dense(4, g), Dense(2)]) for g in (Parametric("silu"), "silu"))
    x, state = np.random.default_rng(2).normal(size=(7, 3)), net.initialize(5)
    expected = plain.predict(plain.initialize(5), x)
    np.testing.assert_allclose(net.predict(state, x), expected, rtol=1e-13)
    net.parameters(state)["alpha1"][...] = 0.0
    p = net.parameters(state)
    linear = (x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]
    np.testing.assert_allclose(net.predict(state, x), linear, rtol=1e-12, atol=1e-14)


def test_gradients_by_central_differences() -> None:
    net = network(penalties=[L2(0.1)])
    state, data = random_state(net, 3), random_data(net, 8, 3)
    check = check_gradients(net, state, data.x, data.y, sample_weight=data.weight)
    assert check.verdict == "right", str(check)


def test_hessian_vector_products_by_differences_of_gradients() -> None:
    layers = [Dense(6, Parametric("silu")), Dense(5, Parametric("tanh")), Dense(3, "softmax")]
    net = network(layers)
    state, data = random_state(net, 4), random_data(net, 8, 4)
    reference, v = Reference(net.tape), np.random.default_rng(4).normal(size=state.theta.shape)
    block, h = Block(data.x, data.y), 1e-5

    def slope(t: float) -> Any:
        at = State(state.theta + t * v, seed=state.seed)
        return reference.cost(at, reference.gradient(at, block))[2]

    found = hessian_vector_product(net, state, data.x, data.y, v)
    np.testing.assert_allclose(found, (slope(h) - slope(-h)) / (2 * h), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("xp", LIBRARIES)
def test_its_second_derivative_is_the_differential_of_its_pullback(xp: Any) -> None:
    rng, g = np.random.default_rng(5), ELEMENTWISE[ActivationCode.GELU]
    z, dz, bar, d_bar = (xp.asarray(a) for a in rng.normal(size=(4, 6, 3)))
    alpha, dalpha = (xp.asarray(a) for a in rng.normal(size=(2, 3)))
    found = parametric_pullback_differential(g, (z, alpha), (dz, dalpha), (bar, d_bar))

    def pulled(t: float) -> Any:
        return parametric(g, z + t * dz, alpha + t * dalpha)[1](bar + t * d_bar)

    h = 1e-5
    for got, plus, minus in zip(found, pulled(h), pulled(-h), strict=True):
        expected = np.asarray(plus - minus) / (2 * h)
        np.testing.assert_allclose(np.asarray(got), expected, rtol=1e-7, atol=1e-8)


def test_jacobians_by_central_differences() -> None:
    net = network()
    state, x = random_state(net, 6), np.random.default_rng(6).normal(size=(4, 4))
    found, h = input_gradients(net, state, x), 1e-6
    for j in range(4):
        step = h * np.eye(4)[j]
        slope = (net.predict(state, x + step) - net.predict(state, x - step)) / (2 * h)
        np.testing.assert_allclose(found[:, :, j], slope, rtol=1e-6, atol=1e-8)


@pytest.mark.skipif(not is_compiled(), reason="too slow as plain Python")
@pytest.mark.parametrize("dtype", list(BOUNDS))
@pytest.mark.parametrize("width", [90, 2600])  # by rows, and by columns
def test_steps_that_are_cut_into_tiles(width: int, dtype: str) -> None:
    layers = [Dense(width, Parametric("tanh")), Dropout(0.2), Dense(40, Parametric("silu"))]
    net = Network(
        110, [*layers, Dense(5, "softmax")], "categorical_cross_entropy", dtype=dtype,
        penalties=[L2(1e-3)],
    )  # fmt: skip
    data = random_data(net, 213, 1)
    for clipping in (None, ClipNorm(1)):
        ours, theirs = (
            trained(make(net.tape, AdamW(epsilon=1e-3), clipping), net, data.block, 100)
            for make in (Engine, Reference)
        )
        for a, b in zip(ours, theirs, strict=True):
            room = BOUNDS[dtype] * max(1e-3, float(np.max(np.abs(b))))
            assert np.max(np.abs(np.asarray(a, float) - np.asarray(b, float))) <= room


@pytest.mark.parametrize("dtype", DTYPES)
def test_onnx_models_predict_the_same(dtype: str) -> None:
    net = network()
    state, x = random_state(net, 8), random_data(net, 9, 8).x
    found = run(matrix_model(Exportable(net, state), dtype), x)["outputs"]
    assert_close(found, net.predict(state, x), TOLERANCE[dtype])


def test_summaries_traces_and_explanations_show_it() -> None:
    net = network([Dense(5, Parametric("relu")), Dense(3, "softmax")])
    state, data = random_state(net, 9), random_data(net, 3, 9)
    assert "relu, α" in net.summary()
    trace = net.trace(state, data.x, data.y)
    assert trace["dalpha1"].shape == (5,)
    text = str(explain(net, data.x, data.y, state=state))
    assert "A1 = Z1 + α1 ⊙ (g(Z1) − Z1)" in text
    assert "δ1 = ∂C/∂A1 ⊙ (1 + α1 ⊙ (g'(Z1) − 1))" in text
    assert "∂C/∂α1 = Σ_rows (g(z) − z) ⊙ D" in text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Parametric("softmax"), "must be of single numbers"),
        (lambda: Parametric("rely"), "Did you mean 'relu'"),
        (lambda: Parametric(lambda z: z), "activation must be"),
        (lambda: network([Dense(3, Parametric("relu"))]), "output layer cannot have a parametric"),
        (lambda: network(LAYERS[2:], members=2), "parametric activations do not go with members=2"),
    ],
)
def test_wrong_ones_are_named(make: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()
