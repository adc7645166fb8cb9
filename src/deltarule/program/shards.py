"""Shards of a batch: how its rows are cut, and the balanced binary tree that their sums form.

A batch is cut into a fixed number of shards, whatever computes them: a thread, or several machines.
The sums of the shards are added in one fixed order, so the result always has the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["batch_cuts", "even_cuts", "shard_weights", "tree_sum"]

T = TypeVar("T")
Cuts = npt.NDArray[np.int64]


def even_cuts(n_rows: int, count: int) -> Cuts:
    """Return where ``n_rows`` rows are cut into shards: ⌊n s / S⌋, s = 0 … S.

    Examples
    --------
    >>> even_cuts(10, 4).tolist()
    [0, 2, 5, 7, 10]
    """
    return np.arange(count + 1, dtype=np.int64) * n_rows // count


def batch_cuts(bounds: Cuts, count: int) -> Cuts:
    """Return the even cuts of every batch (n_batches, S + 1), as places in the batch."""
    sizes = np.diff(bounds)[:, None]
    return np.ascontiguousarray(np.arange(count + 1, dtype=np.int64) * sizes // count)


def tree_sum(parts: Iterable[T], add: Callable[[T, T], T]) -> T:
    """Return the sum of 2ᵐ parts, added pair by pair, and pairs of pairs, in order.

    It holds at most m + 1 sums at a time.

    Examples
    --------
    >>> tree_sum("abcd", lambda x, y: f"({x}{y})")
    '((ab)(cd))'
    """
    waiting: list[T] = []
    for place, part in enumerate(parts):
        waiting.append(part)
        while place % 2 == 1:  # a pair is complete
            right, left = waiting.pop(), waiting.pop()
            waiting.append(add(left, right))
            place //= 2
    (total,) = waiting
    return total


def shard_weights(weight: Any, rows: Any, cuts: Cuts) -> float:
    """Return Σw of a batch, summed shard by shard: of all its rows ``rows``, cut at ``cuts``."""
    given = weight[rows]
    parts = [
        float(np.sum(given[low:high])) if low < high else 0.0
        for low, high in pairwise(cuts.tolist())
    ]
    return tree_sum(parts, lambda a, b: a + b)
