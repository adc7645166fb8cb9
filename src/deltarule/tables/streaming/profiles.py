"""A column profiled in one pass: what it holds, and what a preprocessing needs to know of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.cells import (
    Kind,
    first_row,
    foreign,
    is_date,
    is_number,
    is_numeric,
    is_truth,
    parse_texts,
    present,
    unfit_number,
)
from deltarule.tables.record import CategoryColumn, NumberColumn
from deltarule.tables.schema import FEW, mistake, unusable_texts
from deltarule.tables.streaming.draws import Draws
from deltarule.tables.streaming.sketches import Moments, Sample, Tally
from deltarule.tables.table import Column, Table, show

__all__ = ["ColumnProfile", "Rows"]

MAX_TEXTS = 10_000
"""More different texts than this are not counted; a column of that many is refused anyway."""
Mask = NDArray[np.bool_]
Rows = tuple[Mask, Draws]
"""Which rows of a piece are for training, and the draws that decide on samples of them."""


class ColumnProfile:
    """Takes the pieces of a column in, in their order; the rules are those of `infer_kinds`.

    Parameters
    ----------
    name : str
        The column.
    sample : int
        The most numbers that are kept for the median.
    """

    def __init__(self, name: str, sample: int) -> None:
        self.name = name
        self.present = self.numbers = self.truths = self.dates = 0
        self.counts_rows = True
        self.missing = 0  # training rows without a cell
        self.moments, self.sample = Moments(), Sample(sample)
        self.texts, self.training_texts = Tally(MAX_TEXTS), Tally(MAX_TEXTS)
        self._blanks = 0
        self._stored_as_numbers = False
        self._odd: tuple[Callable[[str], TableError], str] | None = None
        self._unfit: tuple[Callable[[str], TableError], str] | None = None
        self._foreign = ""
        self._last: float | None = None

    def add(self, table: Table, rows: Rows) -> None:
        """Take a piece in."""
        column = table.columns[self.name]
        self._foreign = self._foreign or foreign(column)
        if self._foreign:
            return
        there = present(column)
        before = self.present
        self.present += int(there.sum())
        self.missing += int((rows[0] & ~there).sum())
        self._add_numbers(table, column, there, rows)
        if is_numeric(column):
            self._stored_as_numbers = True
            return
        if self.numbers == 0 and self.truths == before:
            self.truths += int(is_truth(column).sum())
        if self.dates == before:
            self.dates += int(is_date(column).sum())
        if not self.texts.full:
            self._add_texts(parse_texts(column), rows[0])

    def _add_numbers(self, table: Table, column: Column, there: Mask, rows: Rows) -> None:
        fits = is_number(column)
        self.numbers += int(fits.sum())
        odd = there & ~fits
        if odd.any() and self._odd is None:
            row = first_row(odd)
            self._odd = _at(table, self.name, row), str(column[row].as_py())
        if self._odd is not None:
            self.counts_rows = False
            return
        values = np.asarray(
            pc.cast(column.filter(pa.array(fits)), pa.float64()).to_numpy(zero_copy_only=False)
        )
        if self._unfit is None:
            numbers = np.full(len(fits), np.nan)
            numbers[fits] = values
            unfit = unfit_number(column, numbers)
            self._unfit = (_at(table, self.name, unfit[0]), unfit[1]) if unfit else None
        if self.counts_rows:
            self._follow(values, all_there=bool(there.all()))
        taken = rows[0][fits] & np.isfinite(values)
        self.moments.add(values[taken])
        self.sample.add(values[taken], rows[1][fits][taken])

    def _follow(self, values: NDArray[np.float64], *, all_there: bool) -> None:
        """Look whether the numbers go on counting the rows."""
        run = values if self._last is None else np.append(self._last, values)
        with np.errstate(invalid="ignore"):
            self.counts_rows = all_there and bool((np.diff(run) == 1).all())
        self._last = float(values[-1]) if len(values) else self._last

    def _add_texts(self, texts: Column, training: Mask) -> None:
        self.texts.add(_counted(texts))
        self.training_texts.add(_counted(texts.filter(pa.array(training))))
        self._blanks += pc.sum(pc.count_substring(texts, " ")).as_py() or 0

    # --- after the last piece ------------------------------------------------------------------

    def kind(self) -> Kind | str:
        """Return what the column holds, or why it cannot be used.

        Raises
        ------
        TableError
            If a cell is a mistake in a column of numbers.
        """
        if self._foreign:
            return self._foreign
        if self.numeric_kind is not None:
            return self.numeric_kind
        if self.present == 0:
            return "is empty"
        if self.dates == self.present:
            return "holds dates or times"
        blanks = self._blanks / max(self.present, 1)
        if self.texts.full:
            free = blanks >= 3
            return "holds free text" if free else f"has more than {MAX_TEXTS} different texts"
        distinct = len(self.texts.counts) - (None in self.texts.counts)
        return unusable_texts(self.present, distinct, blanks) or "category"

    @property
    def numeric_kind(self) -> Kind | None:
        """Return number or boolean where every cell agrees, else None; a mistake is raised."""
        if self.present == 0:
            return None
        if self.numbers == self.present:
            if self._unfit is not None:
                fault, problem = self._unfit
                raise fault(problem)
            return "number"
        if self.truths == self.present:
            return "boolean"
        if self._odd is not None and (2 * self.numbers > self.present or self._stored_as_numbers):
            fault, text = self._odd
            raise fault(mistake(self.name, text, self.numbers, self.present))
        return None

    def only_counts(self, rows: int) -> bool:
        """Whether the numbers are 1, 2, 3 … or the like, which teach nothing."""
        return self.counts_rows and rows >= FEW

    def number(self, kind: Any, path: object) -> NumberColumn:
        """Return the record of a column of numbers, or of truth values."""
        moments, fill = self._truths() if kind == "boolean" else (self.moments, self.median())
        whole = Moments()
        whole.merge(moments.count, moments.mean, moments.squares)
        whole.merge(self.missing, fill, 0.0)
        variance = whole.variance
        if not np.isfinite([whole.mean, variance]).all():
            raise TableError(
                f"{path}: the numbers in column {show(self.name)} are too large to standardise; "
                "give them in another unit, or take their logarithm"
            )
        return NumberColumn(
            kind=kind,
            name=self.name,
            fill=fill,
            mean=whole.mean,
            scale=_scale(whole),
            flag=self.missing > 0,
        )

    def median(self) -> float:
        """Return the median of the training rows' numbers, or of a sample of them."""
        return self.sample.median()

    def _truths(self) -> tuple[Moments, float]:
        """Return moments and median of truth values as 0 and 1."""
        cells = {text: n for text, n in self.training_texts.counts.items() if text is not None}
        true = sum(n for text, n in cells.items() if text.lower() == "true")
        false, moments = sum(cells.values()) - true, Moments()
        moments.merge(false, 0.0, 0.0)
        moments.merge(true, 1.0, 0.0)
        return moments, (0.5 if false == true > 0 else float(true > false))

    def category(self, rare_below: int) -> CategoryColumn:
        """Return the record of a column of categories."""
        counts = self.training_texts.counts
        ordered = sorted(counts, key=lambda text: (text is None, text or ""))
        return CategoryColumn(
            kind="category",
            name=self.name,
            kept=[text for text in ordered if counts[text] >= rare_below],
            rare=[text for text in ordered if counts[text] < rare_below],
        )


def _scale(moments: Moments) -> float:
    """Return the standard deviation, 1 for numbers that differ by rounding (as scikit-learn)."""
    n, eps = moments.count, float(np.finfo(np.float64).eps)
    constant = moments.variance <= n * eps * moments.variance + (n * moments.mean * eps) ** 2
    return 1.0 if constant else float(np.sqrt(moments.variance))


def _at(table: Table, name: str, row: int) -> Callable[[str], TableError]:
    """Return how to complain of a cell once its table is gone; only then its line is sought."""
    bare = Table(table.path, {}, 0, table.place)
    return lambda problem: bare.fault(name, row, problem)


def _counted(texts: Column) -> list[tuple[str | None, int]]:
    counted = texts.value_counts()
    return list(zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True))
