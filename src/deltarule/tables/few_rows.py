"""A few rows whose cells are Python's objects: which of them say by themselves how they are read.

Most cells of a row to be predicted are floats, whole numbers, booleans or texts of categories. For
those a look at their types replaces the reading of whole columns, which takes longer for one
row than the network does. A column with any other cell is read as always: here it is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import copysign, nan
from typing import Any, TypeAlias

import numpy as np
import pyarrow.compute as pc

from deltarule.tables.arrow import texts_of, to_numpy
from deltarule.tables.columns import EXACT, MISSING, is_number
from deltarule.tables.kinds import UnseenValues
from deltarule.tables.messages import is_unicode
from deltarule.tables.notation import PLAIN
from deltarule.tables.record import CategoryColumn, ColumnRecord, NumberColumn

__all__ = ["FEW_ROWS", "CellReader", "Cells", "Values"]

FEW_ROWS = 64
"""Up to so many rows it is faster to look at each cell than at whole columns."""

Cells: TypeAlias = Sequence[object]
Values: TypeAlias = Sequence[float]
"""Numbers, NaN where missing; or the places of categories in their record."""


class CellReader:
    """Reads the cells of a few rows for the columns that a model was trained on.

    Parameters
    ----------
    columns : sequence of ColumnRecord
        What was learned about them.
    missing : iterable of str
        The user's marks for a missing cell.
    """

    def __init__(self, columns: Sequence[ColumnRecord], missing: Iterable[str]) -> None:
        self._marks = frozenset(missing)
        self._numeric_marks = frozenset(float(mark) for mark in self._marks if is_number(mark))
        ways = ((record.name, self._way(record)) for record in columns)
        self._ways = [(name, way) for name, way in ways if way is not None]
        self._names = frozenset(record.name for record in columns)

    def read(self, cells: Mapping[str, Cells], seen: UnseenValues) -> dict[str, Values]:
        """Return the values of the columns that can be read so, by name.

        `cells` are the columns of a table; if one of the model's is not there, nothing is read.
        `seen` counts categories that training did not see; a column with one that is to be refused
        is not read.
        """
        if not cells.keys() >= self._names:
            return {}
        pandas = sys.modules.get("pandas")
        absent = (None, None if pandas is None else pandas.NA)
        found = {name: way(cells[name], absent, seen) for name, way in self._ways}
        return {name: values for name, values in found.items() if values is not None}

    def _way(
        self, record: ColumnRecord
    ) -> Callable[[Cells, tuple[Any, Any], UnseenValues], Any] | None:
        """Return the function that reads the cells of a column, or None."""
        if isinstance(record, CategoryColumn):
            return _Places(record, self._marks)
        if not isinstance(record, NumberColumn):
            return None
        if record.kind == "boolean":
            return None if self._marks & {"true", "false"} else _truths
        with np.errstate(over="ignore"):
            furthest = (EXACT + abs(record.mean)) / np.float64(record.scale)
        plain = record.notation == PLAIN and bool(np.isfinite(furthest))
        return self._numbers if plain else None

    def _numbers(
        self, cells: Cells, absent: tuple[Any, Any], seen: UnseenValues
    ) -> list[float] | None:
        """Return numbers below 2⁵³, which float64 holds, or None if a cell is none."""
        found: list[float] = []
        for cell in cells:
            if type(cell) is float or type(cell) is int:
                if -EXACT < cell < EXACT:
                    # Categories of pandas lose the sign of a zero, other columns do not.
                    if cell in self._numeric_marks or (cell == 0 and copysign(1, cell) < 0):
                        return None
                    found.append(cell)
                elif cell != cell:
                    found.append(nan)
                else:
                    return None
            elif cell is absent[0] or cell is absent[1]:
                found.append(nan)
            else:
                return None
        return found


def _truths(cells: Cells, absent: tuple[Any, Any], seen: UnseenValues) -> list[float] | None:
    """Return 1 for true, 0 for false, or None if a cell is neither."""
    found: list[float] = []
    for cell in cells:
        if cell is True or cell is False:
            found.append(float(cell))
        elif _is_absent(cell, absent):
            found.append(nan)
        else:
            return None
    return found


class _Places:
    """The places of categories in a record; rare ones share the place after the kept ones."""

    def __init__(self, record: CategoryColumn, marks: frozenset[str]) -> None:
        self._record, self._words = record, marks.union(MISSING)
        self._other = len(record.kept) if record.rare else -1
        self._known: dict[str | None, int] | None = None

    def __call__(self, cells: Cells, absent: tuple[Any, Any], seen: UnseenValues) -> Any:
        """Return the places of cells, or None if one is no text or has to be refused."""
        if self._known is None:
            self._known = self._as_written()
        found, unseen = [], []
        for cell in cells:
            text = None if type(cell) is not str and _is_absent(cell, absent) else cell
            if text is not None and type(text) is not str:
                return None
            place = self._known.get(text)
            if place is None:
                if seen.refused or not (text is None or self._is_category(text)):
                    return None
                place = self._other
                unseen.append("a missing cell" if text is None else text)
            found.append(place)
        if unseen:
            seen.add(self._record.name, len(unseen), list(dict.fromkeys(unseen)))
        return found

    def _is_category(self, text: str) -> bool:
        """Whether a text that is no known category is certainly another one, as it is."""
        ends = text[:1] + text[-1:]  # no blanks, which would be taken away
        return ends.isascii() and ends.isalnum() and text not in self._words and is_unicode(text)

    def _as_written(self) -> dict[str | None, int]:
        """Return the places of the categories that a cell holds exactly as they are.

        A word for a missing cell is none of them, nor a text with blanks around it.
        """
        kept, every = len(self._record.kept), [*self._record.kept, *self._record.rare]
        texts = texts_of(every)
        trimmed = to_numpy(pc.equal(pc.utf8_trim_whitespace(texts), texts))
        return {
            text: min(place, kept)
            for place, (text, same) in enumerate(zip(every, trimmed.tolist(), strict=True))
            if text is None or (same and text not in self._words)
        }


def _is_absent(cell: object, absent: tuple[Any, Any]) -> bool:
    """Whether a cell is None, NaN or pandas' NA."""
    return cell is absent[0] or cell is absent[1] or (type(cell) is float and cell != cell)
