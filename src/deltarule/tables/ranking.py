"""ROC AUC and average precision of two classes: exact, from 8 bytes of memory for each row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ranking", "RankingScores"]

BLOCK = 2**16
"""Rows whose places are looked up at once."""
SURE = 1.645
"""Standard errors that chance exceeds once in twenty times, on one side."""


class RankingScores(NamedTuple):
    """How well probabilities put one class above another; NaN where a class has no rows."""

    roc_auc: float
    average_precision: tuple[float, float]  # of the first class and of the second
    beyond_chance: bool  # whether a random order would have such a ROC AUC in fewer than 1 of 20


class Ranking:
    """The probabilities of the second of two classes, by the true class."""

    def __init__(self) -> None:
        self._pieces: tuple[list[NDArray[np.float64]], ...] = ([], [])

    def add(self, probabilities: NDArray[np.float64], codes: NDArray[np.intp]) -> None:
        """Add rows: the probability of the second class, and the number of the true class."""
        for code, pieces in enumerate(self._pieces):
            pieces.append(probabilities[codes == code])

    def scores(self) -> RankingScores:
        """Return the scores of all rows, those of ``sklearn.metrics``."""
        first, second = (np.concatenate(pieces) for pieces in self._pieces)
        self._pieces = ([first], [second])  # each row once
        first.sort()
        second.sort()
        n, m = len(first), len(second)
        if n == 0 or m == 0:
            return RankingScores(np.nan, (1.0 if n else np.nan, 1.0 if m else np.nan), False)
        pairs, of_second = _of_class(second, first)
        area = pairs / (n * m)
        # Of the first class the order is the reverse; -p is as fine as p, and 1 - p is not.
        of_first = _of_class(-first[::-1], -second[::-1])[1]
        # Mann & Whitney (1947): the variance of the area under a random order, without ties.
        chance = np.sqrt((n + m + 1) / (12 * n * m))
        return RankingScores(area, (of_first, of_second), bool(area - 0.5 > SURE * chance))


def _of_class(own: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """Return the pairs of rows in the right order, ties half, and the average precision.

    Both hold the scores of a class in rising order. The average precision is the mean, over the
    rows of the class, of the precision among all rows with at least their score.
    """
    pairs, precisions = 0.0, 0.0
    for start in range(0, len(own), BLOCK):
        scores = own[start : start + BLOCK]
        below = np.searchsorted(other, scores, "left")
        pairs += float(below.sum() + np.searchsorted(other, scores, "right").sum()) / 2
        hits = len(own) - np.searchsorted(own, scores, "left")
        precisions += float((hits / (hits + len(other) - below)).sum())
    return pairs, precisions / len(own)
