"""A pseudo-random number for every row, computed from a seed and the row's number alone.

It decides which part and which samples a row is in. No list of rows has to be stored, and reading
the rows in another order changes nothing.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["DEV_SAMPLE", "MEDIAN_SAMPLE", "PART", "RowHashes", "row_hash"]

RowHashes: TypeAlias = NDArray[np.float64]

PART, MEDIAN_SAMPLE, DEV_SAMPLE = 0, 1, 2
"""The purposes of row hashes."""
_STEP = np.uint64(0x9E3779B97F4A7C15)


def row_hash(seed: int, purpose: int, first: int, count: int) -> RowHashes:
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
