"""The engine's mathematical functions, compared with mpmath over all finite numbers.

An ulp here is the distance between the two numbers around the exact value.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import strategies as st
from mpmath import mp, mpf

numba = pytest.importorskip("numba")

from deltarule.engine.kernels import math_functions  # noqa: E402
from deltarule.engine.kernels.intrinsics import fast, vector  # noqa: E402
from support.networks import proves  # noqa: E402

DIGITS = 60


def logarithm(x: mpf) -> mpf:
    return mp.log(x) if x > 0 else mpf("-inf") if x == 0 else mp.nan


TRUTHS: dict[str, tuple[Callable[[mpf], mpf], float]] = {  # and the error allowed, in ulps
    "exp": (mp.exp, 1.0),
    "expm1": (mp.expm1, 1.5),
    "tanh": (mp.tanh, 3.0),
    "sigmoid": (lambda x: 1 / (1 + mp.exp(-x)), 2.5),
    "log": (logarithm, 1.0),
    "log1p": (lambda x: mp.log1p(x) if x > -1 else logarithm(1 + x), 1.0),
    "normal_distribution": (lambda x: mp.erfc(-x / mp.sqrt(2)) / 2, 6.0),
    "normal_density": (lambda x: mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi), 2.5),
}
NAMES = pytest.mark.parametrize("name", TRUTHS)
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
JIT = not numba.config.DISABLE_JIT


@functools.cache
def kernel(name: str) -> Any:
    g = math_functions.formula(getattr(math_functions, name))

    @fast
    def run(x, y, n, one):  # type: ignore[no-untyped-def]
        source, target = vector(x, n, one), vector(y, n, one)
        for i in range(n):
            target[i] = g(source[i])

    return run


def computed(name: str, x: Any) -> Any:
    y = np.full_like(x, 7.0)
    kernel(name)(x.ctypes.data, y.ctypes.data, x.size, x.dtype.type(1))
    return y


def error_in_ulps(got: float, exact: mpf, dtype: Any) -> float:
    info = np.finfo(dtype)
    if mpmath.isnan(exact) or mpmath.isinf(exact):
        return 0.0 if str(float(got)) == str(float(exact)) else np.inf
    # Only what is half an ulp beyond the largest number is rounded to infinity.
    limit = mpf(float(info.max)) * (1 + mpf(float(info.eps)) / 4)
    if np.isinf(got):
        return 0.0 if got * exact > 0 and abs(exact) >= limit * (1 - info.eps) else np.inf
    exponent = mpmath.frexp(exact)[1] - 1 if exact != 0 else info.minexp
    ulp = mpf(2) ** max(exponent, info.minexp) * mpf(float(info.eps))
    return float(abs(mpf(float(got)) - exact) / ulp)


def spare(name: str, at: float) -> float:
    """Return the extra ulps of NumPy's functions, and of SciPy's erfc at a rounded z/√2."""
    return 0.0 if JIT else 2.0 + (at * at if name.startswith("normal") else 0.0)


def assert_close(name: str, x: Any) -> float:
    truth, ulps = TRUTHS[name]
    worst = 0.0
    with mpmath.workdps(DIGITS):
        for got, at in zip(computed(name, x), x, strict=True):
            error = error_in_ulps(got, truth(mpf(float(at))), x.dtype)
            assert error <= ulps + spare(name, float(at)), (at, got, error)
            worst = max(worst, error)
    return worst


def grid(dtype: Any) -> Any:
    """Return numbers of every exponent and sign, the ends of ranges, and points of change."""
    info = np.finfo(dtype)
    powers = np.exp2(np.arange(info.minexp - info.nmant, info.maxexp, 7 if JIT else 40.0))
    powers = np.concatenate([powers * 1.37, np.exp2(np.arange(-30, 11.0)), [0.0, info.max]])
    ends = [87.33, 88.72, 88.73, 103.27, 103.97, 104.0, 708.39, 709.78, 709.79, 744.44, 745.13, 746]
    bends = np.concatenate([powers, ends, np.linspace(0, 50, 400 if JIT else 40) + 0.0137])
    inside = bends[bends <= float(info.max)].astype(dtype)
    around = np.concatenate([inside, 1 + inside[inside < 1]])
    return np.concatenate([around, -around])


@DTYPES
@NAMES
def test_functions_over_the_whole_range(name: str, dtype: Any) -> None:
    x = grid(dtype)
    if name.startswith("normal"):
        x = x[np.abs(x) < 1e5]  # mpmath is slow with e^{−10⁶⁰⁰}
    elif name in ("exp", "expm1", "sigmoid", "tanh"):
        x = x[np.abs(x) < 1e7]
    print(f"{name} {np.dtype(dtype)}: {assert_close(name, x):.2f} ulp")


@pytest.mark.parametrize("width", [32, 64])
@NAMES
@proves(short=20, full=2000, data=st.data())
def test_functions_at_any_number(name: str, width: int, data: st.DataObject) -> None:
    near = st.floats(-4, 4, width=width)
    wide = st.floats(-800, 800, width=width)
    every = st.floats(-(2.0**20), 2.0**20, width=width)
    if name.startswith("log"):
        every = st.floats(0, allow_infinity=False, width=width)
    numbers = data.draw(st.lists(st.one_of(near, wide, every), min_size=1, max_size=8))
    assert_close(name, np.array(numbers, f"f{width // 8}"))


@DTYPES
@NAMES
def test_functions_of_nan_and_infinity(name: str, dtype: Any) -> None:
    info = np.finfo(dtype)
    x = np.array([np.nan, np.inf, -np.inf, info.max, -info.max, 0.0, -0.0, -1.0], dtype)
    one, tail = np.inf, -np.inf
    expected = {
        "exp": [one, 0, one, 0, 1, 1],
        "expm1": [one, -1, one, -1, 0, -0.0],
        "tanh": [1, -1, 1, -1, 0, -0.0],
        "sigmoid": [1, 0, 1, 0, 0.5, 0.5],
        "log": [one, np.nan, np.log(info.max), np.nan, tail, tail],
        "log1p": [one, np.nan, np.log(info.max), np.nan, 0, -0.0],
        "normal_distribution": [1, 0, 1, 0, 0.5, 0.5],
        "normal_density": [0, 0, 0, 0, 0.3989422804014327, 0.3989422804014327],
    }[name]
    y = computed(name, x)
    assert np.isnan(y[0])
    np.testing.assert_allclose(y[1:7], np.array(expected, dtype), rtol=2 * info.eps)
    if name in ("expm1", "tanh", "log1p"):
        assert np.signbit(y[5:7]).tolist() == [False, True]
    if name == "log1p":
        assert y[7] == -np.inf


@DTYPES
@pytest.mark.parametrize("name", ["expm1", "tanh", "log1p"])
def test_subnormal_numbers_are_not_flushed_to_zero(name: str, dtype: Any) -> None:
    info = np.finfo(dtype)
    x = np.array([info.smallest_subnormal, 3 * info.smallest_subnormal, info.tiny], dtype)
    x = np.concatenate([x, -x])
    np.testing.assert_array_equal(computed(name, x), x)


@pytest.mark.skipif(not JIT, reason="the compiler is off")
@NAMES
def test_a_loop_over_a_formula_is_vectorised(name: str) -> None:
    """The compiled loop has no call, and its arithmetic is on vectors."""
    computed(name, np.ones(4, np.float32))
    (signature,) = [s for s in kernel(name).signatures if s[-1] == numba.float32]
    code = kernel(name).inspect_llvm(signature)
    assert " x float> " in code
    for function in ("expf", "logf", "tanhf", "erfcf", "@exp(", "@log(", "@tanh("):
        assert f"@{function.lstrip('@')}" not in code
