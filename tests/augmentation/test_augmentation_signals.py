"""Signals against NumPy's interpolation, and the random streams against NumPy and known values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from deltarule.augmentation import Compose, PitchShift, RowStreams, TimeShift
from deltarule.augmentation.signals import resample_series

RNG = np.random.default_rng(21)


# --- signals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("outside", [0.0, -2.5, "edge", "wrap"])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_linear_interpolation_equals_numpys(outside: Any, length: int) -> None:
    x = RNG.normal(size=(4, length))
    times = RNG.uniform(-3, length + 3, size=(4, 50))
    times[:, :5] = [-1, 0, length - 1, length, -1e-18]
    found = resample_series(x, times, outside)
    steps = np.arange(length)
    for i in range(4):
        if outside == "wrap":
            expected = np.interp(times[i], steps, x[i], period=length)
        elif outside == "edge":
            expected = np.interp(times[i], steps, x[i])
        else:
            around = np.concatenate([[outside], x[i], [outside]])
            expected = np.interp(times[i], np.arange(-1, length + 1), around)
        np.testing.assert_allclose(found[i], expected, rtol=0, atol=1e-12)


def test_whole_delays_are_rolls() -> None:
    x = RNG.normal(size=(3, 10)).astype(np.float32)
    late = Compose([TimeShift((3, 3), outside="wrap")])(x)
    np.testing.assert_array_equal(late, np.roll(x, 3, axis=1))
    early = Compose([TimeShift((-4, -4), outside=7.0)])(x)
    np.testing.assert_array_equal(early, np.c_[x[:, 4:], np.full((3, 4), 7.0, np.float32)])


def test_delays_are_uniform() -> None:
    n = 20_000
    ramp = np.tile(np.arange(100.0), (n, 1))
    delay = 50 - Compose([TimeShift((-2, 5))])(ramp)[:, 50]
    assert stats.kstest(delay, stats.uniform(-2, 7).cdf).pvalue > 1e-4
    rate = np.diff(Compose([PitchShift(3)])(ramp)[:, 50:52], axis=1)[:, 0]
    assert stats.kstest(12 * np.log2(rate), stats.uniform(-3, 6).cdf).pvalue > 1e-4


@pytest.mark.parametrize("semitones", [-12, -5, 7, 12])
def test_pitch_moves_every_frequency_by_its_ratio(semitones: int) -> None:
    length, periods = 4096, 64
    wave = np.sin(2 * np.pi * periods * np.arange(length) / length)[np.newaxis]
    shifted = Compose([PitchShift((semitones, semitones), outside="wrap")])(wave)[0]
    window = np.hanning(1024)
    spectrum = np.abs(np.fft.rfft(shifted[1536:2560] * window))
    expected = periods * 2 ** (semitones / 12) * 1024 / length
    assert abs(int(np.argmax(spectrum)) - expected) <= 0.75


# --- streams -------------------------------------------------------------------------------------


def test_words_equal_numpys_philox_at_the_documented_counter() -> None:
    rows = np.array([5, 6, 7, 2**40, 3])
    rng = RowStreams(11, 22, rows, stage=33)
    first, second = rng.raw(100), rng.raw(42)
    for request, (words, drawn) in enumerate([(100, first), (42, second)]):
        blocks = -(-words // 4)
        for i, row in enumerate(rows.tolist()):
            counter = np.array([row * blocks, 0, request, 33], dtype=np.uint64)
            philox = np.random.Philox(key=np.array([11, 22], dtype=np.uint64), counter=counter)
            np.testing.assert_array_equal(drawn[i], philox.random_raw(words))


def test_small_draws_share_a_fetch_but_no_word() -> None:
    rng = RowStreams(1, 0, np.arange(3))
    small = [rng.raw(3) for _ in range(12)]
    words = np.concatenate([*small, rng.raw(50)], axis=1)
    assert len(np.unique(words)) == words.size


def test_uniform_normal_and_integer_draws_follow_their_distributions() -> None:
    rng = RowStreams(3, 4, np.arange(500))
    assert stats.kstest(rng.uniform(-2, 3, (50,)).ravel(), stats.uniform(-2, 5).cdf).pvalue > 1e-4
    assert stats.kstest(rng.normal(2.0, (7, 7)).ravel(), stats.norm(0, 2).cdf).pvalue > 1e-4
    counts = np.unique(rng.integers(-2, 3, (40,)), return_counts=True)
    np.testing.assert_array_equal(counts[0], [-2, -1, 0, 1, 2])
    assert stats.chisquare(counts[1]).pvalue > 1e-4
    field = rng.displacements((9, 5))
    assert field.dtype == np.float32
    assert stats.kstest(field.ravel(), stats.uniform(-1, 2).cdf).pvalue > 1e-4
    assert np.all(np.abs(field) < 1)
    assert rng.uniform().shape == (500,)
    assert len(rng) == 500


def test_displacements_are_the_16_bit_parts_of_the_words() -> None:
    words = RowStreams(3, 4, np.arange(9)).raw(25)
    field = RowStreams(3, 4, np.arange(9)).displacements((33, 3), np.float64)
    shifts = np.array([0, 16, 32, 48], dtype=np.uint64)
    parts = ((words[:, :, np.newaxis] >> shifts) & np.uint64(0xFFFF)).reshape(9, 100)[:, :99]
    signed = np.where(parts < 2**15, 0.0, -(2.0**16)) + parts
    np.testing.assert_array_equal(field.reshape(9, 99), (signed + 0.5) / 2**15)


def test_neighbouring_rows_and_epochs_are_uncorrelated() -> None:
    n = 40_000
    now = RowStreams(0, 0, np.arange(n + 1)).uniform()
    later = RowStreams(0, 1, np.arange(n + 1)).uniform()
    for a, b in ((now[1:], now[:-1]), (now, later)):
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / math.sqrt(n)


def test_no_rows_draw_nothing() -> None:
    assert RowStreams(0, 0, np.arange(0)).uniform(size=(3,)).shape == (0, 3)


def test_a_generator_belongs_to_its_row() -> None:
    alone = RowStreams(0, 0, np.array([7])).generator(0).normal(size=4)
    among = RowStreams(0, 0, np.array([1, 7])).generator(1).normal(size=4)
    np.testing.assert_array_equal(alone, among)
    other = RowStreams(0, 0, np.array([8])).generator(0).normal(size=4)
    assert not np.any(alone == other)
