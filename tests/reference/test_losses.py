"""Losses and gradients: extreme logits, optima, and values of other libraries (L1-L4)."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy import stats
from scipy.special import huber as scipy_huber
from scipy.special import logit
from sklearn.metrics import (
    log_loss,
    mean_absolute_error,
    mean_pinball_loss,
    mean_poisson_deviance,
    mean_squared_error,
)

from deltarule import (
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Dense,
    Huber,
    Network,
    Quantile,
)
from deltarule.errors import ShapeError, SpecError
from deltarule.network.data import make_block
from deltarule.program.opcodes import LossCode
from deltarule.reference.interpreter import Reference
from deltarule.reference.losses import (
    LOSSES,
    absolute_error,
    exp_poisson,
    huber,
    poisson,
    quantile,
    sigmoid_cross_entropy,
    softmax_binary_cross_entropy,
    softmax_cross_entropy,
    squared_error,
)
from support.networks import LIBRARIES, SEEDS, least_outputs, proves, random_data, random_state

EPS = np.finfo(np.float64).eps
LOGITS = st.one_of(st.floats(-1e308, 1e308), st.floats(-800, 800), st.floats(-3, 3))
FRACTIONS = st.one_of(st.sampled_from([0.0, 1.0, 0.5]), st.floats(0, 1))


def one(loss: Any, z: list[float], y: list[float], *c: Any) -> tuple[float, Any]:
    """Return the loss of a single row and its gradient."""
    values, pullback = loss(np.array([z]), np.array([y]), *c)
    assert values.shape == (1,)
    return float(values[0]), pullback(np.ones(1))[0]


# --- against mpmath -------------------------------------------------------------------------------


@proves(short=50, full=3000, z=LOGITS, y=FRACTIONS)
def test_binary_cross_entropy_at_any_logit(z: float, y: float) -> None:
    loss, slope = one(sigmoid_cross_entropy, [z], [y])
    with mpmath.workdps(50):
        Z, Y = mpf(z), mpf(y)
        exact = Y * mp.log1p(mp.exp(-Z)) + (1 - Y) * mp.log1p(mp.exp(Z))
        minus, plus = 1 / (1 + mp.exp(Z)), 1 / (1 + mp.exp(-Z))
        gradient = (1 - Y) * plus - Y * minus
        size = (1 - Y) * plus + Y * minus
        room = 8 * EPS * max(1, min(abs(Z), 800)) + mpf(1e-320)
        assert abs(mpf(loss) - exact) <= room * exact + mpf(1e-320)
        assert abs(mpf(float(slope[0])) - gradient) <= room * size + mpf(1e-320)


def test_cross_entropy_is_accurate_for_confident_predictions() -> None:
    """σ(40) rounds to 1 and σ(40) − 1 to 0; the loss and its gradient do not."""
    tail = float(mp.exp(-mpf(40)))
    loss, slope = one(sigmoid_cross_entropy, [40.0], [1.0])
    assert loss == pytest.approx(tail, rel=1e-14)
    assert slope[0] == pytest.approx(-tail, rel=1e-14)
    assert one(softmax_cross_entropy, [40.0, 0.0], [1.0, 0.0])[0] == pytest.approx(tail, rel=1e-14)


@proves(
    short=35,
    full=1500,
    z=st.lists(st.one_of(st.floats(-200, 200), st.floats(-5, 5)), min_size=1, max_size=5),
    seed=SEEDS,
    hot=st.booleans(),
)
def test_categorical_cross_entropy_at_any_logits(z: list[float], seed: int, hot: bool) -> None:
    rng, k = np.random.default_rng(seed), len(z)
    y = rng.multinomial(1 if hot else 64, np.ones(k) / k) / (1 if hot else 64)  # sums to 1 exactly
    loss, slope = one(softmax_cross_entropy, z, y.tolist())
    with mpmath.workdps(250):  # enough for 1 + e^−400
        Z, Y = [mpf(v) for v in z], [mpf(float(v)) for v in y]
        total = mp.fsum(mp.exp(v) for v in Z)
        exact = mp.fsum(t * (mp.log(total) - v) for t, v in zip(Y, Z, strict=True))
        room = 1e-13 * abs(exact) * max(1, max(map(abs, z))) + mpf(10) ** -200
        assert abs(mpf(loss) - exact) <= room
        gradient = [float(mp.exp(v) / total - t) for v, t in zip(Z, Y, strict=True)]
    np.testing.assert_allclose(slope, gradient, atol=EPS * (4 + max(map(abs, z))))


@pytest.mark.parametrize("xp", LIBRARIES)
def test_losses_stay_finite_at_the_largest_logits(xp: Any) -> None:
    top = 1.7e308
    z = xp.asarray([[top, -top], [-top, top], [top, top], [-top, -top]])
    y = xp.asarray([[0.0, 1.0], [0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    losses, pullback = softmax_cross_entropy(z, y)
    assert [float(v) for v in losses][1:] == pytest.approx([0, np.log(2), np.log(2)])
    assert 1.7e308 <= float(losses[0]) < np.inf  # exact: 3.4e308, beyond the numbers' range
    slopes = pullback(xp.ones_like(losses))
    assert np.asarray(slopes).tolist() == [[1, -1], [0, 0], [0, 0], [-0.5, 0.5]]
    column = xp.asarray([[top], [-top], [top], [-top]])
    right = xp.asarray([[1.0], [0.0], [0.0], [1.0]])
    losses, pullback = sigmoid_cross_entropy(column, right)
    assert [float(v) for v in losses] == [0.0, 0.0, top, top]
    assert np.asarray(pullback(xp.ones_like(losses)))[:, 0].tolist() == [0, 0, 1, -1]
    losses, _ = exp_poisson(xp.asarray([[-top]]), xp.asarray([[0.0]]))
    assert float(losses[0]) == 0.0


@proves(
    short=50,
    full=3000,
    z=st.one_of(st.floats(-800, 700), st.floats(-3, 3)),
    y=st.one_of(st.just(0.0), st.integers(0, 1000).map(float), st.floats(1e-3, 1e300)),
)
def test_half_the_poisson_deviance_at_any_rate(z: float, y: float) -> None:
    loss, slope = one(exp_poisson, [z], [y])
    with mpmath.workdps(50):
        Z, Y = mpf(z), mpf(y)
        terms = [mp.exp(Z), -Y, Y * (mp.log(Y) if y else mpf(0)), -Y * Z]
        exact, logarithm = mp.fsum(terms), mp.log(Y) if y else mpf(0)
        size = (mp.exp(Z) + Y) * (1 + abs(Z) + abs(logarithm))
        assert abs(mpf(loss) - exact) <= 8 * EPS * size + mpf(1e-320)
        assert abs(mpf(float(slope[0])) - (mp.exp(Z) - Y)) <= 8 * EPS * size + mpf(1e-320)


@proves(short=20, full=1000, a=st.floats(-1e150, 1e150), y=st.floats(-1e150, 1e150))
def test_squared_error_in_exact_arithmetic(a: float, y: float) -> None:
    loss, slope = one(squared_error, [a, 0.0], [y, 0.0])
    with mpmath.workdps(50):
        residual = mpf(a) - mpf(y)
        assert abs(mpf(loss) - residual**2 / 2) <= 4 * EPS * residual**2 + mpf(1e-320)
        assert abs(mpf(float(slope[0])) - residual) <= EPS * abs(residual)
    assert slope[1] == 0.0


REALS = st.one_of(st.floats(-1e307, 1e307), st.floats(-10, 10))


@proves(short=20, full=1000, a=REALS, y=REALS, q=st.floats(1e-6, 1 - 1e-6))
def test_absolute_and_quantile_loss_in_exact_arithmetic(a: float, y: float, q: float) -> None:
    with mpmath.workdps(50):
        r = mpf(a) - mpf(y)
        pinball = max(-mpf(q) * r, (1 - mpf(q)) * r)
        for loss, c, exact, slopes in (
            (absolute_error, (), abs(r), (-1.0, 1.0)),
            (quantile, (q,), pinball, (-q, 1 - q)),
        ):
            value, slope = one(loss, [a], [y], c)
            assert value >= 0
            assert abs(mpf(value) - exact) <= 3 * EPS * exact + mpf(1e-320)
            assert slope[0] == (0.0 if r == 0 else slopes[int(r > 0)])


@proves(short=20, full=1000, a=REALS, y=REALS, delta=st.floats(1e-3, 10))
def test_hubers_loss_in_exact_arithmetic(a: float, y: float, delta: float) -> None:
    """½r² for |r| ≤ δ, δ(|r| − ½δ) beyond."""
    value, slope = one(huber, [a, 1.0], [y, 1.0], (delta,))
    with mpmath.workdps(50):
        r, d = mpf(a) - mpf(y), mpf(delta)
        exact = r**2 / 2 if abs(r) <= d else d * (abs(r) - d / 2)
        assert value >= 0
        assert abs(mpf(value) - exact) <= 4 * EPS * exact + mpf(1e-320)
        assert float(slope[0]) == pytest.approx(float(min(max(r, -d), d)), rel=2 * EPS, abs=1e-320)
    assert slope[1] == 0.0


RATES = st.one_of(st.floats(1e-150, 1e150), st.floats(1e-3, 1e3))
NEAR = st.one_of(st.just(0.0), st.floats(1e-15, 0.9), st.floats(-0.9, -1e-15))


@proves(short=35, full=3000, y=st.one_of(st.just(0.0), RATES), a=RATES, share=NEAR)
def test_half_the_poisson_deviance_of_outputs(y: float, a: float, share: float) -> None:
    """Also where the rate is nearly the target; the loss remains accurate (1e-16 u² of 1)."""
    for rate in (a, y * (1 + share)) if y else (a,):
        loss, slope = one(poisson, [rate], [y])
        with mpmath.workdps(60):
            A, Y = mpf(rate), mpf(y)
            exact = A - Y + (Y * mp.log(Y / A) if y else 0)
            far = 1 + abs(mp.log(Y / A)) if y else 1
            assert loss >= 0
            assert abs(mpf(loss) - exact) <= 16 * EPS * far * exact + mpf(1e-320)
            gradient = 1 - Y / A
            assert abs(mpf(float(slope[0])) - gradient) <= 4 * EPS * abs(gradient) + mpf(1e-320)


@proves(short=20, full=2000, z=NEAR)
def test_the_poisson_loss_is_accurate_at_its_optimum(z: float) -> None:
    """e^z − 1 − z at y = 1, where the naive difference would lose all digits."""
    loss, slope = one(exp_poisson, [z], [1.0])
    with mpmath.workdps(60):
        exact = mp.expm1(mpf(z)) - mpf(z)
        assert abs(mpf(loss) - exact) <= 8 * EPS * exact
        assert abs(mpf(float(slope[0])) - mp.expm1(mpf(z))) <= 4 * EPS * abs(mp.expm1(mpf(z)))


@proves(
    short=20,
    full=1000,
    z=st.lists(st.one_of(st.floats(-1e5, 1e5), st.floats(-5, 5)), min_size=2, max_size=5),
    seed=SEEDS,
)
def test_binary_cross_entropy_of_softmax_at_any_logits(z: list[float], seed: int) -> None:
    """−Σ y log S + (1 − y) log(1 − S), from the probabilities as they are defined."""
    rng, k = np.random.default_rng(seed), len(z)
    y = rng.choice([0.0, 1.0, rng.random()], k)
    loss, slope = one(softmax_binary_cross_entropy, z, y.tolist())
    largest = max(1.0, *(abs(u - v) for u in z for v in z), *map(abs, z))
    with mpmath.workdps(60):
        Z, Y = [mpf(v) for v in z], [mpf(float(t)) for t in y]

        def exact(at: list[mpf]) -> mpf:
            """With o = (1 − S)/S: −log S = log(1 + o), −log(1 − S) = log(1 + 1/o)."""
            odds = [mp.fsum(mp.exp(u - v) for j, u in enumerate(at) if j != i)
                    for i, v in enumerate(at)]  # fmt: skip
            return mp.fsum(
                t * mp.log1p(o) + (1 - t) * mp.log1p(1 / o) for t, o in zip(Y, odds, strict=True)
            )

        value, h = exact(Z), mpf(10) ** -20
        assert loss >= 0
        assert abs(mpf(loss) - value) <= 8 * EPS * largest * value + mpf(1e-320)
        gradient = [float((exact([*Z[:j], Z[j] + h, *Z[j + 1 :]]) - value) / h) for j in range(k)]
    room = 16 * k * EPS * largest * max(1.0, max(map(abs, gradient)))
    np.testing.assert_allclose(slope, gradient, rtol=0, atol=room)


def test_binary_cross_entropy_of_softmax_at_the_largest_logits() -> None:
    """S = (1, 0) and (0, 1) to the last bit; the loss of a wrong answer overflows."""
    top = 1.7e308
    z = np.array([[top, -top], [top, -top], [-top, -top], [top / 4, 0.0]])
    y = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    losses, pullback = softmax_binary_cross_entropy(z, y)
    assert losses[0] == 0.0
    assert losses[1] >= top
    assert losses[2] == pytest.approx(2 * np.log(2))
    assert losses[3] == pytest.approx(top / 2)
    slopes = pullback(np.ones(4))
    np.testing.assert_array_equal(slopes, [[0, 0], [1, -1], [1, -1], [2, -2]])


# --- second derivatives ---------------------------------------------------------------------------

CODES = pytest.mark.parametrize("code", list(LossCode), ids=lambda code: code.name.lower())


def random_rows(code: LossCode, seed: int) -> tuple[Any, Any, tuple[float, ...]]:
    """Return arguments of a loss: outputs or logits, targets away from its kinks, and constants."""
    rng = np.random.default_rng(seed)
    shape = (4, 3)
    given, name = rng.normal(size=shape), code.name
    if name.endswith("POISSON"):
        targets = rng.poisson(2.0, shape).astype(float)
        return (np.exp(given) if name == "POISSON" else given), targets, ()
    if "CROSS_ENTROPY" in name:
        soft = rng.dirichlet(np.ones(3), 4)
        return given, (rng.random(shape) if "BINARY" in name else soft), ()
    residual = (rng.uniform(0.1, 0.4, shape) + rng.integers(0, 4, shape) / 2) * rng.choice([-1, 1])
    constants = {"HUBER": (0.5,), "QUANTILE": (0.1, 0.5, 0.9)}.get(name, ())
    return given, given - residual, constants


@CODES
@proves(short=10, full=500, seed=SEEDS)
def test_the_curvature_is_the_differential_of_the_gradient(code: LossCode, seed: int) -> None:
    given, y, c = random_rows(code, seed)
    d = np.random.default_rng(seed + 1).uniform(-1, 1, given.shape) * np.minimum(1, np.abs(given))
    loss, h = LOSSES[code], 1e-3

    def slope(step: int) -> Any:
        return loss.value(given + step * h * d, y, c)[1](np.ones(4))

    quotient = sum(m * (slope(s) - slope(-s)) for s, m in ((1, 45), (2, -9), (3, 1))) / (60 * h)
    curved = loss.curvature(given, y, c, d)
    room = 1e-9 * max(1.0, np.abs(quotient).max())
    np.testing.assert_allclose(curved, quotient, rtol=1e-8, atol=room)


def test_the_curvature_at_a_kink_is_zero_and_says_where_kinks_are() -> None:
    y, d = np.zeros((1, 2)), np.ones((1, 2))
    for code, c, kinks in (
        (LossCode.ABSOLUTE_ERROR, (), (0.0,)),
        (LossCode.QUANTILE, (0.3,), (0.0,)),
        (LossCode.HUBER, (0.5,), (-0.5, 0.5)),
    ):
        assert LOSSES[code].residual_kinks(c) == kinks
        at = np.array([[kinks[0], kinks[-1]]])
        np.testing.assert_array_equal(LOSSES[code].curvature(at, y, c, d), 0.0)
    assert LOSSES[LossCode.HUBER].curvature(0.1 * d, y, (0.5,), d).tolist() == [[1.0, 1.0]]
    for code in set(LossCode) - {LossCode.ABSOLUTE_ERROR, LossCode.QUANTILE, LossCode.HUBER}:
        assert LOSSES[code].residual_kinks(()) == ()


# --- quantiles ------------------------------------------------------------------------------------


@proves(
    short=20, full=1000, seed=SEEDS, n=st.integers(1, 30), levels=st.lists(
        st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]), min_size=1, max_size=4)
)  # fmt: skip
def test_the_minimiser_of_the_pinball_loss_is_the_empirical_quantile(
    seed: int, n: int, levels: list[float]
) -> None:
    """With several quantiles every output has its own level."""
    y = np.random.default_rng(seed).normal(size=n)
    columns = np.tile(y[:, None], (1, len(levels)))

    def cost(constants: Any) -> float:
        return float(quantile(np.tile(constants, (n, 1)), columns, tuple(levels))[0].mean())

    best = np.quantile(y, levels, method="inverted_cdf")
    least = cost(best)
    for j in range(len(levels)):
        for other in (*y, y.min() - 1, y.max() + 1):
            moved = best.copy()
            moved[j] = other
            assert cost(moved) >= least - 1e-12
    expected = sum(
        mean_pinball_loss(y, np.full(n, b), alpha=q) for b, q in zip(best, levels, strict=True)
    )
    assert least == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_one_level_serves_every_output() -> None:
    a, y = np.array([[1.0, -2.0]]), np.array([[0.0, 0.0]])
    single, both = quantile(a, y, (0.3,)), quantile(a, y, (0.3, 0.3))
    assert single[0].tolist() == both[0].tolist() == pytest.approx([0.7 * 1 + 0.3 * 2])


def test_a_network_predicts_several_quantiles_of_several_targets() -> None:
    """Outputs are ordered by target, and each target has all its levels."""
    levels = (0.1, 0.5, 0.9)
    net = Network(1, [Dense(6)], Quantile(levels))
    y = np.random.default_rng(0).normal(size=(200, 2)) * [1.0, 5.0]
    X, state = np.zeros((200, 1)), net.initialize()
    best = np.quantile(y, levels, axis=0, method="inverted_cdf").T.ravel()
    net.parameters(state)["b1"][...] = best
    expected = sum(
        mean_pinball_loss(y[:, t], np.full(200, best[3 * t + i]), alpha=q)
        for t in range(2)
        for i, q in enumerate(levels)
    )
    assert net.loss_of(state, X, y) == pytest.approx(expected, rel=1e-12)
    for j in range(6):
        moved = state.copy()
        net.parameters(moved)["b1"][j] += 0.3
        assert net.loss_of(moved, X, y) > expected
    with pytest.raises(ShapeError, match=r"y must have shape \(200, 2\)"):
        net.loss_of(state, X, np.zeros((200, 6)))


# --- label smoothing ------------------------------------------------------------------------------


def training_loss(net: Network, state: Any, X: Any, y: Any) -> float:
    """Return the mean loss that training minimises, with label smoothing."""
    sums = Reference(net.tape).gradient(state, make_block(net, X, y, smoothed=True)[0])
    return sums.loss / sums.weight


@pytest.mark.parametrize("s", [0.0, 0.1, 0.6])
def test_smoothed_labels_mix_the_losses_of_all_classes(s: float) -> None:
    """(1 − s) y + s/K (Szegedy et al. 2016 §7); for 0/1 labels (1 − s) y + s/2."""
    X, labels = np.random.default_rng(0).normal(size=(8, 2)), np.arange(8) % 3
    layers = [Dense(3, "softmax")]
    plain = Network(2, layers, "categorical_cross_entropy")
    smooth = Network(2, layers, CategoricalCrossEntropy(s))
    state = random_state(plain, 1)
    everyone = np.mean([plain.loss_of(state, X, np.full(8, k)) for k in range(3)])
    expected = (1 - s) * plain.loss_of(state, X, labels) + s * everyone
    assert training_loss(smooth, state, X, labels) == pytest.approx(expected, rel=1e-13)
    assert smooth.score(state, X, labels) == plain.score(state, X, labels)
    binary = [Dense(2, "sigmoid")]
    plain, smooth = (
        Network(2, binary, "binary_cross_entropy"),
        Network(2, binary, BinaryCrossEntropy(s)),
    )
    state, y = random_state(plain, 1), (np.arange(16).reshape(8, 2) % 3 == 0).astype(float)
    halves = (plain.loss_of(state, X, np.zeros((8, 2))) + plain.loss_of(state, X, 1 - 0 * y)) / 2
    expected = (1 - s) * plain.loss_of(state, X, y) + s * halves
    assert training_loss(smooth, state, X, y) == pytest.approx(expected, rel=1e-13)


# --- log-likelihoods ------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(
    ("loss", "output"),
    [
        ("binary_cross_entropy", "sigmoid"),
        ("categorical_cross_entropy", "softmax"),
        ("poisson", "exp"),
        ("poisson", "softplus"),
        ("squared_error", "tanh"),
    ],
)
def test_log_likelihoods_equal_scipys(loss: str, output: str, k: int, weighted: bool) -> None:
    """L5: Bernoulli, categorical, Poisson, and Gaussian with σ̂² = RSS/n, one for each target."""
    k = max(k, least_outputs(loss, output))
    net = Network(4, [Dense(5, "tanh"), Dense(k, output)], loss)
    state, data = random_state(net, 1), random_data(net, 40, 2)
    y = data.y
    if loss == "categorical_cross_entropy":
        y = np.eye(k)[np.argmax(y, axis=1)]
    weight = data.weight if weighted else np.ones(40)
    a = net.predict(state, data.x)
    rows = {
        "binary_cross_entropy": lambda: stats.bernoulli.logpmf(y, a).sum(axis=1),
        "categorical_cross_entropy": lambda: np.array(
            [stats.multinomial.logpmf(t, 1, p / p.sum()) for t, p in zip(y, a, strict=True)]
        ),
        "poisson": lambda: stats.poisson.logpmf(y, a).sum(axis=1),
        "squared_error": lambda: stats.norm.logpdf(
            y, a, np.sqrt(np.average((a - y) ** 2, axis=0, weights=weight))
        ).sum(axis=1),
    }[loss]()
    given = data.weight if weighted else None
    found = net.log_likelihood(state, data.x, y, given)
    assert found == pytest.approx(float(weight @ rows), rel=1e-11)


def test_losses_without_a_likelihood_are_refused() -> None:
    X, y = np.zeros((2, 1)), np.zeros(2)
    for loss in ("absolute_error", "huber", Quantile(0.9)):
        net = Network(1, [Dense(1)], loss)
        with pytest.raises(SpecError, match=r"has no log-likelihood. Use a network with"):
            net.log_likelihood(net.initialize(), X, y)
    net = Network(1, [Dense(1)])
    assert net.log_likelihood(net.initialize(), X, y) == np.inf  # a perfect fit


# --- optima ---------------------------------------------------------------------------------------


@proves(short=15, full=1000, seed=SEEDS, k=st.integers(1, 5))
def test_the_gradient_is_zero_and_the_loss_minimal_at_the_optimum(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(k))
    assume(p.min() > 1e-6)
    rate, real, share = rng.uniform(0.1, 50, k), rng.normal(size=k), rng.uniform(0.01, 0.99, k)
    optima = [
        (squared_error, real, real, 0.0),
        (sigmoid_cross_entropy, logit(share), share, None),
        (softmax_cross_entropy, np.log(p) + rng.normal(), p, float(-(p * np.log(p)).sum())),
        (exp_poisson, np.log(rate), rate, 0.0),
        (poisson, rate, rate, 0.0),
        (huber, real, real, 0.0),
        (absolute_error, real, real, 0.0),
        (quantile, real, real, 0.0),
    ]
    if k > 1:
        binary = float(-(p * np.log(p) + (1 - p) * np.log1p(-p)).sum())
        optima.append((softmax_binary_cross_entropy, np.log(p) + rng.normal(), p, binary))
    for loss, z, y, entropy in optima:
        least, slope = one(loss, z.tolist(), y.tolist())
        np.testing.assert_allclose(slope, 0.0, atol=1e-14 * (1 + np.abs(y).max()))
        if entropy is not None:
            assert least == pytest.approx(entropy, abs=1e-12)
        for _ in range(3):
            away = z * np.exp(rng.normal(size=k)) if loss is poisson else z + rng.normal(size=k)
            assert one(loss, away.tolist(), y.tolist())[0] >= least - 1e-14


@proves(short=20, full=1000, z=st.floats(-700, 700), y=FRACTIONS)
def test_multinomial_of_two_is_binomial(z: float, y: float) -> None:
    two, slopes = one(softmax_cross_entropy, [0.0, z], [1 - y, y])
    single, slope = one(sigmoid_cross_entropy, [z], [y])
    assert two == pytest.approx(single, rel=1e-14, abs=1e-300)
    assert slopes[1] == pytest.approx(slope[0], abs=4 * EPS)
    assert slopes[0] == pytest.approx(-slope[0], abs=4 * EPS)


def test_rows_of_a_batch_are_independent() -> None:
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(5, 3)), rng.dirichlet(np.ones(3), 5)
    for loss in (f.value for f in LOSSES.values()):
        given = np.exp(z) if loss is poisson else z
        losses, pullback = loss(given, y)
        slopes = pullback(np.array([0.0, 1.0, 2.0, 0.0, -1.0]))
        for i, weight in enumerate([0.0, 1.0, 2.0, 0.0, -1.0]):
            alone, slope = one(loss, given[i].tolist(), y[i].tolist())
            assert losses[i] == pytest.approx(alone, rel=1e-15)
            np.testing.assert_allclose(slopes[i], weight * slope, rtol=1e-14, atol=1e-16)


# --- published numbers, and other libraries -------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "delta"),
    [("squared_error", -4.5e-5), ("binary_cross_entropy", -1.0)],
)
def test_a_saturated_neuron_learns_under_cross_entropy_alone(loss: str, delta: float) -> None:
    """H3 (Schönhuth eq. 13): z = −10, y = 1."""
    net = Network(1, [Dense(1, "sigmoid")], loss)
    state = net.initialize()
    state.theta[:] = [-12.0, 2.0]
    assert gradient_of(net, state, np.array([[1.0]]), np.array([[1.0]]))[1] == pytest.approx(
        delta, rel=0.01
    )


def gradient_of(net: Network, state: Any, X: Any, y: Any) -> Any:
    from deltarule.program import Block
    from deltarule.reference import Reference

    sums = Reference(net.tape).gradient(state, Block(X, y))
    return sums.gradient / sums.weight


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(
    ("loss", "output"),
    [
        ("binary_cross_entropy", "sigmoid"),
        ("categorical_cross_entropy", "softmax"),
        ("binary_cross_entropy", "softmax"),
        ("poisson", "exp"),
        ("poisson", "softplus"),
        ("poisson", "sigmoid"),
        ("squared_error", "identity"),
        ("absolute_error", "gelu"),
        ("quantile", "softsign"),
        (Quantile(0.8), "mish"),
        (Huber(0.7), "selu"),
    ],
)
def test_mean_losses_agree_with_other_libraries(
    loss: Any, output: str, k: int, weighted: bool
) -> None:
    if output == "softmax":
        k += 1
    net = Network(4, [Dense(5, "tanh"), Dense(k, output)], loss)
    state, data = random_state(net, 1), random_data(net, 40, 2)
    weight = data.weight if weighted else None
    y, given = data.y, {"sample_weight": weight}
    a = net.predict(state, data.x)
    if loss == "categorical_cross_entropy":
        y = np.argmax(y, axis=1)
        expected = log_loss(y, a, labels=range(k), **given)
    elif loss == "binary_cross_entropy":
        expected = sum(log_loss(y[:, j], a[:, j], labels=[0, 1], **given) for j in range(k))
    elif loss == "poisson":
        columns = range(k)
        expected = sum(mean_poisson_deviance(y[:, j], a[:, j], **given) for j in columns) / 2
    elif loss == "absolute_error":
        expected = mean_absolute_error(y, a, **given) * k
    elif loss == "quantile" or isinstance(loss, Quantile):
        level = 0.5 if loss == "quantile" else 0.8
        expected = mean_pinball_loss(y, a, alpha=level, **given) * k
    elif isinstance(loss, Huber):
        expected = float(np.average(scipy_huber(0.7, y - a).sum(axis=1), weights=weight))
    else:
        expected = mean_squared_error(y, a, **given) * k / 2
    assert net.loss_of(state, data.x, y, weight) == pytest.approx(expected, rel=1e-12)
