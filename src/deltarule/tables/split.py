"""Which rows are for training, dev and test (maths.md, D1): drawn, by row hash, or by time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.columns import ParsedColumn, number_text
from deltarule.tables.record import DateNotation, NumberNotation, TimeSplit
from deltarule.tables.statistics import PART, row_hash
from deltarule.tables.table import Piece, Source
from deltarule.training.splits import quotas

__all__ = [
    "PARTS",
    "ForTraining",
    "Shares",
    "Split",
    "draw_parts",
    "part_sizes",
    "time_text",
    "times_of",
]

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
    ``trained`` names are all for training. With ``time`` it follows from a column of the row, and
    the seed decides only samples. ``marks`` says that marks such as "?" are missing targets, too:
    those of numbers and booleans. ``missing`` are the user's marks.
    """

    shares: Shares
    seed: int
    exact: NDArray[np.int8] | None = None
    marks: bool = False
    trained: ForTraining | None = None
    time: TimeSplit | None = None
    missing: tuple[str, ...] = ()

    def parts(self, piece: Piece, target: ParsedColumn) -> NDArray[np.int8]:
        """Return the number of the part of each row, -1 for rows without a target or time."""
        if self.exact is not None:
            return self.exact[piece.first : piece.first + piece.table.rows]
        part = np.zeros(piece.table.rows, dtype=np.int8)
        if self.time is not None:
            column = piece.table.column(self.time.column, missing=self.missing)
            times = times_of(column, self.time.notation)
            part[np.isnan(times)] = -1
            part[times >= self.time.dev_from] = 1
            if self.time.test_from is not None:
                part[times >= self.time.test_from] = 2
        else:
            hashes = row_hash(self.seed, PART, piece.first, piece.table.rows)
            part[hashes < self.shares.dev + self.shares.test] = 2
            part[hashes < self.shares.dev] = 1
        part[~(target.usable if self.marks else target.not_missing)] = -1
        if self.trained is not None:
            held = np.flatnonzero(part > 0)
            part[held[np.isin(self.trained.labels_of(target, held), self.trained.classes)]] = 0
        return part

    def check(self, source: Source, counts: NDArray[np.int64]) -> None:
        """Refuse parts into which chance, or the times, put fewer than two rows."""
        seed = ", or use another --seed" if self.time is None else ", or leave --split out"
        for name, count, share in zip(PARTS, counts, (1, 1, self.shares.test), strict=True):
            if self.exact is None and share > 0 and count < 2:
                raise TableError(
                    f"{source.path}: {count} of its {source.rows} rows fell into the {name} part, "
                    f"too few; add rows, change the shares (--dev, --test){seed}"
                )


def times_of(column: ParsedColumn, notation: NumberNotation | DateNotation) -> NDArray[np.float64]:
    """Return the times of all rows: seconds since 1970 or numbers, NaN where missing."""
    if isinstance(notation, DateNotation):
        found = column.dates(notation)
    else:
        found = column.numbers(notation)
    return np.where(found.fits & column.usable, found.values, np.nan)


def time_text(notation: NumberNotation | DateNotation, time: float) -> str:
    """Return a time as a person would write it; dates in ISO 8601."""
    if isinstance(notation, NumberNotation):
        return number_text(time)
    text = str(np.datetime64(round(time * 1e6), "us")).removesuffix(".000000")
    if notation.form == "time":
        return text.partition("T")[2]
    return text.removesuffix("T00:00:00")


def part_sizes(count: int, shares: Shares) -> tuple[int, int]:
    """Return how many of `count` rows are for dev and test: whole rows, at least two or none."""
    dev, test = (max(round(count * share), 2) if share > 0 else 0 for share in shares)
    return dev, test


def draw_parts(
    count: int, shares: Shares, seed: int, labels: NDArray[Any] | None = None
) -> NDArray[np.int8]:
    """Return a random part for each of `count` rows: 0 for training, 1 for dev, 2 for test.

    The shares are rounded to whole rows, at least two unless zero. With the class of each row,
    every part holds the classes in the table's proportions, as closely as whole rows allow, and at
    least one row of each class is for training. It is an error if too few rows would be left.
    """
    sizes = part_sizes(count, shares)
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
