"""N1-N3: batch normalisation forward, backward, in prediction and in training."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from deltarule import (
    SGD,
    Adam,
    BatchNorm,
    Dense,
    Dropout,
    EarlyStopping,
    Network,
    State,
    recompute_batch_norm,
    train,
)
from deltarule.analysis import check_gradients
from deltarule.errors import DataError, SpecError
from deltarule.program import Block
from deltarule.reference import Reference
from deltarule.reference.normalization import batch_norm, mean, variance
from deltarule.training.batches import batch_bounds
from support.networks import LIBRARIES, SEEDS, proves, random_data, random_state, train_all_steps
from support.paths import GOLDEN as GOLDEN_FOLDER
from support.regularization import order_of

GOLDEN = json.loads((GOLDEN_FOLDER / "batch_norm_traces.json").read_text())
POSITIONS = pytest.mark.parametrize("position", ["pre_activation", "post_activation"])

# --- N1: forward ----------------------------------------------------------------------------------


def sample(n: int = 9, q: int = 4, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(2.0, 3.0, (n, q)), rng.normal(1.0, 0.5, q), rng.normal(size=q)


@pytest.mark.parametrize("xp", LIBRARIES)
@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
def test_forward_is_the_closed_form(xp: Any, epsilon: float) -> None:
    x, gamma, beta = sample()
    found = batch_norm(*(xp.asarray(v) for v in (x, gamma, beta)), epsilon)[0]
    expected = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + epsilon) * gamma + beta
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-13, atol=1e-14)


def test_the_output_has_mean_beta_and_variance_gamma_squared_less_epsilon() -> None:
    """z̃ has variance γ²σ²/(σ² + ε), not γ² (erratum E-t): with ε as large as σ² it is half."""
    x, gamma, beta = sample()
    x = x / x.std(axis=0)
    z = batch_norm(x, gamma, beta, 1.0)[0]
    np.testing.assert_allclose(z.mean(axis=0), beta, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(z.var(axis=0), gamma**2 / 2, rtol=1e-13)


@pytest.mark.parametrize("epsilon", [1e-5, 0.5])
def test_the_right_gamma_and_beta_give_the_identity(epsilon: float) -> None:
    x, _, _ = sample()
    gamma, beta = np.sqrt(x.var(axis=0) + epsilon), x.mean(axis=0)
    found = batch_norm(x, gamma, beta, epsilon)[0]
    np.testing.assert_allclose(found, x, rtol=1e-13, atol=1e-14)


def test_a_constant_unit_becomes_beta() -> None:
    x, gamma, beta = sample()
    x[:, 1] = 7.0
    value, pull = batch_norm(x, gamma, beta)
    np.testing.assert_allclose(value[:, 1], beta[1], rtol=1e-11)  # 1/√ε of the rounding of 7
    assert all(np.isfinite(g).all() for g in pull(np.ones_like(x)))


@proves(short=20, full=1000, seed=SEEDS, n=st.integers(2, 7), q=st.integers(1, 4))
def test_an_integer_weight_is_a_row_repeated(seed: int, n: int, q: int) -> None:
    x, gamma, beta = sample(n, q, seed)
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, n)
    counts[0] += 1
    d, twice = rng.normal(size=(n, q)), np.repeat(np.arange(n), counts)
    share = counts / counts.sum()
    for moment, oracle in ((mean, np.mean), (variance, np.var)):
        found = moment(x, share)[0]
        np.testing.assert_allclose(found, oracle(x[twice], axis=0), rtol=1e-11, atol=1e-12)
    value, pull = batch_norm(x, gamma, beta, 1e-2, share)
    repeated, pull_repeated = batch_norm(x[twice], gamma, beta, 1e-2)
    np.testing.assert_allclose(value[twice], repeated, rtol=1e-11, atol=1e-12)
    dx, dgamma, dbeta = pull(counts[:, None] * d)
    rx, rgamma, rbeta = pull_repeated(d[twice])
    summed = np.zeros_like(x)
    np.add.at(summed, twice, rx)
    size = 1e-11 * (1 + np.abs(rx).max())
    np.testing.assert_allclose(dx, summed, rtol=0, atol=size)
    np.testing.assert_allclose(dgamma, rgamma, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(dbeta, rbeta, rtol=1e-11, atol=1e-11)


# --- N2: backward ---------------------------------------------------------------------------------


@pytest.mark.parametrize("xp", LIBRARIES)
def test_backward_is_the_formula_of_n2(xp: Any) -> None:
    x, gamma, beta = sample()
    d = np.random.default_rng(1).normal(size=x.shape)
    _, pull = batch_norm(*(xp.asarray(v) for v in (x, gamma, beta)), 0.3)
    dx, dgamma, dbeta = (np.asarray(g) for g in pull(xp.asarray(d)))
    deviation = np.sqrt(x.var(axis=0) + 0.3)
    normal = (x - x.mean(axis=0)) / deviation
    expected = gamma / deviation * (d - d.mean(axis=0) - normal * (d * normal).mean(axis=0))
    np.testing.assert_allclose(dx, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(dgamma, (d * normal).sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(dbeta, d.sum(axis=0), rtol=1e-12)
    diagonal = gamma / deviation * d  # erratum E-t: the diagonal terms alone are wrong
    assert np.abs(dx - diagonal).max() > 0.1


def test_the_gradient_is_orthogonal_to_shifts_and_scalings() -> None:
    """Σ_i dx_i = 0 always, and Σ_i dx_i x̂_i = 0 for ε = 0, since z may be shifted and scaled."""
    x, gamma, beta = sample()
    value, pull = batch_norm(x, gamma, beta, 1e-300)
    dx, _, _ = pull(np.random.default_rng(2).normal(size=x.shape))
    normal = (value - beta) / gamma
    assert np.abs(dx).max() > 0.1
    assert np.abs(dx.sum(axis=0)).max() < 1e-14
    assert np.abs((dx * normal).sum(axis=0)).max() < 1e-13


# --- in a network ---------------------------------------------------------------------------------


def net_with(
    position: str = "pre_activation", statistics: str = "population", **given: Any
) -> Network:
    norm = BatchNorm(position, statistics, **given)
    return Network(3, [Dense(4, "tanh", batch_norm=norm), Dense(2)])


@POSITIONS
def test_it_comes_before_or_after_the_activation(position: str) -> None:
    net = net_with(position)
    state, data = random_state(net, 0), random_data(net, 8, 0)
    p = net.parameters(state)
    bias = ["b1"] if position == "post_activation" else []
    assert list(p) == ["W1", *bias, "gamma1", "beta1", "W2", "b2"]  # β absorbs the bias

    def norm(x: Any) -> Any:
        deviation = np.sqrt(x.var(axis=0) + 1e-5)
        return (x - x.mean(axis=0)) / deviation * p["gamma1"] + p["beta1"]

    if position == "pre_activation":
        hidden = np.tanh(norm(data.x @ p["W1"]))
    else:
        hidden = norm(np.tanh(data.x @ p["W1"] + p["b1"]))
    reference = Reference(net.tape)
    trace = reference.trace(state, data.x, reference.training_pass(state, Block(data.x)))
    expected = hidden @ p["W2"] + p["b2"]
    np.testing.assert_allclose(trace.contents[net.tape.output], expected, rtol=1e-12, atol=1e-13)


def test_a_bias_before_normalisation_would_do_nothing() -> None:
    """A constant added to z changes neither outputs nor gradient, so there is no bias."""
    x, gamma, beta = sample()
    moved = batch_norm(x + np.array([1.0, -2.0, 0.5, 3.0]), gamma, beta)[0]
    np.testing.assert_allclose(moved, batch_norm(x, gamma, beta)[0], rtol=1e-12, atol=1e-13)


@POSITIONS
def test_the_gradient_check_passes(position: str) -> None:
    net = net_with(position)
    state, data = random_state(net, 1), random_data(net, 8, 1)
    given = {"sample_weight": data.weight}
    assert check_gradients(net, state, data.x, data.y, **given).verdict == "right"


@POSITIONS
@pytest.mark.parametrize("statistics", ["population", "running"])
def test_rows_of_weight_zero_have_no_effect(position: str, statistics: str) -> None:
    """In the loss, the gradient, and the statistics for prediction."""
    net = net_with(position, statistics)
    data = random_data(net, 9, 2)
    weight = data.weight.copy()
    weight[[0, 4, 8]] = 0.0
    x = data.x.copy()
    x[[0, 4, 8]] *= 1e6  # these would have an effect
    present = np.flatnonzero(weight)
    ends = []
    for rows in (np.arange(9), present):
        state, reference = random_state(net, 2), Reference(net.tape)
        block = Block(x, data.y, weight).take(rows)
        sums = reference.gradient(state, block)
        reference.apply_gradient(state, sums, 0.1)
        ends.append((sums.loss, sums.weight, state))
    (loss, total, one), (expected, expected_total, other) = ends
    assert (loss, total) == (pytest.approx(expected, rel=1e-12), pytest.approx(expected_total))
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-9, atol=1e-12)
    assert set(one.buffers) == set(other.buffers)
    for name in one.buffers:
        np.testing.assert_allclose(one.buffers[name], other.buffers[name], rtol=1e-9, atol=1e-12)


# --- against PyTorch ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["position"])
@pytest.mark.parametrize("statistics", ["running", "population"])
def test_steps_and_running_averages_agree_with_pytorch(case: Any, statistics: str) -> None:
    """θ, running mean and unbiased variance after every step; then the outputs: ≤ 1e-12."""
    norm = BatchNorm(case["position"], statistics, GOLDEN["epsilon"], GOLDEN["momentum"])
    d, hidden, k = GOLDEN["widths"]
    net = Network(d, [Dense(hidden, "tanh", batch_norm=norm), Dense(k)])
    state, reference = State(np.array(case["theta"])), Reference(net.tape)
    blocks = [Block(np.array(b["x"]), np.array(b["y"])) for b in case["batches"]]
    for block, expected in zip(blocks, case["steps"], strict=True):
        order = order_of([0, block.n_rows], GOLDEN["rate"])
        steps = reference.train_steps(state, block, order, range(1))
        assert steps.loss[0] == pytest.approx(expected["loss"], rel=1e-12)
        np.testing.assert_allclose(state.theta, expected["theta"], rtol=1e-12, atol=1e-13)
        if statistics == "running":
            for name in ("mean", "variance"):
                np.testing.assert_allclose(state.buffers[f"0.{name}"], expected[name], rtol=1e-12)
    if statistics == "running":
        found = net.predict(state, blocks[0].x)
        np.testing.assert_allclose(found, case["predicted"], rtol=1e-12, atol=1e-13)


# --- N3: statistics of prediction -----------------------------------------------------------------


def by_hand(net: Network, state: State, x: Any, y: Any, bounds: Any, rate: float) -> Any:
    """Take one step per batch; return μ_k and b/(b−1) σ²_k of each batch before its step."""
    reference, seen = Reference(net.tape), []
    position = net.layers[0].batch_norm.position
    for a, b in itertools.pairwise(bounds):
        p = net.parameters(state)
        z = x[a:b] @ p["W1"]
        if position == "post_activation":
            z = np.tanh(z + p["b1"])
        seen.append((b - a, z.mean(axis=0), z.var(axis=0, ddof=1)))
        sums = reference.gradient(state, Block(x[a:b], y[a:b]))
        reference.apply_gradient(state, sums, rate)
    return seen


@POSITIONS
def test_population_statistics_are_the_mean_over_the_last_epochs_batches(position: str) -> None:
    net = net_with(position)
    data = random_data(net, 11, 3)
    state, twin, reference = net.initialize(3), net.initialize(3), Reference(net.tape, SGD(0.2))
    bounds = [0, 4, 8, 11]
    for _ in range(3):  # they start again in every epoch
        train_all_steps(reference, state, Block(data.x, data.y), order_of(bounds, 0.2))
        seen = by_hand(net, twin, data.x, data.y, bounds, 0.2)
        sizes = [s[0] for s in seen]
        for i, name in ((1, "mean"), (2, "variance")):
            expected = np.average([s[i] for s in seen], axis=0, weights=sizes)
            np.testing.assert_allclose(state.buffers[f"0.{name}"], expected, rtol=1e-12)
        assert float(state.buffers["0.weight"]) == 11
    np.testing.assert_array_equal(state.theta, twin.theta)


def test_population_statistics_weigh_batches_by_the_weight_of_their_rows() -> None:
    net = net_with()
    data = random_data(net, 9, 4)
    state, reference = net.initialize(4), Reference(net.tape)
    w1 = net.parameters(state)["W1"].copy()
    train_all_steps(reference, state, data.block, order_of([0, 5, 9], 1e-300))  # nothing moves
    z, moments = data.x @ w1, []
    for rows in (slice(0, 5), slice(5, 9)):
        w, b = data.weight[rows], len(data.weight[rows])
        mu = np.average(z[rows], axis=0, weights=w)
        moments.append((mu, b / (b - 1) * np.average((z[rows] - mu) ** 2, axis=0, weights=w)))
    totals = [data.weight[:5].sum(), data.weight[5:].sum()]
    for i, name in enumerate(("mean", "variance")):
        expected = np.average([m[i] for m in moments], axis=0, weights=totals)
        np.testing.assert_allclose(state.buffers[f"0.{name}"], expected, rtol=1e-12)


@pytest.mark.parametrize("momentum", [0.1, 0.5, 1.0])
def test_running_averages_follow_their_formula(momentum: float) -> None:
    """v ← (1 − m) v + m v_k from (0, 1), continued from epoch to epoch."""
    net = net_with(statistics="running", momentum=momentum)
    data = random_data(net, 11, 5)
    state, twin, reference = net.initialize(5), net.initialize(5), Reference(net.tape)
    mean_, variance_ = np.zeros(4), np.ones(4)
    bounds = [0, 4, 8, 11]
    for _ in range(2):
        train_all_steps(reference, state, Block(data.x, data.y), order_of(bounds, 0.2))
        for _, mu, sigma2 in by_hand(net, twin, data.x, data.y, bounds, 0.2):
            mean_ = (1 - momentum) * mean_ + momentum * mu
            variance_ = (1 - momentum) * variance_ + momentum * sigma2
    np.testing.assert_allclose(state.buffers["0.mean"], mean_, rtol=1e-12)
    np.testing.assert_allclose(state.buffers["0.variance"], variance_, rtol=1e-12)
    p, expected = net.parameters(state), None
    z = (data.x @ p["W1"] - mean_) / np.sqrt(variance_ + 1e-5) * p["gamma1"] + p["beta1"]
    expected = np.tanh(z) @ p["W2"] + p["b2"]
    np.testing.assert_allclose(net.predict(state, data.x), expected, rtol=1e-11, atol=1e-12)


def test_population_statistics_last_until_the_next_epoch() -> None:
    net = net_with()
    data = random_data(net, 8, 6)
    state, reference = net.initialize(6), Reference(net.tape)
    train_all_steps(reference, state, Block(data.x, data.y), order_of([0, 4, 8]))
    kept = {name: value.copy() for name, value in state.buffers.items()}
    state.restart_population_statistics()
    np.testing.assert_array_equal(state.buffers["0.mean"], kept["0.mean"])
    np.testing.assert_array_equal(state.buffers["0.variance"], kept["0.variance"])
    reference.train_steps(state, Block(data.x, data.y), order_of([0, 4, 8]), range(1))
    assert float(state.buffers["0.weight"]) == 4


@POSITIONS
@pytest.mark.parametrize("weighted", [False, True])
def test_refreshed_statistics_are_an_exact_pass_with_the_final_theta(
    position: str, weighted: bool
) -> None:
    net = net_with(position)
    data = random_data(net, 25, 7)
    state = net.initialize(7)
    train(net, state, data.x, data.y, epochs=3, batch_size=6, optimizer=SGD(0.3))
    stale, theta = state.buffers["0.mean"].copy(), state.theta.copy()
    weight = data.weight if weighted else np.ones(25)
    recompute_batch_norm(
        net, state, data.x, batch_size=8, sample_weight=weight if weighted else None
    )
    p = net.parameters(state)
    z = data.x @ p["W1"]
    if position == "post_activation":
        z = np.tanh(z + p["b1"])
    moments, totals = [], []
    for rows in (slice(0, 8), slice(8, 16), slice(16, 25)):  # the last row joins the third
        w, b = weight[rows], len(weight[rows])
        mu = np.average(z[rows], axis=0, weights=w)
        moments.append((mu, b / (b - 1) * np.average((z[rows] - mu) ** 2, axis=0, weights=w)))
        totals.append(w.sum())
    for i, name in enumerate(("mean", "variance")):
        expected = np.average([m[i] for m in moments], axis=0, weights=totals)
        np.testing.assert_allclose(state.buffers[f"0.{name}"], expected, rtol=1e-12)
    assert np.abs(state.buffers["0.mean"] - stale).max() > 1e-6
    np.testing.assert_array_equal(state.theta, theta)


def test_in_one_batch_refreshed_statistics_predict_what_training_saw() -> None:
    """Except for the factor b/(b − 1) of the variance, which is removed here."""
    net = net_with()
    data = random_data(net, 12, 8)
    state = random_state(net, 8)
    recompute_batch_norm(net, state, data.x, batch_size=12)
    state.buffers["0.variance"] = state.buffers["0.variance"] * 11 / 12
    reference = Reference(net.tape)
    trace = reference.trace(state, data.x, reference.training_pass(state, Block(data.x)))
    np.testing.assert_allclose(
        net.predict(state, data.x), trace.contents[net.tape.output], rtol=1e-12, atol=1e-13
    )


def test_running_averages_are_not_refreshed() -> None:
    net = net_with(statistics="running")
    data = random_data(net, 12, 9)
    state = net.initialize(9)
    train(net, state, data.x, data.y, epochs=1)
    kept = {name: value.copy() for name, value in state.buffers.items()}
    recompute_batch_norm(net, state, data.x)
    assert set(state.buffers) == set(kept)
    assert all(np.array_equal(state.buffers[name], kept[name]) for name in kept)


def test_under_dropout_a_refresh_draws_every_row_its_own_mask() -> None:
    """Otherwise every batch would use the masks of the first one."""
    net = Network(2, [Dropout(0.5), Dense(1, batch_norm=BatchNorm()), Dense(1)])
    state = random_state(net, 10)
    x = np.ones((4000, 2))
    recompute_batch_norm(net, state, x, batch_size=2)
    w = net.parameters(state)["W1"][:, 0]
    error = np.sqrt(np.sum(w**2) / 4000)  # Var(h̃) = h²(1 − p)/p = w² at p = ½
    assert abs(state.buffers["0.mean"][0] - w.sum()) < 5 * error
    assert state.buffers["0.variance"][0] == pytest.approx(np.sum(w**2), rel=0.2)


@POSITIONS
def test_before_any_training_prediction_takes_mean_0_and_variance_1(position: str) -> None:
    net = net_with(position)
    state, data = random_state(net, 11), random_data(net, 5, 11)
    p = net.parameters(state)
    scale = p["gamma1"] / np.sqrt(1 + 1e-5)
    if position == "pre_activation":
        hidden = np.tanh(data.x @ p["W1"] * scale + p["beta1"])
    else:
        hidden = np.tanh(data.x @ p["W1"] + p["b1"]) * scale + p["beta1"]
    expected = hidden @ p["W2"] + p["b2"]
    np.testing.assert_allclose(net.predict(state, data.x), expected, rtol=1e-12, atol=1e-13)
    assert state.buffers == {}


@POSITIONS
def test_the_pullback_of_prediction(position: str) -> None:
    """In prediction it is affine with constant statistics; compared with difference quotients."""
    net = net_with(position)
    state, data = random_state(net, 20), random_data(net, 6, 20)
    rng = np.random.default_rng(20)
    state.buffers = {"0.mean": rng.normal(size=4), "0.variance": rng.uniform(0.5, 2.0, 4)}
    reference, d = Reference(net.tape), rng.normal(size=(6, 2))
    gradient = np.zeros_like(state.theta)
    reference.pull_back(reference.trace(state, data.x, None), d, gradient)
    numeric, h = np.empty_like(gradient), 1e-5
    for i in range(len(numeric)):
        ends = []
        for sign in (1, -1):
            other = state.copy()
            other.theta[i] += sign * h
            ends.append(np.sum(d * net.predict(other, data.x)))
        numeric[i] = (ends[0] - ends[1]) / (2 * h)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-7, atol=1e-8)


def test_the_statistics_belong_to_the_state() -> None:
    """Copied, restored, and returned with the best θ."""
    net = net_with()
    data = random_data(net, 20, 12)
    state = net.initialize(12)
    train(net, state, data.x, data.y, epochs=2, batch_size=5, optimizer=SGD(0.1))
    kept = state.copy()
    before = net.predict(state, data.x)
    theta = state.theta
    train(net, state, data.x, data.y, epochs=2, batch_size=5, optimizer=SGD(0.1))
    assert np.abs(net.predict(state, data.x) - before).max() > 1e-6
    state.restore(kept)
    assert state.theta is theta
    np.testing.assert_array_equal(net.predict(state, data.x), before)
    state.buffers["0.mean"][...] = 99.0  # the copy shares no memory
    np.testing.assert_array_equal(net.predict(kept, data.x), before)


def test_early_stopping_returns_the_best_statistics_with_the_best_theta() -> None:
    net = net_with()
    data, held = random_data(net, 24, 13), random_data(net, 30, 14)
    state, states = net.initialize(13), []
    history = train(
        net, state, data.x, data.y, epochs=40, batch_size=6, optimizer=SGD(0.4),
        validation=(held.x, held.y), stopping=EarlyStopping(tol=0.0, patience=3),
        on_epoch=lambda history: states.append(state.copy()),
    )  # fmt: skip
    assert history.stopped_by == "no improvement"
    best = states[history.best_epoch - 1]
    assert history.best_epoch < history.n_epochs
    assert state.theta.tobytes() == best.theta.tobytes()
    assert {n: b.tobytes() for n, b in state.buffers.items()} == {
        n: b.tobytes() for n, b in best.buffers.items()
    }
    assert net.loss_of(state, held.x, held.y) == min(history.validation_loss)


@pytest.mark.parametrize("xp", LIBRARIES)
@POSITIONS
def test_steps_and_prediction_on_any_array_library(xp: Any, position: str) -> None:
    layers = [Dense(4, "tanh", batch_norm=BatchNorm(position)), Dropout(0.3), Dense(2)]
    net = Network(3, layers)
    data = random_data(net, 8, 15)
    block = Block(*(xp.asarray(v) for v in (data.x, data.y, data.weight)))
    state, reference = net.initialize(15, like=block.x), Reference(net.tape, Adam(0.1))
    twin, plain = net.initialize(15), Reference(net.tape, Adam(0.1))
    train_all_steps(reference, state, block, order_of([0, 4, 8]))
    train_all_steps(plain, twin, data.block, order_of([0, 4, 8]))
    assert type(state.theta) is type(block.x)
    np.testing.assert_allclose(np.asarray(state.theta), twin.theta, rtol=1e-12, atol=1e-13)
    for name, value in twin.buffers.items():
        np.testing.assert_allclose(np.asarray(state.buffers[name]), value, rtol=1e-12)
    found = np.asarray(net.predict(state, block.x))
    np.testing.assert_allclose(found, net.predict(twin, data.x), rtol=1e-12, atol=1e-13)


# --- the smallest batches -------------------------------------------------------------------------


def joined(n: int, size: int, present: Any, least: int) -> list[list[int]]:
    """Simple oracle: batches as lists of rows; those with too few rows are joined in order."""
    batches = [list(range(i, min(i + size, n))) for i in range(0, n, size)]

    def rich(batch: list[int]) -> bool:
        return sum(bool(present[i]) for i in batch) >= least

    done: list[list[int]] = []
    for batch in batches:
        if done and not (rich(batch) and rich(done[-1])):
            done[-1] = done[-1] + batch
        else:
            done.append(batch)
    return done


@proves(
    short=100, full=4000, n=st.integers(1, 30), size=st.integers(1, 9), least=st.integers(1, 4),
    data=st.data(),
)  # fmt: skip
def test_batch_bounds_join_what_is_too_small(n: int, size: int, least: int, data: Any) -> None:
    present = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    if least == 1:
        present[:] = True  # without batch norm a batch of weight zero is skipped, not joined
    bounds = batch_bounds(n, size, present, least).tolist()
    expected = joined(n, size, present, least)
    assert [list(range(a, b)) for a, b in itertools.pairwise(bounds)] == expected
    counts = [int(present[a:b].sum()) for a, b in itertools.pairwise(bounds)]
    assert min(counts) >= least or len(counts) == 1


def test_a_batch_with_too_few_rows_joins_the_one_before() -> None:
    present = np.array([1, 1, 1, 0, 0, 1, 1, 1, 1], dtype=bool)
    assert batch_bounds(9, 3, present, 2).tolist() == [0, 6, 9]
    assert batch_bounds(9, 3, ~present, 2).tolist() == [0, 9]
    assert batch_bounds(9, 3, present, 1).tolist() == [0, 3, 6, 9]
    assert batch_bounds(5, 2, None, 2).tolist() == [0, 2, 5]


@pytest.mark.parametrize(("n", "size", "steps"), [(9, 4, 2), (10, 4, 3), (9, 9, 1), (3, 2, 1)])
def test_a_last_batch_of_one_row_joins_the_one_before(n: int, size: int, steps: int) -> None:
    net = net_with()
    data = random_data(net, n, 16)
    state = net.initialize(16)
    train(net, state, data.x, data.y, epochs=1, batch_size=size)
    assert state.step == steps
    assert float(state.buffers["0.weight"]) == n
    without = Network(3, [Dense(4, "tanh"), Dense(2)])
    state = without.initialize(16)
    train(without, state, data.x, data.y, epochs=1, batch_size=size)
    assert state.step == -(-n // size)


def test_a_last_batch_of_one_weighted_row_joins_too() -> None:
    net = net_with()
    data = random_data(net, 12, 17)
    weight = np.ones(12)
    weight[9:] = 0.0  # without shuffling the last batch of four has one row that counts
    state = net.initialize(17)
    train(net, state, data.x, data.y, sample_weight=weight, epochs=1, batch_size=4, shuffle=False)
    assert state.step == 2
    assert float(state.buffers["0.weight"]) == 9


def test_a_batch_of_one_is_refused() -> None:
    net = net_with()
    data = random_data(net, 6, 18)
    with pytest.raises(SpecError, match=r"batch_size must be at least 2 .* batch norm; got 1"):
        train(net, net.initialize(), data.x, data.y, batch_size=1)
    reference, state = Reference(net.tape), net.initialize()
    lone = np.zeros(6)
    lone[2] = 1.0
    for block in (Block(data.x[:1], data.y[:1]), Block(data.x, data.y, lone)):
        with pytest.raises(DataError, match=r"at least 2 rows of non-zero weight .* got 1"):
            reference.gradient(state, block)
    with pytest.raises(DataError, match="at least 2 samples"):
        train(net, net.initialize(), data.x[:1], data.y[:1])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"position": "around"},
            "position must be one of post_activation, pre_activation; got 'around'",
        ),
        (
            {"inference_statistics": "exact"},
            "inference_statistics must be one of population, running",
        ),
        ({"epsilon": 0.0}, r"epsilon must be in \(0, inf\); got 0.0"),
        ({"momentum": 0.0}, r"momentum must be in \(0, 1\]; got 0.0"),
        ({"momentum": 1.1}, r"momentum must be in \(0, 1\]; got 1.1"),
    ],
)
def test_invalid_constants_are_refused(given: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        BatchNorm(**given)


def test_the_output_layer_is_not_normalised() -> None:
    with pytest.raises(SpecError, match="output layer cannot have batch normalisation"):
        Network(3, [Dense(2, batch_norm=BatchNorm())])


# --- what it is for -------------------------------------------------------------------------------


def test_the_scale_of_the_inputs_does_not_matter() -> None:
    """With batch normalisation X and 1000 X + 7 give the same outputs (Ioffe & Szegedy §3.3)."""
    net = Network(3, [Dense(6, "tanh", batch_norm=BatchNorm(epsilon=1e-12)), Dense(2)])
    data, state, outputs = random_data(net, 40, 19), net.initialize(19), []
    for x in (data.x, 1000 * data.x + 7):
        reference = Reference(net.tape)
        trace = reference.trace(state, x, reference.training_pass(state, Block(x)))
        outputs.append(trace.contents[net.tape.output])
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-7, atol=1e-8)
