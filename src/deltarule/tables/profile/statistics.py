"""Statistics of a column in one pass: bounded memory, and the same result for any pieces."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltarule.tables.profile.row_hash import RowHashes

__all__ = ["CappedCounter", "Moments", "Sample", "Smallest"]


class Moments:
    """Count, mean and sum of squared deviations (Chan, Golub & LeVeque 1983).

    Of numbers that are added at once, the mean and the variance are NumPy's, to the bit.
    """

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        """Add numbers."""
        if len(values):
            with np.errstate(over="ignore", invalid="ignore"):
                mean = float(values.mean())
                self.merge(len(values), mean, float(((values - mean) ** 2).sum()))

    def merge(self, count: int, mean: float, squares: float) -> None:
        """Add the moments of other numbers."""
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
    """The numbers of the smallest row hashes: a uniform sample without replacement.

    While there are at most `size` numbers, it holds all of them, and the median of the sample is
    the median. Beyond, between 50 - 100 ε and 50 + 100 ε per cent of the numbers lie below it,
    except with a probability of 2 exp(-2 size ε²) (Dvoretzky, Kiefer & Wolfowitz 1956; Massart
    1990).
    A size of None holds all numbers.
    """

    def __init__(self, size: int | None) -> None:
        self.size = size
        self._values, self._hashes = np.empty(0), np.empty(0)

    def add(self, values: NDArray[np.float64], hashes: RowHashes) -> None:
        """Add numbers, with the hashes of their rows."""
        if self.size is not None and len(self._values) >= self.size:
            low = hashes < self._hashes.max()
            values, hashes = values[low], hashes[low]
        self._values = np.concatenate([self._values, values])
        self._hashes = np.concatenate([self._hashes, hashes])
        if self.size is not None and len(self._values) > self.size:
            smallest = np.argpartition(self._hashes, self.size - 1)[: self.size]
            self._values, self._hashes = self._values[smallest], self._hashes[smallest]

    def median(self) -> float:
        """Return the median of the sample, 0 if it is empty."""
        return float(np.median(self._values)) if len(self._values) else 0.0


class CappedCounter:
    """How often each of a few values came; there are no counts of more than `most` values.

    ``full`` says that there are more. ``distinct`` is the number of different values, or None if
    it is above `most` and not known, because the values came in several pieces.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.counts: dict[Any, int] = {}
        self.full = False
        self.distinct: int | None = 0

    def add(self, values: Any, counts: Any) -> None:
        """Add the different values of a piece (a NumPy or pyarrow array), and their counts."""
        if len(values) == 0:
            return
        if self.full:
            self.distinct = None
            return
        first = not self.counts
        if len(values) <= self._most:
            for value, count in zip(values.tolist(), counts.tolist(), strict=True):
                self.counts[value] = self.counts.get(value, 0) + count
            self.distinct = len(self.counts)
        else:
            self.distinct = len(values)
        if self.distinct > self._most:
            self.full, self.counts = True, {}
            self.distinct = self.distinct if first else None


class Smallest:
    """The hash below which there are at most so many."""

    def __init__(self, most: int | None) -> None:
        self._most, self._held = most, np.empty(0)
        self.limit = 1.0

    def add(self, hashes: RowHashes) -> None:
        """Add hashes."""
        if self._most is None:
            return
        held = np.concatenate([self._held, hashes[hashes < self.limit]])
        if len(held) > self._most:
            held = np.partition(held, self._most)
            self.limit, held = float(held[self._most]), held[: self._most]
        self._held = held
