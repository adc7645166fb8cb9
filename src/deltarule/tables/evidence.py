"""What all rows of a table say about a column: how many cells read as what, in bounded memory."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from deltarule.tables.columns import Cells, ParsedColumn
from deltarule.tables.dates import read_coded
from deltarule.tables.notation import NOTATIONS
from deltarule.tables.record import DateNotation, NumberNotation
from deltarule.tables.statistics import CappedCounter

__all__ = ["DAY_FIRST", "MAX_TEXTS", "MONTH", "MONTH_FIRST", "TIME", "ColumnEvidence", "counted"]

MAX_TEXTS = 10_000
"""More different texts than this are not counted; a column of that many is left out anyway."""
DAY_FIRST = DateNotation(form="calendar", day_first=True)
MONTH_FIRST = DateNotation(form="calendar", day_first=False)
TIME = DateNotation(form="time", day_first=True)
MONTH = DateNotation(form="month", day_first=True)
_GROUPED = r"^[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+$"
_LOOK = 1000
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
        self.dates: Counter[DateNotation] = Counter()
        self.unclear_dates = 0  # such as 21-03-04
        self.calendar_dates = 0  # with the day or the month first
        self.fixed_dates = self.dotted_dates = self.sure_dates = self.compact_dates = 0
        self.largest = 0.0
        self.suspect = False  # a number may be beyond what float64 can hold
        self.texts = CappedCounter(MAX_TEXTS)
        self._blanks = 0
        self._counts_rows, self._last = True, None  # type: tuple[bool, float | None]

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
        self._follow(column, n)
        if column.stores_numbers:
            self._add_stored(column, n)
            if self._as_category and not self.texts.full:
                self.texts.add(*counted(column.texts))
            return
        if column.all_plain:
            self._add_plain(column, n)
            if last and not (self.declared or self._as_category or self.codes):
                return  # a column of numbers; its texts decide nothing
        else:
            self._add_texts(column, there, usable)
        if not self.texts.full:
            self.texts.add(*counted(column.texts))

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
    def counts_rows(self) -> bool:
        """Whether the numbers are n, n + 1, n + 2 and so on."""
        return self._counts_rows and self.usable == self.rows

    def best_unit(self, notation: NumberNotation) -> tuple[int, str]:
        """Return the most cells that are numbers in a notation with one unit, and the unit.

        A currency may be left out, a per cent sign may not.
        """
        found = {unit: count for (kind, unit), count in self.fits.items() if kind == notation}
        bare = found.get("", 0)
        return max(
            ((count + bare * (unit not in ("", "%")), unit) for unit, count in found.items()),
            default=(0, ""),
        )

    def of_any_unit(self, notation: NumberNotation) -> int:
        """Return how many cells are numbers in a notation, whatever their unit."""
        return sum(count for (kind, _), count in self.fits.items() if kind == notation)

    def _add_stored(self, column: ParsedColumn, n: int) -> None:
        for notation in NOTATIONS:
            self.fits[notation, ""] += n
        values = column.numbers().values
        self.suspect = self.suspect or bool(np.isinf(values).any())
        self._add_coded(values)

    def _add_plain(self, column: ParsedColumn, n: int) -> None:
        """Add cells that are all plain numbers, with few looks at their texts."""
        values, cells = column.numbers().values, column.cells
        points = _count(pc.match_substring(cells, "."))
        grouped = 0
        head = cells.slice(0, _LOOK)
        if points and _count(pc.match_substring(head, ".")) == _count(
            pc.match_substring_regex(head, _GROUPED)
        ):
            grouped = _count(pc.match_substring_regex(cells, _GROUPED))
        self.points += points
        for notation in NOTATIONS:
            fits = n if notation.decimal == "." else n - points
            self.fits[notation, ""] += fits + grouped * (
                notation.decimal + notation.thousands == ",."
            )
        self.whole += n - points
        zero = cells.filter(pc.starts_with(cells, "0"))
        self.codes += _count(pc.match_substring_regex(zero, "^0[0-9]+$"))
        with np.errstate(invalid="ignore"):
            self.suspect = self.suspect or bool((np.abs(values) >= 2.0**53).any())
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
        blanks = pc.fill_null(pc.count_substring(distinct, " "), 0).to_numpy(zero_copy_only=False)
        self._blanks += int((blanks * column.counts(there)).sum())
        numbers = column.number_texts
        for notation in NOTATIONS:
            fits = numbers.fits(notation)
            for place in np.unique(numbers.unit[fits]).tolist():
                mask = fits & (numbers.unit == place)
                self.fits[notation, numbers.units[place]] += int(counts[mask].sum())
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
        if self._as_date:
            self._add_coded(column.numbers().values)

    def _add_coded(self, values: NDArray[np.float64]) -> None:
        if self._as_date:
            self.compact_dates += int(read_coded(values, "YYYYMMDD")[1].sum())
            finite = np.abs(values[np.isfinite(values)])
            self.largest = max(self.largest, float(finite.max(initial=0.0)))

    def _follow(self, column: ParsedColumn, n: int) -> None:
        """Check whether the numbers still count the rows."""
        if not self._counts_rows:
            return
        if n < len(column) or not (column.stores_numbers or column.all_plain):
            self._counts_rows = False
            return
        values = column.numbers().values
        run = values if self._last is None else np.append(self._last, values)
        with np.errstate(over="ignore", invalid="ignore"):
            self._counts_rows = bool((np.diff(run) == 1).all())
        self._last = float(values[-1]) if len(values) else self._last


def counted(texts: Cells) -> tuple[Cells, Cells]:
    """Return the different texts of an array, and how often each occurs."""
    found = texts.value_counts()
    return found.field(0), found.field(1)


def _count(mask: Cells) -> int:
    return pc.sum(mask).as_py() or 0


def _mask(values: Cells) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=bool)
