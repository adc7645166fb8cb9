"""Columns of one kind encoded side by side: numbers and booleans, or categories.

A stack of one column is for many rows, which fill the processor's cache; a stack of all columns is
for a few rows, where what counts is the number of calls of NumPy. The bits are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from deltarule.tables.encoding import Encoded, filled_between
from deltarule.tables.record import CategoryColumn, NumberColumn

__all__ = ["CategoryStack", "NumberStack"]

Matrix: TypeAlias = NDArray[np.float64]


class NumberStack:
    """The records of k columns of numbers as arrays.

    Parameters
    ----------
    records : sequence of NumberColumn
        What was learned about each of them.
    """

    def __init__(self, records: Sequence[NumberColumn]) -> None:
        def stacked(values: list[float]) -> Matrix:
            return np.array(values, dtype=np.float64)[:, None]

        arrays = [record.arrays for record in records]
        self._fill = stacked([record.fill for record in records])
        self._interpolated = [
            (place, knots, scores) for place, (knots, scores, _) in enumerate(arrays) if len(knots)
        ]
        plain = [place for place, record in enumerate(records) if not record.knots]
        self._mean = stacked([records[place].mean for place in plain])
        self._scale = stacked([records[place].scale for place in plain])
        # A slice copies nothing.
        self._plain = slice(None) if len(plain) == len(records) else np.array(plain, dtype=np.intp)
        self._flagged = np.flatnonzero([record.flag for record in records])
        self._heights = np.concatenate([np.full(r.bins, r.height) for r in records])
        self._lower = np.concatenate([edges[:-1] for _, _, edges in arrays])
        self._widths = np.concatenate([np.diff(edges) for _, _, edges in arrays])
        # One column is spread over its bins by broadcasting.
        many = len(records) > 1
        bins = [record.bins for record in records]
        self._of_bin = np.repeat(np.arange(len(records)), bins) if many else slice(None)
        self._n_plain = len(plain)

    def encode(self, values: Matrix) -> Encoded | None:
        """Return the inputs that numbers (k, n) give, NaN where missing.

        None says that a number is too many standard deviations from its mean for a float64.
        """
        missing = np.isnan(values)
        if missing.any():
            values = np.where(missing, self._fill, values)
        scaled = np.empty(values.shape)
        for place, knots, scores in self._interpolated:
            scaled[place] = np.interp(values[place], knots, scores)
        if self._n_plain:
            with np.errstate(over="ignore", invalid="ignore"):
                z = values[self._plain] - self._mean
                z /= self._scale
            if not np.isfinite(z).all():
                return None
            scaled[self._plain] = z
        flags = missing[self._flagged].T.astype(np.float64) if len(self._flagged) else None
        bins = None
        if len(self._heights):
            bins = filled_between(values.T[:, self._of_bin], self._lower, self._widths)
            bins *= self._heights
        return Encoded(scaled.T, flags, bins)


class CategoryStack:
    """The records of k columns of categories: how many there are of each, and how high.

    Parameters
    ----------
    records : sequence of CategoryColumn
        What was learned about each of them.
    """

    def __init__(self, records: Sequence[CategoryColumn]) -> None:
        widths = [record.width for record in records]
        self._width = sum(widths)
        self._first = np.cumsum([0, *widths[:-1]])[:, None]
        self._heights = np.array([record.height for record in records])[:, None]

    def encode(self, places: NDArray[np.intp]) -> Encoded:
        """Return one-hot inputs for the places (k, n) of categories, none for a place of -1."""
        rows = places.shape[1]
        one_hot = np.zeros(rows * self._width)
        cells = places + self._first
        if rows > 1:
            cells += np.arange(rows) * self._width
        known = places >= 0
        if known.all():
            one_hot[cells] = self._heights
        else:
            one_hot[cells[known]] = np.broadcast_to(self._heights, known.shape)[known]
        return Encoded(one_hot=one_hot.reshape(rows, self._width))
