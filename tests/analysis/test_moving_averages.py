"""Averages of a series, against exact fractions and pandas (item O8)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from deltarule.analysis import (
    bias_corrected,
    effective_window,
    exponential_average,
    moving_average,
)
from deltarule.errors import ShapeError, SpecError
from support.networks import LIBRARIES, proves

SERIES = st.lists(st.integers(-1000, 1000), min_size=1, max_size=30)
BETAS = st.sampled_from([0.0, 0.25, 0.5, 0.9, 0.999, 0.9995]) | st.floats(0, 0.99999)


@proves(short=20, full=2000, x=SERIES, beta=BETAS)
def test_the_sum_form_and_its_correction(x: list[int], beta: float) -> None:
    """V_t = (1 − β) Σ βʲ x_{t−j}, V_t/(1 − βᵗ) = Σ βʲ x_{t−j} / Σ βʲ, exactly (E-ah)."""
    b = Fraction(beta)
    averages = exponential_average(np.array(x, dtype=float), beta)
    corrected = bias_corrected(averages, beta)
    for t in range(1, len(x) + 1):
        weights = [b**j for j in range(t)]
        total = sum(w * x[t - 1 - j] for j, w in enumerate(weights))
        room = 1e-14 * float(sum(w * abs(x[t - 1 - j]) for j, w in enumerate(weights)))
        assert abs(averages[t - 1] - float((1 - b) * total)) <= room * (1 - beta) + 1e-320
        assert abs(corrected[t - 1] - float(total / sum(weights))) <= room / float(sum(weights))


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.999, 1 - 2.0**-40])
def test_the_correction_does_not_cancel(beta: float) -> None:
    """1 − βᵗ is accurate for β near 1, where the naive difference is not."""
    corrected = bias_corrected(np.ones(50), beta)
    with mpmath.workdps(50):
        exact = [float(1 / (1 - mpmath.mpf(beta) ** t)) for t in range(1, 51)]
    np.testing.assert_allclose(corrected, exact, rtol=4e-16)


def test_a_constant_series_is_recovered_and_the_average_unchanged() -> None:
    averages = exponential_average(np.full(40, 7.0), 0.9)
    before = averages.copy()
    np.testing.assert_allclose(bias_corrected(averages, 0.9), 7.0, rtol=1e-14)
    np.testing.assert_array_equal(averages, before)
    np.testing.assert_allclose(averages, 7 * (1 - 0.9 ** np.arange(1, 41)), rtol=1e-14)


@pytest.mark.parametrize("window", [1, 3, 10])
def test_averages_agree_with_pandas(window: int) -> None:
    x = np.random.default_rng(0).normal(size=(10, 2))
    frame = pd.DataFrame(x)
    simple = frame.rolling(window).mean().to_numpy()[window - 1 :]
    np.testing.assert_allclose(moving_average(x, window), simple, rtol=0, atol=1e-14)
    ewm = frame.ewm(alpha=0.3, adjust=True).mean().to_numpy()
    np.testing.assert_allclose(
        bias_corrected(exponential_average(x, 0.7), 0.7), ewm, rtol=0, atol=1e-14
    )


@proves(short=20, full=1000, x=SERIES, window=st.integers(1, 30))
def test_moving_averages_are_means_of_windows(x: list[int], window: int) -> None:
    if window > len(x):
        with pytest.raises(ShapeError, match=f"at least window = {window} values.*got {len(x)}"):
            moving_average(np.array(x, dtype=float), window)
        return
    exact = [float(Fraction(sum(x[t : t + window]), window)) for t in range(len(x) - window + 1)]
    assert moving_average(np.array(x, dtype=float), window).tolist() == exact


@pytest.mark.parametrize(("beta", "window"), [(0.0, 1), (0.9, 10), (0.999, 1000), (0.9995, 2000)])
def test_effective_windows(beta: float, window: int) -> None:
    assert effective_window(beta) == pytest.approx(window, rel=1e-12)
    weights = bias_corrected(exponential_average(np.eye(4 * window)[:1].T, beta), beta)
    assert weights.shape == (4 * window, 1)
    assert beta**window == pytest.approx(np.exp(-1), abs=0.02) or beta == 0


@pytest.mark.parametrize("xp", LIBRARIES)
def test_any_array_library_and_any_axes(xp: Any) -> None:
    x = xp.reshape(xp.arange(24, dtype=xp.float32), (4, 3, 2))
    for result in (moving_average(x, 4), bias_corrected(exponential_average(x, 0.5), 0.5)):
        assert result.dtype == xp.float32
        assert result.shape[1:] == (3, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: moving_average(np.ones(3), 0), SpecError, "window must be an integer of at least"),
        (lambda: exponential_average(np.ones(3), 1.0), SpecError, r"beta must be in \[0, 1\)"),
        (lambda: bias_corrected(np.ones(3), -0.5), SpecError, r"beta must be in \[0, 1\); got -0"),
        (lambda: effective_window(1.0), SpecError, r"beta must be in \[0, 1\); got 1.0"),
        (lambda: moving_average(np.array(3.0), 1), ShapeError, "x must be an array with the time"),
    ],
)
def test_bad_input_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
