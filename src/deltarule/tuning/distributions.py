"""Distributions on a logarithmic scale for random searches (item T3; Matt R §8)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from deltarule.errors import SpecError
from deltarule.utils.checks import check_between, check_count, shown

__all__ = ["LogMomentum", "LogUniform"]


@dataclass(frozen=True)
class LogUniform:
    """Log-uniform distribution: 10ʳ with r uniform on [log₁₀ low, log₁₀ high].

    Every decade is equally likely, which suits learning rates, penalties and other scales (Matt R
    §8). It has ``rvs``, so scikit-learn's ``RandomizedSearchCV`` and ``ParameterSampler`` accept it
    as a distribution.

    Parameters
    ----------
    low, high : float
        0 < low < high < ∞; both ends may be drawn.

    Raises
    ------
    SpecError
        If they are not positive and finite, or if low ≥ high.

    Examples
    --------
    >>> rates = LogUniform(1e-4, 1e-1).rvs(size=1000, random_state=0)
    >>> bool(rates.min() >= 1e-4), round(float((rates < 1e-3).mean()), 1)
    (True, 0.3)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_ends(self.low, self.high, float("inf"), open_low=True)

    def rvs(self, size: int | tuple[int, ...] | None = None, random_state: Any = None) -> Any:
        """Return one random number, or an array of them.

        Parameters
        ----------
        size : int or tuple of int, optional
            Shape of the array; without it the result is a float.
        random_state : int, RandomState, Generator or None
            An int gives the same numbers every time; None uses NumPy's global state.
        """
        return _draw(float(self.low), float(self.high), size, random_state)


@dataclass(frozen=True)
class LogMomentum:
    """Distribution of a momentum β = 1 − 10ʳ with r uniform on [log₁₀(1 − high), log₁₀(1 − low)].

    A momentum averages about 1/(1 − β) steps (item O8), so 1 − β varies over orders of magnitude:
    0.9 … 0.99 is as likely as 0.99 … 0.999. Matt R §8 uses the logarithm of β itself (erratum
    E-ah). Searches accept it like :class:`LogUniform`.

    Parameters
    ----------
    low, high : float
        0 ≤ low < high < 1; both ends may be drawn.

    Raises
    ------
    SpecError
        If they are outside [0, 1), or if low ≥ high.

    Examples
    --------
    >>> betas = LogMomentum(0.9, 0.999).rvs(size=1000, random_state=0)
    >>> round(float((betas < 0.99).mean()), 1)
    0.5
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_ends(self.low, self.high, 1.0, open_low=False)

    def rvs(self, size: int | tuple[int, ...] | None = None, random_state: Any = None) -> Any:
        """Return one random momentum, or an array of them; see :meth:`LogUniform.rvs`."""
        rest = _draw(1 - float(self.high), 1 - float(self.low), size, random_state)
        drawn = np.clip(1 - rest, self.low, self.high)
        return float(drawn) if size is None else drawn


def _check_ends(low: Any, high: Any, top: float, *, open_low: bool) -> None:
    first = check_between("low", low, 0.0, top, open_low=open_low, open_high=True)
    last = check_between("high", high, 0.0, top, open_low=open_low, open_high=True)
    if first >= last:
        raise SpecError(f"low must be below high; got {shown(low)} and {shown(high)}. Swap them.")


def _draw(low: float, high: float, size: Any, random_state: Any) -> Any:
    from sklearn.utils import check_random_state

    if size is not None:
        lengths = size if isinstance(size, tuple | list) else (size,)
        for length in lengths:
            check_count("size", length)
    if isinstance(random_state, np.random.Generator):
        source: Any = random_state
    else:
        try:
            source = check_random_state(random_state)
        except (TypeError, ValueError) as error:
            raise SpecError(
                "random_state must be an int in [0, 2**32), a RandomState, a Generator or None; "
                f"got {shown(random_state)}."
            ) from error
    r = source.uniform(math.log10(low), math.log10(high), size)
    drawn = np.clip(10.0**r, low, high)  # rounding may move the power beyond an end
    return float(drawn) if size is None else drawn
