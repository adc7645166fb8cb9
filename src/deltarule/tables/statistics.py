"""Statistics of a column in one pass: bounded memory, and the same result for any pieces.

Samples and parts follow from a hash of each row's number and a seed alone. No list of rows has to
be stored, and reading the rows in another order changes nothing.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DEV_SAMPLE",
    "MEDIAN_SAMPLE",
    "PART",
    "PICTURE_SAMPLE",
    "TIME_SAMPLE",
    "CappedCounter",
    "Moments",
    "Sample",
    "WholeMedian",
    "row_hash",
]

Numbers: TypeAlias = NDArray[np.float64]

PART, MEDIAN_SAMPLE, DEV_SAMPLE, TIME_SAMPLE, PICTURE_SAMPLE = range(5)
"""The purposes of row hashes."""
_STEP = np.uint64(0x9E3779B97F4A7C15)


def row_hash(seed: int, purpose: int, first: int, count: int) -> Numbers:
    """Return a number in [0, 1) for each of `count` rows from `first` on.

    It is SplitMix64 (Steele, Lea & Flood 2014) by counter. Different purposes are independent.
    """
    key = np.random.SeedSequence([seed, purpose]).generate_state(1, np.uint64)[0]
    with np.errstate(over="ignore"):
        z = key + _STEP * (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(first))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return np.asarray((z >> np.uint64(11)).astype(np.float64) * 2.0**-53)


class Moments:
    """Count, mean and sum of squared deviations (Chan, Golub & LeVeque 1983).

    Of numbers that are added at once, the mean and the variance are NumPy's, to the bit.
    """

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self._pieces: list[tuple[int, float, float]] | None = None

    def keep_pieces(self) -> None:
        """Keep the moments of every piece, so that others can `follow` these."""
        self._pieces = []

    def follow(self, other: Moments) -> None:
        """Add the pieces of others, one by one: as if they had been added here."""
        assert other._pieces is not None
        for piece in other._pieces:
            self.merge(*piece)

    def add(self, values: Numbers) -> None:
        """Add numbers."""
        if len(values):
            with np.errstate(over="ignore", invalid="ignore"):
                mean = float(values.mean())
                squares = values - mean
                squares *= squares
                piece = len(values), mean, float(squares.sum())
                self.merge(*piece)
                if self._pieces is not None:
                    self._pieces.append(piece)

    def merge(self, count: int, mean: float, squares: float = 0.0) -> None:
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

    @property
    def finite(self) -> bool:
        """Whether neither the mean nor the variance overflowed."""
        return math.isfinite(self.mean) and math.isfinite(self.variance)


class Sample:
    """The numbers of the smallest row hashes: a uniform sample without replacement.

    While there are at most `size` numbers, it holds all of them, and the median of the sample is
    the median. Beyond, between 50 - 100 ε and 50 + 100 ε per cent of the numbers lie below it,
    except with a probability of 2 exp(-2 size ε²) (Dvoretzky, Kiefer & Wolfowitz 1956; Massart
    1990). Rows with a hash below `limit` are in the sample, whose numbers are `values`.
    """

    def __init__(self, size: float = math.inf) -> None:
        self._size, self.limit = size, 1.0
        self.values, self._hashes = np.empty(0), np.empty(0)

    def add(self, values: Numbers, hashes: Numbers, rows: NDArray[np.bool_] | None = None) -> None:
        """Add numbers, with the hashes of their rows, or of all rows and which are theirs."""
        hashes = hashes if rows is None else hashes[rows]
        low = hashes < self.limit
        self.values = np.concatenate([self.values, values[low]])
        self._hashes = np.concatenate([self._hashes, hashes[low]])
        if len(self.values) > self._size:
            order = np.argpartition(self._hashes, int(self._size))
            self.limit = float(self._hashes[order[int(self._size)]])
            smallest = order[: int(self._size)]
            self.values, self._hashes = self.values[smallest], self._hashes[smallest]

    def merge(self, other: Sample) -> None:
        """Add the sample of other rows."""
        self.limit = min(self.limit, other.limit)
        low = self._hashes < self.limit
        self.values, self._hashes = self.values[low], self._hashes[low]
        self.add(other.values, other._hashes)

    def median(self) -> float:
        """Return the median of the sample, 0 if it is empty."""
        return float(np.median(self.values)) if len(self.values) else 0.0


class WholeMedian:
    """The median of numbers that come all at once, instead of that of a sample."""

    def __init__(self) -> None:
        self._median = 0.0

    def add(self, values: Numbers, hashes: Numbers, rows: NDArray[np.bool_] | None = None) -> None:
        """Take the numbers; hashes play no part."""
        if len(values):
            self._median = float(np.median(values))

    def median(self) -> float:
        """Return the median, 0 if there was no number."""
        return self._median


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

    def merge(self, other: CappedCounter) -> None:
        """Add the counts of the pieces that follow."""
        if not (other.full or other.counts):
            return
        if self.full:
            self.distinct = None
            return
        first = not self.counts
        for value, count in other.counts.items():
            self.counts[value] = self.counts.get(value, 0) + count
        if other.full or len(self.counts) > self._most:
            self.full, self.counts = True, {}
            self.distinct = other.distinct if first else None
        else:
            self.distinct = len(self.counts)
