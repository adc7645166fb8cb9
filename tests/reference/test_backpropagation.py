"""Gradients of whole networks against closed forms and published numbers (B1-B3, M1-M3, M7)."""

from __future__ import annotations

import itertools
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

from deltarule import L2, SGD, Dense, LeakyReLU, Network, check_function
from deltarule.program import Block, State
from deltarule.program.opcodes import Op
from deltarule.reference import Reference
from deltarule.reference.activations import ELEMENTWISE, softmax_differential
from deltarule.reference.affine import affine_differential, shift
from deltarule.reference.elementwise import hadamard
from support.networks import SEEDS, networks, proves, random_data, random_state


def gradient(net: Network, state: State, X: Any, y: Any, weight: Any = None) -> dict[str, Any]:
    """Return the gradient of the cost, by parameter name."""
    reference = Reference(net.tape)
    g = reference.cost(state, reference.gradient(state, Block(X, y, weight)))[2]
    return net.parameters(State(g))


# --- worked examples ------------------------------------------------------------------------------


def test_the_computational_graph_of_mebsout() -> None:
    """B3: f(x, y, z) = (x + y) z at (−2, 5, −4) is −12, with the gradient (−4, −4, 3)."""
    x, y, z = np.array([[-2.0]]), np.array([5.0]), np.array([[-4.0]])
    total, back_through_sum = shift(x, y)
    value, back_through_product = hadamard(total, z)
    assert value == -12.0
    d_total, dz = back_through_product(np.ones((1, 1)))
    dx, dy = back_through_sum(d_total)
    assert (float(dx[0, 0]), float(dy[0]), float(dz[0, 0])) == (-4.0, -4.0, 3.0)
    check = check_function(
        lambda v: (v[0] + v[1]) * v[2], lambda _: np.array([-4.0, -4.0, 3.0]), [-2, 5, -4]
    )
    assert check.verdict == "right"


def test_mebsouts_network_has_38_parameters() -> None:
    net = Network(5, [Dense(3, "relu"), Dense(3, "relu"), Dense(2)])
    assert net.tape.n_parameters == 38
    assert "38" in net.summary().splitlines()[-1]
    shapes = {p.name: p.shape for p in net.tape.parameters}
    assert shapes == {
        "W1": (5, 3), "b1": (3,), "W2": (3, 3), "b2": (3,), "W3": (3, 2), "b3": (2,),
    }  # fmt: skip


def test_mazurs_step_by_step_example() -> None:
    """M. Mazur, "A Step by Step Backpropagation Example" (2015): two sigmoid layers, η = 0.5."""
    net = Network(2, [Dense(2, "sigmoid"), Dense(2, "sigmoid")])
    state = net.initialize()
    views = net.parameters(state)
    views["W1"][...] = [[0.15, 0.25], [0.20, 0.30]]
    views["b1"][...] = 0.35
    views["W2"][...] = [[0.40, 0.50], [0.45, 0.55]]
    views["b2"][...] = 0.60
    X, y = np.array([[0.05, 0.10]]), np.array([[0.01, 0.99]])
    np.testing.assert_allclose(net.predict(state, X), [[0.75136507, 0.772928465]], atol=1e-8)
    assert net.loss_of(state, X, y) == pytest.approx(0.298371109, abs=1e-9)
    reference = Reference(net.tape, SGD(0.5))
    reference.apply_gradient(state, reference.gradient(state, Block(X, y)), 0.5)
    np.testing.assert_allclose(
        views["W2"], [[0.35891648, 0.511301270], [0.408666186, 0.561370121]], atol=1e-8
    )
    np.testing.assert_allclose(
        views["W1"], [[0.149780716, 0.24975114], [0.19956143, 0.29950229]], atol=1e-8
    )


# --- closed forms ---------------------------------------------------------------------------------


@proves(short=15, full=1000, seed=SEEDS, n=st.integers(1, 20), d=st.integers(1, 6))
def test_logistic_regression(seed: int, n: int, d: int) -> None:
    """M1: ∇w = (1/n) Xᵀ(a − y), ∇b = (1/n) Σ(a − y) (Matt R §1)."""
    net = Network(d, [Dense(1, "sigmoid")], "binary_cross_entropy")
    state, data = random_state(net, seed), random_data(net, n, seed)
    a = expit(data.x @ state.theta[:d] + state.theta[d])
    y = data.y[:, 0]
    g = gradient(net, state, data.x, data.y)
    np.testing.assert_allclose(g["W1"][:, 0], data.x.T @ (a - y) / n, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(g["b1"][0], (a - y).mean(), rtol=1e-12, atol=1e-15)


def test_the_log_loss_is_convex_and_squared_error_on_a_sigmoid_is_not() -> None:
    """M1: at x = y = 1, w = −4 the second derivative of the squared error is −0.016."""
    X, y, h = np.array([[1.0]]), np.array([[1.0]]), 1e-5

    def curvature(loss: str, w: float) -> float:
        net = Network(1, [Dense(1, "sigmoid")], loss)
        ahead, behind = (
            gradient(net, State(np.array([at, 0.0])), X, y)["W1"][0, 0] for at in (w + h, w - h)
        )
        return float(ahead - behind) / (2 * h)

    assert curvature("squared_error", -4.0) == pytest.approx(-0.016, abs=5e-4)
    for w in np.linspace(-6, 6, 25):
        a = expit(w)
        assert curvature("binary_cross_entropy", w) == pytest.approx(a * (1 - a), rel=1e-6)


UNITS = {
    "sigmoid": (lambda z: 1 / (1 + mp.exp(-z)), lambda z: mp.sech(z / 2) ** 2 / 4),
    "tanh": (mp.tanh, lambda z: mp.sech(z) ** 2),
    "relu": (lambda z: max(z, mpf(0)), lambda z: mpf(z > 0)),
    "leaky_relu": (
        lambda z: z if z > 0 else mpf("0.01") * z,
        lambda z: mpf(1) if z > 0 else mpf("0.01"),
    ),
    "identity": (lambda z: z, lambda z: mpf(1)),
    "exp": (mp.exp, mp.exp),
}


@pytest.mark.parametrize("name", UNITS)
@proves(short=10, full=300, seed=SEEDS, J=st.integers(1, 5))
def test_the_chain_of_single_neurons(name: str, seed: int, J: int) -> None:
    """M2: every gradient of f = a·h_J + b is a product (Ayrapetyan §1)."""
    net = Network(1, [Dense(1, name)] * J + [Dense(1)])
    state = random_state(net, seed)
    X = np.random.default_rng(seed).normal(size=(1, 1))
    g = gradient(net, state, X, net.predict(state, X) - 1)  # ½(f − y)² with f − y = 1: ∂C = ∂f
    u, du = UNITS[name]
    with mpmath.workdps(50):
        theta = [mpf(float(v)) for v in state.theta]
        B, c, a = theta[0:-2:2], theta[1:-2:2], theta[-2]
        z, h = [], [mpf(float(X[0, 0]))]
        for weight, bias in zip(B, c, strict=True):
            z.append(weight * h[-1] + bias)
            h.append(u(z[-1]))
        for j in range(J):
            slopes = mp.fprod(du(z[m]) for m in range(j, J))
            weights = mp.fprod(B[m] for m in range(j + 1, J))
            dc = float(a * slopes * weights)
            dB = float(a * slopes * weights * h[j])
            assert g[f"W{j + 1}"][0, 0] == pytest.approx(dB, rel=1e-11, abs=1e-15)
            assert g[f"b{j + 1}"][0] == pytest.approx(dc, rel=1e-11, abs=1e-15)
        assert g[f"W{J + 1}"][0, 0] == pytest.approx(float(h[-1]), rel=1e-11, abs=1e-15)
        assert g[f"b{J + 1}"][0] == pytest.approx(1.0, rel=1e-11)


def test_a_deep_linear_network_multiplies() -> None:
    """H1 (Mebsout): with weights c·I outputs and gradients are proportional to c^(L−1)."""
    for c in (0.5, 1.5):
        net = Network(3, [Dense(3) for _ in range(20)])
        state = net.initialize()
        for name, view in net.parameters(state).items():
            view[...] = c * np.eye(3) if name.startswith("W") else 0.0
        x = np.array([[1.0, -2.0, 3.0]])
        np.testing.assert_allclose(net.predict(state, x), c**20 * x, rtol=1e-13)
        g = gradient(net, state, x, c**20 * x - 1.0)
        np.testing.assert_allclose(g["b20"], 1.0, rtol=1e-3)
        np.testing.assert_allclose(g["b1"], c**19 * g["b20"], rtol=1e-12)


@proves(short=20, full=2000, net=networks(), seed=SEEDS, n=st.integers(1, 6))
def test_backpropagation_is_the_adjoint_of_forward_mode(net: Network, seed: int, n: int) -> None:
    """⟨∇C, ξ⟩ is the differential of C along ξ, computed forward map by map."""
    state, data = random_state(net, seed), random_data(net, n, seed)
    xi = np.random.default_rng(seed + 1).normal(size=state.theta.shape)
    sums = Reference(net.tape).gradient(state, data.block)
    terms = forward_mode(net, state.theta, xi, data)
    assert float(sums.gradient @ xi) == pytest.approx(
        float(terms.sum()), rel=1e-9, abs=1e-11 * max(1.0, np.abs(terms).sum())
    )


def forward_mode(net: Network, theta: Any, xi: Any, data: Any) -> Any:
    """Return the terms of d(Σ w L) along ξ: differentials only, no pullback."""
    at = net.parameters(State(theta))
    along = net.parameters(State(xi))
    contents = Reference(net.tape).trace(State(theta), data.x, None).contents
    tangent = np.zeros_like(data.x)
    for line in net.tape.instructions[:-1]:
        source = contents[line.source]
        if line.op == Op.AFFINE:
            number = next(p.layer for p in net.tape.parameters if p.start == line.weights)
            w, b = f"W{number}", f"b{number}"
            tangent = affine_differential(source, at[w], at[b], tangent, along[w], along[b])
        elif line.code in ELEMENTWISE:
            tangent = ELEMENTWISE[line.code].derivative(source, line.constant) * tangent
        else:
            tangent = softmax_differential(source, tangent)
    a, y = contents[-1], data.y
    # Derivatives of the likelihoods with respect to a, as in textbooks, without fusion.
    r = a - y
    slope = {
        "squared_error": lambda: r,
        "absolute_error": lambda: np.sign(r),
        "huber": lambda: np.clip(r, -1.0, 1.0),
        "quantile": lambda: 0.5 * np.sign(r),
        "binary_cross_entropy": lambda: (1 - y) / (1 - a) - y / a,
        "categorical_cross_entropy": lambda: -y / a,
        "poisson": lambda: 1 - y / a,
    }[net.loss]()
    return data.weight[:, None] * slope * tangent


# --- optima of other libraries --------------------------------------------------------------------


def put(net: Network, coef: Any, intercept: Any) -> State:
    state = net.initialize()
    views = net.parameters(state)
    views["W1"][...] = np.reshape(coef, views["W1"].shape[::-1]).T
    views["b1"][...] = intercept
    return state


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["binary", "multinomial", "poisson", "ridge"])
def test_the_gradient_vanishes_where_scikit_learn_ends(kind: str, weighted: bool) -> None:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(120, 4))
    weight = rng.uniform(0.5, 2.0, 120) if weighted else None
    total = 120.0 if weight is None else weight.sum()
    scores = X @ rng.normal(size=(4, 3)) + rng.gumbel(size=(120, 3))
    if kind in ("binary", "multinomial"):
        y = np.argmax(scores[:, : 2 if kind == "binary" else 3], axis=1)
        model = LogisticRegression(C=0.7, tol=1e-10, max_iter=10_000)
        strength = 1 / (0.7 * total)  # scikit-learn: C Σ w L + ½‖W‖²
    elif kind == "poisson":
        y = rng.poisson(np.exp(scores[:, 0] / 3))
        model, strength = PoissonRegressor(alpha=0.3, tol=1e-10, max_iter=10_000), 0.3
    else:
        y = scores
        model, strength = Ridge(alpha=2.0, tol=1e-12), 2.0 / total
    model.fit(X, y, sample_weight=weight)
    output, loss = {
        "binary": (Dense(1, "sigmoid"), "binary_cross_entropy"),
        "multinomial": (Dense(3, "softmax"), "categorical_cross_entropy"),
        "poisson": (Dense(1, "exp"), "poisson"),
        "ridge": (Dense(3), "squared_error"),
    }[kind]
    net = Network(4, [output], loss, penalties=[L2(strength)])
    state = put(net, model.coef_, model.intercept_)
    predicted = model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)
    if kind == "binary":
        predicted = predicted[:, 1]
    np.testing.assert_allclose(
        net.predict(state, X), predicted.reshape(120, -1), rtol=1e-10, atol=1e-14
    )
    targets = np.eye(3)[y] if kind == "multinomial" else np.reshape(y, (120, -1)).astype(float)
    here = gradient(net, state, X, targets, weight)
    away = gradient(
        net,
        put(net, 1.5 * model.coef_, model.intercept_ + np.arange(net.n_outputs) + 0.1),
        X,
        targets,
        weight,
    )
    for name in ("W1", "b1"):
        assert np.abs(here[name]).max() < 1e-6 < 1e-3 < np.abs(away[name]).max()


def test_regression_through_any_output_is_the_quadratic_cost() -> None:
    """M7: δ_L = (a − y) ⊙ g'(z) by hand, and by the full Jacobian of softmax (BP1)."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    for output in ("identity", "sigmoid", "tanh", "softmax", LeakyReLU(0.2)):
        net = Network(3, [Dense(2, output)])
        state = random_state(net, 3)
        z = X @ net.parameters(state)["W1"] + state.theta[6:]
        a = net.predict(state, X)
        if output == "softmax":
            jacobians = [np.diag(s) - np.outer(s, s) for s in a]
        else:
            slope = {
                "identity": np.ones_like(z),
                "sigmoid": expit(z) * expit(-z),
                "tanh": 1 / np.cosh(z) ** 2,
                LeakyReLU(0.2): np.where(z > 0, 1.0, 0.2),
            }[output]
            jacobians = [np.diag(s) for s in slope]
        delta = np.stack([J.T @ (p - t) for J, p, t in zip(jacobians, a, y, strict=True)]) / 6
        g = gradient(net, state, X, y)
        np.testing.assert_allclose(g["W1"], X.T @ delta, rtol=1e-11, atol=1e-15)  # BP4
        np.testing.assert_allclose(g["b1"], delta.sum(axis=0), rtol=1e-11, atol=1e-15)  # BP3


def test_the_penalty_is_on_weights_alone() -> None:
    """R1: + ½ s Σ‖W‖², gradient s W, nothing for biases; normalization="batch" divides by Σw."""
    layers = [Dense(4, "tanh"), Dense(2)]
    plain = Network(3, layers)
    state, data = random_state(plain, 0), random_data(plain, 7, 0)
    free = gradient(plain, state, data.x, data.y, data.weight)
    for normalization, divisor in (("mean", 1.0), ("batch", data.weight.sum())):
        net = Network(3, layers, penalties=[L2(0.3, normalization=normalization)])
        bound = gradient(net, state, data.x, data.y, data.weight)
        for (name, array), theta in zip(free.items(), net.parameters(state).values(), strict=True):
            extra = 0.3 / divisor * theta if name.startswith("W") else 0.0
            np.testing.assert_allclose(bound[name], array + extra, rtol=1e-13, atol=1e-15)
        reference = Reference(net.tape)
        value = reference.cost(state, reference.gradient(state, data.block))[1]
        squares = sum(np.sum(w**2) for name, w in net.parameters(state).items() if "W" in name)
        assert value == pytest.approx(0.15 / divisor * squares, rel=1e-13)
        assert net.loss_of(state, data.x, data.y) == plain.loss_of(state, data.x, data.y)


def test_penalties_add_up() -> None:
    layers = [Dense(4, "tanh"), Dense(2)]
    two = Network(3, layers, penalties=[L2(0.3), L2(0.2)])
    one = Network(3, layers, penalties=[L2(0.5)])
    state, data = random_state(one, 0), random_data(one, 7, 0)
    for a, b in itertools.pairwise(
        gradient(net, state, data.x, data.y).values() for net in (one, two)
    ):
        for left, right in zip(a, b, strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-13)
