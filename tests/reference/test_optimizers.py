"""Optimisers against exact arithmetic, other libraries and closed forms (O1-O3, O5, R1)."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import strategies as st
from mpmath import mp, mpf
from sklearn.neural_network import _stochastic_optimizers as peers

from deltarule import L2, SGD, Adam, Dense, EMAMomentum, Network
from deltarule.errors import SpecError
from deltarule.program import Block
from deltarule.reference import Reference
from deltarule.reference.optimizers import Rule, rule_of
from deltarule.training import minimize_cost
from support.networks import LIBRARIES, SEEDS, one_order, proves, random_data, random_state


def changes(rule: Rule, gradients: list[Any], eta: float, xp: Any = np) -> list[Any]:
    """Return the steps of a rule for these gradients."""
    memory = rule.begin(xp.zeros_like(xp.asarray(gradients[0])))
    taken = []
    for g in gradients:
        step, memory, _ = rule.step(memory, xp.asarray(g), eta, xp.zeros_like(xp.asarray(g)))
        taken.append(np.asarray(step))
    return taken


def draw_gradients(seed: int, steps: int, size: int = 3) -> list[Any]:
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.uniform(-6, 3, size)
    return [rng.normal(size=size) * scales for _ in range(steps)]


# --- against exact arithmetic ---------------------------------------------------------------------


@pytest.mark.parametrize("xp", LIBRARIES)
@proves(
    short=8,
    full=500,
    seed=SEEDS,
    mu=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    eta=st.floats(1e-4, 3.0),
    nesterov=st.booleans(),
)
def test_momentum_sums_past_gradients(
    xp: Any, seed: int, mu: float, eta: float, nesterov: bool
) -> None:
    """v_t = −η Σ_j μ^(t−j) g_j; the step is v_t, or μ v_t − η g_t with Nesterov momentum."""
    gradients = draw_gradients(seed, 12)
    taken = changes(rule_of(SGD(eta, mu, nesterov)), gradients, eta, xp)
    m, e = Fraction(mu), Fraction(eta)
    for t, step in enumerate(taken):
        for i in range(3):
            past = [Fraction(float(g[i])) for g in gradients[: t + 1]]
            v = -e * sum(m ** (t - j) * g for j, g in enumerate(past))
            exact = m * v - e * past[-1] if nesterov else v
            size = float(e * sum(m ** (t - j) * abs(g) for j, g in enumerate(past)))
            assert step[i] == pytest.approx(float(exact), rel=1e-14, abs=4e-15 * size)


@proves(short=8, full=500, seed=SEEDS, beta=st.floats(0, 0.99), eta=st.floats(1e-4, 3.0))
def test_the_average_of_gradients_is_heavy_ball_with_a_smaller_step(
    seed: int, beta: float, eta: float
) -> None:
    """O3: V ← βV + (1 − β)g equals heavy ball with η(1 − β); V_t = (1 − β) Σ β^(t−j) g_j."""
    gradients = draw_gradients(seed, 12)
    average = changes(rule_of(EMAMomentum(eta, beta)), gradients, eta)
    ball = changes(rule_of(SGD(eta, beta)), gradients, eta * (1 - beta))
    size = eta * np.abs(gradients).max(axis=0)
    for t, (a, b) in enumerate(zip(average, ball, strict=True)):
        weights = (1 - beta) * beta ** np.arange(t, -1, -1.0)
        mean = -eta * (weights @ np.array(gradients[: t + 1]))
        assert (np.abs(a - b) <= 1e-14 * size).all()
        assert (np.abs(a - mean) <= 1e-14 * size).all()


@pytest.mark.parametrize("xp", LIBRARIES)
@proves(
    short=10,
    full=300,
    seed=SEEDS,
    constants=st.sampled_from([(0.9, 0.999, 1e-8), (0.0, 0.5, 1e-3), (0.5, 0.0, 1.0)]),
    eta=st.floats(1e-4, 1.0),
)
def test_adam_is_algorithm_1(
    xp: Any, seed: int, constants: tuple[float, float, float], eta: float
) -> None:
    """Kingma & Ba 2015, Algorithm 1, in 50 digits over 20 steps."""
    gradients = draw_gradients(seed, 20)
    taken = changes(rule_of(Adam(eta, *constants)), gradients, eta, xp)
    with mpmath.workdps(50):
        b1, b2, eps = (mpf(c) for c in constants)
        for i in range(3):
            m = v = theta = ours = mpf(0)
            for t, g in enumerate(gradients, start=1):
                gt = mpf(float(g[i]))
                m = b1 * m + (1 - b1) * gt
                v = b2 * v + (1 - b2) * gt**2
                m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
                theta -= eta * m_hat / (mp.sqrt(v_hat) + eps)
                ours += mpf(float(taken[t - 1][i]))
                assert abs(ours - theta) <= mpf("1e-12") * eta * t


def test_the_first_step_of_adam_has_the_size_of_the_learning_rate() -> None:
    g = np.array([1e-3, -5.0, 1e4, 0.0])
    (step,) = changes(rule_of(Adam(0.1)), [g], 0.1)
    np.testing.assert_allclose(step, -0.1 * np.sign(g), rtol=2e-5)


def test_adams_epsilon_follows_the_bias_correction() -> None:
    """Erratum E-n: with g = 1 at t = 1, √v̂ = 1: the step is η/(1 + ε), not η/(1 + ε/√(1 − β₂))."""
    (step,) = changes(rule_of(Adam(1.0, epsilon=0.5)), [np.ones(1)], 1.0)
    assert step[0] == pytest.approx(-1 / 1.5, rel=1e-14)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_agrees_with_scikit_learn(nesterov: bool) -> None:
    gradients = draw_gradients(0, 20)
    theta = [np.zeros(3)]
    peer = peers.SGDOptimizer(theta, 0.3, "constant", momentum=0.8, nesterov=nesterov)
    ours = np.zeros(3)
    for g, step in zip(
        gradients, changes(rule_of(SGD(0.3, 0.8, nesterov)), gradients, 0.3), strict=True
    ):
        peer.update_params(theta, [g])
        ours += step
        np.testing.assert_allclose(ours, theta[0], rtol=1e-13)


def test_adam_differs_from_scikit_learn_only_in_epsilon() -> None:
    gradients = draw_gradients(1, 20)
    theta = [np.zeros(3)]
    peer = peers.AdamOptimizer(theta, 0.3, epsilon=1e-300)
    ours = np.zeros(3)
    for g, step in zip(
        gradients, changes(rule_of(Adam(0.3, epsilon=1e-300)), gradients, 0.3), strict=True
    ):
        peer.update_params(theta, [g])
        ours += step
        np.testing.assert_allclose(ours, theta[0], rtol=1e-12)


@pytest.mark.parametrize(
    "optimizer", [SGD(momentum=0.9, nesterov=True), EMAMomentum(), Adam()], ids=repr
)
def test_a_rule_mutates_nothing_and_keeps_the_number_type(optimizer: Any) -> None:
    rule = rule_of(optimizer)
    theta, g = np.ones(3, np.float32), np.array([1, -2, 3], np.float32)
    memory = rule.begin(theta)
    for _ in range(3):
        kept = [np.array(item) for item in memory]
        step, following, _ = rule.step(memory, g, 0.1, theta)
        for before, item in zip(kept, memory, strict=True):
            np.testing.assert_array_equal(before, item)
        assert step.dtype == np.float32
        assert all(item.dtype == np.float32 for item in following if hasattr(item, "dtype"))
        memory = following
    np.testing.assert_array_equal(g, np.array([1, -2, 3], np.float32))
    np.testing.assert_array_equal(theta, 1.0)


# --- on quadratics --------------------------------------------------------------------------------


def quadratic(seed: int, n: int = 12, d: int = 3) -> tuple[Network, Block, Any, Any]:
    """Return a linear regression: its cost is ½ (θ − θ*)ᵀ H (θ − θ*) + constant."""
    net = Network(d, [Dense(1)])
    data = random_data(net, n, seed)
    A = np.column_stack([data.x, np.ones(n)])
    H = A.T @ A / n
    solution = np.linalg.lstsq(A, data.y[:, 0])[0]
    return net, Block(data.x, data.y), H, solution


@proves(short=10, full=200, seed=SEEDS)
def test_gradient_descent_on_a_quadratic(seed: int) -> None:
    """O1: θ_t − θ* = (I − ηH)^t (θ_0 − θ*)."""
    net, block, H, solution = quadratic(seed)
    eta = 1.0 / np.linalg.eigvalsh(H).max()
    state = random_state(net, seed)
    begin = state.theta.copy()
    reference = Reference(net.tape, SGD(eta))
    for t in range(1, 31):
        reference.apply_gradient(state, reference.gradient(state, block), eta)
        closed = solution + np.linalg.matrix_power(np.eye(4) - eta * H, t) @ (begin - solution)
        np.testing.assert_allclose(state.theta, closed, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("nesterov", [False, True])
@proves(short=10, full=200, seed=SEEDS)
def test_momentum_on_a_quadratic(nesterov: bool, seed: int) -> None:
    """Every step multiplies (θ, v) by the same matrix."""
    net, block, H, solution = quadratic(seed)
    eta, mu = 0.5 / np.linalg.eigvalsh(H).max(), 0.8
    state = random_state(net, seed)
    I4, Z = np.eye(4), np.zeros((4, 4))
    # v' = μ v − ηH e;  e' = e + v', or e + μ v' − ηH e
    ahead = np.block([[I4 - eta * H, mu * I4], [-eta * H, mu * I4]])
    if nesterov:
        ahead = np.block([[I4 - (1 + mu) * eta * H, mu**2 * I4], [-eta * H, mu * I4]])
    error = np.concatenate([state.theta - solution, Z[0]])
    reference = Reference(net.tape, SGD(eta, mu, nesterov))
    for t in range(1, 31):
        reference.apply_gradient(state, reference.gradient(state, block), eta)
        closed = (np.linalg.matrix_power(ahead, t) @ error)[:4]
        np.testing.assert_allclose(state.theta - solution, closed, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_lbfgs_ends_at_the_normal_equations(strength: float) -> None:
    net, block, H, _ = quadratic(3)
    net = Network(3, net.layers, penalties=[L2(strength)])
    A = np.column_stack([block.x, np.ones(12)])
    on_weights = np.diag([strength] * 3 + [0.0])
    solution = np.linalg.solve(H + on_weights, A.T @ block.y[:, 0] / 12)
    state = random_state(net, 0)
    minimum = minimize_cost(Reference(net.tape), state, block, tol=1e-9)
    assert minimum.converged
    # SciPy's minimiser also stops when the cost falls by less than 2e-9 of its value.
    np.testing.assert_allclose(state.theta, solution, atol=1e-4)
    residual = A @ solution - block.y[:, 0]
    penalty = strength / 2 * float(solution[:3] @ solution[:3])
    least = float(residual @ residual) / 24 + penalty
    assert minimum.history.cost[-1] == pytest.approx(least, rel=1e-7)
    assert minimum.history.penalty[-1] == pytest.approx(penalty, rel=1e-3, abs=1e-12)
    assert (np.diff(minimum.history.cost) <= 0).all()
    assert minimum.n_iterations == minimum.history.n_epochs == minimum.history.best_epoch


def test_lbfgs_stops_at_its_limits() -> None:
    net, block, _, _ = quadratic(4)
    reference = Reference(net.tape)
    limited = minimize_cost(reference, random_state(net, 0), block, max_iterations=2, tol=1e-12)
    assert (limited.converged, limited.n_iterations) == (False, 2)
    assert limited.history.stopped_by == "epochs"
    stopped = minimize_cost(
        reference, random_state(net, 0), block, on_iteration=lambda h: h.n_epochs == 3, tol=1e-12
    )
    assert stopped.history.n_epochs == 3
    assert not stopped.converged


@pytest.mark.parametrize(("end", "evaluations"), [("Ctrl-C", 2), ("Ctrl-C", 0), ("NaN", 2)])
def test_lbfgs_ends_at_a_finite_point_however_it_ends(end: str, evaluations: int) -> None:
    net, block, _, _ = quadratic(4)

    class Troubled(Reference):
        calls = 0

        def gradient(self, *given: Any) -> Any:
            Troubled.calls += 1
            sums = super().gradient(*given)
            if Troubled.calls <= evaluations:
                return sums
            if end == "Ctrl-C":
                raise KeyboardInterrupt
            return sums._replace(loss=float("nan"), gradient=sums.gradient * np.nan)

    state, begin = random_state(net, 0), random_state(net, 0)
    minimum = minimize_cost(Troubled(net.tape), state, block, tol=1e-12)
    assert minimum.history.stopped_by == ("interrupt" if end == "Ctrl-C" else "divergence")
    assert not minimum.converged
    assert np.isfinite(state.theta).all()
    X, y = block.x, block.y
    assert net.loss_of(state, X, y) <= net.loss_of(begin, X, y)


def test_l2_under_plain_descent_is_weight_decay() -> None:
    """R1: if the loss has no gradient in W, a step multiplies W by 1 − ηs; biases do not change."""
    eta, s = 0.5, 0.25
    net = Network(3, [Dense(2)], penalties=[L2(s)])
    state = random_state(net, 0)
    begin = {name: view.copy() for name, view in net.parameters(state).items()}
    X = np.zeros((4, 3))  # the loss does not depend on W
    y = np.tile(begin["b1"], (4, 1))  # and has no gradient in b
    reference = Reference(net.tape, SGD(eta))
    steps = reference.train_steps(state, Block(X, y), one_order(np.arange(4), 1, eta), range(4))
    views = net.parameters(state)
    np.testing.assert_allclose(views["W1"], (1 - eta * s) ** 4 * begin["W1"], rtol=1e-15)
    np.testing.assert_array_equal(views["b1"], begin["b1"])
    decays = (1 - eta * s) ** (2 * np.arange(4)) * s / 2 * np.sum(begin["W1"] ** 2)
    np.testing.assert_allclose(steps.penalty, decays, rtol=1e-14)
    np.testing.assert_array_equal(steps.loss, 0.0)


@pytest.mark.parametrize("optimizer", [SGD(0.5, momentum=0.9), Adam(0.5)], ids=repr)
def test_l2_under_momentum_and_adam_is_not_weight_decay(optimizer: Any) -> None:
    net = Network(1, [Dense(1)], penalties=[L2(0.25)])
    state = net.initialize()
    state.theta[:] = [1.0, 0.0]
    reference = Reference(net.tape, optimizer)
    block = Block(np.zeros((1, 1)), np.zeros((1, 1)))
    for _ in range(2):
        reference.apply_gradient(state, reference.gradient(state, block), 0.5)
    assert abs(state.theta[0] - (1 - 0.125) ** 2) > 0.01


# --- mini-batches ---------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@proves(
    short=10, full=100, seed=SEEDS, n=st.integers(2, 7), share=st.floats(0.01, 1)
)  # fmt: skip
def test_the_mini_batch_gradient_by_enumeration(
    weighted: bool, seed: int, n: int, share: float
) -> None:
    """O2: over all batches of b rows of n the mean is the gradient, and the variance about it is
    (S/b)(n − b)/(n − 1), S the variance of one row's gradient."""
    b = max(1, round(share * n))
    net = Network(2, [Dense(3, "tanh"), Dense(2, "softmax")], "categorical_cross_entropy")
    state, data = random_state(net, seed), random_data(net, n, seed)
    weight = data.weight if weighted else np.ones(n)
    reference = Reference(net.tape)
    block = Block(data.x, data.y, weight)

    def mean_gradient(rows: Any) -> Any:
        # The weight of a batch depends on its rows, so only sums over b rows are unbiased.
        return reference.gradient(state, block, np.array(rows)).gradient / len(rows)

    single = np.array([mean_gradient([i]) for i in range(n)])
    S = np.mean(np.sum((single - single.mean(axis=0)) ** 2, axis=1))
    batches = np.array([mean_gradient(rows) for rows in itertools.combinations(range(n), b)])
    whole = mean_gradient(range(n))
    np.testing.assert_allclose(batches.mean(axis=0), whole, rtol=1e-10, atol=1e-14)
    spread = np.mean(np.sum((batches - whole) ** 2, axis=1))
    assert spread == pytest.approx(S / b * (n - b) / (n - 1), rel=1e-9, abs=1e-15)


# --- descriptions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SGD(0.0), r"learning_rate must be in \(0, inf\); got 0\.0"),
        (lambda: SGD(-1), r"learning_rate must be in \(0, inf\); got -1"),
        (lambda: SGD(float("nan")), "learning_rate"),
        (lambda: SGD(float("inf")), "learning_rate"),
        (lambda: SGD("fast"), "learning_rate must be a number .* got 'fast'"),
        (lambda: SGD(True), "learning_rate must be a number"),
        (lambda: SGD(0.1, momentum=1.5), r"momentum must be in \[0, 1\]; got 1\.5"),
        (lambda: EMAMomentum(0.1, beta=1.0), r"beta must be in \[0, 1\); got 1\.0"),
        (lambda: Adam(beta1=1), r"beta1 must be in \[0, 1\)"),
        (lambda: Adam(beta2=-0.1), r"beta2 must be in \[0, 1\)"),
        (lambda: Adam(epsilon=0), r"epsilon must be in \(0, inf\)"),
        (lambda: rule_of("adam"), "optimizer must take one step per mini-batch.* got 'adam'"),
    ],
)
def test_constants_out_of_range_are_named(make: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        make()
