"""N3: a network with batch norm folded into its weights, for prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from deltarule import BatchNorm, Dense, Dropout, Network, Scale, fold_batch_norm, train
from deltarule.errors import SpecError
from support.networks import (
    ACTIVATIONS,
    LIBRARIES,
    SEEDS,
    proves,
    random_data,
    random_state,
    with_statistics,
)


@st.composite
def normalised(draw: st.DrawFn) -> Network:
    """Draw a network whose hidden layers may be normalised, before or after the activation."""
    layers: list[Any] = []
    after = False
    for _ in range(draw(st.integers(1, 3))):
        if not after and draw(st.booleans()):
            layers.append(Dropout(0.2))
        kinds = st.sampled_from(["pre_activation", "post_activation"])
        law = st.sampled_from(["population", "running"])
        norm = draw(st.none() | st.builds(BatchNorm, kinds, law, st.sampled_from([1e-5, 0.1])))
        layers.append(
            Dense(draw(st.integers(1, 5)), draw(st.sampled_from(ACTIVATIONS)), batch_norm=norm)
        )
        after = norm is not None and norm.position == "post_activation"
        if draw(st.integers(0, 3)) == 0:
            layers.append(Scale())
    return Network(draw(st.integers(1, 4)), [*layers, Dense(draw(st.integers(1, 3)))])


@proves(short=35, full=2000, net=normalised(), seed=SEEDS)
def test_folding_keeps_every_prediction(net: Network, seed: int) -> None:
    state = with_statistics(net, seed)
    x = np.random.default_rng(seed).normal(size=(6, net.n_inputs))
    kept = state.copy()
    folded, flat = fold_batch_norm(net, state)
    assert folded.tape.normalizations == ()
    assert all(layer.batch_norm is None for layer in folded.dense_layers)
    scaled = [p for p in folded.tape.parameters if p.name.startswith("scale")]
    assert folded.tape.n_parameters == sum(p.stop - p.start for p in scaled) + sum(
        w * layer.units + layer.units
        for w, layer in zip(
            [net.n_inputs, *(d.units for d in net.dense_layers)], net.dense_layers, strict=False
        )
    )
    expected = net.predict(state, x)
    found = folded.predict(flat, x)
    assert np.abs(found - expected).max() <= 1e-12 * max(1.0, np.abs(expected).max())
    np.testing.assert_array_equal(state.theta, kept.theta)


@pytest.mark.parametrize("position", ["pre_activation", "post_activation"])
@pytest.mark.parametrize("statistics", ["population", "running"])
def test_a_trained_network_can_be_folded(position: str, statistics: str) -> None:
    norm = BatchNorm(position, statistics)
    layers = [Dropout(0.9), Dense(6, "relu", batch_norm=norm), Dense(5, "tanh", batch_norm=norm)]
    net = Network(3, [*layers, Dense(3, "softmax")], "categorical_cross_entropy")
    data, state = random_data(net, 50, 0), net.initialize(0)
    train(net, state, data.x, data.y, epochs=5, batch_size=8)
    folded, flat = fold_batch_norm(net, state)
    expected = net.predict(state, data.x)
    np.testing.assert_allclose(folded.predict(flat, data.x), expected, rtol=0, atol=1e-12)
    # Without the statistics, the predictions differ.
    state.buffers.clear()
    assert np.abs(net.predict(state, data.x) - expected).max() > 1e-2


def test_a_normalisation_computed_by_hand() -> None:
    """Before: W a, β − a μ; after: diag(a) W₂, b₂ + (β − a μ) W₂, a = γ/√(σ² + ε)."""
    for position in ("pre_activation", "post_activation"):
        net = Network(1, [Dense(1, batch_norm=BatchNorm(position, epsilon=1.0)), Dense(1)])
        state = net.initialize(0)
        for name, value in {"W1": 2.0, "gamma1": 6.0, "beta1": 1.0, "W2": 5.0, "b2": 7.0}.items():
            net.parameters(state)[name][...] = value
        state.buffers = {"0.mean": np.array([10.0]), "0.variance": np.array([8.0])}
        folded, flat = fold_batch_norm(net, state)
        found = {name: float(view.ravel()[0]) for name, view in folded.parameters(flat).items()}
        if position == "pre_activation":  # a = 6/3 = 2, c = 1 − 20 = −19
            assert found == {"W1": 4.0, "b1": -19.0, "W2": 5.0, "b2": 7.0}
        else:
            assert found == {"W1": 2.0, "b1": 0.0, "W2": 10.0, "b2": 7.0 - 19.0 * 5.0}


def test_folding_without_batch_norm_or_training_changes_nothing() -> None:
    plain = Network(2, [Dense(3, "tanh"), Dense(1)])
    state = random_state(plain, 1)
    folded, flat = fold_batch_norm(plain, state)
    assert folded == plain
    np.testing.assert_array_equal(flat.theta, state.theta)
    assert flat.theta is not state.theta
    fresh = Network(2, [Dense(3, "tanh", batch_norm=BatchNorm()), Dense(1)])
    state, x = random_state(fresh, 2), random_data(fresh, 5, 2).x
    folded, flat = fold_batch_norm(fresh, state)
    np.testing.assert_allclose(folded.predict(flat, x), fresh.predict(state, x), rtol=1e-13)


@pytest.mark.parametrize("xp", LIBRARIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("position", ["pre_activation", "post_activation"])
def test_library_and_type_are_kept(xp: Any, dtype: str, position: str) -> None:
    layers = [Dense(4, "tanh", batch_norm=BatchNorm(position)), Dense(2)]
    net = Network(3, layers, dtype=dtype)
    data = random_data(net, 8, 3)
    state = net.initialize(3)
    train(net, state, data.x, data.y, epochs=2)
    state.theta = xp.asarray(state.theta)
    state.buffers = {name: xp.asarray(value) for name, value in state.buffers.items()}
    x = xp.asarray(data.x)
    folded, flat = fold_batch_norm(net, state)
    assert flat.theta.dtype == getattr(xp, dtype)
    assert type(flat.theta) is type(state.theta)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(
        np.asarray(folded.predict(flat, x)), np.asarray(net.predict(state, x)), atol=tolerance
    )


def test_a_dropout_behind_a_normalisation_after_the_activation_is_refused() -> None:
    """What it drops is γ x̂ + β as one, which the folded network no longer has."""
    norm = BatchNorm("post_activation")
    net = Network(2, [Dense(3, "tanh", batch_norm=norm), Dropout(0.5), Dense(1)])
    with pytest.raises(
        SpecError, match="a dropout between a normalisation that follows its activation"
    ):
        fold_batch_norm(net, net.initialize())
    norm = BatchNorm("pre_activation")
    net = Network(2, [Dense(3, "tanh", batch_norm=norm), Dropout(0.5), Dense(1)])
    folded, _ = fold_batch_norm(net, net.initialize())
    assert [type(layer) for layer in folded.layers] == [Dense, Dropout, Dense]
