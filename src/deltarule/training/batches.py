"""Mini-batches: the order in which an epoch visits the rows (item D3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Rows", "batch_bounds", "epoch_orders"]

Rows: TypeAlias = npt.NDArray[np.int64]


def batch_bounds(
    n_rows: int, batch_size: int, present: npt.NDArray[np.bool_] | None = None, least: int = 1
) -> Rows:
    """Return the bounds of ⌈n/b⌉ batches; the last is smaller, never dropped.

    b = n is batch gradient descent, b = 1 is SGD (Matt R §7; Khabar §7). A batch with fewer than
    ``least`` rows that are ``present`` (of non-zero weight, in the order of the batches; by
    default all are) joins the one before, or the next if it is the first.

    Examples
    --------
    >>> batch_bounds(7, 3).tolist()
    [0, 3, 6, 7]
    >>> batch_bounds(7, 3, least=2).tolist()
    [0, 3, 7]
    """
    bounds = np.append(np.arange(0, n_rows, batch_size), n_rows).astype(np.int64)
    if least <= 1:
        return bounds
    seen = np.arange(n_rows + 1) if present is None else np.append(0, np.cumsum(present))
    kept = [0]
    for low, high in pairwise(bounds[1:]):
        if seen[low] - seen[kept[-1]] >= least and seen[high] - seen[low] >= least:
            kept.append(int(low))
    return np.array([*kept, n_rows], dtype=np.int64)


def epoch_orders(n_rows: int, shuffled: Callable[[Rows], Rows] | None) -> Iterator[Rows]:
    """Yield the row order of one epoch after the other.

    ``shuffled`` takes the order of the last epoch and returns the next one (None: as they stand).
    """
    rows = np.arange(n_rows, dtype=np.int64)
    while True:
        if shuffled is not None:
            rows = shuffled(rows)
        yield rows
