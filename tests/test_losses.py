"""Losses and their gradients: extreme logits, optima, and other libraries' numbers (L1-L4)."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy.special import logit
from sklearn.metrics import log_loss, mean_poisson_deviance, mean_squared_error

from deltarule import Dense, Network
from deltarule.reference.losses import (
    exp_poisson,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    squared_error,
)
from support import LIBRARIES, SEEDS, proves, random_data, random_state

EPS = np.finfo(np.float64).eps
LOGITS = st.one_of(st.floats(-1e308, 1e308), st.floats(-800, 800), st.floats(-3, 3))
FRACTIONS = st.one_of(st.sampled_from([0.0, 1.0, 0.5]), st.floats(0, 1))


def one(loss: Any, z: list[float], y: list[float]) -> tuple[float, Any]:
    """Return the loss of a single row and its gradient."""
    values, pullback = loss(np.array([z]), np.array([y]))
    assert values.shape == (1,)
    return float(values[0]), pullback(np.ones(1))[0]


# --- against mpmath -------------------------------------------------------------------------------


@proves(short=150, full=3000, z=LOGITS, y=FRACTIONS)
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


def test_cross_entropy_keeps_the_digits_of_a_confident_answer() -> None:
    """σ(40) rounds to 1 and σ(40) − 1 to 0; the loss and its gradient do not."""
    tail = float(mp.exp(-mpf(40)))
    loss, slope = one(sigmoid_cross_entropy, [40.0], [1.0])
    assert loss == pytest.approx(tail, rel=1e-14)
    assert slope[0] == pytest.approx(-tail, rel=1e-14)
    assert one(softmax_cross_entropy, [40.0, 0.0], [1.0, 0.0])[0] == pytest.approx(tail, rel=1e-14)


@proves(
    short=100,
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
    short=150,
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


@proves(short=50, full=1000, a=st.floats(-1e150, 1e150), y=st.floats(-1e150, 1e150))
def test_squared_error_in_exact_arithmetic(a: float, y: float) -> None:
    loss, slope = one(squared_error, [a, 0.0], [y, 0.0])
    with mpmath.workdps(50):
        residual = mpf(a) - mpf(y)
        assert abs(mpf(loss) - residual**2 / 2) <= 4 * EPS * residual**2 + mpf(1e-320)
        assert abs(mpf(float(slope[0])) - residual) <= EPS * abs(residual)
    assert slope[1] == 0.0


# --- optima ---------------------------------------------------------------------------------------


@proves(short=30, full=1000, seed=SEEDS, k=st.integers(1, 5))
def test_the_gradient_is_zero_and_the_loss_least_at_the_optimum(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(k))
    assume(p.min() > 1e-6)
    rate, real, share = rng.uniform(0.1, 50, k), rng.normal(size=k), rng.uniform(0.01, 0.99, k)
    optima = [
        (squared_error, real, real, 0.0),
        (sigmoid_cross_entropy, logit(share), share, None),
        (softmax_cross_entropy, np.log(p) + rng.normal(), p, float(-(p * np.log(p)).sum())),
        (exp_poisson, np.log(rate), rate, 0.0),
    ]
    for loss, z, y, entropy in optima:
        least, slope = one(loss, z.tolist(), y.tolist())
        np.testing.assert_allclose(slope, 0.0, atol=1e-14 * (1 + np.abs(y).max()))
        if entropy is not None:
            assert least == pytest.approx(entropy, abs=1e-12)
        for _ in range(3):
            assert one(loss, (z + rng.normal(size=k)).tolist(), y.tolist())[0] >= least - 1e-14


@proves(short=50, full=1000, z=st.floats(-700, 700), y=FRACTIONS)
def test_multinomial_of_two_is_binomial(z: float, y: float) -> None:
    two, slopes = one(softmax_cross_entropy, [0.0, z], [1 - y, y])
    single, slope = one(sigmoid_cross_entropy, [z], [y])
    assert two == pytest.approx(single, rel=1e-14, abs=1e-300)
    assert slopes[1] == pytest.approx(slope[0], abs=4 * EPS)
    assert slopes[0] == pytest.approx(-slope[0], abs=4 * EPS)


def test_the_rows_of_a_batch_do_not_mix() -> None:
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(5, 3)), rng.dirichlet(np.ones(3), 5)
    for loss in (squared_error, sigmoid_cross_entropy, softmax_cross_entropy, exp_poisson):
        losses, pullback = loss(z, y)
        slopes = pullback(np.array([0.0, 1.0, 2.0, 0.0, -1.0]))
        for i, weight in enumerate([0.0, 1.0, 2.0, 0.0, -1.0]):
            alone, slope = one(loss, z[i].tolist(), y[i].tolist())
            assert losses[i] == pytest.approx(alone, rel=1e-15)
            np.testing.assert_allclose(slopes[i], weight * slope, rtol=1e-15)


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
        ("poisson", "exp"),
        ("squared_error", "identity"),
    ],
)
def test_mean_losses_are_scikit_learns(loss: str, output: str, k: int, weighted: bool) -> None:
    if loss == "categorical_cross_entropy":
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
    else:
        expected = mean_squared_error(y, a, **given) * k / 2
    assert net.loss_of(state, data.x, y, weight) == pytest.approx(expected, rel=1e-12)
