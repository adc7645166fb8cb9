"""Activations and their derivatives against mpmath, over every finite number there is (A1-A6).

A computed value may be off by 4 ε of the exact one, ε the distance from 1 to the next number,
times how much the function magnifies the rounding of its argument: max(1, |z f'(z)/f(z)|).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from deltarule.opcodes import ActivationCode
from deltarule.reference.activations import (
    ELEMENTWISE,
    activate,
    log_softmax,
    softmax,
    softmax_differential,
    softplus,
)
from support import LIBRARIES, SEEDS, proves

DIGITS = 50
SLOPE = 0.01


class Truth(NamedTuple):
    """f, f' and f'' of a real number, as textbooks write them."""

    f: Callable[[mpf], mpf]
    d: Callable[[mpf], mpf]
    dd: Callable[[mpf], mpf]
    largest: float = float("inf")  # beyond, the value leaves the numbers' range


def sigma(z: mpf) -> mpf:
    return 1 / (1 + mp.exp(-z))


def sigma_prime(z: mpf) -> mpf:
    return mp.sech(z / 2) ** 2 / 4


TRUTHS = {
    "identity": Truth(lambda z: z, lambda z: mpf(1), lambda z: mpf(0)),
    "sigmoid": Truth(sigma, sigma_prime, lambda z: -sigma_prime(z) * mp.tanh(z / 2)),
    "tanh": Truth(mp.tanh, lambda z: mp.sech(z) ** 2, lambda z: -2 * mp.tanh(z) * mp.sech(z) ** 2),
    "relu": Truth(lambda z: max(z, mpf(0)), lambda z: mpf(z > 0), lambda z: mpf(0)),
    "leaky_relu": Truth(
        lambda z: z if z > 0 else mpf(SLOPE) * z,
        lambda z: mpf(1) if z > 0 else mpf(SLOPE),
        lambda z: mpf(0),
    ),
    "exp": Truth(mp.exp, mp.exp, mp.exp, largest=88.7),
    "softplus": Truth(lambda z: mp.log1p(mp.exp(z)), sigma, sigma_prime),
}

NAMES = pytest.mark.parametrize("name", [name for name in TRUTHS if name != "softplus"])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def landmarks(dtype: Any) -> Any:
    """Return ±: zeros, the smallest and largest numbers, and where exponentials run out."""
    info = np.finfo(dtype)
    positive = [0.0, info.smallest_subnormal, info.tiny, info.eps, 1e-20, 1e-5, 0.1, 0.5, 1.0, 3.0]
    positive += [8.0, 9.01, 16.6, 17.4, 18.7, 19.1, 36.1, 36.8, 44.4, 51.9, 87.3, 88.6, 103.9, 104]
    positive += [372.5, 700, 708.3, 709.7, 710, 744.4, 745.1, 746, 1e3, 1e4, 1e10, 1e20, 1e38]
    positive += [1e150, 1e300, info.max / 2, np.nextafter(info.max, dtype(0)), info.max]
    inside = np.array([v for v in positive if float(v) <= float(info.max)], dtype)
    return np.concatenate([inside, -inside])


def numbers(dtype: Any) -> st.SearchStrategy[float]:
    """Draw from all finite numbers, and more often from where functions bend."""
    width = 8 * np.dtype(dtype).itemsize
    finite = {"width": width, "allow_nan": False, "allow_infinity": False}
    return st.one_of(
        st.floats(**finite), st.floats(-750, 750, **finite), st.floats(-4, 4, **finite)
    )


def ulp_of(exact: mpf, dtype: Any) -> mpf:
    """Return ε |exact|, or the distance between the smallest numbers if that is larger."""
    info = np.finfo(dtype)
    return max(mpf(float(info.eps)) * abs(exact), mpf(float(info.smallest_subnormal)))


def assert_within_ulps(computed: Any, z: Any, f: Any, derivative: Any, ulps: float = 4.0) -> None:
    """Assert that every computed[i] is f(z[i]), to ``ulps`` × max(1, |z f'(z)/f(z)|)."""
    assert computed.dtype == z.dtype
    assert np.isfinite(computed).all()
    with mpmath.workdps(DIGITS):
        for got, at in zip(computed, z, strict=True):
            point = mpf(float(at))
            exact = f(point)
            ulp = ulp_of(exact, z.dtype)
            magnified = abs(point * derivative(point) / exact) if exact != 0 else 0
            error = abs(mpf(float(got)) - exact)
            assert error <= ulps * max(1, magnified) * ulp, (at, got, float(error / ulp))


def value_of(name: str, z: Any) -> Any:
    code = ActivationCode[name.upper()]
    return ELEMENTWISE[code].value(z, SLOPE), ELEMENTWISE[code].derivative(z, SLOPE)


@DTYPES
@NAMES
def test_values_and_derivatives_at_landmarks(name: str, dtype: Any) -> None:
    truth, z = TRUTHS[name], landmarks(dtype)
    z = z[z <= truth.largest]
    value, slope = value_of(name, z)
    assert_within_ulps(value, z, truth.f, truth.d)
    assert_within_ulps(slope, z, truth.d, truth.dd)


@DTYPES
@NAMES
@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.long)])
def test_values_and_derivatives_everywhere(name: str, dtype: Any, count: int) -> None:
    truth = TRUTHS[name]

    @settings(max_examples=count)
    @given(numbers(dtype).filter(lambda z: z <= truth.largest))
    def holds(number: float) -> None:
        z = np.array([number], dtype)
        value, slope = value_of(name, z)
        assert_within_ulps(value, z, truth.f, truth.d)
        assert_within_ulps(slope, z, truth.d, truth.dd)

    holds()


@DTYPES
def test_softplus_at_landmarks(dtype: Any) -> None:
    z = landmarks(dtype)
    assert_within_ulps(softplus(z), z, TRUTHS["softplus"].f, TRUTHS["softplus"].d)


@pytest.mark.parametrize("xp", LIBRARIES)
@NAMES
def test_derivatives_are_right_in_every_library(name: str, xp: Any) -> None:
    z = xp.asarray([-3.0, -0.5, 0.25, 2.0])
    value, slope = value_of(name, z)
    with mpmath.workdps(DIGITS):
        for i, at in enumerate([-3.0, -0.5, 0.25, 2.0]):
            assert float(value[i]) == pytest.approx(float(TRUTHS[name].f(mpf(at))), rel=1e-14)
            derivative = mpmath.diff(TRUTHS[name].f, mpf(at))
            assert float(slope[i]) == pytest.approx(float(derivative), rel=1e-14)


@DTYPES
def test_the_derivative_at_a_kink_is_that_of_the_left(dtype: Any) -> None:
    """Erratum E-a: ReLU'(0) = 0; A5: leaky ReLU'(0) = β."""
    zeros = np.array([0.0, -0.0], dtype)
    for slope in (0.0, 0.3, 1.0):
        _, pullback = activate(ActivationCode.LEAKY_RELU, zeros[None, :], slope)
        np.testing.assert_array_equal(pullback(np.ones((1, 2), dtype)), dtype([[slope, slope]]))
    _, pullback = activate(ActivationCode.RELU, zeros[None, :])
    np.testing.assert_array_equal(pullback(np.ones((1, 2), dtype)), dtype([[0.0, 0.0]]))


@pytest.mark.parametrize("beta", [0.0, 0.01, 0.5, 1.0])
def test_leaky_relu_is_the_larger_of_two_lines(beta: float) -> None:
    z = np.linspace(-4, 4, 33)
    value, _ = activate(ActivationCode.LEAKY_RELU, z[None, :], beta)
    np.testing.assert_array_equal(value[0], [max(beta * v, v) for v in z])


def test_which_activations_have_kinks() -> None:
    kinked = {ActivationCode(code).name for code, g in ELEMENTWISE.items() if g.kinks}
    assert kinked == {"RELU", "LEAKY_RELU"}


# --- softmax --------------------------------------------------------------------------------------


def exact_softmax(row: Any) -> list[mpf]:
    z = [mpf(float(v)) for v in row]
    top = max(z)
    powers = [mp.exp(v - top) for v in z]
    return [p / mp.fsum(powers) for p in powers]


@DTYPES
@proves(short=60, full=1000, row=st.lists(numbers(np.float32), min_size=1, max_size=6))
def test_softmax_is_right_for_all_finite_logits(dtype: Any, row: list[float]) -> None:
    assert_softmax(np.array([row], dtype))


@DTYPES
def test_softmax_is_right_at_the_largest_logits(dtype: Any) -> None:
    top = np.finfo(dtype).max
    tiny = np.finfo(dtype).smallest_subnormal
    for row in (
        [top, -top],
        [-top, -top, -top],
        [top, top],
        [top, top / 2, 0],
        [-top, 0],
        [tiny, -tiny, 0],
        [top, np.nextafter(top, dtype(0)), -top],
        [-top],
        [1e4, 1e4 - 1, 1e4 - 700],
    ):
        assert_softmax(np.array([row], dtype))
    if dtype is np.float64:
        assert softmax(np.array([[1.7e308, -1.7e308]]))[0].tolist() == [[1.0, 0.0]]


def assert_softmax(z: Any) -> None:
    s, pullback = softmax(z)
    row = z[0]
    with mpmath.workdps(DIGITS):
        for got, exact, v in zip(s[0], exact_softmax(row), row, strict=True):
            # e^(z − m) magnifies the rounding of z − m by |z − m|, where it does not underflow.
            drop = min(mpf(float(max(row))) - mpf(float(v)), 800)
            room = (4 + len(row)) * max(1, drop) * ulp_of(exact, z.dtype)
            assert abs(mpf(float(got)) - exact) <= room
    assert np.isfinite(log_softmax(z)).all()
    back = pullback(np.ones_like(z))  # the sum of a row is 1 whatever z
    np.testing.assert_allclose(back, 0.0, atol=8 * len(row) * np.finfo(z.dtype).eps)


@proves(short=30, full=1000, seed=SEEDS, k=st.integers(1, 6))
def test_the_softmax_jacobian(seed: int, k: int) -> None:
    """J_ij = S_i(δ_ij − S_j): differences of S, symmetric, positive, without the constants."""
    z = np.random.default_rng(seed).normal(scale=2.0, size=(1, k))
    units = np.eye(k)
    jacobian = np.stack([softmax_differential(z, u[None, :])[0] for u in units], axis=1)
    with mpmath.workdps(DIGITS):
        row = [mpf(float(v)) for v in z[0]]
        h = mpf(10) ** -20
        for j in range(k):
            ahead = exact_softmax_at(row, j, h)
            behind = exact_softmax_at(row, j, -h)
            column = [float((a - b) / (2 * h)) for a, b in zip(ahead, behind, strict=True)]
            np.testing.assert_allclose(jacobian[:, j], column, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(jacobian, jacobian.T, rtol=1e-12)
    np.testing.assert_allclose(jacobian.sum(axis=0), 0.0, atol=1e-14)
    assert np.linalg.eigvalsh(jacobian).min() > -1e-14


def exact_softmax_at(row: list[mpf], j: int, step: mpf) -> list[mpf]:
    powers = [mp.exp(v + (step if i == j else 0)) for i, v in enumerate(row)]
    return [p / mp.fsum(powers) for p in powers]


@proves(short=30, full=1000, seed=SEEDS, k=st.integers(1, 6))
def test_log_softmax_never_takes_the_logarithm_of_a_rounded_number(seed: int, k: int) -> None:
    z = np.random.default_rng(seed).normal(scale=500.0, size=(3, k))
    with mpmath.workdps(DIGITS):
        for row, got in zip(z, log_softmax(z), strict=True):
            exact = [float(mp.log(s)) for s in exact_softmax(row)]
            np.testing.assert_allclose(got, exact, rtol=1e-13, atol=1e-15)


def test_softmax_of_two_is_the_sigmoid_of_their_difference() -> None:
    z = np.linspace(-40, 40, 81)
    two = softmax(np.stack([z, np.zeros_like(z)], axis=1))[0][:, 0]
    np.testing.assert_allclose(two, value_of("sigmoid", z)[0], rtol=1e-14)
