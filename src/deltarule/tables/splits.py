"""Split rows into training, dev and test parts (maths.md, D1)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import TableError

__all__ = ["Shares", "Split", "split_rows"]


class Shares(NamedTuple):
    """The shares of the dev and test parts; the rest is for training."""

    dev: float
    test: float


class Split(NamedTuple):
    """The rows of each part, in rising order."""

    training: NDArray[np.intp]
    dev: NDArray[np.intp]
    test: NDArray[np.intp]


def split_rows(count: int, shares: Shares, seed: int, labels: NDArray[Any] | None = None) -> Split:
    """Split the rows 0 … count - 1 at random.

    Parameters
    ----------
    count : int
        The number of rows.
    shares : Shares
        The shares of the dev and test parts, rounded to whole rows, at least two unless zero.
    seed : int
        Decides the shuffle.
    labels : (count,) array, optional
        The class of each row. Every part then holds the classes in the table's proportions, as
        closely as whole rows allow, and at least one row of each class is for training.

    Returns
    -------
    Split

    Raises
    ------
    TableError
        If nothing would be left to train on.
    """
    sizes = [max(round(count * share), 2) if share > 0 else 0 for share in shares]
    classes = np.zeros(count, dtype=np.intp)
    if labels is not None:
        classes = np.unique(labels, return_inverse=True)[1]
    members = np.bincount(classes)
    if sum(sizes) > count - len(members):
        raise TableError(
            f"{count} rows are too few to hold out {sum(sizes)} of them; add rows, "
            "or hold out less (--dev, --test)"
        )
    part = np.zeros(count, dtype=np.intp)
    shuffled = np.random.default_rng(seed).permutation(count)
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    starts = np.cumsum(members) - members
    taken = np.zeros_like(members)
    for number, size in ((2, sizes[1]), (1, sizes[0])):
        quotas = _quotas(size * members / count, size, members - 1 - taken)
        for start, skip, quota in zip(starts, taken, quotas, strict=True):
            part[by_class[start + skip : start + skip + quota]] = number
        taken += quotas
    return Split(*(np.flatnonzero(part == number) for number in range(3)))


def _quotas(ideal: NDArray[np.float64], size: int, limits: NDArray[np.intp]) -> NDArray[np.intp]:
    """Round the classes' ideal counts so that they sum to `size` and keep within the limits."""
    quotas = np.minimum(np.floor(ideal).astype(np.intp), limits)
    while quotas.sum() < size:
        wanting = np.where(quotas < limits, ideal - quotas, -np.inf)
        quotas[int(np.argmax(wanting))] += 1
    return quotas
