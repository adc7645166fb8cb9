"""What one pass over a column keeps of it: bounded memory, and the same whatever the pieces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltarule.tables.streaming.draws import Draws

__all__ = ["Moments", "Sample", "Tally"]


class Moments:
    """Count, mean and sum of squared deviations (Chan, Golub & LeVeque 1983)."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        """Take numbers in."""
        if len(values):
            with np.errstate(over="ignore", invalid="ignore"):
                mean = float(values.mean())
                self.merge(len(values), mean, float(((values - mean) ** 2).sum()))

    def merge(self, count: int, mean: float, squares: float) -> None:
        """Take the moments of other numbers in."""
        total = self.count + count
        if count == 0:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            apart = np.float64(mean) - self.mean
            self.squares = float(self.squares + squares + apart**2 * (self.count * count / total))
            self.mean = float(self.mean + apart * (count / total))
        self.count = total

    @property
    def variance(self) -> float:
        """Mean squared deviation."""
        return self.squares / self.count if self.count else 0.0


class Sample:
    """The numbers of least draw: a uniform sample without replacement.

    All of them while there are at most `size`. The median of the sample then is the median; beyond,
    it has between 50 - 100 ε and 50 + 100 ε per cent of the numbers below it, except with a
    probability of 2 exp(-2 size ε²) (Dvoretzky, Kiefer & Wolfowitz 1956; Massart 1990).
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._values, self._draws = np.empty(0), np.empty(0)

    def add(self, values: NDArray[np.float64], drawn: Draws) -> None:
        """Take numbers in, with their draws."""
        if len(self._values) >= self.size:
            low = drawn < self._draws.max()
            values, drawn = values[low], drawn[low]
        self._values = np.concatenate([self._values, values])
        self._draws = np.concatenate([self._draws, drawn])
        if len(self._values) > self.size:
            kept = np.argpartition(self._draws, self.size - 1)[: self.size]
            self._values, self._draws = self._values[kept], self._draws[kept]

    def median(self) -> float:
        """Return the median of the sample, 0 if it is empty."""
        return float(np.median(self._values)) if len(self._values) else 0.0


class Tally:
    """How often each of a few values came; more than `most` different ones are not counted."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.counts: dict[Any, int] = {}
        self.full = False

    def add(self, pairs: Iterable[tuple[Any, int]]) -> None:
        """Take values in, with the number of each."""
        if self.full:
            return
        for value, count in pairs:
            self.counts[value] = self.counts.get(value, 0) + count
        if len(self.counts) > self._most:
            self.full, self.counts = True, {}
