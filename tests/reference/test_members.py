"""Members with one W: k networks with weights of their own, trained by the mean of their losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import bernoulli, poisson

from deltarule import (
    L1,
    L2,
    SGD,
    AdamW,
    BatchNorm,
    Dense,
    Dropout,
    MaxNorm,
    Network,
    Scale,
    State,
    check_gradients,
    exact_dropout_mean,
    monte_carlo_dropout,
    network_health,
    train,
)
from deltarule.analysis.sensitivity import input_gradients
from deltarule.errors import SpecError
from deltarule.program import Block
from deltarule.reference import Reference
from deltarule.reference.dropout import philox
from deltarule.reference.losses import LOSSES
from deltarule.reference.members import loss_of_members
from support.networks import (
    FACTORS,
    HEADS,
    LIBRARIES,
    SEEDS,
    assert_hessian_vector_product,
    inner,
    proves,
    random_data,
    random_state,
)
from support.strategies import whole_networks

K = 3
LAYERS = [Dense(5, "tanh"), Dropout(0.4), Dense(4, "softmax"), Dense(3, "softmax")]


def network(layers: Any = LAYERS, loss: Any = "categorical_cross_entropy", **given: Any) -> Network:
    return Network(4, layers, loss, **{"members": K, **given})


def apart(net: Network, state: State) -> list[tuple[Network, State]]:
    """Return every member as a network without members: W_i = diag(r_i) W diag(s_i)."""
    views, found = net.parameters(state), []
    for i in range(net.members):
        alone = replace(net, members=1)
        theta = []
        for name in (p.name for p in alone.tape.parameters):
            kind, number = name[0], name.lstrip("Wbscale")
            if name.startswith("scale") or kind == "b" or views[name].ndim == 3:
                theta.append(views[name][i])
            else:
                r, s = views[f"r{number}"][i], views[f"s{number}"][i]
                theta.append(r[:, None] * views[name] * s)
        found.append((alone, State(np.concatenate([t.ravel() for t in theta]), state.seed)))
    return found


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize(("loss", "output"), HEADS)
def test_members_are_networks_with_weights_of_their_own(
    loss: str, output: str, engine: str
) -> None:
    """Predictions are the mean of theirs, and losses the mean of their losses."""
    net = network([Scale(), Dense(5, "tanh"), Dense(4, "gelu"), Dense(2, output)], loss)
    state, data = random_state(net, 1), random_data(net, 9, 1)
    if engine == "reference":
        reference = Reference(net.tape)
        outputs = reference.forward(state, data.block)
        losses = reference.losses(state, data.block)
        logits = reference.forward(state, data.block, logits=True)
        assert logits.shape == (9, K * 2)
    else:
        outputs, losses = net.predict(state, data.x), net.losses(state, data.x, data.y)
    alone = apart(net, state)
    expected = np.mean([n.predict(s, data.x) for n, s in alone], axis=0)
    np.testing.assert_allclose(outputs, expected, rtol=1e-12, atol=1e-13)
    by_member = [n.losses(s, data.x, data.y) for n, s in alone]
    np.testing.assert_allclose(losses, np.mean(by_member, axis=0), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(net.predictor(state)(data.x), outputs, rtol=1e-12, atol=1e-13)


def test_the_loss_is_the_mean_of_the_losses_and_not_that_of_the_mean() -> None:
    net = network()
    state, data = random_state(net, 2), random_data(net, 30, 2)
    of_mean = -np.mean(np.sum(data.y * np.log(net.predict(state, data.x)), axis=1))
    assert net.loss_of(state, data.x, data.y) > of_mean + 1e-3  # Jensen's inequality


def test_the_gradients_are_those_of_the_members() -> None:
    """dW = Σ_i r_i ⊙ dW_i ⊙ s_i, dr_i = Σ_columns W ⊙ dW_i ⊙ s_i, ds_i = Σ_rows r_i ⊙ W ⊙ dW_i."""
    net = network([Dense(5, "tanh"), Dense(4, "sigmoid"), Dense(3, "softmax")])
    state, data = random_state(net, 3), random_data(net, 8, 3)
    views = net.parameters(state)
    sums = Reference(net.tape).gradient(state, data.block).gradient
    found = dict(net.parameters(State(sums)))
    expected = {name: np.zeros_like(view) for name, view in found.items()}
    for i, (alone, own) in enumerate(apart(net, state)):
        slopes = Reference(alone.tape).gradient(own, data.block).gradient / K
        for name, slope in alone.parameters(State(slopes)).items():
            if name[0] == "b" or name == "W3":
                expected[name][i] = slope
                continue
            w, r, s = (views[kind + name[1]] for kind in "Wrs")
            expected[name] += r[i][:, None] * slope * s[i]
            expected["r" + name[1]][i] = np.sum(w * slope * s[i], axis=1)
            expected["s" + name[1]][i] = np.sum(w * slope * r[i][:, None], axis=0)
    for name, slope in found.items():
        np.testing.assert_allclose(slope, expected[name], rtol=1e-10, atol=1e-13, err_msg=name)


@pytest.mark.parametrize(
    "layers",
    [LAYERS, [Dense(3, "softmax")], [Dropout(0.2), Scale(), Dense(4, "silu"), Dense(3, "softmax")]],
    ids=["two layers", "heads alone", "dropout and scale first"],
)
def test_gradients_by_central_differences(layers: Any) -> None:
    net = network(layers, penalties=[L2(0.1), L1(0.02)])
    state, data = random_state(net, 4), random_data(net, 7, 4)
    check = check_gradients(net, state, data.x, data.y, sample_weight=data.weight)
    assert (check.verdict, check.n_kinks) == ("right", 0), str(check)


@proves(short=10, full=200, net=whole_networks(), seed=SEEDS)
def test_hessian_vector_products_by_differences_of_gradients(net: Network, seed: int) -> None:
    smooth = [
        replace(x, activation="tanh") if isinstance(x, Dense) and x is not net.output else x
        for x in net.layers
    ]
    # A loss and an output without kinks.
    net = replace(net, layers=[*smooth[:-1], Dense(2)], loss="squared_error", penalties=[L2(0.1)])
    state, data = random_state(net, seed), random_data(net, 5, seed)
    assert_hessian_vector_product(net, state, data, seed)


@pytest.mark.parametrize("xp", LIBRARIES)
def test_the_loss_of_members_has_the_adjoint_of_its_differential(xp: Any) -> None:
    rng = np.random.default_rng(5)
    z, dz = (xp.asarray(a) for a in rng.normal(size=(2, 6, K * 2)))
    y, zeta = xp.asarray(rng.normal(size=(6, 2))), xp.asarray(rng.normal(size=6))
    loss = LOSSES[1].value  # squared error
    value, pull = loss_of_members(loss, z, y, K)
    residual = np.asarray(z).reshape(6, K, 2) - np.asarray(y)[:, None, :]
    np.testing.assert_allclose(np.asarray(value), (residual**2).sum(axis=2).mean(axis=1) / 2)
    forth = (residual * np.asarray(dz).reshape(6, K, 2)).sum(axis=2).mean(axis=1)
    assert inner((pull(zeta),), (dz,)) == pytest.approx(inner(zeta, xp.asarray(forth)), rel=1e-12)


@pytest.mark.parametrize("layers", [LAYERS, [Scale(), *LAYERS], [Dense(3, "softmax")]])
def test_jacobians_by_central_differences(layers: Any) -> None:
    net = network(layers)
    state, x = random_state(net, 6), np.random.default_rng(6).normal(size=(4, 4))
    found, h = input_gradients(net, state, x), 1e-6
    for j in range(4):
        step = h * np.eye(4)[j]
        slope = (net.predict(state, x + step) - net.predict(state, x - step)) / (2 * h)
        np.testing.assert_allclose(found[:, :, j], slope, rtol=1e-7, atol=1e-9)


# --- parameters -----------------------------------------------------------------------------------


def test_the_first_factors_are_random_signs_and_the_others_one() -> None:
    net = Network(200, [Dense(4), Dense(5), Dense(2)], members=50)
    views = net.parameters(net.initialize(7))
    assert set(views["r1"].ravel()) == {-1.0, 1.0}
    assert abs(views["r1"].mean()) < 5 / np.sqrt(views["r1"].size)
    for name in ("s1", "r2", "s2"):
        np.testing.assert_array_equal(views[name], 1.0)
    for name in ("b1", "b2", "b3"):
        np.testing.assert_array_equal(views[name], 0.0)
    heads = views["W3"]
    assert heads.shape == (50, 5, 2)
    assert len({head.tobytes() for head in heads}) == 50
    assert (np.abs(heads) <= np.sqrt(3 / 5)).all()  # LeCun's bound, of the fan-in of one member
    assert net.initialize(7).theta.tobytes() == net.initialize(7).theta.tobytes()


def test_a_scale_layer_begins_as_the_identity() -> None:
    layers = [Dense(5, "tanh"), Dense(2)]
    plain, scaled = Network(3, layers), Network(3, [Scale(), layers[0], Scale(), layers[1]])
    x = random_data(plain, 6, 0).x
    state = scaled.initialize(0)
    expected = plain.predict(plain.initialize(0), x)
    np.testing.assert_array_equal(scaled.predict(state, x), expected)
    views = scaled.parameters(state)
    assert list(views) == ["scale1", "W1", "b1", "scale2", "W2", "b2"]
    views["scale1"][...] = 0.5
    np.testing.assert_allclose(
        scaled.predict(state, x), plain.predict(plain.initialize(0), x / 2), rtol=1e-13
    )


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_only_weights_decay_and_are_penalised(engine: str) -> None:
    """With a gradient of zero, decay and penalties alone move θ: W and W_i, not r, s, b, γ."""
    net = network(
        [Scale(), Dense(5, "relu"), Dense(4, "relu"), Dense(1)], "squared_error",
        penalties=[L2(0.5)],
    )  # fmt: skip
    state, x = random_state(net, 8), np.zeros((6, 4))
    views = net.parameters(state)
    for name in ("b1", "b2", "b3"):
        views[name][...] = 0.0
    before = {name: view.copy() for name, view in views.items()}
    train(
        net, state, x, np.zeros(6), optimizer=SGD(0.1), epochs=1, batch_size=6, engine=engine,
        stopping=None,
    )  # fmt: skip
    for name, view in net.parameters(state).items():
        factor = 0.95 if name.startswith("W") else 1.0
        np.testing.assert_allclose(view, factor * before[name], rtol=1e-12, err_msg=name)
    decayed = replace(net, penalties=())
    before = {name: view.copy() for name, view in views.items()}
    optimizer = AdamW(0.1, weight_decay=0.5)
    train(
        decayed, state, x, np.zeros(6), optimizer=optimizer, epochs=1, batch_size=6, engine=engine
    )
    for name, view in net.parameters(state).items():
        factor = 0.95 if name.startswith("W") else 1.0
        np.testing.assert_allclose(view, factor * before[name], rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_max_norm_holds_for_every_matrix(engine: str) -> None:
    net = network(constraints=[MaxNorm(0.3)])
    state, data = random_state(net, 9), random_data(net, 20, 9)
    train(net, state, data.x, data.y, optimizer=SGD(0.1), epochs=1, batch_size=5, engine=engine)
    for name, view in net.parameters(state).items():
        if name.startswith("W"):
            assert (np.linalg.norm(view, axis=-2) <= 0.3 * (1 + 1e-12)).all()


def test_masks_differ_from_member_to_member() -> None:
    """Unit j of member i is unit i q + j of the mask's counter."""
    q, keep = 6, 0.5
    net = Network(2, [Dense(q), Dropout(keep=keep), Dense(1)], members=K)
    state = State(random_state(net, 0).theta, seed=11, step=3)
    reference = Reference(net.tape)
    x = np.ones((5, 2))
    trace = reference.trace(state, x, reference.training_pass(state, Block(x)))
    line = next(line for line in net.tape.instructions if line.op == 5)
    kept = trace.contents[line.target] != 0
    for row in range(5):
        for unit in range(K * q):
            word = philox((unit // 4, row, 3, 0), 11)[unit % 4]
            assert kept[row, unit] == (word < keep * 2**32)
    by_member = kept.reshape(5, K, q)
    assert not (by_member[:, 0] == by_member[:, 1]).all()


def test_averages_over_masks() -> None:
    net = Network(2, [Dense(2, "tanh"), Dropout(0.3), Dense(2, "softmax")],
                  "categorical_cross_entropy", members=2)  # fmt: skip
    state, x = random_state(net, 1), random_data(net, 3, 1).x
    exact = exact_dropout_mean(net, state, x)
    sampled = monte_carlo_dropout(net, state, x, n_draws=4000, seed=0)
    room = 5 * exact.deviation / np.sqrt(4000)
    assert (np.abs(sampled.mean - exact.mean) <= room).all()
    members = [exact_dropout_mean(n, s, x).mean for n, s in apart(net, state)]
    np.testing.assert_allclose(exact.mean, np.mean(members, axis=0), rtol=1e-12)


# --- the network ----------------------------------------------------------------------------------


def test_log_likelihoods_are_those_of_the_predictions() -> None:
    rng = np.random.default_rng(12)
    binary = network([Dense(3, "tanh"), Dense(2, "sigmoid")], "binary_cross_entropy")
    data, state = random_data(binary, 8, 3), random_state(binary, 3)
    p = binary.predict(state, data.x)
    found = binary.log_likelihood(state, data.x, data.y, data.weight)
    expected = np.sum(data.weight[:, None] * bernoulli.logpmf(data.y, p))
    assert found == pytest.approx(expected, rel=1e-12)
    net = network()
    state, labels = random_state(net, 3), rng.integers(0, 3, 8)
    p = net.predict(state, data.x)
    expected = np.log(p[np.arange(8), labels]).sum()
    assert net.log_likelihood(state, data.x, labels) == pytest.approx(expected, rel=1e-12)
    rates = network([Dense(3, "tanh"), Dense(1, "exp")], "poisson")
    state, counts = random_state(rates, 4), rng.poisson(2.0, 8)
    expected = poisson.logpmf(counts, rates.predict(state, data.x)[:, 0]).sum()
    assert rates.log_likelihood(state, data.x, counts) == pytest.approx(expected, rel=1e-12)


def test_the_summary_counts_the_parameters_of_members() -> None:
    net = Network(
        4, [Scale(), Dense(5, "relu"), Dropout(0.2), Dense(3, "relu"), Dense(2)], members=8
    )
    lines = [line.split("  ") for line in net.summary().splitlines()]
    counts = [int(line[-1].replace(",", "")) for line in lines[1:]]
    layers = [8 * 4, 20 + 8 * (4 + 5 + 5), 0, 15 + 8 * (5 + 3 + 3), 8 * (3 * 2 + 2)]
    assert counts == [*layers, sum(layers)]
    assert "dense, 8 members" in net.summary()
    assert "dense, 8 heads" in net.summary()


def test_training_improves_members_and_health_is_reported() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4))
    y = (x[:, 0] * x[:, 1] > 0).astype(float)
    net = Network(
        4, [Dense(16, "relu"), Dense(16, "relu"), Dense(1, "sigmoid")], "binary_cross_entropy",
        members=8, dtype="float32",
    )  # fmt: skip
    state = net.initialize(0)
    train(net, state, x, y, optimizer="adam", epochs=60, batch_size=32, seed=0)
    assert net.score(state, x, y) > 0.95
    health = network_health(net, state, x, y)
    assert [layer.layer for layer in health.layers] == [1, 2, 3]
    assert all(np.isfinite(layer.gradient_norm) for layer in health.layers)


@pytest.mark.parametrize(
    "layers", [LAYERS, [Dropout(0.2), Scale(), Dense(4, "silu"), Dense(3, "softmax")]]
)
def test_a_trace_names_what_members_compute(layers: Any) -> None:
    net = network(layers)
    state, data = random_state(net, 3), random_data(net, 5, 3)
    seen = net.trace(state, data.x, data.y)
    views, depth = net.parameters(state), len(net.dense_layers)
    for layer in range(1, depth):
        p = seen[f"P{layer}"].reshape(5, K, -1)
        z = p * views[f"s{layer}"] + views[f"b{layer}"]
        np.testing.assert_allclose(seen[f"Z{layer}"].reshape(z.shape), z, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(seen["mean"], net.predict(state, data.x), rtol=1e-12)
    by_hand = seen["delta1"].reshape(5, K, -1).sum(axis=0)
    np.testing.assert_allclose(seen["db1"], by_hand, rtol=1e-12, atol=1e-15)
    found = net.gradients(state, data.x, data.y)
    assert list(found) == list(views)
    if not any(isinstance(layer, Dropout) for layer in layers):
        for name, slope in found.items():
            np.testing.assert_allclose(slope, seen[f"d{name}"], rtol=1e-9, atol=1e-13)


def test_a_drawing_of_members_is_refused() -> None:
    net = network()
    state = net.initialize(0)
    with pytest.raises(SpecError, match=r"Draw one member: replace\(net, members=1\)"):
        net.graph(state)
    replace(net, members=1).graph()  # the remedy works
    scaled = network([Scale(), Dense(3, "softmax")], members=1)
    at = scaled.initialize(0)
    scaled.parameters(at)["scale1"][...] = 2.0
    plain = network([Dense(3, "softmax")], members=1)
    doubled = plain.initialize(0)
    doubled.theta[:] = np.where(np.arange(15) < 12, 2.0, 1.0) * at.theta[4:]
    assert scaled.graph(at).svg() == plain.graph(doubled).svg()


def test_one_member_is_a_network_without_members() -> None:
    net = network(members=1)
    assert net.tape == replace(net, members=1).tape
    assert [p.name for p in net.tape.parameters] == ["W1", "b1", "W2", "b2", "W3", "b3"]


@pytest.mark.parametrize("members", [0, -1, 2.5, True, "8"])
def test_a_number_of_members_that_is_none_is_refused(members: Any) -> None:
    with pytest.raises(SpecError, match="members must be"):
        network(members=members)


@pytest.mark.parametrize("position", ["pre_activation", "post_activation"])
def test_batch_norm_does_not_go_with_members(position: Any) -> None:
    layers = [Dense(3, "relu", batch_norm=BatchNorm(position)), Dense(1)]
    with pytest.raises(
        SpecError, match=r"of layers\[0\] does not go with members=4.*Set batch_norm"
    ):
        Network(2, layers, members=4)
    Network(2, layers)  # the remedies work
    Network(2, [Dense(3, "relu"), Dense(1)], members=4)


def test_a_network_that_ends_with_a_scale_is_refused() -> None:
    with pytest.raises(SpecError, match="Put the Scale before the output layer"):
        Network(2, [Dense(3), Scale()])


@pytest.mark.parametrize("layers", [LAYERS, [Scale(), *LAYERS], [Dropout(0.3), *LAYERS]])
@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_csr_inputs_are_dense_inputs(layers: Any, engine: str) -> None:
    net = network(layers)
    data = random_data(net, 12, 2)
    x = data.x * (data.x > 0)
    states = []
    for given in (x, sparse.csr_array(x)):
        state = State(random_state(net, 2).theta, seed=5)
        train(net, state, given, data.y, optimizer=SGD(0.1), epochs=2, batch_size=5, engine=engine)
        states.append(state)
    np.testing.assert_allclose(states[0].theta, states[1].theta, rtol=1e-12, atol=1e-14)


def test_factors_are_named() -> None:
    """The names that the tests of all networks take for factors are those that there are."""
    layers = [Scale(), Dense(2, batch_norm=None), Dense(2)]
    names = {p.name.rstrip("0123456789") for p in Network(2, layers, members=2).tape.parameters}
    assert names - {"W", "b"} == set(FACTORS) - {"alpha", "gamma"}
