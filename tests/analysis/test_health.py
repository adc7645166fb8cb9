"""H1-H3: norms of the layers, dying rectifiers, saturated units, and their record over epochs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit

from deltarule import (
    LBFGS,
    SGD,
    Adam,
    BatchNorm,
    Dense,
    Dropout,
    LeakyReLU,
    Network,
    State,
    network_health,
    train,
)
from deltarule.analysis.health import Health, HealthMonitor
from deltarule.program import Block
from deltarule.reference import Reference
from support.networks import LIBRARIES, random_data, random_state

# --- H1: exploding and vanishing ------------------------------------------------------------------


def deep_linear(factor: float, depth: int = 20) -> tuple[Network, State]:
    """Mebsout's: ŷ = W_L W_{L−1} ⋯ W_1 x with W_l = factor · I for l < L, and W_L = I."""
    net = Network(2, [Dense(2) for _ in range(depth)])
    state = State(np.zeros(net.tape.n_parameters))
    for name, view in net.parameters(state).items():
        if view.ndim == 2:
            view[...] = np.eye(2) * (1.0 if name == f"W{depth}" else factor)
    return net, state


@pytest.mark.parametrize("factor", [1.5, 0.5])
def test_outputs_and_gradients_of_a_deep_linear_network_explode_or_vanish(factor: float) -> None:
    """As 1.5^(L−1) and 0.5^(L−1): of A forward, of δ backward, of ∂W at both ends."""
    depth = 20
    net, state = deep_linear(factor, depth)
    x = np.array([[1.0, -2.0], [0.5, 3.0], [2.0, 2.0]])
    grown = factor ** (depth - 1)
    np.testing.assert_allclose(net.predict(state, x), grown * x, rtol=1e-12)
    y = grown * x - 1.0  # δ_L = (a − y)/n = 1/3 everywhere, whatever the depth
    layers = network_health(net, state, x, y).layers
    assert [layer.layer for layer in layers] == list(range(1, depth + 1))
    rms, delta = np.sqrt(np.mean(x**2)), np.sqrt(6) / 3
    slope = np.linalg.norm(x.T @ np.full((3, 2), 1 / 3))
    for layer in layers:
        l = layer.layer  # noqa: E741
        assert layer.activation_norm == pytest.approx(rms * factor ** min(l, depth - 1), rel=1e-12)
        assert layer.delta_norm == pytest.approx(
            delta * factor ** min(depth - l, depth - 1) / (factor if l < depth else 1), rel=1e-12
        )
        # ∂C/∂W_l = A_{l−1}ᵀ δ_l: depth − 1 factors less the layer's own.
        power = depth - 1 if l == depth else depth - 2
        assert layer.gradient_norm == pytest.approx(slope * factor**power, rel=1e-12)
        own = 1.0 if l == depth else factor
        assert layer.weight_norm == pytest.approx(own * np.sqrt(2))
        assert layer.update_ratio is layer.dead is layer.saturated is None
    ends = layers[0].gradient_norm
    assert ends > 100 if factor > 1 else ends < 1e-4


@pytest.mark.parametrize("weighted", [False, True])
def test_norms_are_those_of_the_gradient_of_the_mean_loss(weighted: bool) -> None:
    net = Network(3, [Dense(4, "tanh"), Dense(3, "relu"), Dense(2)])
    state, data = random_state(net, 0), random_data(net, 9, 0)
    weight = data.weight if weighted else None
    w = np.ones(9) if weight is None else weight
    p = net.parameters(state)
    z1 = data.x @ p["W1"] + p["b1"]
    a1 = np.tanh(z1)
    z2 = a1 @ p["W2"] + p["b2"]
    a2 = np.maximum(z2, 0)
    a3 = a2 @ p["W3"] + p["b3"]
    d3 = w[:, None] * (a3 - data.y) / w.sum()
    d2 = d3 @ p["W3"].T * (z2 > 0)
    d1 = d2 @ p["W2"].T * (1 - a1**2)
    layers = network_health(net, state, data.x, data.y, sample_weight=weight).layers
    for layer, a, d, before in zip(
        layers, (a1, a2, a3), (d1, d2, d3), (data.x, a1, a2), strict=True
    ):
        assert layer.activation_norm == pytest.approx(np.sqrt(np.mean(a**2)), rel=1e-12)
        assert layer.delta_norm == pytest.approx(np.linalg.norm(d), rel=1e-12)
        assert layer.gradient_norm == pytest.approx(np.linalg.norm(before.T @ d), rel=1e-12)


@pytest.mark.parametrize(
    ("output", "loss"),
    [("sigmoid", "binary_cross_entropy"), ("softmax", "categorical_cross_entropy"),
     ("sigmoid", "squared_error"), ("exp", "poisson")],
)  # fmt: skip
def test_the_output_layers_delta(output: str, loss: str) -> None:
    net = Network(3, [Dense(4, "tanh"), Dense(2, output)], loss)
    state, data = random_state(net, 1), random_data(net, 7, 1)
    p = net.parameters(state)
    z = np.tanh(data.x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]
    a = net.predict(state, data.x)
    delta = (a - data.y) * (expit(z) * expit(-z) if loss == "squared_error" else 1) / 7
    layers = network_health(net, state, data.x, data.y).layers
    assert layers[-1].delta_norm == pytest.approx(np.linalg.norm(delta), rel=1e-12)


# --- H2: dying rectifiers -------------------------------------------------------------------------


def test_units_inactive_for_all_rows_are_dead() -> None:
    """E-w: negative pre-activations for every row, not inputs near zero."""
    net = Network(1, [Dense(4, "relu"), Dense(1)])
    state = State(np.zeros(net.tape.n_parameters))
    p = net.parameters(state)
    p["W1"][...] = [[1.0, 1.0, -1.0, 1e-9]]
    p["b1"][...] = [-10.0, -2.5, -5.0, 1e-9]  # active: the second at x = 3, the last for all rows
    p["W2"][...] = 1.0
    x = np.array([[0.0], [1.0], [3.0]])
    first, last = network_health(net, state, x, [1.0, 1.0, 1.0]).layers
    assert first.dead == 0.5
    assert last.dead is None
    assert network_health(net, state, x[:2], [1.0, 1.0]).layers[0].dead == 0.75
    gradient = Reference(net.tape).gradient(state, Block(x, np.ones((3, 1)))).gradient
    alive = {p.name: v for p, v in net.tape.views(gradient)}["W1"][0] != 0
    assert alive.tolist() == [False, True, False, True]  # dead units have zero gradients


def test_a_learning_rate_that_is_too_large_kills_rectifiers() -> None:
    """Khabar §5.4 and the advice there: a smaller rate."""
    net = Network(4, [Dense(30, "relu"), Dense(1)])
    data = random_data(net, 60, 2)
    dead = []
    for rate in (0.01, 1.0):
        state = net.initialize(2)
        train(net, state, data.x, data.y + 3, optimizer=Adam(rate), batch_size=10, epochs=20)
        dead.append(network_health(net, state, data.x, data.y + 3).layers[0].dead)
    assert dead[0] == 0.0
    assert dead[1] > 0.3


def test_only_rectifiers_die() -> None:
    kinds = ["relu", LeakyReLU(0.1), "tanh", "elu", "identity"]
    for kind in kinds:
        net = Network(2, [Dense(3, kind), Dense(1)])
        state = State(np.zeros(net.tape.n_parameters))
        net.parameters(state)["b1"][...] = -1.0
        found = network_health(net, state, np.zeros((4, 2)), np.zeros(4)).layers[0].dead
        assert found == (1.0 if kind in kinds[:2] else None), kind


# --- H3: saturation -------------------------------------------------------------------------------


def test_schoenhuths_numbers() -> None:
    """z = −10, y = 1: δ = −4.5e-5 under quadratic cost, −1.0 under cross-entropy (eq. 13)."""
    state, x = State(np.array([-10.0, 0.0])), np.array([[1.0]])
    deltas = []
    for loss in ("squared_error", "binary_cross_entropy"):
        net = Network(1, [Dense(1, "sigmoid")], loss)
        layer = network_health(net, state, x, [1.0]).layers[0]
        deltas.append(layer.delta_norm)
        assert layer.saturated == 1.0
    assert deltas == [pytest.approx(4.5e-5, abs=1e-6), pytest.approx(1.0, abs=1e-4)]


@pytest.mark.parametrize(
    ("activation", "edge"),
    [
        # Where g' is a thousandth of its largest value.
        ("sigmoid", 2 * np.arccosh(np.sqrt(1000))),  # σ' = ¼ sech²(z/2)
        ("tanh", np.arccosh(np.sqrt(1000))),
        ("softsign", np.sqrt(1000) - 1),
        ("hard_sigmoid", 3.0),
        ("hard_tanh", 1.0),
    ],
)
def test_entries_beyond_the_threshold_are_saturated(activation: str, edge: float) -> None:
    net = Network(1, [Dense(2, activation), Dense(1)])
    state = State(np.zeros(net.tape.n_parameters))
    net.parameters(state)["W1"][...] = [[1.0, -1.0]]
    x = edge * np.array([[0.999], [1.001], [0.0], [-1.001], [-5.0]])
    first, last = network_health(net, state, x, np.zeros(5)).layers
    assert first.saturated == 3 / 5
    assert last.saturated is None


def test_large_initial_weights_saturate() -> None:
    """I2: N(0, 3²) instead of Glorot's variance."""
    from deltarule import Normal

    data = random_data(Network(20, [Dense(1)]), 50, 3)
    shares = []
    for initializer in (None, Normal(3.0)):
        layers = [Dense(30, "tanh", initializer), Dense(30, "tanh", initializer)]
        net = Network(20, [*layers, Dense(1)])
        found = network_health(net, net.initialize(0), data.x, data.y).layers
        shares.append([layer.saturated for layer in found[:2]])
    assert max(shares[0]) < 0.01
    assert min(shares[1]) > 0.5


# --- as a training step ---------------------------------------------------------------------------


def test_dropout_and_batch_norm_work_as_in_training() -> None:
    layers = [Dense(6, "tanh", batch_norm=BatchNorm()), Dropout(0.5), Dense(2)]
    net = Network(3, layers)
    state, data = random_state(net, 4), random_data(net, 12, 4)
    reference = Reference(net.tape)
    trace = reference.trace(state, data.x, reference.training_pass(state, Block(data.x)))
    found = network_health(net, state, data.x, data.y).layers
    normal = trace.contents[2]
    assert found[0].activation_norm == pytest.approx(np.sqrt(np.mean(np.tanh(normal) ** 2)))
    output = trace.contents[net.tape.output]
    assert found[1].activation_norm == pytest.approx(np.sqrt(np.mean(output**2)))
    assert state.buffers == {}
    assert state.step == 0


@pytest.mark.parametrize("xp", LIBRARIES)
def test_any_array_library_and_csr(xp: Any) -> None:
    net = Network(3, [Dense(4, "relu"), Dense(3, "sigmoid"), Dense(2)])
    state, data = random_state(net, 5), random_data(net, 8, 5)
    expected = network_health(net, state, data.x, data.y)
    other = State(xp.asarray(state.theta))
    assert network_health(net, other, xp.asarray(data.x), data.y) == expected
    sparse_rows = network_health(net, state, sparse.csr_array(data.x), data.y)
    for one, two in zip(sparse_rows.layers, expected.layers, strict=True):
        assert one == pytest.approx(two)


def test_the_printed_table() -> None:
    net = Network(1, [Dense(2, "relu"), Dense(1, "sigmoid")], "binary_cross_entropy")
    state = State(np.array([1.0, 1.0, -9.0, 0.0, 3.0, 4.0, 0.0]))
    lines = str(network_health(net, state, [[1.0], [2.5]], [1.0, 0.0])).splitlines()
    assert len(lines) == 3
    assert lines[0].split() == [
        "layer",
        "rms",
        "A",
        "‖δ‖",
        "‖∂W‖",
        "‖W‖",
        "update",
        "dead",
        "saturated",
    ]
    first, second = (line.split() for line in lines[1:])
    assert (first[0], first[5:]) == ("1", ["–", "50%", "–"])
    assert first[4] == "1.41e+00"
    assert (second[0], second[4], second[5:]) == ("2", "5.00e+00", ["–", "–", "50%"])


# --- the record of a run --------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [SGD(0.1), LBFGS()], ids=repr)
def test_train_records_health_after_every_epoch(optimizer: Any) -> None:
    net = Network(3, [Dense(5, "tanh"), Dense(2)])
    data, state, seen = random_data(net, 30, 6), net.initialize(6), []
    thetas = [state.theta.copy()]

    def watch(history: Any) -> bool:
        thetas.append(state.theta.copy())
        seen.append(len(history.health))
        return False

    history = train(
        net, state, data.x, data.y, optimizer=optimizer, epochs=4, batch_size=10,
        record_health=True, on_epoch=watch,
    )  # fmt: skip
    assert seen == [1, 2, 3, 4]  # the callback sees the record
    assert len(history.health) == 4
    for epoch, health in enumerate(history.health):
        assert isinstance(health, Health)
        for layer, name in zip(health.layers, ("W1", "W2"), strict=True):
            before, after = (
                net.parameters(State(theta))[name] for theta in thetas[epoch : epoch + 2]
            )
            ratio = np.linalg.norm(after - before) / np.linalg.norm(before)
            assert layer.update_ratio == pytest.approx(ratio, rel=1e-12)
            assert layer.weight_norm == pytest.approx(np.linalg.norm(after), rel=1e-12)
    at_rest = network_health(net, state, data.x, data.y)
    for layer, last in zip(at_rest.layers, history.health[-1].layers, strict=True):
        assert layer._replace(update_ratio=last.update_ratio) == last


def test_health_is_not_recorded_by_default() -> None:
    layers = [Dense(5, "tanh", batch_norm=BatchNorm()), Dropout(0.5), Dense(2)]
    net, ends = Network(3, layers), []
    data = random_data(net, 30, 7)
    for record in (False, True):
        state = net.initialize(7)
        history = train(net, state, data.x, data.y, epochs=3, record_health=record)
        assert len(history.health) == (3 if record else 0)
        ends.append((state.theta.tobytes(), state.buffers["0.mean"].tobytes(), history.loss))
    assert ends[0] == ends[1]


def test_the_monitor_uses_the_first_thousand_weighted_rows() -> None:
    """Rows of weight zero are ignored, also at the start of the data."""
    for norm in (None, BatchNorm()):
        net = Network(2, [Dense(3, "relu", batch_norm=norm), Dense(1)])
        data, state = random_data(net, 1200, 8), net.initialize(8)
        weight = np.ones(1200)
        weight[:1050] = 0.0
        history = train(
            net, state, data.x, data.y, epochs=2, sample_weight=weight, record_health=True,
            batch_size=100,
        )  # fmt: skip
        found = history.health[-1].layers[0]
        expected = network_health(net, state, data.x[1050:], data.y[1050:]).layers[0]
        assert found._replace(update_ratio=None) == pytest.approx(expected)
    monitor = HealthMonitor(net.tape, state, Block(data.x, data.y))
    assert monitor._block.n_rows == 1000


def test_zero_weights_have_a_finite_update_ratio() -> None:
    net = Network(2, [Dense(1, initializer="zeros")])
    data, state = random_data(net, 10, 9), net.initialize(9)
    history = train(net, state, data.x, data.y, epochs=2, record_health=True)
    assert history.health[0].layers[0].update_ratio == 0.0
    assert history.health[1].layers[0].update_ratio > 0
