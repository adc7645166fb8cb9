"""R6: the effect of L2, L1 and early stopping at a minimum, for quadratics and linear networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn.linear_model import Lasso, Ridge

from deltarule import L2, SGD, BatchNorm, Dense, Network, State, shrinkage_table, train
from deltarule.analysis.curvature import hessian_matrix
from deltarule.analysis.shrinkage import l1_shrinkage, quadratic_shrinkage
from deltarule.errors import SpecError
from deltarule.program import Block
from support.networks import SEEDS, proves, random_data, random_state
from support.regularization import cost_gradient


def quadratic(m: int, seed: int, low: float = 0.05) -> tuple[Any, Any]:
    """Return a positive definite H and a minimum w*."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(m, m)))
    return q @ np.diag(rng.uniform(low, 3.0, m)) @ q.T, rng.normal(size=m)


@proves(
    short=20, full=2000, m=st.integers(1, 8), seed=SEEDS, s=st.floats(0.0, 5.0),
    steps=st.integers(1, 60),
)  # fmt: skip
def test_on_a_quadratic_the_table_is_exact(m: int, seed: int, s: float, steps: int) -> None:
    h, w = quadratic(m, seed)
    found = quadratic_shrinkage(h, w, s, learning_rate=0.3, steps=steps)
    # L2: the minimum of ½(w − w*)ᵀH(w − w*) + ½s‖w‖², by solving for it.
    penalised = np.linalg.solve(h + s * np.eye(m), h @ w)
    np.testing.assert_allclose(found.l2_weights, penalised, rtol=1e-10, atol=1e-12)
    d, q = np.linalg.eigh(h)
    np.testing.assert_allclose(found.eigenvalues, d[::-1], rtol=1e-12)
    np.testing.assert_allclose(found.l2_factors, (d / (d + s))[::-1], rtol=1e-11)
    # Early stopping: run gradient descent from 0.
    v = np.zeros(m)
    for _ in range(steps):
        v -= 0.3 * h @ (v - w)
    np.testing.assert_allclose(
        (q.T @ v)[::-1], found.stopping_factors * (q.T @ w)[::-1], rtol=1e-9, atol=1e-12
    )
    assert found.negative == 0


@proves(short=20, full=1000, m=st.integers(1, 8), seed=SEEDS, s=st.floats(0.01, 3.0))
def test_with_a_diagonal_hessian_l1_is_a_soft_threshold(m: int, seed: int, s: float) -> None:
    """w̃ = sgn(w*) max(|w*| − s/H_ii, 0), against scikit-learn's Lasso on XᵀX/n = H."""
    rng = np.random.default_rng(seed)
    h, w = rng.uniform(0.1, 3.0, m), rng.normal(size=m)
    found = quadratic_shrinkage(np.diag(h), w, s, learning_rate=0.1, steps=1)
    X = np.diag(np.sqrt(m * h))
    oracle = Lasso(alpha=s, fit_intercept=False, tol=1e-14, max_iter=10_000).fit(X, X @ w)
    np.testing.assert_allclose(found.l1_weights, oracle.coef_, atol=1e-9)
    assert found.zero_share == np.mean(found.l1_weights == 0)
    np.testing.assert_array_equal(found.l1_weights == 0, np.abs(w) <= s / h)


def test_numbers_computed_by_hand() -> None:
    found = quadratic_shrinkage(np.diag([4.0, 1.0]), [2.0, -3.0], 1.0, learning_rate=0.25, steps=2)
    np.testing.assert_allclose(found.eigenvalues, [4.0, 1.0])
    np.testing.assert_allclose(found.l2_factors, [0.8, 0.5])
    np.testing.assert_allclose(found.l2_weights, [1.6, -1.5])
    np.testing.assert_allclose(found.stopping_factors, [1.0, 1 - 0.75**2])
    np.testing.assert_allclose(found.l1_weights, [1.75, -2.0])
    assert (found.zero_share, found.negative) == (0.0, 0)
    assert str(found).splitlines() == [
        "eigenvalue    L2 factor   stopping factor",
        "4             0.8000      1.0000",
        "1             0.5000      0.4375",
        "L1 sets 0.0% of the weights to zero.",
    ]


def test_flatter_directions_shrink_more() -> None:
    """Schönhuth's point: what the data hold (D ≫ s) stays, the rest goes; τ ≈ 1/(ηs) likewise."""
    s, eta = 0.1, 0.01
    found = quadratic_shrinkage(
        np.diag([10.0, 1.0, 0.1, 0.01, 0.0]), np.ones(5), s, learning_rate=eta,
        steps=round(1 / (eta * s)),
    )  # fmt: skip
    assert (np.diff(found.l2_factors) < 0).all()
    assert (np.diff(found.stopping_factors) < 0).all()
    assert found.l2_factors[2] == pytest.approx(0.5)
    assert found.l2_factors[-1] == found.stopping_factors[-1] == 0.0
    # For D ≪ s the two agree to first order: D/s beside ητD.
    assert found.l2_factors[3] == pytest.approx(found.stopping_factors[3], rel=0.06)


def test_zero_strength_leaves_the_weights() -> None:
    h, w = quadratic(4, 0)
    found = quadratic_shrinkage(h, w, 0.0, learning_rate=0.1, steps=1)
    np.testing.assert_allclose(found.l2_weights, w, rtol=1e-12)
    np.testing.assert_allclose(found.l2_factors, 1.0)
    np.testing.assert_array_equal(found.l1_weights, w)
    flat = quadratic_shrinkage(np.zeros((2, 2)), [1.0, 2.0], 0.0, learning_rate=0.1, steps=1)
    assert flat.l2_factors.tolist() == [0.0, 0.0]  # 0/0: the weight has no curvature


def test_negative_eigenvalues_are_flagged() -> None:
    h = np.diag([2.0, -0.5, -1e-15])
    found = quadratic_shrinkage(h, np.ones(3), 0.1, learning_rate=0.1, steps=3)
    assert found.negative == 1  # rounding is not
    assert "Warning: 1 eigenvalues are negative, so this is not a minimum" in str(found)
    assert l1_shrinkage([-0.5, 0.0, 1.0], [5.0, 5.0, 5.0], 0.1).tolist() == [0.0, 0.0, 4.9]
    assert "Warning" not in str(quadratic_shrinkage(np.eye(2), [1, 1], 1, learning_rate=1, steps=1))


def test_a_long_table_shows_both_ends() -> None:
    h = np.diag(np.arange(30.0, 0.0, -1.0))
    lines = str(quadratic_shrinkage(h, np.ones(30), 1.0, learning_rate=0.01, steps=1)).splitlines()
    shown = [float(line.split()[0]) for line in lines[1:-1]]
    assert shown == [*range(30, 20, -1), *range(10, 0, -1)]


# --- networks -------------------------------------------------------------------------------------


def least_squares(n: int = 40, d: int = 5, seed: int = 0) -> tuple[Any, Any, Network, State]:
    """Return data that are not centred, and a linear network at its least-squares minimum."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)
    y = X @ rng.normal(size=d) + 2.0 + rng.normal(size=n)
    solution = np.linalg.lstsq(np.hstack([X, np.ones((n, 1))]), y)[0]
    return X, y, Network(d, [Dense(1)]), State(solution)


@pytest.mark.parametrize("s", [0.01, 0.5, 10.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_table_of_a_linear_network_equals_refitting(s: float, weighted: bool) -> None:
    """Exact, with the free bias following: scikit-learn's Ridge with alpha = s Σw."""
    X, y, net, state = least_squares()
    weight = np.random.default_rng(1).uniform(0.2, 3, 40) if weighted else np.ones(40)
    root = np.sqrt(weight)[:, None]
    extended = np.hstack([X, np.ones((40, 1))])
    state.theta[...] = np.linalg.lstsq(extended * root, y * root[:, 0])[0]
    given = {"sample_weight": weight} if weighted else {}
    found = shrinkage_table(net, state, X, y, s, **given)
    oracle = Ridge(alpha=s * weight.sum(), tol=1e-12).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(found.l2_weights, oracle.coef_, rtol=1e-9, atol=1e-11)
    # H_eff is the weighted covariance: the intercept takes the means out.
    centred = X - np.average(X, axis=0, weights=weight)
    covariance = centred.T @ (centred * weight[:, None]) / weight.sum()
    np.testing.assert_allclose(found.eigenvalues, np.linalg.eigvalsh(covariance)[::-1], rtol=1e-10)
    assert found.negative == 0


def test_early_stopping_and_l2_for_a_trained_network() -> None:
    """τ steps of ``train`` from 0 on centred data leave 1 − (1 − ηD)^τ of each direction."""
    X, y, net, _ = least_squares()
    X, y = X - X.mean(axis=0), y - y.mean()
    state = State(np.append(np.linalg.lstsq(X, y)[0], 0.0))
    eta, tau = 0.05, 25
    found = shrinkage_table(net, state, X, y, 1.0, learning_rate=eta, steps=tau)
    stopped = State(np.zeros(6))
    train(net, stopped, X, y, optimizer=SGD(eta), batch_size=40, epochs=tau)
    d, q = np.linalg.eigh(X.T @ X / 40)
    expected = found.stopping_factors[::-1] * (q.T @ state.theta[:5])
    np.testing.assert_allclose(q.T @ stopped.theta[:5], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.stopping_factors, 1 - (1 - eta * d[::-1]) ** tau, rtol=1e-9)


@pytest.mark.parametrize("s", [0.05, 0.5])
def test_l1_for_orthogonal_features_equals_refitting(s: float) -> None:
    rng = np.random.default_rng(2)
    X, _ = np.linalg.qr(np.hstack([np.ones((30, 1)), rng.normal(size=(30, 4))]))
    X = X[:, 1:] * np.array([3.0, 6.0, 2.0, 9.0])
    y = X @ np.array([1.0, -0.4, 0.1, 2.0]) + 0.3
    net, state = Network(4, [Dense(1)]), State(np.array([1.0, -0.4, 0.1, 2.0, 0.3]))
    found = shrinkage_table(net, state, X, y, s)
    oracle = Lasso(alpha=s, tol=1e-14, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(found.l1_weights, oracle.coef_, atol=1e-9)
    assert found.zero_share == np.mean(oracle.coef_ == 0) > 0


def test_a_nonlinear_networks_table_is_right_to_first_order() -> None:
    """Through a nonlinearity R6 is a second-order model: its error falls as s² (factor ≈ 4)."""
    net = Network(2, [Dense(1, "tanh"), Dense(1)])
    x = np.random.default_rng(3).normal(size=(40, 2))
    # Noise-free targets of a network of the same shape: θ* is the minimum, and isolated.
    state = random_state(net, 3)
    y = net.predict(state, x)
    theta = state.theta.copy()
    errors = []
    for s in (2e-5, 1e-5):
        found = shrinkage_table(net, state, x, y, s)
        assert found.negative == 0
        moved = State(theta.copy())
        is_weight = np.array([1.0, 1.0, 0.0, 1.0, 0.0])
        for _ in range(20):  # Newton's method on the penalised cost
            plus = s * np.diag(is_weight)
            slope = cost_gradient(net, moved, Block(x, y)) + s * is_weight * moved.theta
            moved.theta -= np.linalg.solve(hessian_matrix(net, moved, x, y) + plus, slope)
        assert np.linalg.norm(slope) < 1e-12
        weights = moved.theta[is_weight > 0]
        errors.append(np.abs(weights - found.l2_weights).max())
        assert errors[-1] < 0.5 * np.abs(weights - theta[is_weight > 0]).max()
    assert 3 < errors[0] / errors[1] < 5


def test_the_networks_own_penalties_are_ignored() -> None:
    """The table starts from the unpenalised cost (else s would be counted twice)."""
    X, y, net, state = least_squares()
    plain = shrinkage_table(net, state, X, y, 0.5)
    penalised = Network(5, [Dense(1)], penalties=[L2(3.0)])
    found = shrinkage_table(penalised, state, X, y, 0.5)
    np.testing.assert_allclose(found.eigenvalues, plain.eigenvalues, rtol=1e-13)


def test_with_batch_norm_the_scale_of_weights_has_no_curvature() -> None:
    """The cost does not feel ‖w‖ of a normalised unit: H_eff has a (nearly) flat direction each."""
    norm = BatchNorm(epsilon=1e-9)
    net = Network(3, [Dense(2, "tanh", batch_norm=norm), Dense(1)])
    data, state = random_data(net, 30, 4), random_state(net, 4)
    h = hessian_matrix(net, state, data.x, data.y)
    for unit in range(2):
        direction = np.zeros(len(state.theta))
        direction[unit:6:2] = state.theta[unit:6:2]
        assert abs(direction @ h @ direction) < 1e-7 * np.abs(h).max()
    found = shrinkage_table(net, state, data.x, data.y, 0.1)
    assert len(found.eigenvalues) == 8  # W1 (3, 2) and W2 (2, 1): γ and β follow


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"strength": -1.0}, r"strength must be in \[0, inf\); got -1.0"),
        ({"learning_rate": 0.0}, r"learning_rate must be in \(0, inf\); got 0.0"),
        ({"steps": 0}, "steps must be an integer of at least 1; got 0"),
    ],
)
def test_constants_that_cannot_be_are_refused(given: Any, message: str) -> None:
    usual = {"strength": 0.1, "learning_rate": 0.1, "steps": 10}
    with pytest.raises(SpecError, match=message):
        quadratic_shrinkage(np.eye(2), np.ones(2), **(usual | given))


def test_a_network_that_is_too_large_is_refused() -> None:
    X, y, net, state = least_squares()
    with pytest.raises(
        SpecError, match=r"at most max_parameters=5 parameters for the full Hessian; got 6"
    ):
        shrinkage_table(net, state, X, y, 0.1, max_parameters=5)
    assert len(shrinkage_table(net, state, X, y, 0.1, max_parameters=6).eigenvalues) == 5
