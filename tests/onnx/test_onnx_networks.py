"""Networks in ONNX: every activation at every size of z, batch norm, dropout, random networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest

from deltarule import ELU, BatchNorm, Dense, Dropout, LeakyReLU, Network, State
from deltarule.errors import SpecError
from deltarule.onnx import Exportable, Scaling, matrix_model
from deltarule.program.opcodes import ActivationCode
from deltarule.reference.activations import ELEMENTWISE
from deltarule.spec import ACTIVATIONS
from support.networks import SEEDS, proves, with_statistics
from support.onnx import DTYPES, TOLERANCE, assert_close, operators, run
from support.strategies import whole_networks

ENTRYWISE = [*(name for name in ACTIVATIONS if name != "softmax"), LeakyReLU(0.3), ELU(0.5)]
LOSS_OF = {"unit": "binary_cross_entropy", "simplex": "categorical_cross_entropy"}


def alone(activation: Any, width: int = 1) -> tuple[Network, State]:
    """Return the network whose outputs are the activation of its inputs."""
    name = Dense(1, activation).activation_name
    net = Network(
        width, [Dense(width, activation)], LOSS_OF.get(ACTIVATIONS[name], "squared_error")
    )
    return net, State(np.concatenate([np.eye(width).ravel(), np.zeros(width)]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ENTRYWISE, ids=str)
def test_activations_are_accurate_at_any_size(activation: Any, dtype: str) -> None:
    net, state = alone(activation)
    layer = net.output
    sizes = np.concatenate([np.logspace(-30, 4, 300), [18, 19, 20, 40, 87, 88, 100]])
    z = np.concatenate([-sizes, [0.0], sizes]).astype(dtype)
    if layer.activation_name == "exp":
        z = z[z < 80]
    found = run(matrix_model(Exportable(net, state), dtype), z[:, None])["outputs"][:, 0]
    g = ELEMENTWISE[ActivationCode[layer.activation_name.upper()]].value
    expected = g(z.astype(np.float64), layer.activation_constant)
    assert np.isfinite(found).all()
    assert_close(found, expected, {"float32": 2e-6, "float64": 1e-14}[dtype])
    if layer.activation_name not in ("gelu", "tanh") or dtype == "float64":
        # Small outputs are accurate too: no cancellation, no truncation.
        seen = np.abs(expected) > 1e3 * np.finfo(dtype).tiny
        assert_close(found[seen] / expected[seen], 1.0, {"float32": 2e-5, "float64": 2e-12}[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_logits_whose_exponentials_overflow(dtype: str) -> None:
    net, state = alone("softmax", 3)
    z = np.array([[1e4, 0.0, 1e4], [-1e4, -1e4 + 1, -1e4], [0.0, 0.0, 0.0], [-80.0, 0.0, 1.0]])
    found = run(matrix_model(Exportable(net, state), dtype), z)["outputs"]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    assert_close(found, e / e.sum(axis=1, keepdims=True), TOLERANCE[dtype])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_hidden_activations_between_layers(name: str) -> None:
    net = Network(3, [Dense(5, name), Dense(4, name), Dense(2)])
    state = net.initialize(seed=1)
    X = np.random.default_rng(0).normal(size=(20, 3))
    for dtype in DTYPES:
        found = run(matrix_model(Exportable(net, state), dtype), X)["outputs"]
        x = X.astype(dtype).astype(np.float64)
        assert_close(found, net.predict(state, x), TOLERANCE[dtype])


@proves(short=20, full=3000, net=whole_networks(), seed=SEEDS)
def test_random_networks(net: Network, seed: int) -> None:
    state = with_statistics(net, seed)
    state.theta *= 0.7  # exponentials of exponentials stay in float32
    X = np.random.default_rng(seed).normal(size=(7, net.n_inputs)).astype(np.float32)
    expected = net.predict(state, X.astype(np.float64))
    found = {d: run(matrix_model(Exportable(net, state), d), X)["outputs"] for d in DTYPES}
    largest = np.abs(state.theta).max() * max(1.0, np.abs(expected).max())
    assert np.abs(found["float64"] - expected).max() <= 1e-12 * largest
    assert np.abs(found["float32"] - expected).max() <= 1e-5 * largest


def test_batch_norm_is_folded_and_dropout_omitted() -> None:
    layers = [
        Dropout(0.1),
        Dense(4, "relu", batch_norm=BatchNorm("pre_activation")),
        Dropout(0.5),
        Dense(3, "tanh", batch_norm=BatchNorm("post_activation")),
        Dropout(0.5),
        Dense(1),
    ]
    net = Network(2, layers)
    state = with_statistics(net, 3)
    model = matrix_model(Exportable(net, state), "float64")
    assert operators(model) == ["Gemm", "Relu", "Gemm", "Tanh", "Gemm"]
    names = [constant.name for constant in model.graph.initializer]
    assert names == [f"layer{n}/{kind}{n}" for n in (1, 2, 3) for kind in "Wb"]
    X = np.random.default_rng(0).normal(size=(9, 2))
    assert_close(run(model, X)["outputs"], net.predict(state, X), 1e-13)


def test_a_float32_network_is_exported_with_its_own_parameters() -> None:
    net = Network(3, [Dense(4, "gelu"), Dense(2)], dtype="float32")
    state = net.initialize(seed=0)
    model = matrix_model(Exportable(net, state))
    weights = onnx.numpy_helper.to_array(model.graph.initializer[0])
    np.testing.assert_array_equal(weights, net.parameters(state)["W1"])
    X = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    assert_close(run(model, X)["outputs"], net.predict(state, X), 1e-5)


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_any_number_of_rows(rows: int) -> None:
    net = Network(3, [Dense(4, "mish"), Dense(2)])
    model = matrix_model(Exportable(net, net.initialize()))
    assert run(model, np.zeros((rows, 3)))["outputs"].shape == (rows, 2)


def test_the_file_has_a_description() -> None:
    net = Network(3, [Dense(4, "selu"), Dense(2)])
    model = matrix_model(Exportable(net, net.initialize(), description="Two numbers."))
    onnx.checker.check_model(model, full_check=True)
    assert (model.producer_name, model.doc_string) == ("deltarule", "Two numbers.")
    assert model.producer_version.count(".") == 2
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 13)]
    assert model.ir_version == 7
    assert all(value.doc_string for value in (*model.graph.input, *model.graph.output))
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)


def test_other_runtimes_agree() -> None:
    """onnx's own evaluator, in NumPy, computes the same numbers from the same graph."""
    from onnx.reference import ReferenceEvaluator

    X = np.random.default_rng(0).normal(size=(6, 3))
    for name in ACTIVATIONS:
        net = Network(3, [Dense(4, name), Dense(2)])
        state = net.initialize(seed=2)
        model = matrix_model(Exportable(net, state), "float64")
        (found,) = ReferenceEvaluator(model).run(None, {"X": X})
        assert_close(found, net.predict(state, X), 1e-12)


# --- what cannot be exported ---------------------------------------------------------------------


def test_numbers_beyond_float32_are_refused_by_name() -> None:
    net = Network(1, [Dense(1)])
    state = State(np.array([1e39, 0.0]))
    with pytest.raises(SpecError, match=r"W1 must hold finite float32 .* 1e\+39.*dtype='float64'"):
        matrix_model(Exportable(net, state))
    assert_close(run(matrix_model(Exportable(net, state), "float64"), [[2.0]])["outputs"], 2e39, 0)
    steep = replace(net, layers=(Dense(1, ELU(1e39)), Dense(1)))
    with pytest.raises(SpecError, match="activations' constants must hold finite float32"):
        matrix_model(Exportable(steep, steep.initialize()))


def test_parameters_that_are_not_finite_are_refused() -> None:
    net = Network(1, [Dense(1)])
    with pytest.raises(SpecError, match=r"b1 must hold finite float64 numbers.* nan"):
        matrix_model(Exportable(net, State(np.array([1.0, np.nan]))), "float64")


def test_scales_that_are_zero_in_float32_are_refused() -> None:
    net = Network(1, [Dense(1)])
    tiny = Exportable(net, State(np.ones(2)), inputs=Scaling([0.0], [1e-50]))
    with pytest.raises(SpecError, match="scale must not be zero in float32"):
        matrix_model(tiny)
    assert_close(run(matrix_model(tiny, "float64"), [[3e-50]])["outputs"], 4.0, 1e-12)


def test_other_types_are_refused() -> None:
    net = Network(1, [Dense(1)])
    with pytest.raises(SpecError, match=r"dtype .*float16"):
        matrix_model(Exportable(net, net.initialize()), "float16")


def test_a_model_too_large_for_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deltarule.onnx.graph._MOST_BYTES", 100)
    net = Network(5, [Dense(6), Dense(1)])
    with pytest.raises(SpecError, match="172 bytes as float32; an ONNX file can hold at most 100"):
        matrix_model(Exportable(net, net.initialize()))
