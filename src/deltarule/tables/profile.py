"""What one pass over the training rows learns about a column, for each kind of column."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.columns import ParsedColumn
from deltarule.tables.dates import CYCLES, Calendar, calendar
from deltarule.tables.encoding import (
    STANDARDISED,
    NumberEncoding,
    bin_edges,
    height_of_bins,
    height_of_categories,
    normal_scores,
)
from deltarule.tables.evidence import MAX_TEXTS
from deltarule.tables.messages import show
from deltarule.tables.notation import PLAIN
from deltarule.tables.record import (
    CategoryColumn,
    ColumnRecord,
    DateColumn,
    DateNotation,
    DatePart,
    NumberColumn,
    NumberNotation,
)
from deltarule.tables.statistics import CappedCounter, Moments, Numbers, Sample, WholeMedian
from deltarule.tables.understanding import Understood

__all__ = ["Learner", "PieceRows", "learner"]

Mask = NDArray[np.bool_]


class PieceRows(NamedTuple):
    """The rows of a piece: which are for training, and the hashes that decide on samples."""

    training: Mask
    hashes: Numbers


class Learner(ABC):
    """Statistics of the training rows of a column, whose pieces are added in their order.

    At most `sample` values are kept for a median; with infinity, all pieces are one.
    """

    def __init__(self, column: Understood, sample: float) -> None:
        self.name, self.missing = column.name, 0
        self._notation = column.notation
        self._sample = WholeMedian() if sample == math.inf else Sample(sample)
        self._moments = Moments()

    @abstractmethod
    def add(self, column: ParsedColumn, rows: PieceRows) -> None:
        """Add a piece."""

    def keep_pieces(self) -> None:
        """Keep what is learned of every piece, so that another learner can `merge` it."""
        for part in vars(self).values():
            if isinstance(part, Moments):
                part.keep_pieces()

    def merge(self, other: Any) -> None:
        """Add the pieces of another learner of the column, which has kept them."""
        self.missing += other.missing
        self._moments.follow(other._moments)
        if isinstance(self._sample, Sample):
            self._sample.merge(other._sample)

    @abstractmethod
    def record(self, rare_below: int, path: Path) -> ColumnRecord:
        """Return what was learned."""

    def _whole(self, fill: float) -> Moments:
        """Return the moments with the fill in place of missing cells."""
        whole = Moments()
        whole.merge(self._moments.count, self._moments.mean, self._moments.squares)
        whole.merge(self.missing, fill)
        return whole


class _NumberLearner(Learner):
    """Mean, standard deviation and median; and quantiles, if numbers are encoded by them."""

    kind = "number"

    def __init__(self, column: Understood, sample: float, encoding: NumberEncoding) -> None:
        super().__init__(column, sample)
        self._encoding = encoding
        if encoding.needs_values:
            self._sample = Sample(sample)

    def add(self, column: ParsedColumn, rows: PieceRows) -> None:
        self.missing += int((rows.training & ~column.usable).sum())
        values = self._values(column)
        taken = rows.training & np.isfinite(values)
        numbers = values[taken]
        self._moments.add(numbers)
        self._sample.add(numbers, rows.hashes, taken)

    def record(self, rare_below: int, path: Path) -> NumberColumn:
        fill = self._median()
        whole = self._whole(fill)
        if not whole.finite:
            raise TableError(
                f"{path}: the numbers in column {show(self.name)} are too large to standardise; "
                "give them in another unit, or take their logarithm"
            )
        notation = self._notation
        return NumberColumn.model_validate(
            {
                "kind": self.kind,
                "name": self.name,
                "fill": fill,
                "mean": whole.mean,
                "scale": _scale(whole),
                "flag": self.missing > 0,
                "notation": notation if isinstance(notation, NumberNotation) else PLAIN,
                **self._points(),
            }
        )

    def _points(self) -> dict[str, Any]:
        """Return the knots and scores, or edges, that the encoding asks for."""
        if not self._encoding.needs_values:
            return {}
        assert isinstance(self._sample, Sample)
        values = self._sample.values
        points: dict[str, Any] = {}
        if self._encoding.scaling == "quantiles":
            knots, scores = normal_scores(values)
            points = {"knots": knots.tolist(), "scores": scores.tolist()}
        if self._encoding.bins:
            points["edges"] = bin_edges(values, self._encoding.bins).tolist()
            if self._encoding.even:
                points["height"] = height_of_bins(len(points["edges"]) - 1)
        return points

    def _values(self, column: ParsedColumn) -> Numbers:
        assert isinstance(self._notation, NumberNotation)
        return column.numbers(self._notation).values

    def _median(self) -> float:
        return self._sample.median()


class _BooleanLearner(_NumberLearner):
    """The same of 1 for true and 0 for false, counted exactly."""

    kind = "boolean"

    def __init__(self, column: Understood, sample: float, encoding: NumberEncoding) -> None:
        super().__init__(column, 0, STANDARDISED)
        self._true = self._false = 0

    def add(self, column: ParsedColumn, rows: PieceRows) -> None:
        self.missing += int((rows.training & ~column.usable).sum())
        self._true += int((column.booleans[rows.training] == 1).sum())
        self._false += int((column.booleans[rows.training] == 0).sum())

    def merge(self, other: Any) -> None:
        super().merge(other)
        self._true += other._true
        self._false += other._false

    def _whole(self, fill: float) -> Moments:
        self._moments = Moments()
        self._moments.merge(self._false, 0.0)
        self._moments.merge(self._true, 1.0)
        return super()._whole(fill)

    def _median(self) -> float:
        return 0.5 if self._false == self._true > 0 else float(self._true > self._false)


class _DateLearner(Learner):
    """The range of the dates, their mean, and which of their parts differ at all."""

    def __init__(self, column: Understood, sample: float, encoding: NumberEncoding) -> None:
        super().__init__(column, sample)
        self._years = Moments()
        self._least = Calendar(*[np.array(np.inf)] * 5)
        self._most = Calendar(*[np.array(-np.inf)] * 5)
        self._first, self._last = np.inf, -np.inf

    def add(self, column: ParsedColumn, rows: PieceRows) -> None:
        assert isinstance(self._notation, DateNotation)
        values, fits = column.dates(self._notation)
        self.missing += int((rows.training & ~fits).sum())
        taken = rows.training & fits
        seconds = values[taken]
        if len(seconds) == 0:
            return
        self._moments.add(seconds)
        self._sample.add(seconds, rows.hashes, taken)
        self._first = min(self._first, float(seconds.min()))
        self._last = max(self._last, float(seconds.max()))
        found = calendar(seconds)
        self._years.add(found.year)
        self._widen((part.min() for part in found), (part.max() for part in found))

    def merge(self, other: Any) -> None:
        super().merge(other)
        self._years.follow(other._years)
        self._first = min(self._first, other._first)
        self._last = max(self._last, other._last)
        self._widen(other._least, other._most)

    def _widen(self, least: Iterable[Any], most: Iterable[Any]) -> None:
        """Widen the range of every part of the dates."""
        self._least = Calendar(*map(np.minimum, self._least, least))
        self._most = Calendar(*map(np.maximum, self._most, most))

    def record(self, rare_below: int, path: Path) -> DateColumn:
        assert isinstance(self._notation, DateNotation)
        fill = self._sample.median()
        there = self._moments.count > 0
        years = Moments()
        years.merge(self._years.count, self._years.mean, self._years.squares)
        years.merge(self.missing, float(calendar(np.array([fill])).year[0]))
        whole = self._whole(fill)
        return DateColumn(
            kind="date",
            name=self.name,
            notation=self._notation,
            fill=fill,
            first=self._first if there else 0.0,
            last=self._last if there else 0.0,
            mean=whole.mean,
            scale=_scale(whole),
            year_mean=years.mean,
            year_scale=_scale(years),
            flag=self.missing > 0,
            parts=self._parts(),
        )

    def _parts(self) -> list[DatePart]:
        """Return the parts that differ; of months no days, of times of day nothing else."""
        assert isinstance(self._notation, DateNotation)
        form = self._notation.form
        kept = {
            "time": {"hour"},
            "month": {"elapsed", "calendar year", "month"},
        }.get(form, {"elapsed", "calendar year", *CYCLES})
        vary = {
            name: bool(least < most)
            for name, least, most in zip(Calendar._fields, self._least, self._most, strict=True)
        }
        vary |= {"elapsed": self._first < self._last, "calendar year": vary["year"]}
        found = {name for name in kept if vary[name]}
        for name in found & set(CYCLES):
            found |= {f"sin {CYCLES[name]}", f"cos {CYCLES[name]}"}
        parts: list[DatePart] = [part for part in get_args(DatePart) if part in found]
        return parts or ["elapsed"]


class _CategoryLearner(Learner):
    """How often each text occurs."""

    def __init__(self, column: Understood, sample: float, encoding: NumberEncoding) -> None:
        super().__init__(column, 0)
        self._texts, self._even = CappedCounter(MAX_TEXTS), encoding.even

    def add(self, column: ParsedColumn, rows: PieceRows) -> None:
        self._texts.add(*column.counted(rows.training))

    def merge(self, other: Any) -> None:
        super().merge(other)
        self._texts.merge(other._texts)

    def record(self, rare_below: int, path: Path) -> CategoryColumn:
        counts = self._texts.counts
        ordered = sorted(counts, key=lambda text: (text is None, text or ""))
        kept = [text for text in ordered if counts[text] >= rare_below]
        rare = [text for text in ordered if counts[text] < rare_below]
        features, rows = len(kept) + bool(rare), sum(counts.values())
        return CategoryColumn(
            kind="category",
            name=self.name,
            kept=kept,
            rare=rare,
            height=height_of_categories(features, rows) if self._even else 1.0,
        )


_LEARNERS: dict[str, Callable[[Understood, float, NumberEncoding], Learner]] = {
    "number": _NumberLearner,
    "boolean": _BooleanLearner,
    "date": _DateLearner,
    "category": _CategoryLearner,
}


def learner(column: Understood, sample: float, encoding: NumberEncoding = STANDARDISED) -> Learner:
    """Return what learns about a column of a known kind."""
    return _LEARNERS[column.kind](column, sample, encoding)


def _scale(moments: Moments) -> Any:
    """Return the standard deviation, 1 for numbers that differ by rounding (as scikit-learn)."""
    n, eps = moments.count, float(np.finfo(np.float64).eps)
    constant = moments.variance <= n * eps * moments.variance + (n * moments.mean * eps) ** 2
    return 1.0 if constant else float(np.sqrt(moments.variance))
