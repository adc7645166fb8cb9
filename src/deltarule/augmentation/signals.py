"""Transformations of signals: rows (n, length) of samples at equal time intervals."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from deltarule.augmentation.streams import Floats, RowStreams
from deltarule.augmentation.transformation import (
    Span,
    Transformation,
    check_finite,
    check_span,
    elementwise,
)
from deltarule.utils.checks import check_between, check_name

__all__ = ["Gain", "Outside", "PitchShift", "SignalNoise", "TimeShift", "resample_series"]

Outside: TypeAlias = float | Literal["edge", "wrap"]
"""The values outside a signal: a number, the nearest end value, or the signal repeated."""


def _check_outside(outside: Outside) -> None:
    if isinstance(outside, str):
        check_name("outside", outside, ("edge", "wrap"))
    else:
        check_finite("outside", outside)


@dataclass(frozen=True)
class TimeShift(Transformation):
    """Time shift: x'(t) = x(t − s), s ~ U[−samples, samples]; a positive s delays the signal.

    Parameters
    ----------
    samples : float or (low, high), default=10
        The largest shift, or the interval of shifts; fractions are interpolated linearly.
    outside : float, "edge" or "wrap", default=0.0
        The values outside the signal: a number, the nearest end value, or the signal repeated.
    """

    ranks = (1,)

    samples: Span = 10.0
    outside: Outside = 0.0

    def __post_init__(self) -> None:
        check_span("samples", self.samples)
        _check_outside(self.outside)

    def __call__(self, rng: RowStreams, x: Floats) -> Floats:
        """Return the shifted signals."""
        delay = rng.uniform(*check_span("samples", self.samples))
        return resample_series(x, np.arange(x.shape[1]) - delay[:, np.newaxis], self.outside)


@dataclass(frozen=True)
class PitchShift(Transformation):
    """Pitch shift: x'(t) = x(c + r (t − c)), r = 2^(a/12), a ~ U[−semitones, semitones].

    The signal is resampled r times as fast, which multiplies every frequency by r (an octave is 12
    semitones). Its centre c and its length do not change. Interpolation is linear.

    Parameters
    ----------
    semitones : float or (low, high), default=1
        The largest shift, or the interval of shifts; below 120.
    outside : float, "edge" or "wrap", default=0.0
        The values outside the signal: a number, the nearest end value, or the signal repeated.
    """

    ranks = (1,)

    semitones: Span = 1.0
    outside: Outside = 0.0

    def __post_init__(self) -> None:
        check_span("semitones", self.semitones, 120.0)
        _check_outside(self.outside)

    def __call__(self, rng: RowStreams, x: Floats) -> Floats:
        """Return the resampled signals."""
        steps = rng.uniform(*check_span("semitones", self.semitones, 120.0))
        rate = np.array([2.0 ** (step / 12) for step in steps.tolist()]).reshape(-1, 1)
        middle = (x.shape[1] - 1) / 2
        return resample_series(x, middle + rate * (np.arange(x.shape[1]) - middle), self.outside)


@dataclass(frozen=True)
class SignalNoise(Transformation):
    """Noise at a signal-to-noise ratio: x + N(0, σ²), σ² = P/10^(r/10), P the mean of x².

    The power P is that of the row itself, so that loud and quiet signals get the same ratio; a
    silent row stays silent.

    Parameters
    ----------
    decibels : float or (low, high), default=20
        r, or the interval that it is drawn from; |r| below 300.
    """

    ranks = (1,)

    decibels: Span = 20.0

    def __post_init__(self) -> None:
        self._span()

    def _span(self) -> tuple[float, float]:
        if isinstance(self.decibels, Real):
            ratio = check_between("decibels", self.decibels, -300.0, 300.0)
            return ratio, ratio
        return check_span("decibels", self.decibels, 300.0)

    def __call__(self, rng: RowStreams, x: Floats) -> Floats:
        """Return x with new noise."""
        ratios = rng.uniform(*self._span())
        noise = rng.normal(size=x.shape[1:])
        power = np.mean(np.square(x, dtype=np.float64), axis=1)
        scale = np.sqrt(power) * elementwise(lambda ratio: 10.0 ** (-ratio / 20), ratios)
        with np.errstate(over="ignore"):  # training reports numbers that are not finite
            return np.asarray((x + scale[:, np.newaxis] * noise).astype(x.dtype))


@dataclass(frozen=True)
class Gain(Transformation):
    """Gain: x · 10^(g/20), g ~ U[−decibels, decibels]; 6 decibels double the amplitude, nearly.

    Parameters
    ----------
    decibels : float or (low, high), default=6
        The largest gain, or the interval of gains; below 300.
    """

    ranks = (1,)

    decibels: Span = 6.0

    def __post_init__(self) -> None:
        check_span("decibels", self.decibels, 300.0)

    def __call__(self, rng: RowStreams, x: Floats) -> Floats:
        """Return the louder or quieter signals."""
        gains = rng.uniform(*check_span("decibels", self.decibels, 300.0))
        factors = elementwise(lambda gain: 10.0 ** (gain / 20), gains).reshape(-1, 1)
        with np.errstate(over="ignore"):  # training reports numbers that are not finite
            return np.asarray((x * factors).astype(x.dtype))


def resample_series(x: Floats, times: npt.NDArray[np.float64], outside: Outside) -> Floats:
    """Return x at the given times (n, m), in samples, by linear interpolation.

    At whole times the result is the sample itself. If ``outside`` is a number, the signal reaches
    it within one sample after its end.
    """
    length = x.shape[1]
    if outside == "wrap":
        times = times % length
        before = np.floor(times).astype(np.intp)
        share = (times - before).astype(x.dtype)
        before %= length  # a time just below 0 is rounded to the length
        after = (before + 1) % length
    else:
        if outside == "edge":
            times = times.clip(0, length - 1)
        else:
            x = np.pad(x, ((0, 0), (1, 2)), constant_values=outside)
            times = (times + 1).clip(0, length + 1)
        before = times.astype(np.intp)
        share = (times - before).astype(x.dtype)
        after = np.minimum(before + 1, x.shape[1] - 1)
    start = np.take_along_axis(x, before, axis=1)
    return start + share * (np.take_along_axis(x, after, axis=1) - start)
