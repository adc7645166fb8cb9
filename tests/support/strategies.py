"""Random networks that may have everything a network can have, for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from deltarule import (
    ELU,
    L1,
    L2,
    BatchNorm,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Dense,
    Dropout,
    Embedding,
    Huber,
    LeakyReLU,
    Network,
    Parametric,
    Periodic,
    Quantile,
    Scale,
    spec,
)
from deltarule.spec import LOSSES, loss_name
from support.networks import ACTIVATIONS, least_outputs

# exp is no hidden activation of a deep network: its outputs leave the numbers within three layers.
HIDDEN = [*(name for name in ACTIVATIONS if name != "exp"), LeakyReLU(0.3), ELU(0.5)]
SHARE = st.floats(0.3, 1.0)
NORMS = st.builds(
    BatchNorm,
    position=st.sampled_from(["pre_activation", "post_activation"]),
    inference_statistics=st.sampled_from(["population", "running"]),
    epsilon=st.sampled_from([1e-5, 1e-3]),
)
LOSS = st.sampled_from(
    [
        *LOSSES,
        Huber(0.5),
        Quantile(0.8),
        Quantile((0.1, 0.5, 0.9)),
        BinaryCrossEntropy(0.1),
        CategoricalCrossEntropy(0.2),
    ]
)
NORMALIZATION = st.sampled_from(["mean", "batch"])
PENALTIES = st.lists(
    st.one_of(
        st.builds(L2, st.floats(0, 0.5), normalization=NORMALIZATION),
        st.builds(L1, st.floats(0, 0.5), normalization=NORMALIZATION, proximal=st.booleans()),
    ),
    max_size=2,
)


@st.composite
def feature_layers(draw: st.DrawFn, n_inputs: int) -> list[Any]:
    """Draw the layers before the first dense one: often none."""
    layers: list[Any] = []
    width = n_inputs
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        kind = draw(st.sampled_from(["dropout", "scale", "periodic", "embedding"]))
        if kind == "dropout":
            layers.append(Dropout(keep=draw(SHARE)))
        elif kind == "scale":
            layers.append(Scale())
        elif kind == "periodic":
            every = draw(st.integers(0, 2))
            columns = None if every == 0 else range(width - 1, -1, -every)[::-1]
            units = draw(st.integers(1, 3))
            layers.append(Periodic(columns, draw(st.integers(1, 3)), units, 0.3))
            width = layers[-1].width(width)
        else:
            start = draw(st.integers(0, width - 1))
            middle = draw(st.integers(start + 1, width))
            groups = [(start, middle), (middle, width)] if middle < width else [(start, middle)]
            layers.append(Embedding(groups[: draw(st.integers(1, 2))], draw(st.integers(1, 3))))
            width = layers[-1].width(width)
    return layers


@st.composite
def whole_networks(draw: st.DrawFn) -> Network:
    """Draw a network that may have everything a network can have."""
    loss = draw(LOSS)
    name = loss_name(loss)
    output = draw(
        st.sampled_from([a for a, values in spec.ACTIVATIONS.items() if values in LOSSES[name]])
    )
    members = draw(st.sampled_from([1, 1, 1, 2, 3]))
    n_inputs = draw(st.integers(1, 4))
    layers: list[Any] = draw(feature_layers(n_inputs)) if members == 1 else []
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.integers(0, 3)) == 0:
            layers.append(Dropout(keep=draw(SHARE)))
        if draw(st.integers(0, 7)) == 0:
            layers.append(Scale())
        norm = draw(NORMS) if members == 1 and draw(st.integers(0, 2)) == 0 else None
        units = draw(st.integers(1, 4))
        activation = draw(st.sampled_from(HIDDEN))
        if members == 1 and activation != "softmax" and draw(st.integers(0, 5)) == 0:
            activation = Parametric(activation)
        layers.append(Dense(units, activation, batch_norm=norm))
    if draw(st.integers(0, 3)) == 0:
        layers.append(Dropout(keep=draw(SHARE)))
    levels = len(loss.levels) if isinstance(loss, Quantile) else 1
    targets = draw(st.integers(1, 2 if levels > 1 else 3))
    units = max(levels * targets, least_outputs(name, output))
    layers.append(Dense(units, output))
    penalties = draw(PENALTIES)
    return Network(n_inputs, layers, loss, penalties=penalties, members=members)
