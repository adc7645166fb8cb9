"""What one pass learns about a column: which kind it is, and what its preprocessing needs."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.columns import Cells, ParsedColumn
from deltarule.tables.messages import in_shell, show
from deltarule.tables.statistics import CappedCounter, Moments, Numbers, Sample

__all__ = ["ColumnProfile", "PieceRows"]

FEW = 20
"""A text column with at most this many different texts is always a category."""
MAX_CATEGORIES = 1000
MAX_TEXTS = 10_000
"""More different texts than this are not counted; a column of that many is refused anyway."""
Mask = NDArray[np.bool_]


class PieceRows(NamedTuple):
    """The rows of a piece: which are for training, and the hashes that decide on samples.

    ``last`` says that no further piece follows: the table is in memory.
    """

    training: Mask
    hashes: Numbers
    last: bool


class ColumnProfile:
    """Counts and statistics of a column, whose pieces are added in their order.

    `deltarule.tables.kinds.recognise` decides by them what the column holds. At most `sample`
    numbers are kept for the median.
    """

    def __init__(self, name: str, sample: float = math.inf) -> None:
        self.name = name
        self.not_missing = self.numbers = self.booleans = self.dates = 0
        self.counts_rows = True  # the numbers are n, n + 1, n + 2 ...
        self.missing = 0  # in training rows
        self.moments, self.sample = Moments(), Sample(sample)
        self.texts, self.training_texts = CappedCounter(MAX_TEXTS), CappedCounter(MAX_TEXTS)
        self._rows = self._blanks = 0
        self._stores_numbers = False
        # Errors that may be raised later; the line of a cell is looked up only then.
        self._mistake: tuple[partial[TableError], str] | None = None
        self._inexact: partial[TableError] | None = None
        self.unsupported = ""
        self._last: float | None = None

    def add(self, column: ParsedColumn, rows: PieceRows) -> None:
        """Add a piece."""
        self.unsupported = self.unsupported or column.unsupported
        if self.unsupported:
            return
        before, there = self.not_missing, column.not_missing
        self._rows += len(column)
        self.not_missing += int(there.sum())
        self.missing += int((rows.training & ~there).sum())
        self._add_numbers(column, rows)
        if column.stores_numbers:
            self._stores_numbers = True
            return
        if rows.last and self.numbers == self.not_missing > 0:
            return  # a column of numbers; its texts decide nothing
        if self.numbers == 0 and self.booleans == before:
            self.booleans += int(column.is_boolean.sum())
        if self.dates == before:
            self.dates += int(column.is_date.sum())
        if not self.texts.full:
            self.texts.add(*_counted(column.texts))
            self.training_texts.add(*_counted(column.texts.filter(pa.array(rows.training))))
            self._blanks += pc.sum(pc.count_substring(column.texts, " ")).as_py() or 0

    def _add_numbers(self, column: ParsedColumn, rows: PieceRows) -> None:
        fits, there = column.is_number, column.not_missing
        self.numbers += int(fits.sum())
        wrong = there & ~fits
        if wrong.any() and self._mistake is None:
            row = int(np.argmax(wrong))
            self._mistake = partial(column.fault, row), show(column.text(row))
        if self._mistake is not None:
            self.counts_rows = False
            return
        if self._inexact is None and column.inexact is not None:
            self._inexact = partial(column.fault, *column.inexact)
        if self.counts_rows:
            self._follow(column.numbers[fits], all_there=bool(there.all()))
        taken = rows.training & np.isfinite(column.numbers)
        self.moments.add(column.numbers[taken])
        self.sample.add(column.numbers[taken], rows.hashes[taken])

    def _follow(self, values: NDArray[np.float64], *, all_there: bool) -> None:
        """Check whether the numbers still count the rows."""
        run = values if self._last is None else np.append(self._last, values)
        with np.errstate(over="ignore", invalid="ignore"):
            self.counts_rows = all_there and bool((np.diff(run) == 1).all())
        self._last = float(values[-1]) if len(values) else self._last

    # --- after the last piece ------------------------------------------------------------------

    @property
    def all_numbers(self) -> bool:
        """Whether every cell is a number; raise if float64 cannot hold one of them."""
        if self.numbers < self.not_missing:
            return False
        if self._inexact is not None:
            raise self._inexact()
        return True

    @property
    def distinct_texts(self) -> int | None:
        """The number of different texts, without the missing cell; None if it is not known."""
        distinct = self.texts.distinct
        return None if distinct is None else distinct - (self._rows > self.not_missing)

    def check_mistake(self) -> None:
        """Report the first cell that is not a number in a column where most cells are."""
        mostly = 2 * self.numbers > self.not_missing or self._stores_numbers
        if self._mistake is not None and mostly:
            fault, cell = self._mistake
            raise fault(
                f"{cell} is not a number, but {self.numbers} of the column's {self.not_missing} "
                "cells are; correct it, leave it empty, or leave the column out: --ignore "
                f"{in_shell(self.name)}"
            )

    def unusable(self) -> str:
        """Return why the column cannot be used if it holds no numbers, or an empty text."""
        if self.unsupported or self.not_missing == 0:
            return self.unsupported or "is empty"
        if self.dates == self.not_missing:
            return "holds dates or times"
        blanks, distinct = self._blanks / self.not_missing, self.distinct_texts
        free = "holds free text" if blanks >= 3 else ""
        if distinct is None:
            return free or f"has more than {MAX_TEXTS} different texts"
        if distinct <= FEW:
            return ""
        if 2 * distinct > self.not_missing:
            return free or "is different in nearly every row, like an id"
        return f"has {distinct} categories" if distinct > MAX_CATEGORIES else ""

    def only_counts(self, rows: int) -> bool:
        """Whether the numbers are 1, 2, 3 ... or the like, from which nothing can be learned."""
        return self.counts_rows and rows >= FEW


def _counted(texts: Cells) -> tuple[Cells, Cells]:
    counted = texts.value_counts()
    return counted.field(0), counted.field(1)
