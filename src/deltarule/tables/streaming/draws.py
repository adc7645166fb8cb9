"""A number for every row of a table, which follows from a seed and the row's place alone.

By it rows fall into parts and samples: no list of rows has to be kept, and reading them in another
order changes nothing.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from deltarule.tables.splits import Shares

__all__ = ["Draws", "draws", "parts"]

Draws: TypeAlias = NDArray[np.float64]

_STEP = np.uint64(0x9E3779B97F4A7C15)


def draws(seed: int, purpose: int, first: int, count: int) -> Draws:
    """Return numbers in [0, 1), a number a row: SplitMix64 (Steele, Lea & Flood 2014) by counter.

    Parameters
    ----------
    seed : int
        Decides all of them.
    purpose : int
        Draws for different purposes have nothing to do with each other.
    first, count : int
        The rows.
    """
    key = np.random.SeedSequence([seed, purpose]).generate_state(1, np.uint64)[0]
    with np.errstate(over="ignore"):
        z = key + _STEP * (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(first))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return np.asarray((z >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def parts(drawn: Draws, shares: Shares) -> NDArray[np.int8]:
    """Return 1 for a row of the dev part, 2 for one of the test part, 0 for training."""
    part = np.zeros(len(drawn), dtype=np.int8)
    part[drawn < shares.dev + shares.test] = 2
    part[drawn < shares.dev] = 1
    return part
