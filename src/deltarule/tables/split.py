"""Which rows are for training, dev and test (maths.md, D1): exact in memory, else by row hash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.columns import ParsedColumn
from deltarule.tables.statistics import PART, row_hash
from deltarule.tables.table import Piece, Source
from deltarule.training.splits import quotas

__all__ = ["PARTS", "ForTraining", "Shares", "Split", "draw_parts"]

PARTS = ("training", "dev", "test")
"""The parts, by their numbers."""


class Shares(NamedTuple):
    """The shares of the dev and test parts; the rest is for training."""

    dev: float
    test: float


class ForTraining(NamedTuple):
    """Classes with too few rows to be held out, and a function from rows to their classes."""

    classes: list[str]
    labels_of: Callable[[ParsedColumn, NDArray[np.intp]], NDArray[Any]]


@dataclass(frozen=True)
class Split:
    """Which part each row of a table is in; the seed decides it, and every sample of rows.

    Of a table in memory, ``exact`` has the part of each row: exact shares, with the same
    proportions of classes in each part (`draw_parts`). Otherwise a row's part follows from the
    hash of its number: shares and classes are met by chance, but the rows of the classes that
    ``trained`` names are all for training. ``marks`` says that marks such as "?" are missing
    targets, too: those of numbers and booleans.
    """

    shares: Shares
    seed: int
    exact: NDArray[np.int8] | None = None
    marks: bool = False
    trained: ForTraining | None = None

    def parts(self, piece: Piece, target: ParsedColumn) -> NDArray[np.int8]:
        """Return the number of the part of each row, -1 for rows without a target."""
        if self.exact is not None:
            return self.exact[piece.first : piece.first + piece.table.rows]
        hashes = row_hash(self.seed, PART, piece.first, piece.table.rows)
        part = np.zeros(len(hashes), dtype=np.int8)
        part[hashes < self.shares.dev + self.shares.test] = 2
        part[hashes < self.shares.dev] = 1
        part[~(target.usable if self.marks else target.not_missing)] = -1
        if self.trained is not None:
            held = np.flatnonzero(part > 0)
            part[held[np.isin(self.trained.labels_of(target, held), self.trained.classes)]] = 0
        return part

    def check(self, source: Source, counts: NDArray[np.int64]) -> None:
        """Refuse parts into which chance put fewer than two rows."""
        for name, count, share in zip(PARTS, counts, (1, 1, self.shares.test), strict=True):
            if self.exact is None and share > 0 and count < 2:
                raise TableError(
                    f"{source.path}: {count} of its {source.rows} rows fell into the {name} part, "
                    "too few; add rows, change the shares (--dev, --test), or use another --seed"
                )


def draw_parts(
    count: int, shares: Shares, seed: int, labels: NDArray[Any] | None = None
) -> NDArray[np.int8]:
    """Return a random part for each of `count` rows: 0 for training, 1 for dev, 2 for test.

    The shares are rounded to whole rows, at least two unless zero. With the class of each row,
    every part holds the classes in the table's proportions, as closely as whole rows allow, and at
    least one row of each class is for training. It is an error if too few rows would be left.
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
    part = np.zeros(count, dtype=np.int8)
    shuffled = np.random.default_rng(seed).permutation(count)
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    starts = np.cumsum(members) - members
    taken = np.zeros_like(members)
    for number, size in ((2, sizes[1]), (1, sizes[0])):
        counts = quotas(size * members / count, size, members - 1 - taken)
        for start, skip, quota in zip(starts, taken, counts, strict=True):
            part[by_class[start + skip : start + skip + quota]] = number
        taken += counts
    return part
