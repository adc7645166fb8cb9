"""Activations and their derivatives against mpmath, over all finite numbers (A1-A7).

A computed value may be off by 4 ε of the exact one, ε the distance from 1 to the next number,
times how much the function magnifies the rounding of its argument: max(1, |z f'(z)/f(z)|). A
derivative may be off by twice as much: those of GELU and Mish are sums of terms of either sign.
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

from deltarule.program.opcodes import ActivationCode
from deltarule.reference.activations import (
    ELEMENTWISE,
    activate,
    log_softmax,
    softmax,
    softmax_differential,
)
from support.networks import ACTIVATIONS, LIBRARIES, SEEDS, proves

DIGITS = 50


class Truth(NamedTuple):
    """f, f' and f'' of a real number, as textbooks write them."""

    f: Callable[[mpf], mpf]
    d: Callable[[mpf], mpf]
    dd: Callable[[mpf], mpf]


def sigma(z: mpf) -> mpf:
    return 1 / (1 + mp.exp(-z))


def sigma_prime(z: mpf) -> mpf:
    return mp.sech(z / 2) ** 2 / 4


def sigma_second(z: mpf) -> mpf:
    return -sigma_prime(z) * mp.tanh(z / 2)


def zero(z: mpf) -> mpf:
    return mpf(0)


def density(z: mpf) -> mpf:
    return mp.exp(-(z**2) / 2) / mp.sqrt(2 * mp.pi)


def distribution(z: mpf) -> mpf:
    return mpf(z > 0) if abs(z) > 10**4 else mp.erfc(-z / mp.sqrt(2)) / 2


def tanh_softplus(z: mpf) -> tuple[mpf, mpf, mpf]:
    """Return w = tanh log(1 + e^z) = (s² − 1)/(s² + 1), s = 1 + e^z, with w' and w''."""
    e = mp.exp(z)
    s = 1 + e
    top, bottom = 4 * e * s, (s * s + 1) ** 2  # w' = top/bottom
    d_top, d_bottom = 4 * e * (s + e), 4 * (s * s + 1) * s * e
    w = e * (e + 2) / (s * s + 1)
    return w, top / bottom, (d_top * bottom - top * d_bottom) / bottom**2


def linear_unit(alpha: float, scale: float = 1.0) -> Truth:
    """Return (S)ELU: scale z above 0, scale α(e^z − 1) below."""
    a, c = mpf(alpha), mpf(scale)
    return Truth(
        lambda z: c * (z if z > 0 else a * mp.expm1(z)),
        lambda z: c * (mpf(1) if z > 0 else a * mp.exp(z)),
        lambda z: c * (mpf(0) if z > 0 else a * mp.exp(z)),
    )


CONSTANTS = {"leaky_relu": 0.01, "elu": 0.75}

TRUTHS = {
    "identity": Truth(lambda z: z, lambda z: mpf(1), zero),
    "sigmoid": Truth(sigma, sigma_prime, sigma_second),
    "tanh": Truth(mp.tanh, lambda z: mp.sech(z) ** 2, lambda z: -2 * mp.tanh(z) * mp.sech(z) ** 2),
    "relu": Truth(lambda z: max(z, mpf(0)), lambda z: mpf(z > 0), zero),
    "leaky_relu": Truth(
        lambda z: z if z > 0 else mpf(0.01) * z,
        lambda z: mpf(1) if z > 0 else mpf(0.01),
        zero,
    ),
    "exp": Truth(mp.exp, mp.exp, mp.exp),
    "selu": linear_unit(1.6732632423543772, 1.0507009873554805),
    "elu": linear_unit(0.75),
    "gelu": Truth(
        lambda z: z * distribution(z),
        lambda z: distribution(z) + z * density(z),
        lambda z: (2 - z**2) * density(z),
    ),
    "silu": Truth(
        lambda z: z * sigma(z),
        lambda z: sigma(z) + z * sigma_prime(z),
        lambda z: 2 * sigma_prime(z) + z * sigma_second(z),
    ),
    "softplus": Truth(lambda z: mp.log1p(mp.exp(z)), sigma, sigma_prime),
    "mish": Truth(
        lambda z: z * tanh_softplus(z)[0],
        lambda z: tanh_softplus(z)[0] + z * tanh_softplus(z)[1],
        lambda z: 2 * tanh_softplus(z)[1] + z * tanh_softplus(z)[2],
    ),
    "softsign": Truth(
        lambda z: z / (1 + abs(z)),
        lambda z: 1 / (1 + abs(z)) ** 2,
        lambda z: -2 * mp.sign(z) / (1 + abs(z)) ** 3,
    ),
    "hard_sigmoid": Truth(
        lambda z: min(max(z / 6 + mpf(1) / 2, mpf(0)), mpf(1)),
        lambda z: mpf(1) / 6 if abs(z) < 3 else mpf(0),
        zero,
    ),
    "hard_tanh": Truth(
        lambda z: min(max(z, mpf(-1)), mpf(1)), lambda z: mpf(1) if abs(z) < 1 else mpf(0), zero
    ),
}

NAMES = pytest.mark.parametrize("name", TRUTHS)
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def landmarks(dtype: Any) -> Any:
    """Return ±: zeros, smallest and largest numbers, and the limits of exponentials."""
    info = np.finfo(dtype)
    positive = [0.0, info.smallest_subnormal, info.tiny, info.eps, 1e-20, 1e-5, 0.1, 0.5, 1.0, 3.0]
    positive += [8.0, 9.01, 16.6, 17.4, 18.7, 19.1, 36.1, 36.8, 44.4, 51.9, 87.3, 88.6, 103.9, 104]
    positive += [372.5, 700, 708.3, 709.7, 710, 744.4, 745.1, 746, 1e3, 1e4, 1e10, 1e20, 1e38]
    positive += [1e150, 1e300, info.max / 2, np.nextafter(info.max, dtype(0)), info.max]
    inside = np.array([v for v in positive if float(v) <= float(info.max)], dtype)
    return np.concatenate([inside, -inside])


def numbers(dtype: Any) -> st.SearchStrategy[float]:
    """Draw from all finite numbers, and more often from where the functions are curved."""
    width = 8 * np.dtype(dtype).itemsize
    finite = {"width": width, "allow_nan": False, "allow_infinity": False}
    return st.one_of(
        st.floats(**finite), st.floats(-750, 750, **finite), st.floats(-4, 4, **finite)
    )


def ulp_of(exact: mpf, dtype: Any) -> mpf:
    """Return ε |exact|, or the distance between the smallest numbers if that is larger."""
    info = np.finfo(dtype)
    return max(mpf(float(info.eps)) * abs(exact), mpf(float(info.smallest_subnormal)))


def assert_within_ulps(computed: Any, z: Any, f: Callable[[mpf], mpf], ulps: float) -> float:
    """Assert that every computed[i] is f(z[i]), to ``ulps`` × max(1, |z f'(z)/f(z)|).

    Returned is the largest error in these units. f' is a difference quotient in 100 digits.
    """
    assert computed.dtype == z.dtype
    assert np.isfinite(computed).all()
    largest = 0.0
    with mpmath.workdps(2 * DIGITS):
        nearby = 1 + mpf(10) ** -DIGITS
        for got, at in zip(computed, z, strict=True):
            point = mpf(float(at))
            exact = f(point)
            ulp = ulp_of(exact, z.dtype)
            magnified = abs((f(point * nearby) / exact - 1) / (nearby - 1)) if exact != 0 else 0
            error = abs(mpf(float(got)) - exact) / (max(1, magnified) * ulp)
            assert error <= ulps, (at, got, float(error))
            largest = max(largest, float(error))
    return largest


ROOMS = (5.0, 8.0, 8.0)  # ulps of g, g' and g''


def values_of(name: str, z: Any) -> tuple[Any, Any, Any]:
    """Return g, g' and g''."""
    g, c = ELEMENTWISE[ActivationCode[name.upper()]], CONSTANTS.get(name, 0.0)
    return g.value(z, c), g.derivative(z, c), g.second(z, c)


def in_range(name: str, z: Any) -> Any:
    """Return where the value is finite: e^z overflows, and so does λ z near the largest number."""
    largest = float(np.finfo(z.dtype).max)
    bounds = {"exp": np.log(largest), "selu": largest / 1.06}
    return z <= bounds.get(name, largest)


def test_every_activation_has_an_exact_formula() -> None:
    assert set(TRUTHS) | {"softmax"} == set(ACTIVATIONS)


@DTYPES
@NAMES
def test_values_and_derivatives_at_landmarks(name: str, dtype: Any) -> None:
    z = landmarks(dtype)
    z = z[in_range(name, z)]
    worst = [
        assert_within_ulps(computed, z, f, room)
        for computed, f, room in zip(values_of(name, z), TRUTHS[name], ROOMS, strict=True)
    ]
    print(f"{name} {np.dtype(dtype)}: {', '.join(f'{error:.2f}' for error in worst)} ulp")


@DTYPES
@NAMES
@pytest.mark.parametrize("count", [25, pytest.param(2000, marks=pytest.mark.long)])
def test_values_and_derivatives_everywhere(name: str, dtype: Any, count: int) -> None:
    @settings(max_examples=count)
    @given(numbers(dtype).filter(lambda number: in_range(name, np.array([number], dtype))[0]))
    def holds(number: float) -> None:
        z = np.array([number], dtype)
        for computed, f, room in zip(values_of(name, z), TRUTHS[name], ROOMS, strict=True):
            assert_within_ulps(computed, z, f, room)

    holds()


@pytest.mark.parametrize("xp", LIBRARIES)
@NAMES
def test_derivatives_are_right_in_every_library(name: str, xp: Any) -> None:
    points = [-3.5, -0.625, 0.25, 2.0]  # away from kinks
    computed = values_of(name, xp.asarray(points))
    with mpmath.workdps(DIGITS):
        for i, at in enumerate(points):
            for order, g in enumerate(computed):
                truth = float(mpmath.diff(TRUTHS[name].f, mpf(at), order))
                assert float(g[i]) == pytest.approx(truth, rel=1e-13, abs=1e-14)


@pytest.mark.parametrize("xp", LIBRARIES)
@NAMES
def test_nan_stays_nan(name: str, xp: Any) -> None:
    value, derivative, _ = values_of(name, xp.asarray([np.nan, 0.5]))
    assert np.isnan(np.asarray(value)).tolist() == [True, False]
    if name == "relu":
        assert np.isnan(np.asarray(derivative)).tolist() == [True, False]


@DTYPES
def test_the_derivative_at_a_kink_is_the_left_one(dtype: Any) -> None:
    """Erratum E-a: ReLU'(0) = 0; A5: leaky ReLU'(0) = β."""
    zeros = np.array([0.0, -0.0], dtype)
    for slope in (0.0, 0.3, 1.0):
        _, pullback = activate(ELEMENTWISE[ActivationCode.LEAKY_RELU], zeros[None, :], slope)
        np.testing.assert_array_equal(pullback(np.ones((1, 2), dtype)), dtype([[slope, slope]]))
    _, pullback = activate(ELEMENTWISE[ActivationCode.RELU], zeros[None, :])
    np.testing.assert_array_equal(pullback(np.ones((1, 2), dtype)), dtype([[0.0, 0.0]]))


@pytest.mark.parametrize("beta", [0.0, 0.01, 0.5, 1.0])
def test_leaky_relu_is_the_larger_of_two_lines(beta: float) -> None:
    z = np.linspace(-4, 4, 33)
    value, _ = activate(ELEMENTWISE[ActivationCode.LEAKY_RELU], z[None, :], beta)
    np.testing.assert_array_equal(value[0], [max(beta * v, v) for v in z])


def test_which_activations_have_kinks() -> None:
    kinked = {ActivationCode(code).name for code, g in ELEMENTWISE.items() if g.kinks}
    assert kinked == {
        "RELU", "LEAKY_RELU", "SELU", "ELU", "SOFTSIGN", "HARD_SIGMOID", "HARD_TANH",
    }  # fmt: skip


@NAMES
def test_a_kink_is_where_a_derivative_jumps(name: str) -> None:
    """The first or the second derivative jumps, so a difference quotient is wrong by O(ε)."""
    grid = np.arange(-8.0, 8.25, 0.25)
    jumps = []
    with mpmath.workdps(DIGITS):
        h = mpf(10) ** -20
        for at in map(mpf, grid):
            sides = [(g(at - h), g(at + h)) for g in (TRUTHS[name].d, TRUTHS[name].dd)]
            if any(abs(left - right) > 1e-6 for left, right in sides):
                jumps.append(float(at))
    assert jumps == list(ELEMENTWISE[ActivationCode[name.upper()]].kinks)


def test_the_second_derivative_at_a_kink_is_zero() -> None:
    for code, g in ELEMENTWISE.items():
        if code in (ActivationCode.ELU, ActivationCode.SELU):
            continue  # these have the value of the exponential on the left
        for kink in g.kinks:
            assert g.second(np.array([kink]), 0.3).tolist() == [0.0]


# --- softmax --------------------------------------------------------------------------------------


def exact_softmax(row: Any) -> list[mpf]:
    z = [mpf(float(v)) for v in row]
    top = max(z)
    powers = [mp.exp(v - top) for v in z]
    return [p / mp.fsum(powers) for p in powers]


@DTYPES
@proves(short=20, full=1000, row=st.lists(numbers(np.float32), min_size=1, max_size=6))
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
    back = pullback(np.ones_like(z))  # a row sums to 1 for every z
    np.testing.assert_allclose(back, 0.0, atol=8 * len(row) * np.finfo(z.dtype).eps)


@proves(short=15, full=1000, seed=SEEDS, k=st.integers(1, 6))
def test_the_softmax_jacobian(seed: int, k: int) -> None:
    """J_ij = S_i(δ_ij − S_j) is symmetric and positive, and constants are its kernel."""
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


@proves(short=15, full=1000, seed=SEEDS, k=st.integers(1, 6))
def test_log_softmax_is_accurate_for_small_probabilities(seed: int, k: int) -> None:
    z = np.random.default_rng(seed).normal(scale=500.0, size=(3, k))
    with mpmath.workdps(DIGITS):
        for row, got in zip(z, log_softmax(z), strict=True):
            exact = [float(mp.log(s)) for s in exact_softmax(row)]
            np.testing.assert_allclose(got, exact, rtol=1e-13, atol=1e-15)


def test_softmax_of_two_is_the_sigmoid_of_their_difference() -> None:
    z = np.linspace(-40, 40, 81)
    two = softmax(np.stack([z, np.zeros_like(z)], axis=1))[0][:, 0]
    np.testing.assert_allclose(two, values_of("sigmoid", z)[0], rtol=1e-14)
