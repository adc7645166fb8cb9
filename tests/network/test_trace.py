"""Traces and gradients by name: against the equations, both engines and the gradient check."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from deltarule import L2, BatchNorm, Dense, Dropout, Network, functions
from deltarule.analysis.gradients import as_double
from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.reference.gradient_check import check_tape
from support.networks import SEEDS, proves, random_data, random_state


def test_the_four_equations_of_backpropagation() -> None:
    """BP1-BP4 for 4-3-2-1, from the trace's own parts."""
    net = Network(
        4, [Dense(3, "tanh"), Dense(2, "softplus"), Dense(1, "sigmoid")], "binary_cross_entropy"
    )
    state, data = random_state(net, 0), random_data(net, 7, 0)
    t = net.trace(state, data.x, data.y)
    W = net.parameters(state)
    sigmoid, tanh, softplus = functions.sigmoid, functions.tanh, functions.softplus
    assert_allclose(t["Z1"], data.x @ W["W1"] + W["b1"], rtol=1e-13)
    assert_allclose(t["A1"], tanh(t["Z1"]), rtol=1e-13)
    assert_allclose(t["A2"], softplus(t["A1"] @ W["W2"] + W["b2"]), rtol=1e-13)
    assert_allclose(t["A3"], sigmoid(t["Z3"]), rtol=1e-13)
    n = len(data.x)
    assert_allclose(t["delta3"], (t["A3"] - data.y) / n, rtol=1e-9, atol=1e-15)
    for k, g in ((2, softplus), (1, tanh)):
        expected = t[f"delta{k + 1}"] @ W[f"W{k + 1}"].T
        assert_allclose(t[f"dA{k}"], expected, rtol=1e-12)
        assert_allclose(t[f"delta{k}"], expected * g.derivative(t[f"Z{k}"]), rtol=1e-12)
    for k in (1, 2, 3):
        assert_allclose(t[f"dW{k}"], t[f"A{k - 1}"].T @ t[f"delta{k}"], rtol=1e-12, atol=1e-16)
        assert_allclose(t[f"db{k}"], t[f"delta{k}"].sum(axis=0), rtol=1e-12, atol=1e-16)
    assert t["loss"] == pytest.approx(functions.binary_cross_entropy(t["A3"], data.y).mean())
    assert t["loss"] == pytest.approx(net.loss_of(state, data.x, data.y), rel=1e-14)
    assert "dA3" not in t  # fused with the loss
    assert repr(t).startswith("Trace(A0 (7, 4), Z1 (7, 3)")


@pytest.mark.parametrize("position", ["pre_activation", "post_activation"])
def test_batch_norm_and_dropout(position: Any) -> None:
    norm = BatchNorm(position)
    net = Network(3, [Dropout(0.5), Dense(4, "tanh", batch_norm=norm), Dropout(0.25), Dense(1)])
    state, data = replace(random_state(net, 0), seed=7, step=3), random_data(net, 20, 0)
    W = net.parameters(state)
    t = net.trace(state, data.x, data.y, training=True)
    assert set(np.unique(t["mask0"])) <= {0, 1}
    assert_allclose(t["D0"], data.x * t["mask0"] / 0.5)
    before = t["Z1"] if position == "pre_activation" else t["A1"]
    assert_allclose(t["mu1"], before.mean(axis=0), rtol=1e-12)
    assert_allclose(t["var1"], before.var(axis=0), rtol=1e-12)
    assert_allclose(t["Zhat1"], (before - t["mu1"]) / np.sqrt(t["var1"] + norm.epsilon), rtol=1e-9)
    assert_allclose(t["N1"], W["gamma1"] * t["Zhat1"] + W["beta1"], rtol=1e-9, atol=1e-12)
    hidden = t["A1"] if position == "pre_activation" else t["N1"]
    assert_allclose(t["D1"], hidden * t["mask1"] / 0.75)
    assert_allclose(t["Z2"], t["D1"] @ W["W2"] + W["b2"])
    predicted = net.trace(state, data.x)
    assert not {"mask0", "loss"} & set(predicted)
    assert_allclose(predicted["A2"], net.predict(state, data.x), rtol=1e-12, atol=1e-13)
    assert_allclose(net.trace(state, data.x, data.y)["A2"], predicted["A2"])


@proves(short=8, full=300, seed=SEEDS, dropout=st.booleans(), norm=st.booleans())
def test_both_engines_and_the_gradient_check_agree(seed: int, dropout: bool, norm: bool) -> None:
    layers: list[Any] = [Dense(5, "silu", batch_norm=BatchNorm() if norm else None)]
    layers += [Dropout(0.4)] if dropout else []
    net = Network(
        3, [*layers, Dense(3, "softmax")], "categorical_cross_entropy", penalties=[L2(0.1)]
    )
    state, data = random_state(net, seed), random_data(net, 12, seed)
    t = net.trace(state, data.x, data.y, data.weight, training=True)
    for engine in ("compiled", "reference"):
        found = net.gradients(state, data.x, data.y, data.weight, engine=engine)
        assert list(found) == list(net.parameters(state))
        for name, gradient in found.items():
            assert_allclose(gradient, t[f"d{name}"], rtol=1e-9, atol=1e-13)
    whole = net.gradients(state, data.x, data.y, data.weight, penalties=True)
    double, at, block = as_double(net, state, data.x, data.y, data.weight)
    check = check_tape(double.tape, at, block)
    assert check.verdict == "right"
    name, _, at_index = check.worst.partition("[")
    index = tuple(int(i) for i in at_index.rstrip("]").split(","))
    assert_allclose(whole[name][index], check.worst_analytic, rtol=1e-9, atol=1e-13)


def test_wrong_arguments_are_named() -> None:
    net = Network(2, [Dense(2, batch_norm=BatchNorm()), Dense(1)])
    state = net.initialize(0)
    with pytest.raises(ShapeError, match=r"X must have shape \(n, 2\)"):
        net.trace(state, [[1.0]])
    with pytest.raises(SpecError, match="sample_weight weighs the loss"):
        net.trace(state, [[1.0, 2.0]], sample_weight=[1.0])
    with pytest.raises(SpecError, match="training"):
        net.trace(state, [[1.0, 2.0]], training="no")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="at least 2 rows"):
        net.trace(state, [[1.0, 2.0]], [1.0], training=True)
    with pytest.raises(SpecError, match="engine must be one of"):
        net.gradients(state, [[1.0, 2.0]] * 2, [1.0, 2.0], engine="fast")
