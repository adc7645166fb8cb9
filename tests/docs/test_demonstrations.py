"""The results of the examples, against closed forms and published values."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from scipy.stats import bernoulli, multinomial, norm, poisson
from sklearn.datasets import load_iris

from deltarule import (
    L1,
    SGD,
    BatchNorm,
    Dense,
    MaxNorm,
    Network,
    State,
    check_gradients,
    critical_point,
    fold_batch_norm,
    train,
)
from deltarule.metrics import information_criteria
from deltarule.reference import Reference
from support.examples import example

# --- models ---------------------------------------------------------------------------------------


def test_the_log_loss_is_convex_and_squared_error_is_not() -> None:
    """M1: no negative eigenvalue anywhere; −0.016 at x = y = 1, w = −4."""
    demo = example("logistic_regression")
    assert demo.smallest_eigenvalue("binary_cross_entropy", 50) > -1e-12
    assert demo.smallest_eigenvalue("squared_error", 50) < -0.01
    curvature = demo.along("squared_error", -4.0)[1]
    assert curvature == pytest.approx(-0.016, abs=5e-4)
    exact = mp.diff(lambda w: (1 - 1 / (1 + mp.exp(-w))) ** 2 / 2, -4, 2)
    assert curvature == pytest.approx(float(exact), rel=1e-10)


@pytest.mark.parametrize("J", [1, 2, 5, 12])
def test_the_chain_has_the_product_form(J: int) -> None:
    """M2."""
    theta = np.random.default_rng(J).normal(size=2 * J + 2)
    closed, backward = example("chain").chain(theta, 0.7)
    np.testing.assert_allclose(backward, closed, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("table", ["exclusive or", "rings"])
def test_one_hidden_layer_separates_what_a_linear_model_cannot(table: str) -> None:
    """M3 compared with M1."""
    demo = example("one_hidden_layer")
    X, y = demo.tables()[table]
    trained = [demo.fit(hidden, X, y) for hidden in ([], [Dense(8, "tanh")])]
    scores = [net.score(state, X, y) for net, state in trained]
    assert scores[0] < 0.7
    assert scores[1] > 0.99


def test_the_error_falls_with_width_unless_the_activation_is_a_polynomial() -> None:
    """M9: identity and square reach the best line and parabola, found by NumPy's polyfit."""
    demo = example("universal_approximation")
    limits = {}
    for degree in (1, 2):
        best = np.polyval(np.polyfit(demo.X, demo.F, degree), demo.X)
        limits[degree] = np.sqrt(np.mean((best - demo.F) ** 2))
    for name in ("tanh", "ReLU"):
        errors = demo.errors(name)
        assert errors[-1] < errors[0] / 100
        assert errors[-1] < limits[2] / 20
    assert demo.errors("identity")[-1] == pytest.approx(limits[1], rel=1e-9)
    assert demo.errors("square")[-1] == pytest.approx(limits[2], rel=1e-9)


# --- backpropagation ------------------------------------------------------------------------------


def test_the_worked_computation_graph() -> None:
    """B3 (Mebsout §4)."""
    assert example("gradients").graph(-2, 5, -4) == (-12, (-4, -4, 3))


def test_one_backward_pass_replaces_two_forward_passes_per_parameter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """B1: passes through the network are counted and timed."""
    passes, trace = [0], Reference.trace

    def counted(self: Reference, *given: Any) -> Any:
        passes[0] += 1
        return trace(self, *given)

    monkeypatch.setattr(Reference, "trace", counted)
    net = Network(4, [Dense(5, "tanh"), Dense(2)])
    state, rng = net.initialize(), np.random.default_rng(0)
    X, y = rng.normal(size=(6, 4)), rng.normal(size=(6, 2))
    p = net.tape.n_parameters
    assert check_gradients(net, state, X, y).verdict == "right"
    assert 2 * p <= passes[0] <= 4 * p + 4
    monkeypatch.undo()
    p, backpropagation, differences = example("gradients").costs(64)
    assert differences == 2 * p
    assert backpropagation < differences / 20


# --- initialisation, optimisation -----------------------------------------------------------------


def test_zero_weights_stay_or_change_together() -> None:
    """I1."""
    demo = example("initialisation")
    for activation in ("tanh", "relu"):
        assert not demo.after_zeros(activation).any()
    weights = demo.after_zeros("sigmoid")
    assert np.abs(weights).max() > 1e-4
    assert np.ptp(weights, axis=1).max() < 1e-15


def test_large_weights_saturate_and_the_right_variance_carries_a_signal() -> None:
    """I2: the share is that of |N(0, 100 s²)| beyond z₀, 1 − tanh² z₀ = 10⁻³; I3-I5."""
    demo = example("initialisation")
    edge = np.arctanh(np.sqrt(1 - 1e-3))
    for scale in (0.1, 0.3, 1.0):
        expected = 2 * norm.sf(edge / (10 * scale))
        assert demo.deep("tanh", demo.Normal(scale))[1][0] == pytest.approx(expected, abs=0.05)
    kept = demo.deep("relu", "he_normal")[0]
    assert 0.5 < kept[-1] < 2
    lost = demo.deep("relu", "lecun_normal")[0]
    assert lost[-1] == pytest.approx(kept[-1] * 2**-5, rel=0.01)  # √½ in each of ten layers


@pytest.mark.parametrize("b", [1, 4, 11, 12])
def test_mini_batches_are_unbiased_and_vary_by_the_formula(b: int) -> None:
    """O2."""
    demo = example("minibatches")
    bias, over_all, formula = demo.variances(demo.row_gradients(), b)
    assert bias < 1e-14
    assert over_all == pytest.approx(formula, rel=1e-10, abs=1e-25)


def test_exact_line_search_on_a_quadratic() -> None:
    """O6: t = gᵀg/gᵀHg, and each gradient is orthogonal to the previous one."""
    demo = example("optimisers")
    path, found, exact = demo.searched(12)
    np.testing.assert_allclose(found, exact, rtol=1e-9)
    for before, after in pairwise(path @ demo.H):
        assert abs(before @ after) < 1e-8 * np.linalg.norm(before) ** 2


def test_averages_equal_their_sums() -> None:
    """O8."""
    demo = example("averages")
    x = np.random.default_rng(0).normal(size=300)
    corrected = demo.bias_corrected(demo.exponential_average(x, 0.97), 0.97)
    written_out = [demo.weighted(x, 0.97, t) for t in range(1, 301)]
    np.testing.assert_allclose(corrected, written_out, rtol=1e-11, atol=1e-14)


# --- regularisation -------------------------------------------------------------------------------


def test_dropout_of_the_worked_example() -> None:
    """R3: Ayrapetyan's numbers."""
    assert example("dropout").worked_example() == (
        [[16, 20], [15, 20]],
        [[32, 40], [30, 40]],
    )
    mean, variance = example("dropout").moments(3.0, 0.8)
    assert mean == pytest.approx(3, abs=5 * 1.5 / 100_000**0.5)
    assert variance == pytest.approx(9 * 0.25, rel=0.03)


def test_prediction_is_the_average_of_small_networks_up_to_a_nonlinearity() -> None:
    """R3: exact before affine maps; random masks agree within five standard errors."""
    demo = example("dropout")
    for output in ("identity", "sigmoid"):
        net, state = demo.small_network(output)
        exact = demo.exact_dropout_mean(net, state, demo.X)
        drawn = demo.monte_carlo_dropout(net, state, demo.X, n_draws=300)
        error = np.abs(drawn.mean - exact.mean)
        assert (error <= 5 * exact.deviation / 300**0.5 + 1e-12).all()
        apart = np.abs(net.predict(state, demo.X) - exact.mean).max()
        assert apart < 1e-13 if output == "identity" else apart > 0.05


def test_the_effect_of_regularisation_on_a_quadratic() -> None:
    """R6: the formulas agree with descent on the penalised cost."""
    demo = example("regularisation")
    D, w = np.logspace(1, -2, 7), np.random.default_rng(0).normal(size=7)
    table = demo.quadratic_shrinkage(
        np.diag(D), w, demo.S, learning_rate=demo.RATE, steps=demo.STEPS
    )
    v2, v1, stopped = demo.minimised(D, w)
    np.testing.assert_allclose(table.l2_weights, v2, atol=1e-10)
    np.testing.assert_allclose(table.l1_weights, v1, atol=1e-10)
    np.testing.assert_allclose(table.stopping_factors * w, stopped, atol=1e-10)
    assert table.zero_share == np.mean(v1 == 0) > 0
    assert demo.linear_network()[0] < 1e-5


def test_proximal_steps_make_zeros_and_projections_keep_norms() -> None:
    """R2, R5: on a network in training."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 10))
    y = X[:, :2] @ [1.0, -2.0]
    zeros = {}
    for proximal in (False, True):
        net = Network(10, [Dense(1)], penalties=[L1(0.1, proximal=proximal)])
        state = net.initialize()
        train(net, state, X, y, optimizer=SGD(0.05), epochs=40)
        zeros[proximal] = int((net.parameters(state)["W1"] == 0).sum())
    assert zeros == {False: 0, True: 8}
    for per in ("unit", "network"):
        net = Network(10, [Dense(6, "tanh"), Dense(1)], constraints=[MaxNorm(0.5, per=per)])
        state = net.initialize()
        train(net, state, X, y, optimizer=SGD(0.1), epochs=5)
        W1, W2 = (net.parameters(state)[name] for name in ("W1", "W2"))
        norms = [*np.linalg.norm(W1, axis=0), np.linalg.norm(W2)]
        assert max(norms) <= 0.5 + 1e-12
        if per == "network":
            assert np.hypot(np.linalg.norm(W1), np.linalg.norm(W2)) == pytest.approx(0.5)


# --- batch norm, health ---------------------------------------------------------------------------


def test_batch_norm_has_the_moments_and_can_be_the_identity() -> None:
    """N1."""
    assert max(example("batch_norm").moments_and_identity()) < 1e-12


@pytest.mark.parametrize("position", ["pre_activation", "post_activation"])
def test_folding_changes_no_prediction(position: Any) -> None:
    """N3."""
    X, y = example("batch_norm").table(100)
    hidden = Dense(6, "relu", batch_norm=BatchNorm(position))
    net = Network(3, [hidden, hidden, Dense(1)])
    state = net.initialize()
    train(net, state, X, y, epochs=3)
    folded, at = fold_batch_norm(net, state)
    assert folded.tape.normalizations == ()
    np.testing.assert_allclose(folded.predict(at, X), net.predict(state, X), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("factor", [1.5, 1.0, 0.5])
def test_deep_linear_networks_explode_and_vanish(factor: float) -> None:
    """H1: 1.5^(L−1) out, and back; every row of the last layer has δ = (1, 1)."""
    demo = example("health")
    health, outputs = demo.linear(factor)
    assert outputs[0].tolist() == [factor ** (demo.DEPTH - 1)] * 2
    for back, layer in enumerate(reversed(health.layers[:-1])):
        assert layer.delta_norm == pytest.approx(2**0.5 * factor**back, rel=1e-12)


def test_dying_and_saturated_units() -> None:
    """H2, H3 (Schönhuth eq. 13)."""
    demo = example("health")
    shares = [demo.dying(bias) for bias in (0.0, -3.0, -100.0)]
    assert shares[0] == 0 < shares[1] < 1 == shares[2]
    assert demo.saturated("squared_error") == pytest.approx(-4.5e-5, rel=0.01)
    assert demo.saturated("binary_cross_entropy") == pytest.approx(-1.0, rel=1e-4)


def test_kinds_of_critical_points() -> None:
    """H5: f = a b x at 0 has the Hessian eigenvalues ±1; least squares has a minimum."""
    X = np.array([[-1.0], [1.0]])
    saddle = critical_point(Network(1, [Dense(1), Dense(1)]), State(np.zeros(4)), X, X)
    assert saddle.verdict == "saddle"
    assert (saddle.smallest, saddle.largest) == pytest.approx((-1.0, 1.0))
    line = Network(1, [Dense(1)])
    assert critical_point(line, State(np.array([1.0, 0.0])), X, X).verdict == "minimum"
    assert critical_point(line, State(np.array([2.0, 0.0])), X, X).verdict == "not critical"


# --- data, tuning, likelihood ---------------------------------------------------------------------


def test_standardisation_makes_descent_fast() -> None:
    """D2: the number of steps follows from the condition number."""
    demo = example("standardisation")
    raw, flipper, _ = demo.penguins()
    found = {}
    for name, X in (("raw", raw), ("standardised", (raw - raw.mean(axis=0)) / raw.std(axis=0))):
        A = np.column_stack([X, np.ones(len(X))])
        low, _, high = np.linalg.eigvalsh(demo.hessian(A, np.zeros(3), logistic=False))
        steps = len(demo.descend(A, flipper, False, 1 / high))
        found[name] = (np.linalg.cond(A) ** 2, steps)
        assert found[name][0] == pytest.approx(high / low, rel=1e-6)
        assert steps == demo.MOST or steps < -np.log(demo.GOAL) * high / low + 2
    assert found["raw"][0] > 100 * found["standardised"][0]
    assert found["raw"][1] > 100 * found["standardised"][1]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_grid_search_random_search_and_retuning() -> None:
    """T1, T2, T4: layers, widths and activations are dimensions of the search."""
    demo = example("tuning")
    X, y = demo.make_moons(240, noise=0.25, random_state=0)
    grid = {"hidden_layer_sizes": [(4,), (8, 8)], "activation": ["tanh", "relu"]}
    search = demo.study("grid", X[:120], y[:120], grid)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_params_ in search.cv_results_["params"]
    random = demo.study("random", X[:120], y[:120])
    tried = random.cv_results_["params"]
    assert len({params["hidden_layer_sizes"] for params in tried}) > 1
    assert all(0.5 <= params["momentum"] <= 0.99 for params in tried)
    verdict = demo.retune(search, X, y, cv=demo.every_third(240))
    assert verdict.is_stale == (verdict.chosen != search.best_params_)
    assert verdict.gain > 0 if verdict.is_stale else verdict.gain == 0


@pytest.mark.parametrize(
    ("loss", "output"),
    [
        ("squared_error", "identity"),
        ("binary_cross_entropy", "sigmoid"),
        ("categorical_cross_entropy", "softmax"),
        ("poisson", "exp"),
    ],
)
def test_log_likelihoods_equal_scipys(loss: str, output: str) -> None:
    """L5, E5: Gaussian, Bernoulli, categorical and Poisson targets, from the table of irises."""
    X, species = load_iris(return_X_y=True)
    y = {
        "squared_error": X[:, 3],
        "binary_cross_entropy": (species == 1).astype(float),
        "categorical_cross_entropy": species,
        "poisson": np.round(X[:, 2]),
    }[loss]
    net = Network(2, [Dense(3 if output == "softmax" else 1, output)], loss)
    state = net.initialize(seed=1)
    state.theta[:] *= 0.2
    a = net.predict(state, X[:, :2])
    if loss == "squared_error":
        expected = norm.logpdf(y, a[:, 0], np.sqrt(np.mean((a[:, 0] - y) ** 2)))
    elif loss == "binary_cross_entropy":
        expected = bernoulli.logpmf(y, a[:, 0])
    elif loss == "categorical_cross_entropy":
        expected = multinomial.logpmf(np.eye(3)[y], 1, a)
    else:
        expected = poisson.logpmf(y, a[:, 0])
    found = net.log_likelihood(state, X[:, :2], y)
    assert found == pytest.approx(expected.sum(), rel=1e-10)
    criteria = information_criteria(found, 4, 150)
    assert criteria.bic - criteria.aic == pytest.approx(4 * (np.log(150) - 2))
