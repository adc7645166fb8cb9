"""Mini-batches: the order in which an epoch visits the rows (item D3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Orders", "Rows", "batch_bounds", "epoch_orders"]

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


class Orders(Iterator[Rows]):
    """The row order of one epoch after the other.

    Parameters
    ----------
    rows : row numbers
        The rows as they stand; none if nobody looks at an order (``Stream``).
    shuffled : callable or None
        Takes the order of the last epoch and returns the next one (None: as they stand).
    """

    def __init__(self, rows: Rows, shuffled: Callable[[Rows], Rows] | None) -> None:
        self._rows = rows
        self._shuffled = shuffled

    def __next__(self) -> Rows:
        """Return the next epoch's order."""
        if self._shuffled is not None:
            self._rows = self._shuffled(self._rows)
        return self._rows

    @property
    def memory(self) -> Rows | None:
        """What the next order follows from, beside random numbers."""
        return None if self._shuffled is None else self._rows

    def go_on(self, memory: Rows | None) -> None:
        """Go on behind an order that was remembered."""
        if memory is not None:
            self._rows = memory

    def has(self, rows: Rows) -> bool:
        """Whether row numbers can be an order of these rows."""
        return rows.shape == self._rows.shape and np.array_equal(np.sort(rows), np.sort(self._rows))


def epoch_orders(n_rows: int, shuffled: Callable[[Rows], Rows] | None) -> Orders:
    """Return the row orders of epochs; ``shuffled`` makes the next one from the last."""
    return Orders(np.arange(n_rows, dtype=np.int64), shuffled)
