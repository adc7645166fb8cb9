"""R1, R2, R5: penalties, their proximal steps, and norm constraints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.linear_model import ElasticNet, Lasso, Ridge

from deltarule import (
    L1,
    L2,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    BatchNorm,
    Dense,
    EMAMomentum,
    Exponential,
    MaxNorm,
    Network,
    RMSprop,
    State,
    train,
)
from deltarule.errors import SpecError
from deltarule.program import Block
from deltarule.reference import Reference
from deltarule.reference.penalties import l1, l2, max_norm, penalty, project, soften
from support.networks import LIBRARIES, SEEDS, proves, random_data, random_state, train_all_steps
from support.regularization import cost_gradient, order_of

# --- value and gradient ---------------------------------------------------------------------------


@pytest.mark.parametrize("xp", LIBRARIES)
def test_values_and_gradients_computed_by_hand(xp: Any) -> None:
    w = xp.asarray([3.0, -4.0, 0.0])
    value, slope = l2(w, 0.1)
    assert value == pytest.approx(1.25)  # ½ · 0.1 · 25
    assert np.asarray(slope).tolist() == pytest.approx([0.3, -0.4, 0.0])
    value, slope = l1(w, 0.1)
    assert value == pytest.approx(0.7)  # not (Σ|w|)² (erratum E-j)
    assert np.asarray(slope).tolist() == [0.1, -0.1, 0.0]  # sgn(0) = 0


def regularised(*penalties: Any, **given: Any) -> Network:
    norm = BatchNorm("post_activation")
    layers = [Dense(4, "tanh", batch_norm=norm), Dense(3, "tanh", batch_norm=BatchNorm()), Dense(2)]
    return Network(3, layers, penalties=penalties, **given)


def weights_of(net: Network, state: State) -> list[Any]:
    return [view for view in net.parameters(state).values() if view.ndim == 2]


def test_only_weights_are_penalised() -> None:
    """The gradient of the penalty is exactly zero for biases, γ and β."""
    net = regularised(L2(0.3), L1(0.2))
    state = random_state(net, 0)
    value, slope = penalty(net.tape, state.theta, 8.0)
    ws = weights_of(net, state)
    expected = sum(0.15 * np.sum(w**2) + 0.2 * np.sum(np.abs(w)) for w in ws)
    assert value == pytest.approx(expected, rel=1e-13)
    seen = set()
    for p, part in net.tape.views(slope):
        seen.add(p.name.rstrip("0123456789"))
        if p.name.startswith("W"):
            w = net.parameters(state)[p.name]
            np.testing.assert_allclose(part, 0.3 * w + 0.2 * np.sign(w), rtol=1e-13)
        else:
            assert not part.any(), p.name
    assert seen == {"W", "b", "gamma", "beta"}


@pytest.mark.parametrize("kind", [L1, L2])
def test_strength_on_the_mean_loss_or_divided_by_the_batch(kind: Any) -> None:
    """E-l: s on the mean loss is λ/n; with "batch" it is scikit-learn's alpha, s = alpha/Σw."""
    given = random_data(regularised(), 12, 1)
    for weight, total in ((None, 12.0), (given.weight, given.weight.sum())):
        costs = []
        for term in (kind(0.7, normalization="batch"), kind(0.7 / total)):
            net = regularised(term)
            state, reference = random_state(net, 1), Reference(net.tape)
            block = Block(given.x, given.y, weight)
            costs.append(reference.cost(state, reference.gradient(state, block)))
        (loss, value, gradient), (same, expected, other) = costs
        assert loss == same
        assert value == pytest.approx(expected, rel=1e-13) and value > 0  # noqa: PT018
        np.testing.assert_allclose(gradient, other, rtol=1e-12, atol=1e-14)


def test_in_a_smaller_last_batch_alpha_weighs_more() -> None:
    net = Network(1, [Dense(1)], penalties=[L2(0.6, normalization="batch")])
    state = State(np.array([2.0, 0.0]))
    block = Block(np.zeros((5, 1)), np.zeros((5, 1)))
    steps = Reference(net.tape).train_steps(state, block, order_of([0, 3, 5], 1e-300), range(2))
    np.testing.assert_allclose(steps.penalty, [0.5 * 0.2 * 4, 0.5 * 0.3 * 4])


def test_under_plain_gradient_descent_l2_is_weight_decay_and_under_adam_it_is_not() -> None:
    """R1: a step is w ← (1 − ηs) w − η∇C. Under Adam that is AdamW."""
    s, eta = 0.4, 0.1
    data = random_data(regularised(), 8, 2)
    for rule, is_decay in ((SGD(eta), True), (Adam(eta), False), (AdamW(eta, weight_decay=s), 0)):
        ends = []
        for terms in ((), (L2(s),)):
            net = regularised(*terms)
            state, reference = random_state(net, 2), Reference(net.tape, rule)
            before = [w.copy() for w in weights_of(net, state)]
            reference.apply_gradient(state, reference.gradient(state, data.block), eta)
            ends.append(weights_of(net, state))
        shift = [b - a for a, b in zip(*ends, strict=True)]
        decay = [-eta * s * w for w in before]
        agree = all(
            np.allclose(a, b, rtol=1e-9, atol=1e-13) for a, b in zip(shift, decay, strict=True)
        )
        assert agree is bool(is_decay), rule


# --- linear models, against scikit-learn ----------------------------------------------------------


def table(n: int = 40, d: int = 6, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ (np.eye(d) + 0.15 * rng.normal(size=(d, d)))
    y = X @ np.array([3.0, -2.0, 0.0, 0.0, 0.5, 0.0][:d]) + 1.5 + 0.3 * rng.normal(size=n)
    return X, y


def fitted(X: Any, y: Any, *penalties: Any, constraints: Any = (), epochs: int = 1000) -> Any:
    """Return (w, b) of a linear network after full-batch descent with the step 1/L."""
    net = Network(X.shape[1], [Dense(1)], penalties=penalties, constraints=constraints)
    extended = np.hstack([X, np.ones((len(X), 1))])
    top = np.linalg.eigvalsh(extended.T @ extended / len(X))[-1]
    top += sum(p.strength for p in penalties if isinstance(p, L2))
    state, reference = State(np.zeros(X.shape[1] + 1)), Reference(net.tape)
    block = Block(X, y[:, None])
    for _ in range(epochs):
        reference.apply_gradient(state, reference.gradient(state, block), 1 / top)
    p = net.parameters(state)
    return p["W1"][:, 0], p["b1"][0]


@pytest.mark.parametrize("s", [0.01, 0.3, 5.0])
def test_l2_on_a_linear_network_is_ridge(s: float) -> None:
    X, y = table()
    w, b = fitted(X, y, L2(s))
    oracle = Ridge(alpha=s * len(y)).fit(X, y)
    np.testing.assert_allclose(w, oracle.coef_, atol=1e-9)
    assert b == pytest.approx(oracle.intercept_, abs=1e-9)  # the intercept is not penalised


@pytest.mark.parametrize("s", [0.01, 0.3, 1.5])
def test_proximal_l1_is_the_lasso_zeros_included(s: float) -> None:
    X, y = table()
    w, b = fitted(X, y, L1(s, proximal=True))
    oracle = Lasso(alpha=s, tol=1e-14, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(w, oracle.coef_, atol=1e-6)
    assert b == pytest.approx(oracle.intercept_, abs=1e-6)
    np.testing.assert_array_equal(w == 0.0, oracle.coef_ == 0.0)
    if s >= 0.3:
        assert (w == 0.0).any()


def test_proximal_l1_and_l2_together_are_the_elastic_net() -> None:
    X, y = table()
    w, b = fitted(X, y, L1(0.2, proximal=True), L2(0.3))
    oracle = ElasticNet(alpha=0.5, l1_ratio=0.4, tol=1e-14, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(w, oracle.coef_, atol=1e-6)
    assert b == pytest.approx(oracle.intercept_, abs=1e-6)
    np.testing.assert_array_equal(w == 0.0, oracle.coef_ == 0.0)


def test_l1_gradients_make_no_exact_zeros() -> None:
    """Without the proximal step the weights oscillate about 0, which is why R2 offers it."""
    X, y = table()
    w, _ = fitted(X, y, L1(0.3))
    zero = Lasso(alpha=0.3, tol=1e-14, max_iter=100_000).fit(X, y).coef_ == 0
    assert zero.any()
    assert (w != 0).all()
    assert np.abs(w[zero]).max() < 0.3


@pytest.mark.parametrize(
    "optimizer",
    [SGD(0.2), SGD(0.1, 0.5), EMAMomentum(0.2), Adam(0.1), RMSprop(0.05), Adagrad(0.5)],
    ids=repr,
)
def test_every_optimiser_converges_to_the_lasso(optimizer: Any) -> None:
    """η is the step size of each coordinate, so that the zeros are those of the lasso."""
    X, y = table()
    net = Network(6, [Dense(1)], penalties=[L1(0.3, proximal=True)])
    state = net.initialize(0)
    # Adam and similar rules oscillate at a constant rate, so the rate is reduced.
    given = {"epochs": 1000}
    if isinstance(optimizer, Adam | RMSprop):
        given = {"epochs": 2500, "schedule": Exponential(0.996)}
    train(net, state, X, y, optimizer=optimizer, batch_size=40, **given)
    oracle = Lasso(alpha=0.3, tol=1e-14, max_iter=100_000).fit(X, y)
    w = net.parameters(state)["W1"][:, 0]
    np.testing.assert_allclose(w, oracle.coef_, atol=1e-5)
    np.testing.assert_array_equal(w == 0.0, oracle.coef_ == 0.0)


def test_a_proximal_network_becomes_sparse_and_its_biases_do_not() -> None:
    data = random_data(Network(5, [Dense(8, "tanh"), Dense(1)]), 60, 3)
    y = np.sin(2 * data.x[:, 0])
    shares = []
    for proximal in (False, True):
        net = Network(5, [Dense(8, "tanh"), Dense(1)], penalties=[L1(0.02, proximal=proximal)])
        state = net.initialize(3)
        train(net, state, data.x, y, optimizer=SGD(0.1), batch_size=20, epochs=150)
        shares.append(np.mean(np.concatenate([w.ravel() for w in weights_of(net, state)]) == 0))
        assert (net.parameters(state)["b1"] != 0).all()
    assert shares[0] == 0.0
    assert shares[1] > 0.4
    assert shares[1] < 1.0


# --- the proximal map -----------------------------------------------------------------------------


@pytest.mark.parametrize("xp", LIBRARIES)
def test_the_soft_threshold_is_the_closed_form(xp: Any) -> None:
    found = soften(xp.asarray([3.0, -3.0, 0.5, -0.5, 0.0, 1.0]), 1.0)
    assert np.asarray(found).tolist() == [2.0, -2.0, 0.0, 0.0, 0.0, 0.0]
    steps = xp.asarray([1.0, 2.0])  # one step size per coordinate
    assert np.asarray(soften(xp.asarray([3.0, -3.0]), steps)).tolist() == [2.0, -1.0]


@proves(short=20, full=500, w=st.floats(-3, 3), t=st.floats(0.0, 2.0))
def test_the_soft_threshold_minimises_the_proximal_objective(w: float, t: float) -> None:
    """prox(w) = argmin_u ½(u − w)² + t|u|, against SciPy's scalar minimiser."""
    found = float(soften(np.array([w]), t)[0])

    def objective(u: float) -> float:
        return 0.5 * (u - w) ** 2 + t * abs(u)

    other = minimize_scalar(objective, bounds=(-4, 4), method="bounded", options={"xatol": 1e-10})
    assert objective(found) <= other.fun + 1e-12
    assert found == pytest.approx(other.x, abs=1e-5)


# --- R5: norm constraints -------------------------------------------------------------------------


@pytest.mark.parametrize("xp", LIBRARIES)
def test_units_that_are_too_long_are_scaled_back(xp: Any) -> None:
    w = xp.asarray([[3.0, 0.3, 0.0], [4.0, 0.4, 0.0]])
    np.testing.assert_allclose(np.asarray(max_norm(w, 2.0)), [[1.2, 0.3, 0], [1.6, 0.4, 0]])
    assert np.asarray(max_norm(w, 5.0)).tolist() == np.asarray(w).tolist()


@pytest.mark.parametrize(("dtype", "size"), [("float32", 1e30), ("float64", 1e200)])
@pytest.mark.parametrize("per", ["unit", "network"])
def test_weights_whose_squares_overflow_are_scaled_back_too(
    per: str, dtype: str, size: float
) -> None:
    net = Network(2, [Dense(1)], constraints=[MaxNorm(2.0, per)], dtype=dtype)
    theta = project(net.tape, np.array([3 * size, 4 * size, 7.0], dtype=dtype))
    np.testing.assert_allclose(theta, [1.2, 1.6, 7.0], rtol=1e-6)


@pytest.mark.parametrize("per", ["unit", "network"])
def test_weights_of_zero_stay_zero(per: str) -> None:
    net = Network(2, [Dense(1)], constraints=[MaxNorm(2.0, per)])
    assert project(net.tape, np.array([0.0, 0.0, 7.0])).tolist() == [0.0, 0.0, 7.0]


PER = pytest.mark.parametrize("per", ["unit", "network"])


def norms_of(net: Network, state: State, per: str) -> Any:
    ws = weights_of(net, state)
    if per == "unit":
        return np.concatenate([np.sqrt(np.sum(w**2, axis=0)) for w in ws])
    return np.array([np.sqrt(sum(np.sum(w**2) for w in ws))])


@PER
@proves(short=20, full=1000, seed=SEEDS, limit=st.floats(0.05, 5.0))
def test_projections_are_projections(per: str, seed: int, limit: float) -> None:
    """Onto the set, idempotent, non-expansive, and nearest of all points (obtuse angles)."""
    net = regularised(constraints=[MaxNorm(limit, per)])
    rng = np.random.default_rng(seed)
    a, b = (random_state(net, int(rng.integers(2**32))).theta * 3 for _ in range(2))
    pa, pb = project(net.tape, a.copy()), project(net.tape, b.copy())
    assert (norms_of(net, State(pa), per) <= limit * (1 + 1e-14)).all()
    np.testing.assert_allclose(project(net.tape, pa.copy()), pa, rtol=1e-14)
    assert np.linalg.norm(pa - pb) <= np.linalg.norm(a - b) * (1 + 1e-14)
    assert (a - pa) @ (pb - pa) <= 1e-12 * (1 + np.linalg.norm(a) ** 2)
    for p, before in net.tape.views(a):
        if not p.is_weights:
            np.testing.assert_array_equal(pa[p.start : p.stop], before)


@PER
@pytest.mark.parametrize("xp", LIBRARIES)
def test_the_constraint_holds_after_every_step(per: str, xp: Any) -> None:
    net = regularised(constraints=[MaxNorm(0.8, per)])
    free = regularised()
    data = random_data(net, 12, 4)
    block = Block(*(xp.asarray(v) for v in (data.x, data.y, data.weight)))
    state, loose = net.initialize(4, like=block.x), free.initialize(4)
    for _ in range(5):
        for n, s, rows in ((net, state, block), (free, loose, data.block)):
            reference = Reference(n.tape)
            reference.apply_gradient(s, reference.gradient(s, rows), 0.5)
        kept = State(np.asarray(state.theta))
        assert (norms_of(net, kept, per) <= 0.8 * (1 + 1e-14)).all()
    assert norms_of(free, loose, per).max() > 1.0
    assert norms_of(net, kept, per).max() == pytest.approx(0.8)


def test_l2_is_the_lagrangian_form_with_lambda_twice_mu() -> None:
    """R5, erratum E-ai: min C on ‖w‖² ≤ c has ∇C + 2μw = 0, the minimum of C + ½(2μ)‖w‖²."""
    X, y = table()
    limit = 1.5
    w, b = fitted(X, y, constraints=[MaxNorm(limit, "network")])
    assert np.linalg.norm(w) == pytest.approx(limit, rel=1e-12)
    slope = X.T @ (X @ w + b - y) / len(y)
    mu = -(slope @ w) / (2 * w @ w)
    assert mu > 0
    np.testing.assert_allclose(slope, -2 * mu * w, atol=1e-8)  # ∇C is along w: KKT
    with_penalty, intercept = fitted(X, y, L2(2 * mu))
    np.testing.assert_allclose(with_penalty, w, atol=1e-8)
    assert intercept == pytest.approx(b, abs=1e-8)
    wrong, _ = fitted(X, y, L2(mu))
    assert np.linalg.norm(wrong - w) > 0.05


def test_a_constraint_that_does_not_bind_changes_nothing() -> None:
    X, y = table()
    free = fitted(X, y, epochs=50)
    bound = fitted(X, y, constraints=[MaxNorm(100.0), MaxNorm(100.0, "network")], epochs=50)
    np.testing.assert_array_equal(bound[0], free[0])


# --- in training ----------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2])
def test_k_steps_in_one_call_are_k_calls_of_one(most: int) -> None:
    net = regularised(
        L2(0.1), L1(0.05, proximal=True), L1(0.3, normalization="batch"), constraints=[MaxNorm(1.0)]
    )
    data, ends = random_data(net, 14, 5), []
    for pieces in (None, most):
        state, reference = net.initialize(5), Reference(net.tape, Adam(0.05))
        train_all_steps(reference, state, data.block, order_of([0, 5, 9, 14]), pieces)
        ends.append(state.theta.tobytes())
    assert ends[0] == ends[1]


def test_a_strength_of_zero_is_no_penalty() -> None:
    net, without = regularised(L2(0.0), L1(0.0, proximal=True)), regularised()
    assert net.tape.penalties == ()
    data = random_data(net, 8, 6)
    found = cost_gradient(net, random_state(net, 6), data.block)
    expected = cost_gradient(without, random_state(net, 6), data.block)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L2(-0.1), r"strength must be in \[0, inf\); got -0.1"),
        (lambda: L1(float("inf")), r"strength must be in \[0, inf\); got inf"),
        (lambda: L1(float("nan")), "strength must be in"),
        (
            lambda: L2(0.1, normalization="row"),
            "normalization must be one of batch, mean; got 'row'",
        ),
        (lambda: MaxNorm(0.0), r"limit must be in \(0, inf\); got 0.0"),
        (lambda: MaxNorm(1.0, "layer"), "per must be one of network, unit; got 'layer'"),
        (lambda: Network(1, [Dense(1)], penalties=[0.1]), r"penalties\[0\] must be L2"),
        (lambda: Network(1, [Dense(1)], constraints=[L2(1)]), r"constraints\[0\] must be MaxNorm"),
    ],
)
def test_invalid_arguments_are_refused(make: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()
