"""Networks that cannot be: the error names the argument, what came, and what would do."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import strategies as st

from deltarule import L2, Dense, LeakyReLU, Network, Normal, Uniform
from deltarule.errors import DeltaruleError, SpecError
from deltarule.spec import LOSSES
from support import networks, proves


def network(**changes: Any) -> Network:
    given = {"n_inputs": 3, "layers": [Dense(4, "relu"), Dense(2)]} | changes
    return Network(given.pop("n_inputs"), given.pop("layers"), **given)


CASES = [
    # the width
    (lambda: Dense(0), r"units must be an integer of at least 1; got 0"),
    (lambda: Dense(-3), "units .* got -3"),
    (lambda: Dense(2.0), r"units .* got 2\.0"),
    (lambda: Dense(True), "units .* got True"),
    (lambda: Dense("10"), "units .* got '10'"),
    (lambda: Dense(None), "units .* got None"),
    # the activation, with the nearest that exists
    (
        lambda: Dense(4, "rleu"),
        "activation must be one of exp, identity, .*tanh; got 'rleu'.*'relu'",
    ),
    (lambda: Dense(4, "ReLU"), "got 'ReLU'. Did you mean 'relu'"),
    (lambda: Dense(4, "sigmod"), "Did you mean 'sigmoid'"),
    (lambda: Dense(4, "leaky"), "Did you mean 'leaky_relu'"),
    (lambda: Dense(4, 7), "activation must be one of .* got 7"),
    (lambda: Dense(4, None), "activation must be one of .* got None"),
    (lambda: Dense(4, LeakyReLU), "activation must be one of"),
    (lambda: LeakyReLU(1.5), r"slope must be in \[0, 1\]; got 1\.5"),
    (lambda: LeakyReLU(-0.1), r"slope must be in \[0, 1\]; got -0\.1"),
    (lambda: LeakyReLU(float("nan")), "slope must be in"),
    (lambda: LeakyReLU("steep"), "slope must be a number in .* got 'steep'"),
    # the initialiser
    (lambda: Dense(4, initializer="xavier"), "initializer must be one of .* got 'xavier'"),
    (lambda: Dense(4, initializer="he_norml"), "Did you mean 'he_normal'"),
    (lambda: Dense(4, initializer=0.01), r"initializer must be a name, Normal.* got 0\.01"),
    (lambda: Normal(-1.0), r"scale must be in \[0, inf\]; got -1"),
    (lambda: Uniform("wide"), "scale must be a number"),
    # penalties
    (lambda: L2(-0.1), r"strength must be in \[0, inf\); got -0\.1"),
    (lambda: L2(float("inf")), "strength must be in"),
    (lambda: L2(0.1, per="epoch"), "per must be one of batch, mean; got 'epoch'"),
    # the network
    (lambda: network(n_inputs=0), "n_inputs must be an integer of at least 1; got 0"),
    (lambda: network(n_inputs=3.5), r"n_inputs .* got 3\.5"),
    (lambda: network(layers=[]), "layers must hold at least one layer, the output layer"),
    (lambda: network(layers=Dense(3)), r"layers must be a list of layers such as Dense\(10"),
    (lambda: network(layers="relu"), "layers must be a list .* got 'relu'"),
    (lambda: network(layers=[Dense(3), 5]), r"layers\[1\] must be a Dense layer; got 5"),
    (lambda: network(penalties=[0.1]), r"penalties\[0\] must be L2\(strength\); got 0\.1"),
    (lambda: network(loss="mse"), "loss must be one of .*squared_error; got 'mse'"),
    (lambda: network(loss="squared_eror"), "Did you mean 'squared_error'"),
    (lambda: network(dtype="float16"), "dtype must be one of float32, float64; got 'float16'"),
    (lambda: network(dtype=float), "dtype must be one of float32, float64; got"),
]


@pytest.mark.parametrize(("make", "words"), CASES, ids=[words[:40] for _, words in CASES])
def test_bad_arguments_are_named(make: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        make()


@proves(
    short=40,
    full=500,
    loss=st.sampled_from(sorted(LOSSES)),
    output=st.sampled_from(["identity", "sigmoid", "tanh", "relu", "softmax", "exp"]),
)
def test_a_loss_needs_an_output_in_its_domain(loss: str, output: str) -> None:
    layers = [Dense(3, "tanh"), Dense(2, output)]
    needed = {
        "binary_cross_entropy": "sigmoid",
        "categorical_cross_entropy": "softmax",
        "poisson": "exp",
    }.get(loss, output)
    if output == needed:
        assert network(layers=layers, loss=loss).n_outputs == 2
        return
    with pytest.raises(SpecError) as caught:
        network(layers=layers, loss=loss)
    for word in (f"loss={loss!r}", f"activation {needed!r}", f"has {output!r}", "Change its"):
        assert word in str(caught.value)


def test_errors_are_value_errors_of_ours() -> None:
    with pytest.raises(DeltaruleError) as caught:
        Dense(0)
    assert isinstance(caught.value, ValueError)


def test_a_network_is_frozen_and_equal_to_its_like() -> None:
    net = network(penalties=[L2(0.1)])
    assert net == network(penalties=(L2(0.1),), layers=(Dense(4, "relu"), Dense(2)))
    assert net != network()
    assert hash(net) == hash(network(penalties=[L2(0.1)]))
    with pytest.raises(FrozenInstanceError):
        net.loss = "poisson"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        net.layers[0].units = 9  # type: ignore[misc]


@proves(short=30, full=1000, net=networks())
def test_the_summary_counts_what_there_is(net: Network) -> None:
    head, *rows, total = net.summary().splitlines()
    assert head.split() == ["layer", "activation", "shape", "parameters"]
    counts = [int(row.split()[-1].replace(",", "")) for row in rows]
    widths = [net.n_inputs, *(layer.units for layer in net.layers)]
    assert counts == [(a + 1) * b for a, b in pairwise(widths)]
    assert total.split() == ["total", f"{sum(counts):,}"]
    assert sum(counts) == net.tape.n_parameters == net.initialize().theta.size
    for row, layer in zip(rows, net.layers, strict=True):
        assert layer.activation in row
