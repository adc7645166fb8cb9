"""Invalid networks: the error names the argument, what was given, and a remedy."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import strategies as st

from deltarule import (
    ELU,
    L1,
    L2,
    BatchNorm,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    ConstantInitializer,
    Dense,
    Dropout,
    Huber,
    LeakyReLU,
    MaxNorm,
    Network,
    Normal,
    Quantile,
    Uniform,
)
from deltarule.errors import DeltaruleError, SpecError
from deltarule.spec import LOSSES
from support.networks import ACTIVATIONS, networks, proves


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
    # the activation, with a suggestion
    (
        lambda: Dense(4, "rleu"),
        "activation must be one of elu, exp, .*tanh; got 'rleu'.*'relu'",
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
    (lambda: Normal(-1.0), r"scale must be in \[0, inf\); got -1"),
    (lambda: Uniform("wide"), "scale must be a number"),
    # penalties
    (lambda: L2(-0.1), r"strength must be in \[0, inf\); got -0\.1"),
    (lambda: L2(float("inf")), "strength must be in"),
    (
        lambda: L2(0.1, normalization="epoch"),
        "normalization must be one of batch, mean; got 'epoch'",
    ),
    # the network
    (lambda: network(n_inputs=0), "n_inputs must be an integer of at least 1; got 0"),
    (lambda: network(n_inputs=3.5), r"n_inputs .* got 3\.5"),
    (lambda: network(layers=[]), "layers must hold at least one layer, the output layer"),
    (lambda: network(layers=Dense(3)), r"layers must be a list of layers such as Dense\(10"),
    (lambda: network(layers="relu"), "layers must be a list .* got 'relu'"),
    (
        lambda: network(layers=[Dense(3), 5]),
        r"layers\[1\] must be a Dense, Dropout, Scale, Periodic or Embedding layer; got 5",
    ),
    (lambda: network(penalties=[0.1]), r"penalties\[0\] must be L2\(s\) or L1\(s\); got 0\.1"),
    (lambda: network(constraints=[2.0]), r"constraints\[0\] must be MaxNorm\(limit\); got 2\.0"),
    (
        lambda: network(layers=[Dense(2), Dropout(0.5)]),
        "must end with a Dense .*Put the Dropout",
    ),
    (
        lambda: network(layers=[Dense(2, batch_norm=BatchNorm())]),
        "output layer cannot have batch normalisation .* Set batch_norm=None",
    ),
    (
        lambda: network(layers=[Dense(1, "softmax")], loss="categorical_cross_entropy"),
        r"softmax output layer needs at least 2 units.*got 1. Use Dense\(1, 'sigmoid'\)",
    ),
    (
        lambda: network(layers=[Dense(1, "softmax")], loss="binary_cross_entropy"),
        "softmax output layer needs at least 2 units",
    ),
    (
        lambda: network(layers=[Dense(4)], loss=Quantile((0.1, 0.5, 0.9))),
        r"Quantile\(levels=\(0.1, 0.5, 0.9\)\) needs 3 output units for each target; .* has 4",
    ),
    (lambda: network(loss=Quantile), "loss must be one of .*; got <class"),
    (lambda: network(loss=None), "loss must be one of .*; got None"),
    # layers and losses with constants
    (lambda: Dropout(keep=0.0), r"keep must be in \(0, 1\]; got 0\.0"),
    (lambda: Dropout(keep=1.1), r"keep must be in \(0, 1\]; got 1\.1"),
    (lambda: Dropout(keep=float("nan")), r"keep must be in \(0, 1\]; got nan"),
    (lambda: Dropout(keep="half"), r"keep must be a number in \(0, 1\]; got 'half'"),
    (lambda: Dropout(keep=True), "keep must be a number"),
    (lambda: Dropout(1.0), r"rate must be in \[0, 1\); got 1\.0"),
    (lambda: Dropout(-0.1), r"rate must be in \[0, 1\); got -0\.1"),
    (lambda: Dropout(float("nan")), r"rate must be in \[0, 1\); got nan"),
    (lambda: Dropout("half"), r"rate must be a number in \[0, 1\); got 'half'"),
    (lambda: Dropout(True), "rate must be a number"),
    (lambda: Dropout(), r"takes one argument, rate or keep.*got rate=None and keep=None"),
    (lambda: Dropout(0.2, keep=0.8), r"takes one argument.*got rate=0\.2 and keep=0\.8"),
    (lambda: ELU(0.0), r"alpha must be in \(0, inf\); got 0\.0"),
    (lambda: ConstantInitializer(float("inf")), r"value must be in \(-inf, inf\); got inf"),
    (
        lambda: BatchNorm("between"),
        "position must be one of post_activation, pre_activation; got 'between'",
    ),
    (
        lambda: BatchNorm(inference_statistics="batch"),
        "inference_statistics must be one of population, running",
    ),
    (lambda: BatchNorm(epsilon=0), r"epsilon must be in \(0, inf\); got 0"),
    (lambda: BatchNorm(momentum=0), r"momentum must be in \(0, 1\]; got 0"),
    (lambda: Dense(3, batch_norm=True), r"batch_norm must be BatchNorm\(\) or None; got True"),
    (lambda: Huber(0.0), r"delta must be in \(0, inf\); got 0\.0"),
    (lambda: Quantile(0.0), r"levels\[0\] must be in \(0, 1\); got 0\.0"),
    (lambda: Quantile((0.5, 1.0)), r"levels\[1\] must be in \(0, 1\); got 1\.0"),
    (lambda: Quantile(()), r"levels must hold at least one quantile in \(0, 1\); got none"),
    (lambda: Quantile("median"), r"levels\[0\] must be a number in \(0, 1\); got 'median'"),
    (lambda: BinaryCrossEntropy(1.0), r"label_smoothing must be in \[0, 1\); got 1\.0"),
    (lambda: CategoricalCrossEntropy(-0.1), r"label_smoothing must be in \[0, 1\); got -0\.1"),
    (lambda: L1(-0.1), r"strength must be in \[0, inf\); got -0\.1"),
    (lambda: L1(0.1, normalization="step"), "normalization must be one of batch, mean; got 'step'"),
    (lambda: MaxNorm(0.0), r"limit must be in \(0, inf\); got 0\.0"),
    (lambda: MaxNorm(1.0, per="layer"), "per must be one of network, unit; got 'layer'"),
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
    short=20,
    full=500,
    loss=st.sampled_from(sorted(LOSSES)),
    output=st.sampled_from(ACTIVATIONS),
)
def test_a_loss_needs_an_output_in_its_domain(loss: str, output: str) -> None:
    layers = [Dense(3, "tanh"), Dense(2, output)]
    # Outputs in the domain of each loss: any number, positive, a probability, a row of them.
    fitting = {
        "poisson": ["sigmoid", "softmax", "exp", "softplus"],
        "binary_cross_entropy": ["sigmoid", "softmax"],
        "categorical_cross_entropy": ["softmax"],
    }.get(loss, [output])
    if output in fitting:
        assert network(layers=layers, loss=loss).n_outputs == 2
        return
    with pytest.raises(SpecError) as caught:
        network(layers=layers, loss=loss)
    for word in (f"loss={loss!r}", f"got {output!r}", "Change the activation", *map(repr, fitting)):
        assert word in str(caught.value)


def test_a_loss_with_constants_is_that_loss() -> None:
    layers = [Dense(2, "identity")]
    assert network(layers=layers, loss=Huber(0.5)).loss_constants == (0.5,)
    assert network(layers=layers, loss="huber").loss_constants == (1.0,)
    assert network(layers=layers, loss="quantile").loss_constants == (0.5, 0.5)
    two = network(layers=layers, loss=Quantile([0.1, 0.9]))
    assert (two.loss_constants, two.n_targets, two.n_outputs) == ((0.1, 0.9), 1, 2)
    assert two == network(layers=layers, loss=Quantile((0.1, 0.9)))
    assert network(layers=layers).loss_constants == ()
    smooth = network(layers=[Dense(2, "softmax")], loss=CategoricalCrossEntropy(0.1))
    assert (smooth.label_smoothing, network().label_smoothing) == (0.1, 0.0)


def test_errors_are_value_errors_of_ours() -> None:
    with pytest.raises(DeltaruleError) as caught:
        Dense(0)
    assert isinstance(caught.value, ValueError)


def test_networks_are_frozen_and_compare_by_value() -> None:
    net = network(penalties=[L2(0.1)])
    assert net == network(penalties=(L2(0.1),), layers=(Dense(4, "relu"), Dense(2)))
    assert net != network()
    assert hash(net) == hash(network(penalties=[L2(0.1)]))
    with pytest.raises(FrozenInstanceError):
        net.loss = "poisson"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        net.layers[0].units = 9  # type: ignore[misc]


@proves(short=15, full=1000, net=networks())
def test_the_summary_counts_parameters(net: Network) -> None:
    head, *rows, total = net.summary().splitlines()
    assert head.split() == ["layer", "kind", "activation", "shape", "parameters"]
    counts = [int(row.split()[-1].replace(",", "")) for row in rows]
    widths = [net.n_inputs, *(layer.units for layer in net.dense_layers)]
    assert counts == [(a + 1) * b for a, b in pairwise(widths)]
    assert total.split() == ["total", f"{sum(counts):,}"]
    assert sum(counts) == net.tape.n_parameters == net.initialize().theta.size
    for row, layer in zip(rows, net.dense_layers, strict=True):
        assert layer.activation_name in row


def test_the_summary_of_dropout_and_batch_norm() -> None:
    """Before the activation β replaces the bias; after it γ and β are additional."""
    layers = [
        Dropout(0.2),
        Dense(4, "relu", batch_norm=BatchNorm()),
        Dense(4, LeakyReLU(0.2), batch_norm=BatchNorm("post_activation")),
        Dropout(0.5),
        Dense(2),
    ]
    net = Network(3, layers)
    rows = [row.split() for row in net.summary().splitlines()[1:]]
    assert [row[-1] for row in rows] == ["0", "20", "28", "0", "10", "58"]
    assert net.tape.n_parameters == 58
    assert rows[0] == ["1", "dropout,", "keep", "0.8", "3", "0"]
    assert rows[1] == ["2", "dense,", "batch", "norm", "relu", "3", "→", "4", "20"]
    names = [p.name for p in net.tape.parameters]
    assert names == ["W1", "gamma1", "beta1", "W2", "b2", "gamma2", "beta2", "W3", "b3"]
