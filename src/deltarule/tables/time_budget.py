"""A training within so many seconds: how many networks, how many epochs each, and the deadline."""

from __future__ import annotations

from time import monotonic
from typing import Any, NamedTuple

__all__ = ["Affordable", "Deadline", "Stopwatch", "affordable"]

ENOUGH = 40
"""Epochs of a network before another network is worth more than more epochs."""


class Affordable(NamedTuple):
    """How many networks of an ensemble there is time for, and how many epochs of each."""

    networks: int
    epochs: int


def affordable(
    seconds: float, per_epoch: float, networks: int, epochs: int, at_a_time: int = 1
) -> Affordable:
    """Return what a budget is spent on: first networks of `ENOUGH` epochs, then longer ones.

    Parameters
    ----------
    seconds : float
        The budget.
    per_epoch : float
        Seconds that an epoch of a network takes.
    networks, epochs : int
        The most of both.
    at_a_time : int, default=1
        How many networks are trained side by side.

    Examples
    --------
    >>> affordable(30.0, 0.1, networks=8, epochs=100)
    Affordable(networks=7, epochs=42)
    >>> affordable(1.0, 0.1, networks=8, epochs=100)
    Affordable(networks=1, epochs=10)
    """

    def longest(count: int) -> int:
        rounds = -(-count // at_a_time)
        return int(min(float(epochs), seconds / (max(per_epoch, 1e-9) * rounds)))

    enough = (n for n in range(networks, 1, -1) if longest(n) >= min(ENOUGH, epochs))
    count = next(enough, 1)
    return Affordable(count, max(1, longest(count)))


class _Watcher:
    """A callback of a fit that does nothing."""

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing."""

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        """Return whether the fit is to stop."""
        return False

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing."""


class Deadline(_Watcher):
    """A callback that ends a fit after the epoch in which its time is over."""

    def __init__(self, seconds: float) -> None:
        self._end, self.passed = monotonic() + seconds, False

    @property
    def left(self) -> float:
        """Seconds until then; 0 afterwards."""
        return max(0.0, self._end - monotonic())

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        """Return whether the time is over."""
        self.passed = self.left == 0.0
        return self.passed


class Stopwatch(_Watcher):
    """A callback that remembers when epochs ended."""

    def __init__(self) -> None:
        self._ends: list[float] = []

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        """Remember the time."""
        self._ends.append(monotonic())
        return False

    @property
    def per_epoch(self) -> float:
        """Seconds from one end to the next, on average."""
        return (self._ends[-1] - self._ends[0]) / max(1, len(self._ends) - 1)
