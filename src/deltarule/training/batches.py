"""Mini-batches: where an epoch's order of rows is cut (item D3)."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Rows", "batch_bounds", "is_order"]

Rows: TypeAlias = npt.NDArray[np.int64]
"""Row numbers."""


def batch_bounds(
    n_rows: int, batch_size: int, present: npt.NDArray[np.bool_] | None = None, least: int = 1
) -> Rows:
    """Return the bounds of ⌈n/b⌉ batches; the last batch may be smaller and is never dropped.

    b = n is batch gradient descent, b = 1 is SGD (Matt R §7; Khabar §7).

    Parameters
    ----------
    n_rows : int
        n, the number of rows.
    batch_size : int
        b, the rows in a batch.
    present : (n,) array of bool, optional
        Which rows have a weight other than 0, in the order of the batches; by default all have.
    least : int, default=1
        A batch with fewer rows that are present is merged with the one before it, or with the
        next one if it is the first.

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


def is_order(given: Rows, rows: Rows) -> bool:
    """Return whether ``given`` holds the same row numbers as ``rows``, in any order."""
    return given.shape == rows.shape and np.array_equal(np.sort(given), np.sort(rows))
