"""Which kind and notation a column is of, by the counts of its cells and by the other columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from deltarule.tables.dates import coded_form
from deltarule.tables.evidence import DAY_FIRST, MAX_TEXTS, MONTH, MONTH_FIRST, TIME, ColumnEvidence
from deltarule.tables.messages import in_shell, show
from deltarule.tables.notation import NOTATIONS, PLAIN, described
from deltarule.tables.record import DateNotation, NumberNotation
from deltarule.tables.understanding import KindName, Problem, ReadOptions, Understood

__all__ = ["FEW", "Judge"]

FEW = 20
"""A text column with at most this many different texts is always a category."""
LEAST_SECONDS = 1e7
"""Smaller numbers are no dates: as seconds since 1970, they end in April of that year."""
MAX_CATEGORIES = 1000
WORDS = 4
"""Texts of so many words on average that are nearly all different are free text."""
_COMMA_THOUSANDS, _POINT_THOUSANDS = NOTATIONS[1], NOTATIONS[2]


class Judge:
    """Decides what columns are, in the light of all columns of the table."""

    def __init__(
        self,
        separator: str,
        options: ReadOptions,
        every: list[ColumnEvidence],
        forced: Mapping[str, KindName],
        target: str,
    ) -> None:
        self._separator, self._options, self._forced, self._target = (
            separator,
            options,
            forced,
            target,
        )
        self.notes: list[str] = []
        self._marks: Counter[str] = Counter()  # columns that tell the decimal mark
        self._orders: Counter[bool] = Counter()  # columns that tell whether the day is first
        for evidence in every:
            fitting = {n.decimal for n in NOTATIONS if _whole(evidence, n)}
            if len(fitting) == 1 and not evidence.declared:
                self._marks[fitting.pop()] += 1
            day, month = evidence.dates[DAY_FIRST], evidence.dates[MONTH_FIRST]
            if max(day, month) == evidence.usable > min(day, month):
                self._orders[day > month] += 1

    def decide(self, e: ColumnEvidence) -> Understood | Problem:
        """Return what a column is, or why that cannot be said."""
        column = Understood(
            e.name, "left out", missing=e.missing + sum(e.marks.values()), marks=dict(e.marks)
        )
        forced, is_target = self._forced.get(e.name), e.name == self._target
        if e.unsupported:
            return self._unusable(column, e.unsupported)
        if e.cells == 0 and not is_target:
            return replace(column, reason="is empty")
        if forced == "category" or e.cells == 0:
            return self._category(e, column)
        if forced == "number":
            return self._number(e, column) or self._misfits(column, PLAIN, e)
        if forced == "date":
            return self._coded(e, column) or self._date(e, column) or self._no_date(column, e)
        if e.usable == 0 and not is_target:
            if len(e.marks) == 1:
                return replace(column, reason=f"holds only {show(next(iter(e.marks)))}")
            if not any(letter.isalpha() for mark in e.marks for letter in mark):
                return replace(column, reason="holds only marks for missing cells")
        if e.declared:
            sure = e.sure_dates == e.cells
            return (self._date(e, column) if sure else None) or self._category(e, column)
        if e.usable and e.booleans == e.usable:
            return replace(column, kind="boolean")
        number = self._number(e, column) if e.usable else None
        if isinstance(number, Understood) and e.codes > 0 and e.whole == e.usable:
            return self._category(e, column, "has leading zeros")
        if FEW <= e.usable == e.compact_dates and not is_target:
            self.notes.append(
                f"the numbers in {show(e.name)} could all be dates such as 20240131; "
                f"--date {in_shell(e.name)} takes them for dates"
            )
        return number or self._date(e, column) or self._category(e, column)

    # --- numbers -------------------------------------------------------------------------------

    def _number(self, e: ColumnEvidence, column: Understood) -> Understood | Problem | None:
        """Return a column of numbers, its problem if most cells are numbers, or None."""
        asked = [n for n in NOTATIONS if self._allowed(n)]
        fitting = [n for n in asked if _whole(e, n)]
        if not fitting:
            best = max(asked, key=lambda n: e.best_unit(n)[0])
            few = e.distinct is not None and e.distinct <= FEW  # "6 months", "1 year", "10+ years"
            numbers = e.numbers - (e.measured if few else 0)
            return self._misfits(column, best, e) if 2 * numbers > e.usable else None
        notation = fitting[0]
        both = {_COMMA_THOUSANDS, _POINT_THOUSANDS} <= set(fitting)
        if notation == PLAIN:
            if e.points and _POINT_THOUSANDS in fitting and self._marks[","] > self._marks["."]:
                notation = _POINT_THOUSANDS
                self.notes.append(
                    f"points in {show(e.name)} are taken for thousands, as other columns have "
                    "decimal commas; else say --decimal ."
                )
        elif both:
            decided = self._thousands_or_decimal(e.name)
            if decided is None:
                return Problem(
                    column,
                    "holds commas that may mean thousands (8,300 is 8300) or decimals (8.3)",
                    ("--decimal .", "--decimal ,"),
                )
            notation = decided
        elif notation.decimal == "," and self._options.decimal is None:
            others = self._marks["."] > 0 or self._separator == ","
            plain = e.best_unit(PLAIN)[0]
            if others and 2 * plain > e.usable:  # a few commas are slips
                return self._misfits(column, PLAIN, e)
        unit = e.best_unit(notation)[1]
        return replace(column, kind="number", notation=notation.model_copy(update={"unit": unit}))

    def _allowed(self, notation: NumberNotation) -> bool:
        decimal, thousands = self._options.decimal, self._options.thousands
        if decimal is not None and notation.decimal != decimal:
            return False
        return thousands is None or notation.thousands in ("", thousands)

    def _thousands_or_decimal(self, name: str) -> NumberNotation | None:
        """Return what 8,300 is by other columns or by the file, None if nothing tells."""
        points, commas = self._marks["."], self._marks[","]
        why = ""
        if points != commas:
            why = f"other columns have decimal {'points' if points > commas else 'commas'}"
        elif self._separator == ",":
            points, why = commas + 1, "the file is separated by commas"
        if not why:
            return None
        mark, other = (".", ",") if points > commas else (",", ".")
        meaning = "thousands" if mark == "." else "decimals"
        self.notes.append(
            f"commas in {show(name)} are taken for {meaning}, as {why}; else say --decimal {other}"
        )
        return _COMMA_THOUSANDS if mark == "." else _POINT_THOUSANDS

    def _misfits(self, column: Understood, notation: NumberNotation, e: ColumnEvidence) -> Problem:
        count, unit = e.best_unit(notation)
        kind = replace(column, kind="number", notation=notation.model_copy(update={"unit": unit}))
        how = described(kind.notation) if isinstance(kind.notation, NumberNotation) else ""
        what = f"is not a number{f' ({how})' * bool(how)}"
        words = f"{what}, but {count} of the column's {e.usable} cells are"
        return Problem(kind, words, misfits=True)

    # --- dates ---------------------------------------------------------------------------------

    def _date(self, e: ColumnEvidence, column: Understood) -> Understood | Problem | None:
        """Return a column of dates, its problem if most cells are dates, or None."""
        notation = max((DAY_FIRST, MONTH_FIRST, TIME, MONTH), key=lambda n: e.dates[n])
        count = e.dates[notation]
        if e.usable and 2 * e.unclear_dates > e.usable:
            return self._unusable(
                column, "holds years of two digits that may come first or last; write all four"
            )
        if e.usable == 0 or 2 * max(count, e.calendar_dates) <= e.usable:
            return None
        if e.name == self._target:
            return Problem(column, "is the target and holds dates; convert it to a number")
        if not self._options.dates and self._forced.get(e.name) != "date":
            return replace(column, reason="holds dates (--no-dates)")
        if notation.form == "calendar" and e.fixed_dates < count:
            asked = self._options.day_first
            if asked is not None:
                notation = DAY_FIRST if asked else MONTH_FIRST
            elif e.dates[DAY_FIRST] == e.dates[MONTH_FIRST] == e.calendar_dates:
                decided = self._order(e)
                if decided is None:
                    return Problem(
                        column,
                        "holds dates that may begin with the day or with the month",
                        ("--day-first", "--month-first"),
                    )
                notation = decided
        kind = replace(column, kind="date", notation=notation)
        count = e.dates[notation]
        if count < e.usable:
            what = "time" if notation.form == "time" else "date"
            words = f"is not a {what}, but {count} of the column's {e.usable} cells are"
            return Problem(kind, words, misfits=True)
        return kind

    def _order(self, e: ColumnEvidence) -> DateNotation | None:
        """Return what comes first in dates whose own column does not tell."""
        if e.dotted_dates + e.fixed_dates >= e.dates[DAY_FIRST]:
            return DAY_FIRST
        day, month = self._orders[True], self._orders[False]
        return None if day == month else DAY_FIRST if day > month else MONTH_FIRST

    def _coded(self, e: ColumnEvidence, column: Understood) -> Understood | Problem | None:
        """Return a column whose numbers are dates."""
        if e.fits[PLAIN, ""] < e.usable or e.usable == 0:
            return None
        form = coded_form(e.compact_dates == e.usable, e.largest)
        if form == "seconds" and e.largest < LEAST_SECONDS:
            why = f"holds numbers up to {e.largest:g}, too small to count seconds since 1970"
            name = in_shell(e.name)
            return Problem(
                column, why, (f"--number {name} instead of --date {name}", f"--ignore {name}")
            )
        notation = DateNotation.model_validate({"form": form, "day_first": True})
        return replace(column, kind="date", notation=notation)

    def _no_date(self, column: Understood, e: ColumnEvidence) -> Problem:
        kind = replace(column, kind="date", notation=DAY_FIRST)
        count = e.dates[DAY_FIRST]
        words = f"is not a date, but {count} of the column's {e.usable} cells are"
        return Problem(kind, words, misfits=True)

    # --- everything else -----------------------------------------------------------------------

    def _category(
        self, e: ColumnEvidence, column: Understood, reason: str = ""
    ) -> Understood | Problem:
        """Return a column of categories, or one that is left out."""
        # Beside categories, marks are texts like others.
        distinct = e.distinct
        category = replace(
            column, kind="category", missing=e.missing, marks={}, categories=distinct, reason=reason
        )
        if e.name == self._target:
            return category
        if self._forced.get(e.name) == "category":
            if distinct is None:
                return self._unusable(column, f"has more than {MAX_TEXTS} different texts")
            return category
        often = distinct is not None and distinct <= MAX_CATEGORIES and 2 * distinct <= e.cells
        if e.blanks >= WORDS - 1 and not often and (distinct is None or distinct > FEW):
            problem = self._unusable(column, "holds free text")
            return problem._replace(repeats=distinct is not None)
        if distinct is None:
            return replace(
                category, kind="left out", reason=f"has more than {MAX_TEXTS} different texts"
            )
        if distinct > FEW and 2 * distinct > e.cells:
            why = "is different in nearly every row, like an id"
            if _whole(e, PLAIN):  # declared texts
                why += f"; its texts are numbers: --number {in_shell(e.name)} takes them for such"
            return replace(category, kind="left out", reason=why)
        if distinct > MAX_CATEGORIES:
            return replace(category, kind="left out", reason=f"has {distinct} categories")
        return category

    def _unusable(self, column: Understood, why: str) -> Problem:
        if column.name == self._target:
            why += ", which is neither number nor text; convert it to numbers or texts"
            return Problem(column, why)
        return Problem(column, why, (f"--ignore {in_shell(column.name)}",))


def _whole(e: ColumnEvidence, notation: NumberNotation) -> bool:
    """Whether all cells of a column are numbers in a notation, with one unit."""
    return 0 < e.usable == e.best_unit(notation)[0]
