"""The kinds of columns (number, boolean, date, category): parsed, encoded, exported.

A kind is one object in `KINDS`; a new kind needs a class here, a learner in
`deltarule.tables.profile` and a record in `deltarule.tables.record`.
`deltarule.tables.understand` decides which column is of which kind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deltarule.tables.arrow import numbers_of
from deltarule.tables.columns import MISSING, Cells, ParsedColumn
from deltarule.tables.dates import NUMBERS, calendar, values_of
from deltarule.tables.encoding import Encoded
from deltarule.tables.messages import in_shell, listing, show
from deltarule.tables.notation import NOTATIONS, PLAIN, described
from deltarule.tables.record import (
    CategoryColumn,
    ColumnRecord,
    DateColumn,
    DateNotation,
    NumberColumn,
    NumberNotation,
)
from deltarule.tables.stacks import CategoryStack, NumberStack

if TYPE_CHECKING:
    from deltarule.onnx import Categories, Date, Number
    from deltarule.onnx.columns import Column

__all__ = ["KINDS", "Kind", "Unseen", "UnseenValues", "Values", "kind_of"]

Matrix: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.intp]
Values: TypeAlias = NDArray[Any]
Unseen = Literal["other", "error"]
_UNSEEN = -1
MAX_EXAMPLES = 1000
"""The most unseen categories of a column that are kept for messages."""


class UnseenValues:
    """What the rows to be predicted held that the training rows did not.

    By column: the number of cells with unseen categories, those categories, and the number of
    missing cells where the training rows had none. If `unseen` is "error", unseen categories are
    an error; by default they are taken as "other".
    """

    def __init__(self, unseen: Unseen = "other") -> None:
        self.refused = unseen == "error"
        self.unseen: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        self.missing: Counter[str] = Counter()

    def add(self, name: str, count: int, categories: list[str]) -> None:
        """Count further cells of a column with unseen categories."""
        self.unseen[name] += count
        known = self.examples.setdefault(name, [])
        fresh = [text for text in categories if text not in known]
        known += fresh[: MAX_EXAMPLES - len(known)]

    def sentences(self) -> list[str]:
        """Return what to tell the user, one line each."""
        lines = [
            f"column {show(name)}: {count} cells hold categories that were not in training "
            f"({listing(self.examples[name], 3)}); taken as 'other'"
            for name, count in self.unseen.items()
        ]
        lines += [
            f"column {show(name)}: {count} cells are missing, none were in training; "
            "filled with the typical value"
            for name, count in self.missing.items()
        ]
        return lines


class Kind(ABC):
    """What a column can hold."""

    name: ClassVar[str]

    @abstractmethod
    def parse(self, column: ParsedColumn, record: Any = None) -> Any:
        """Return the values of all cells; a cell that is not of this kind is an error.

        The record says how they are written.
        """

    def take(self, record: Any, column: ParsedColumn, rows: Rows, seen: UnseenValues) -> Values:
        """Return what `encode` needs of some rows, and count unseen categories.

        They are numbers or seconds, NaN where missing, or the places of categories.
        """
        values: Values = self.parse(column, record)[rows]
        return values

    @abstractmethod
    def encoder(self, record: Any) -> Callable[[Values], Encoded | None]:
        """Return a function from what `take` returned to the network's inputs.

        It returns None if a number is too large to be scaled.
        """

    @abstractmethod
    def onnx_input(self, record: Any, unseen: Unseen, missing: Sequence[str]) -> Column:
        """Return the column as an input of an ONNX graph; `missing` are the user's marks."""


class NumberKind(Kind):
    """Numbers: imputed, scaled, flagged where missing, and in bins."""

    name: ClassVar[str] = "number"
    words = "a number"

    def parse(self, column: ParsedColumn, record: Any = None) -> Matrix:
        """Return (n,) numbers, NaN where missing."""
        notation = PLAIN if record is None else record.notation
        values, fits = column.numbers(notation)
        how = described(notation)
        expected = f"a number ({how})" if how else "a number"
        column.require(fits, expected, lambda: _other_notation(column, notation))
        fault = column.inexact(notation)
        if fault is not None:
            raise column.fault(*fault)
        return values

    def encoder(self, record: NumberColumn) -> Callable[[Values], Encoded | None]:
        """Return a function to the scaled numbers, the flags of missing ones, and the bins."""
        stack = NumberStack([record])
        return lambda values: stack.encode(values[None, :])

    def onnx_input(self, record: NumberColumn, unseen: Unseen, missing: Sequence[str]) -> Number:
        """Return the column as an input of numbers."""
        from deltarule.onnx import Number

        words = f"column {record.name!r}: {self.words}, NaN where missing"
        return Number(
            record.name,
            words,
            record.fill,
            record.mean,
            record.scale,
            record.flag,
            knots=record.knots,
            scores=record.scores,
            edges=record.edges,
            height=record.height,
        )


class BooleanKind(NumberKind):
    """True and false, taken as the numbers 1 and 0."""

    name = "boolean"
    words = "1 for true, 0 for false"

    def parse(self, column: ParsedColumn, record: Any = None) -> Matrix:
        """Return (n,) 0 and 1, NaN where missing."""
        column.require(column.is_boolean, "true or false")
        return np.where(column.usable, column.booleans, np.nan)


class DateKind(Kind):
    """Dates and times: what a calendar says about them, and how long ago they are."""

    name = "date"

    def parse(self, column: ParsedColumn, record: Any = None) -> Matrix:
        """Return (n,) seconds since 1970, NaN where missing."""
        values, fits = column.dates(record.notation)
        form = record.notation.form
        order = f"{'day' if record.notation.day_first else 'month'} before {{}}"
        what = {
            "calendar": f"a date ({order.format('month' if record.notation.day_first else 'day')})",
            "time": "a time",
            "month": "a year with a month",
        }
        column.require(
            fits, what.get(form, f"a date in {form}"), lambda: _other_order(column, record.notation)
        )
        return values

    def encoder(self, record: DateColumn) -> Callable[[Values], Encoded | None]:
        """Return a function to one feature for each part of the dates, and the flags."""
        return partial(self._encode, record)

    def _encode(self, record: DateColumn, values: Values) -> Encoded:
        missing = np.isnan(values)
        seconds = np.where(missing, record.fill, values)
        found, kept = values_of(seconds), np.clip(seconds, record.first, record.last)
        found["elapsed"] = (kept - record.mean) / record.scale
        found["calendar year"] = (calendar(kept).year - record.year_mean) / record.year_scale
        for name, (centre, unit) in NUMBERS.items():
            found[name] = (found[name] - centre) / unit
        features = [found[part] for part in record.parts]
        if record.flag:
            features.append(missing.astype(np.float64))
        return Encoded(date=np.stack(features, axis=1))

    def onnx_input(self, record: DateColumn, unseen: Unseen, missing: Sequence[str]) -> Date:
        """Return the column as an input of seconds."""
        from deltarule.onnx import Date

        when = "midnight" if record.notation.form == "time" else "1970, as the clock shows it"
        return Date(
            record.name,
            f"column {record.name!r}: seconds since {when}, NaN where missing",
            fill=record.fill,
            first=record.first,
            last=record.last,
            elapsed=(record.mean, record.scale),
            year=(record.year_mean, record.year_scale),
            numbers={str(name): pair for name, pair in NUMBERS.items()},
            parts=tuple(record.parts),
            flag=record.flag,
        )


class CategoryKind(Kind):
    """Everything else that repeats: one-hot encoded, rare categories together."""

    name = "category"

    def parse(self, column: ParsedColumn, record: Any = None) -> Cells:
        """Return (n,) texts, null where missing."""
        return column.texts

    def take(
        self, record: CategoryColumn, column: ParsedColumn, rows: Rows, seen: UnseenValues
    ) -> Values:
        """Return the place of each category: all rare ones share the last, -1 has none."""
        known = [*record.kept, *record.rare]
        codes = np.minimum(column.positions(known)[rows], len(record.kept))
        is_unseen = codes == _UNSEEN
        if is_unseen.any():
            values = column.texts.take(numbers_of(rows[is_unseen])).unique().to_pylist()
            names = ["a missing cell" if text is None else text for text in values]
            if seen.refused:
                what = names[0] if values[0] is None else show(names[0])
                raise column.fault(
                    int(rows[is_unseen][0]),
                    f"{what} is a category that training did not see ({is_unseen.sum()} such "
                    "cells); correct them, or take them as 'other'",
                )
            seen.add(record.name, int(is_unseen.sum()), names)
            if record.rare:
                codes[is_unseen] = len(record.kept)
        return codes

    def encoder(self, record: CategoryColumn) -> Callable[[Values], Encoded | None]:
        """Return a function to one feature for each category kept, and one for all rare ones."""
        stack = CategoryStack([record])
        return lambda places: stack.encode(places[None, :])

    def onnx_input(
        self, record: CategoryColumn, unseen: Unseen, missing: Sequence[str]
    ) -> Categories:
        """Return the column as an input of texts; every word for a missing cell is known."""
        from deltarule.onnx import Categories

        codes = {text: code for code, text in enumerate(record.kept)}
        codes |= dict.fromkeys(record.rare, len(record.kept))
        other = len(record.kept) if record.rare and unseen == "other" else _UNSEEN
        blank = codes.pop(None, other)
        known = {text: code for text, code in codes.items() if text is not None}
        known |= dict.fromkeys((*MISSING, *missing), blank)
        words = f"column {record.name!r}: a category as text, empty where missing"
        return Categories(
            record.name, words, known, other, record.width, unseen == "error", record.height
        )


KINDS: tuple[Kind, ...] = (NumberKind(), BooleanKind(), DateKind(), CategoryKind())


_BY_NAME = {kind.name: kind for kind in KINDS}


def kind_of(record: ColumnRecord) -> Kind:
    """Return the kind of a column's record."""
    return _BY_NAME[record.kind]


def _other_notation(column: ParsedColumn, known: NumberNotation) -> str:
    """Return how to read numbers if most of them are in another notation, or an empty text."""
    most = max(column.numbers(known).fits.sum(), column.usable.sum() / 2)
    best = known
    for notation in NOTATIONS:
        read = column.numbers(notation.model_copy(update={"unit": known.unit}))
        if read.fits.sum() > most:
            best, most = notation, read.fits.sum()
    options = [f"--decimal {best.decimal}"] if best.decimal != known.decimal else []
    if best.thousands not in ("", known.thousands):
        options.append(f"--thousands {in_shell(best.thousands)}")
    return _way(" ".join(options))


def _other_order(column: ParsedColumn, known: DateNotation) -> str:
    """Return the same of dates that begin with the other of day and month."""
    other = known.model_copy(update={"day_first": not known.day_first})
    most = max(column.dates(known).fits.sum(), column.usable.sum() / 2)
    if known.form != "calendar" or column.dates(other).fits.sum() <= most:
        return ""
    return _way("--month-first" if known.day_first else "--day-first")


def _way(options: str) -> str:
    return f", or say how this table is written: {options}" if options else ""
