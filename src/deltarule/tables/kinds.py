"""The kinds of columns (number, boolean, category): recognised, learned, encoded, exported.

A kind is one object in `KINDS`; a new kind needs a class here and, if it learns something new, a
record in `deltarule.tables.record`. The first kind that recognises a column takes it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.onnx import Categories, Number
from deltarule.onnx.columns import Column
from deltarule.tables.columns import MISSING, Cells, ParsedColumn, positions
from deltarule.tables.messages import listing, show
from deltarule.tables.profile import ColumnProfile
from deltarule.tables.record import CategoryColumn, ColumnRecord, NumberColumn
from deltarule.tables.statistics import Moments

__all__ = ["KINDS", "Encoded", "Kind", "Unseen", "UnseenValues", "kind_of", "recognise"]

Matrix: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.intp]
Unseen = Literal["other", "error"]
_UNSEEN = -1
MAX_EXAMPLES = 1000
"""The most unseen categories of a column that are kept for messages."""


class Encoded(NamedTuple):
    """What some rows of a column give the network, as matrices (n, ...)."""

    standardised: Matrix | None = None
    flags: Matrix | None = None  # 1 where a cell is missing
    one_hot: Matrix | None = None


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
    def recognises(self, profile: ColumnProfile) -> bool:
        """Whether a column with this profile is of this kind."""

    @abstractmethod
    def learn(self, profile: ColumnProfile, rare_below: int, path: Path) -> Any:
        """Return the record of a column, learned from its training rows."""

    @abstractmethod
    def parse(self, column: ParsedColumn) -> Any:
        """Return the values of all cells; a cell that is not of this kind is an error."""

    @abstractmethod
    def encode(self, record: Any, column: ParsedColumn, rows: Rows, seen: UnseenValues) -> Encoded:
        """Return the network's inputs for some rows of a column, and count what is unseen."""

    @abstractmethod
    def onnx_input(self, record: Any, unseen: Unseen) -> Column:
        """Return the column as an input of an ONNX graph."""


class NumberKind(Kind):
    """Decimal numbers: imputed, standardised, and flagged where missing."""

    name: ClassVar[Literal["number", "boolean"]] = "number"
    words = "a number"

    def recognises(self, profile: ColumnProfile) -> bool:
        """Whether all cells are numbers; one that float64 cannot hold is an error."""
        return profile.all_numbers

    def learn(self, profile: ColumnProfile, rare_below: int, path: Path) -> NumberColumn:
        """Return the mean, the standard deviation and the median of the training rows."""
        moments, fill = self._statistics(profile)
        whole = Moments()
        whole.merge(moments.count, moments.mean, moments.squares)
        whole.merge(profile.missing, fill)
        if not whole.finite:
            raise TableError(
                f"{path}: the numbers in column {show(profile.name)} are too large to standardise; "
                "give them in another unit, or take their logarithm"
            )
        return NumberColumn(
            kind=self.name,
            name=profile.name,
            fill=fill,
            mean=whole.mean,
            scale=_scale(whole),
            flag=profile.missing > 0,
        )

    def parse(self, column: ParsedColumn) -> Matrix:
        """Return (n,) numbers, NaN where missing."""
        column.require(column.is_number, "a number")
        if column.inexact is not None:
            raise column.fault(*column.inexact)
        return column.numbers

    def encode(
        self, record: NumberColumn, column: ParsedColumn, rows: Rows, seen: UnseenValues
    ) -> Encoded:
        """Return (x - mean) / scale, with the fill in place of missing numbers, and the flags."""
        every = self.parse(column)
        missing = np.isnan(every[rows])
        with np.errstate(over="ignore", invalid="ignore"):
            z = (np.where(missing, record.fill, every[rows]) - record.mean) / record.scale
            if not np.isfinite(z).all():
                wild = np.isinf((every - record.mean) / record.scale)
                raise column.fault(int(np.argmax(wild)), "the number is too large")
        if record.flag:
            return Encoded(z[:, None], missing[:, None])
        if missing.any():
            seen.missing[record.name] += int(missing.sum())
        return Encoded(z[:, None])

    def onnx_input(self, record: NumberColumn, unseen: Unseen) -> Number:
        """Return the column as an input of numbers."""
        words = f"column {record.name!r}: {self.words}, NaN where missing"
        return Number(record.name, words, record.fill, record.mean, record.scale, record.flag)

    def _statistics(self, profile: ColumnProfile) -> tuple[Moments, float]:
        """Return the moments and the median of the cells that are not missing."""
        return profile.moments, profile.sample.median()


class BooleanKind(NumberKind):
    """True and false, taken as the numbers 1 and 0."""

    name = "boolean"
    words = "1 for true, 0 for false"

    def recognises(self, profile: ColumnProfile) -> bool:
        """Whether all cells are true or false."""
        return profile.booleans == profile.not_missing

    def parse(self, column: ParsedColumn) -> Matrix:
        """Return (n,) 0 and 1, NaN where missing."""
        column.require(column.is_boolean, "true or false")
        return column.booleans

    def _statistics(self, profile: ColumnProfile) -> tuple[Moments, float]:
        counts = {text: n for text, n in profile.training_texts.counts.items() if text is not None}
        true = sum(n for text, n in counts.items() if text.lower() == "true")
        false, moments = sum(counts.values()) - true, Moments()
        moments.merge(false, 0.0)
        moments.merge(true, 1.0)
        return moments, (0.5 if false == true > 0 else float(true > false))


class CategoryKind(Kind):
    """Everything else that repeats: one-hot encoded, rare categories together."""

    name = "category"

    def recognises(self, profile: ColumnProfile) -> bool:
        """Whether the texts can be categories; a mistake among numbers is an error."""
        profile.check_mistake()
        return not profile.unusable()

    def learn(self, profile: ColumnProfile, rare_below: int, path: Path) -> CategoryColumn:
        """Return the categories of the training rows, the rare ones apart."""
        counts = profile.training_texts.counts
        ordered = sorted(counts, key=lambda text: (text is None, text or ""))
        return CategoryColumn(
            kind="category",
            name=profile.name,
            kept=[text for text in ordered if counts[text] >= rare_below],
            rare=[text for text in ordered if counts[text] < rare_below],
        )

    def parse(self, column: ParsedColumn) -> Cells:
        """Return (n,) texts, null where missing."""
        return column.texts

    def encode(
        self, record: CategoryColumn, column: ParsedColumn, rows: Rows, seen: UnseenValues
    ) -> Encoded:
        """Return one feature for each category that was kept, and one for all rare ones."""
        texts = column.texts.take(pa.array(rows))
        codes = positions(texts, record.kept)
        codes[positions(texts, record.rare) >= 0] = len(record.kept)
        is_unseen = codes == _UNSEEN
        if is_unseen.any():
            values = texts.filter(pa.array(is_unseen)).unique().to_pylist()
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
        one_hot = (codes[:, None] == np.arange(record.width)).astype(np.float64)
        return Encoded(one_hot=one_hot)

    def onnx_input(self, record: CategoryColumn, unseen: Unseen) -> Categories:
        """Return the column as an input of texts; every word for a missing cell is known."""
        codes = {text: code for code, text in enumerate(record.kept)}
        codes |= dict.fromkeys(record.rare, len(record.kept))
        other = len(record.kept) if record.rare and unseen == "other" else _UNSEEN
        missing = codes.pop(None, other)
        known = {text: code for text, code in codes.items() if text is not None}
        known |= dict.fromkeys(MISSING, missing)
        words = f"column {record.name!r}: a category as text, empty where missing"
        return Categories(record.name, words, known, other, record.width, unseen == "error")


KINDS: tuple[Kind, ...] = (NumberKind(), BooleanKind(), CategoryKind())


def recognise(profile: ColumnProfile) -> Kind | str:
    """Return the kind of a column, or why it cannot be used.

    Of the cells that are not missing:

    1. all are numbers: a number. All are true or false: a boolean.
    2. most are numbers: the first cell that is not is reported as a mistake.
    3. dates, free text and texts that are nearly all different (names, identifiers) cannot be
       learned from as they stand, and are refused with what to do.
    4. everything else: a category.

    Raises
    ------
    TableError
        If a cell is a mistake in a column of numbers, or a number that float64 cannot hold.
    """
    if profile.unsupported or profile.not_missing == 0:
        return profile.unusable()
    for kind in KINDS:
        if kind.recognises(profile):
            return kind
    return profile.unusable()


def kind_of(record: ColumnRecord) -> Kind:
    """Return the kind of a column's record."""
    return next(kind for kind in KINDS if kind.name == record.kind)


def _scale(moments: Moments) -> float:
    """Return the standard deviation, 1 for numbers that differ by rounding (as scikit-learn)."""
    n, eps = moments.count, float(np.finfo(np.float64).eps)
    constant = moments.variance <= n * eps * moments.variance + (n * moments.mean * eps) ** 2
    return 1.0 if constant else float(np.sqrt(moments.variance))
