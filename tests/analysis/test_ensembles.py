"""R3: dropout as the average of thinned networks, exact over all masks and by sampling."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from deltarule import (
    BatchNorm,
    Dense,
    Dropout,
    Network,
    State,
    exact_dropout_mean,
    monte_carlo_dropout,
    train,
)
from deltarule.errors import ShapeError, SpecError
from support.networks import random_data, random_state


def by_hand(x: Any, w1: Any, b1: Any, w2: Any, b2: Any, keep: float) -> tuple[Any, Any]:
    """Enumerate the masks of one hidden tanh layer: mean and standard deviation of the outputs."""
    hidden, outputs, chances = np.tanh(x @ w1 + b1), [], []
    for bits in product([0, 1], repeat=hidden.shape[1]):
        outputs.append(hidden * np.array(bits) / keep @ w2 + b2)
        chances.append(np.prod([keep if bit else 1 - keep for bit in bits]))
    mean = np.average(outputs, axis=0, weights=chances)
    return mean, np.sqrt(np.average((outputs - mean) ** 2, axis=0, weights=chances))


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.9])
def test_the_exact_average_enumerates_the_masks(keep: float) -> None:
    net = Network(2, [Dense(5, "tanh"), Dropout(keep=keep), Dense(3)])
    state, x = random_state(net, 0), random_data(net, 4, 0).x
    found = exact_dropout_mean(net, state, x)
    mean, deviation = by_hand(x, *net.parameters(state).values(), keep)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.deviation, deviation, rtol=1e-7, atol=1e-9)


def test_two_units_computed_by_hand() -> None:
    """a = σ(h₁ + h₂) over four networks with p = ½: σ(0), σ(2h₁), σ(2h₂), σ(2h₁ + 2h₂)."""
    net = Network(2, [Dropout(0.5), Dense(1, "sigmoid")], "binary_cross_entropy")
    state = State(np.array([1.0, 1.0, 0.0]))

    def sigmoid(z: float) -> float:
        return 1 / (1 + np.exp(-z))

    four = [sigmoid(0), sigmoid(2), sigmoid(6), sigmoid(8)]
    found = exact_dropout_mean(net, state, [[1.0, 3.0]])
    assert found.mean[0, 0] == pytest.approx(np.mean(four), rel=1e-14)
    assert found.deviation[0, 0] == pytest.approx(np.std(four), rel=1e-12)
    assert net.predict(state, [[1.0, 3.0]])[0, 0] == pytest.approx(sigmoid(4), rel=1e-14)


def test_before_an_affine_map_the_scaling_rule_is_exact() -> None:
    net = Network(3, [Dense(6, "tanh"), Dropout(0.6), Dense(4), Dense(2)])
    state, x = random_state(net, 1), random_data(net, 5, 1).x
    found = exact_dropout_mean(net, state, x)
    np.testing.assert_allclose(found.mean, net.predict(state, x), rtol=1e-12, atol=1e-14)
    assert found.deviation.min() > 0.01


def test_two_dropouts_of_a_linear_network_are_independent() -> None:
    """The mean of the product is the product of the means; Var by the rule for products."""
    net = Network(1, [Dropout(0.5), Dense(1), Dropout(0.75), Dense(1)])
    state = State(np.array([3.0, 0.0, 2.0, 1.0]))
    found = exact_dropout_mean(net, state, [[1.0]])
    assert found.mean[0, 0] == pytest.approx(7.0)
    assert found.deviation[0, 0] == pytest.approx(6 * np.sqrt(1 / (0.5 * 0.25) - 1))


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_before_a_nonlinearity_the_scaling_rule_is_approximate(activation: str) -> None:
    """The gap is many times what rounding leaves, and shrinks as p grows to 1."""
    gaps = []
    for keep in (0.5, 0.9, 0.99, 1.0):
        net = Network(
            4, [Dropout(keep=keep), Dense(3, activation), Dropout(keep=keep), Dense(2, "sigmoid")]
        )
        state, x = random_state(net, 2), random_data(net, 6, 2).x
        exact = exact_dropout_mean(net, state, x)
        gaps.append(np.abs(exact.mean - net.predict(state, x)).max())
    assert gaps[0] > 1e-2
    assert gaps[0] > gaps[1] > gaps[2] > 1e-5
    assert gaps[3] < 1e-15


def test_the_average_of_relu_exceeds_the_scaling_rule() -> None:
    """max(0, ·) is convex: E[relu(z̃)] ≥ relu(E[z̃]), strictly where masks change the sign."""
    net = Network(4, [Dropout(0.5), Dense(3, "relu"), Dense(3)])
    state = random_state(net, 3)
    p = net.parameters(state)
    p["W2"][...], p["b2"][...] = np.eye(3), 0.0
    x = random_data(net, 20, 3).x
    gap = exact_dropout_mean(net, state, x).mean - net.predict(state, x)
    assert gap.min() > -1e-14
    assert gap.max() > 0.1


@pytest.mark.parametrize(
    "layers",
    [
        [Dense(6, "tanh"), Dropout(0.5), Dense(2, "sigmoid")],
        [Dropout(0.2), Dense(4, "relu", batch_norm=BatchNorm()), Dropout(0.5), Dense(2)],
        [Dropout(0.4), Dense(3, "softmax"), Dropout(0.3), Dense(2)],
    ],
    ids=["one", "two-with-batch-norm", "softmax"],
)
def test_sampling_agrees_with_the_enumeration_within_standard_errors(layers: Any) -> None:
    """Mean within 5 s.e. of 1500 draws; deviation within 9 %, of which one s.e. is about 2 %."""
    net = Network(4, layers)
    data, state = random_data(net, 5, 4), random_state(net, 4)
    if state.theta.size and net.tape.normalizations:
        train(net, state, data.x, data.y, epochs=2)
    exact = exact_dropout_mean(net, state, data.x)
    sampled = monte_carlo_dropout(net, state, data.x, n_draws=1500, seed=1)
    error = exact.deviation / np.sqrt(1500)
    assert (np.abs(sampled.mean - exact.mean) <= 5 * error + 1e-14).all()
    np.testing.assert_allclose(sampled.deviation, exact.deviation, rtol=0.09, atol=1e-12)
    assert exact.deviation.max() > 0.01


def test_the_error_falls_with_the_root_of_the_draws() -> None:
    net = Network(3, [Dense(8, "tanh"), Dropout(0.5), Dense(1)])
    state, x = random_state(net, 5), random_data(net, 40, 5).x
    exact = exact_dropout_mean(net, state, x).mean
    errors = [
        np.sqrt(np.mean((monte_carlo_dropout(net, state, x, n_draws=n).mean - exact) ** 2))
        for n in (50, 2450)
    ]
    assert 3.5 < errors[0] / errors[1] < 14  # √49 = 7


def test_the_seed_determines_the_sample() -> None:
    net = Network(3, [Dense(8, "tanh"), Dropout(0.5), Dense(1)])
    state, x = random_state(net, 6), random_data(net, 3, 6).x
    a, again, b = (monte_carlo_dropout(net, state, x, n_draws=7, seed=s).mean for s in (0, 0, 1))
    np.testing.assert_array_equal(a, again)
    assert (a != b).any()
    alone = monte_carlo_dropout(net, state, x, n_draws=1)
    np.testing.assert_array_equal(alone.deviation, np.zeros((3, 1)))


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array])
def test_csr_inputs_are_dropped_entry_by_entry(kind: Any) -> None:
    net = Network(3, [Dropout(0.5), Dense(2, "tanh"), Dense(1)])
    state = random_state(net, 7)
    x = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0], [-1.0, 1.0, 0.0]])  # as many rows as columns
    np.testing.assert_allclose(
        exact_dropout_mean(net, state, kind(x)).mean,
        exact_dropout_mean(net, state, x).mean,
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        monte_carlo_dropout(net, state, kind(x)).mean,
        monte_carlo_dropout(net, state, x).mean,
        rtol=1e-12,
    )


def test_networks_without_dropout_or_with_too_many_units_are_refused() -> None:
    plain = Network(3, [Dense(2, "tanh"), Dense(1)])
    for average in (exact_dropout_mean, monte_carlo_dropout):
        with pytest.raises(SpecError, match=r"must have a Dropout layer; it has none"):
            average(plain, plain.initialize(), np.zeros((1, 3)))
    wide = Network(3, [Dense(17, "tanh"), Dropout(0.5), Dense(1)])
    with pytest.raises(SpecError, match=r"at most 16 .* 2\^17 masks.* monte_carlo_dropout"):
        exact_dropout_mean(wide, wide.initialize(), np.zeros((1, 3)))
    small = Network(3, [Dropout(0.5), Dense(1)])
    with pytest.raises(SpecError, match="n_draws must be an integer of at least 1; got 0"):
        monte_carlo_dropout(small, small.initialize(), np.zeros((1, 3)), n_draws=0)
    with pytest.raises(ShapeError, match=r"X must have shape \(n, 3\)"):
        exact_dropout_mean(small, small.initialize(), np.zeros((1, 4)))
