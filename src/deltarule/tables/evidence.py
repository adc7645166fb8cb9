"""What all rows of a table say about a column: how many cells read as what, in bounded memory."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from deltarule.tables.arrow import to_numpy
from deltarule.tables.columns import Cells, ParsedColumn
from deltarule.tables.dates import read_coded
from deltarule.tables.notation import NOTATIONS, PLAIN, is_currency
from deltarule.tables.record import DateNotation, NumberNotation
from deltarule.tables.statistics import CappedCounter

__all__ = ["DAY_FIRST", "MAX_TEXTS", "MONTH", "MONTH_FIRST", "TIME", "ColumnEvidence"]

MAX_TEXTS = 10_000
"""More different texts than this are not counted; a column of that many is left out anyway."""
DAY_FIRST = DateNotation(form="calendar", day_first=True)
MONTH_FIRST = DateNotation(form="calendar", day_first=False)
TIME = DateNotation(form="time", day_first=True)
MONTH = DateNotation(form="month", day_first=True)
_GROUPED = r"^[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+$"
_ADDED = (
    *("rows", "missing", "usable", "points", "codes", "whole", "booleans", "numbers", "measured"),
    *("unclear_dates", "calendar_dates", "fixed_dates", "dotted_dates", "sure_dates"),
    *("compact_dates", "_blanks"),
)
"""The counts that are sums over pieces."""
_LOOK = 1000
FIRST_COMPACT, LAST_COMPACT = 1900_01_01, 2100_12_31
"""Numbers between these may be dates such as 20240131."""
"""Cells that are looked at first for a decimal point that cannot be another mark."""


class ColumnEvidence:
    """Counts of the cells of a column, whose pieces are added in their order.

    `as_category` says that the column is to be a category, so that all texts are counted;
    `as_date` that its numbers may be dates.
    """

    def __init__(self, name: str, *, as_category: bool = False, as_date: bool = False) -> None:
        self.name = name
        self._as_category, self._as_date = as_category, as_date
        self.unsupported = ""
        self.declared = False
        self.rows = self.missing = self.usable = 0
        self.marks: Counter[str] = Counter()
        self.fits: Counter[tuple[NumberNotation, str]] = Counter()
        """Cells that are numbers, by notation and unit."""
        self.points = self.codes = self.whole = self.booleans = 0
        self.numbers = self.measured = 0  # in any notation; those with a unit such as kg
        self.dates: Counter[DateNotation] = Counter()
        self.unclear_dates = 0  # such as 21-03-04
        self.calendar_dates = 0  # with the day or the month first
        self.fixed_dates = self.dotted_dates = self.sure_dates = self.compact_dates = 0
        self.largest = 0.0
        self.suspect = False  # a number may be beyond what float64 can hold
        self.texts = CappedCounter(MAX_TEXTS)
        self._blanks = 0
        self._numbered = True  # so far, the numbers may be those of the rows in any order
        self._low = self._high = self._sum = self._squares = 0

    def add(self, column: ParsedColumn, *, last: bool) -> None:
        """Add a piece; `last` says that no further piece follows."""
        self.unsupported = self.unsupported or column.unsupported
        if self.unsupported:
            return
        self.declared = self.declared or column.declared
        there, usable = column.not_missing, column.usable
        n = int(usable.sum())
        self.rows += len(column)
        self.missing += int((~there).sum())
        self.usable += n
        self._follow(column, n, last=last)
        if column.stores_numbers:
            self._add_stored(column, n)
            if self._as_category and not self.texts.full:
                self.texts.add(*column.counted())
            return
        if column.all_plain:
            self._add_plain(column, n)
            if last and not (self.declared or self._as_category or self.codes):
                return  # a column of numbers; its texts decide nothing
        else:
            self._add_texts(column, there, usable)
        if not self.texts.full:
            self.texts.add(*column.counted())

    def merge(self, other: ColumnEvidence) -> None:
        """Add the evidence of the pieces that follow."""
        if self.unsupported:
            return
        self._follow_merged(other)
        for name in _ADDED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("marks", "fits", "dates"):
            getattr(self, name).update(getattr(other, name))
        self.unsupported = other.unsupported
        self.declared = self.declared or other.declared
        self.suspect = self.suspect or other.suspect
        self.largest = max(self.largest, other.largest)
        if not self.texts.full:
            self.texts.merge(other.texts)

    def _follow_merged(self, other: ColumnEvidence) -> None:
        """Do what `_follow` does with pieces."""
        self._numbered = self._numbered and other._numbered
        if not self._numbered or other.rows == 0:
            return
        self._low = min(self._low, other._low) if self.rows else other._low
        self._high = max(self._high, other._high) if self.rows else other._high
        self._sum += other._sum
        self._squares += other._squares

    @property
    def cells(self) -> int:
        """The number of cells that hold something, be it a mark."""
        return self.rows - self.missing

    @property
    def blanks(self) -> float:
        """The mean number of blanks in a cell."""
        return self._blanks / max(self.cells, 1)

    @property
    def distinct(self) -> int | None:
        """The number of different texts, None if there are more than `MAX_TEXTS`."""
        return None if self.texts.full else len(self.texts.counts) - (None in self.texts.counts)

    @property
    def texts_unused(self) -> bool:
        """Whether the texts cannot matter any more: the column is to be no category."""
        return not (self._as_category or self.declared or self.unsupported)

    @property
    def surely_plain(self) -> bool:
        """Whether all cells are numbers with decimal points, or whole, and nothing else."""
        other = max(self.fits[n, ""] for n in NOTATIONS if n.decimal == ",")
        plain = 0 < self.usable == self.fits[PLAIN, ""] and not self.marks
        return (
            plain and not (self.codes or self.suspect) and (not self.points or other < self.usable)
        )

    @property
    def numbers_rows(self) -> bool:
        """Whether the numbers are n, n + 1, n + 2 and so on, in any order.

        Besides the range, the sum and the sum of squares are compared, modulo 2⁶⁴.
        """
        n, low = self.rows, self._low
        if not self._numbered or self.usable < n or self._high - low + 1 != n:
            return False
        expected = n * low + n * (n - 1) // 2
        squares = n * low**2 + low * n * (n - 1) + (n - 1) * n * (2 * n - 1) // 6
        return (self._sum - expected) % 2**64 == 0 == (self._squares - squares) % 2**64

    def best_unit(self, notation: NumberNotation) -> tuple[int, str]:
        """Return the most cells that are numbers in a notation with one unit, and the unit.

        A currency may be left out, other units may not.
        """
        found = {unit: count for (kind, unit), count in self.fits.items() if kind == notation}
        bare = found.get("", 0)
        return max(
            ((count + bare * is_currency(unit), unit) for unit, count in found.items()),
            default=(0, ""),
        )

    def _add_stored(self, column: ParsedColumn, n: int) -> None:
        self.numbers += n
        for notation in NOTATIONS:
            self.fits[notation, ""] += n
        values = column.numbers().values
        low, high = column.range()
        self.suspect = self.suspect or not ((np.isfinite(low) and np.isfinite(high)) or n == 0)
        self._add_coded(values)

    def _add_plain(self, column: ParsedColumn, n: int) -> None:
        """Add cells that are all plain numbers, with few looks at their texts."""
        values, cells = column.numbers().values, column.cells
        points = column.count_of_points()
        grouped = 0
        head = cells.slice(0, _LOOK)
        if points and _count(pc.match_substring(head, ".")) == _count(
            pc.match_substring_regex(head, _GROUPED)
        ):
            grouped = _count(pc.match_substring_regex(cells, _GROUPED))
        self.points += points
        self.numbers += n
        for notation in NOTATIONS:
            fits = n if notation.decimal == "." else n - points
            self.fits[notation, ""] += fits + grouped * (
                notation.decimal + notation.thousands == ",."
            )
        self.whole += n - points
        self.codes += _count(pc.match_substring_regex(column.with_leading_zero(), "^0[0-9]+$"))
        low, high = column.range()
        self.suspect = self.suspect or low <= -(2.0**53) or high >= 2.0**53
        self._add_coded(values)

    def _add_texts(
        self, column: ParsedColumn, there: NDArray[np.bool_], usable: NDArray[np.bool_]
    ) -> None:
        """Add cells of which some are no plain numbers: each different text is looked at once."""
        distinct, counts = column.distinct, column.counts(usable)
        if not usable.all():
            of_marks = column.counts(there & ~usable)
            for place in np.flatnonzero(of_marks).tolist():
                self.marks[distinct[place].as_py()] += int(of_marks[place])
        blanks = to_numpy(pc.count_substring(distinct, " "), 0)
        self._blanks += int((blanks * column.counts(there)).sum())
        numbers = column.number_texts
        in_any = np.zeros(len(distinct), dtype=bool)
        for notation in NOTATIONS:
            fits = numbers.fits(notation)
            in_any |= fits
            for place in np.unique(numbers.unit[fits]).tolist():
                mask = fits & (numbers.unit == place)
                self.fits[notation, numbers.units[place]] += int(counts[mask].sum())
        self.numbers += int(counts[in_any].sum())
        self.measured += int(counts[in_any & numbers.measured].sum())
        self.whole += int(counts[numbers.whole].sum())
        self.points += int(counts[_mask(pc.match_substring(distinct, "."))].sum())
        self.codes += int(counts[_mask(pc.match_substring_regex(distinct, "^0[0-9]+$"))].sum())
        self.booleans += int(column.is_boolean[usable].sum())
        long = _mask(pc.greater_equal(pc.utf8_length(distinct), 16)) | _mask(
            pc.match_substring_regex(distinct, "[eE][0-9+]")
        )
        self.suspect = self.suspect or bool((long & (numbers.unit >= 0)).any())
        dates = column.date_texts
        read = {n: dates.fits(n) for n in (DAY_FIRST, MONTH_FIRST, TIME, MONTH)}
        for kind, fits in read.items():
            self.dates[kind] += int(counts[fits].sum())
        self.unclear_dates += int(counts[dates.unclear].sum())
        self.calendar_dates += int(counts[read[DAY_FIRST] | read[MONTH_FIRST]].sum())
        fixed, either = dates.fixed, read[DAY_FIRST] & read[MONTH_FIRST]
        self.fixed_dates += int(counts[fixed].sum())
        self.dotted_dates += int(counts[dates.dotted & read[DAY_FIRST]].sum())
        sure = (
            fixed | (read[DAY_FIRST] ^ read[MONTH_FIRST]) | (either & dates.dotted)
        ) & dates.four_digits
        self.sure_dates += int(counts[sure].sum())
        if self._as_date or in_any[counts > 0].all():
            self._add_coded(column.numbers().values)

    def _add_coded(self, values: NDArray[np.float64]) -> None:
        look = values[:_LOOK]
        if self._as_date or ((look >= FIRST_COMPACT) & (look <= LAST_COMPACT)).any():
            self.compact_dates += int(read_coded(values, "YYYYMMDD")[1].sum())
            finite = np.abs(values[np.isfinite(values)])
            self.largest = max(self.largest, float(finite.max(initial=0.0)))

    def _follow(self, column: ParsedColumn, n: int, *, last: bool) -> None:
        """Add to what `numbers_rows` needs, until it is clear that the numbers are others."""
        if not self._numbered:
            return
        self._numbered = n == len(column) and (column.stores_numbers or column.all_plain)
        if not self._numbered or n == 0:
            return
        values = column.numbers().values
        for part in (values[:_LOOK], values):
            low, high = column.range() if part is values else (part.min(), part.max())
            with np.errstate(invalid="ignore", over="ignore"):  # of infinite ends
                self._numbered = bool(max(abs(low), abs(high)) < 2**31 and high - low < 2**31)
            if last and part is values and self.rows == n:
                self._numbered &= high - low + 1 == n
            if not self._numbered or not (part == np.floor(part)).all():
                self._numbered = False
                return
        whole = values.astype(np.int64)
        self._low = min(self._low, int(low)) if self.rows > n else int(low)
        self._high = max(self._high, int(high)) if self.rows > n else int(high)
        self._sum += int(whole.sum())
        self._squares += int((whole.astype(np.uint64) ** 2).sum())


def _count(mask: Cells) -> int:
    return pc.sum(mask).as_py() or 0


def _mask(values: Cells) -> NDArray[np.bool_]:
    return np.asarray(to_numpy(values, False), dtype=bool)
