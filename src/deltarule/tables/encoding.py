"""Numbers as a network takes them better: normal scores of quantiles, and piecewise-linear bins.

A skewed column has few values far out, and after standardising nearly all others lie together.
Normal scores spread them: the p-quantile of the training rows becomes that of the normal
distribution. The piecewise-linear encoding (Gorishniy, Rubachev & Babenko 2022, eq. 1) gives the
network one input for each interval between quantiles, as a tree would find its thresholds.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FURTHEST",
    "STANDARDISED",
    "Encoded",
    "NumberEncoding",
    "Scaling",
    "bin_edges",
    "fill_bins",
    "filled_between",
    "height_of_bins",
    "height_of_categories",
    "normal_scores",
    "usual_encoding",
]

Numbers = NDArray[np.float64]
Scaling = Literal["standard", "quantiles"]

FURTHEST = 5.0
"""Normal scores are at most so far from 0."""
_APART = 2.0**-20
"""Neighbours that differ by less, relative to their size, are one: float32 cannot divide them."""
_TINY = 2.0**-1000
"""Size that numbers have at least for this: a slope between closer neighbours would overflow."""


class Encoded(NamedTuple):
    """What some rows of one or more columns give the network, as matrices (n, ...)."""

    standardised: Numbers | None = None
    flags: Numbers | None = None  # 1 where a cell is missing
    bins: Numbers | None = None
    one_hot: Numbers | None = None
    date: Numbers | None = None


class NumberEncoding(NamedTuple):
    """How columns of numbers are scaled, and how many bins there are beside them.

    With ``even`` columns of many features are lower: `height_of_bins`, `height_of_categories`.
    """

    scaling: Scaling = "standard"
    bins: int = 0
    even: bool = False

    @property
    def needs_values(self) -> bool:
        """Whether quantiles are learned, which takes more than a median."""
        return self.scaling == "quantiles" or self.bins > 0


STANDARDISED = NumberEncoding()
_FEW_CATEGORIES, _MANY_ROWS = 9, 200
_BINS, _ALL_BINS, _FEWEST_BINS = 24, 2400, 4
"""Bins beside each number, beside all of them, and so few that none are better."""


def usual_encoding(columns: int) -> NumberEncoding:
    """Return the encoding for an ensemble: scores with 24 bins, fewer beyond 100 columns."""
    bins = min(_BINS, _ALL_BINS // max(columns, 1))
    return NumberEncoding("quantiles", bins if bins >= _FEWEST_BINS else 0, even=True)


def height_of_bins(count: int) -> float:
    """Return 1.5/√k for k > 2 bins, else 1: filled, they are as long as one number at 1.5."""
    return min(1.0, 1.5 / math.sqrt(max(count, 1)))


def height_of_categories(count: int, rows: int) -> float:
    """Return 1 for up to 9 categories, else min(1, max(3/k, (n/200k)²)) for k of them in n rows.

    A step of Adam moves what a network says of a category in proportion to its height. So
    networks learn last what they can say of one of many categories, unless it has many rows.
    """
    if count <= _FEW_CATEGORIES:
        return 1.0
    return min(1.0, max(3 / count, (rows / (_MANY_ROWS * count)) ** 2))


def normal_scores(values: Numbers) -> tuple[Numbers, Numbers]:
    """Return knots (k,), ascending, and their normal scores; between them scores are linear.

    The knots are max(10, min(1000, n/30)) quantiles of the n values, at equal steps of p from 0 to
    1, as in scikit-learn's ``QuantileTransformer``. The score of a knot is Φ⁻¹(p), within ±5; if
    several quantiles are one number, of the p in their middle. Without two different numbers there
    are no knots.
    """
    from scipy.special import ndtri

    count = max(10, min(1000, len(values) // 30))
    p = np.linspace(0, 1, count)
    quantiles = np.quantile(values, p) if len(values) else values
    knots = _distinct(quantiles)
    if len(knots) < 2:
        return np.empty(0), np.empty(0)
    place = np.searchsorted(knots, quantiles, side="right") - 1
    middle = np.bincount(place, p) / np.bincount(place)
    return knots, np.clip(ndtri(middle), -FURTHEST, FURTHEST)


def bin_edges(values: Numbers, bins: int) -> Numbers:
    """Return the edges of at most so many bins, which hold equally many values each.

    Where quantiles are the same there are fewer; a single bin would say what the number itself
    does, and is none.
    """
    edges = _distinct(np.quantile(values, np.linspace(0, 1, bins + 1))) if len(values) else values
    return edges if len(edges) > 2 else np.empty(0)


def fill_bins(values: Numbers, edges: Numbers) -> Numbers:
    """Return (n, bins): 1 for bins below the value, 0 above, and in its own how far it is."""
    return filled_between(values[:, None], edges[:-1], np.diff(edges))


def filled_between(values: Numbers, lower: Numbers, widths: Numbers) -> Numbers:
    """Return the same for bins by where each begins and how wide it is.

    `values` are (n, 1), or (n, bins) if the bins are those of several numbers.
    """
    with np.errstate(over="ignore"):
        filled = (values - lower) / widths
    return np.clip(filled, 0.0, 1.0, out=filled)


def _distinct(ascending: Numbers) -> Numbers:
    """Return ascending numbers without those that hardly differ from the one before."""
    kept: list[float] = []
    for number in ascending.tolist():
        if not kept or number - kept[-1] > _APART * max(abs(number), abs(kept[-1]), _TINY):
            kept.append(number)
    return np.array(kept)
