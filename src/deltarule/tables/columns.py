"""A column parsed once: which cells are missing, of what type the others are, or unsupported.

A cell is missing if it is empty or reads ``NA``, ``N/A``, ``n/a``, ``#N/A``, ``<NA>``, ``NaN``,
``nan``, ``NULL`` or ``null``. ``None`` is text: in a column of categories it is often one of them
("no garage"), and in a column of numbers it is a mistake that is better reported.

A number is a decimal number such as ``12``, ``-3.5`` or ``6.02e23``, with a decimal point and
nothing else; it must be finite. A number beyond ±2⁵³ that is written out, without an exponent, must
be a float64 exactly: rounding would turn ids into other ids and merge neighbouring classes.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.messages import show

__all__ = ["MISSING", "Cells", "ParsedColumn", "joined", "number_text", "number_texts", "positions"]

Cells: TypeAlias = Any
"""A pyarrow array of texts or of float64; a missing cell is null in both."""
Mask: TypeAlias = NDArray[np.bool_]

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null")

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_DATE = (
    r"^([0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.]([0-9]{4}|[0-9]{2}))"
    r"([ T][0-9].*)?$|^[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?$"
)
_BOOLEAN = r"^(?i:true|false)$"
_EXACT = 2.0**53
"""Up to this, every whole number is a float64."""


class ParsedColumn:
    """The cells of a column and what they read as; each reading is computed once, when asked for.

    ``fault(row, problem)`` returns the error for one cell, with file, line and column.
    """

    def __init__(
        self, name: str, cells: Cells, path: Path, fault: Callable[[int, str], TableError]
    ) -> None:
        self.name, self.cells, self.path, self.fault = name, cells, path, fault

    def __len__(self) -> int:
        return len(self.cells)

    def text(self, row: int) -> str:
        """Return a cell as text, for messages."""
        return str(self.cells[row].as_py())

    @property
    def stores_numbers(self) -> bool:
        """Whether the file itself stores numbers (Parquet can)."""
        return bool(pa.types.is_floating(self.cells.type))

    @property
    def unsupported(self) -> str:
        """What the column holds if it is neither numbers nor texts, else an empty text."""
        kind = self.cells.type
        return "" if self.stores_numbers or pa.types.is_string(kind) else f"holds {show(kind)}"

    def check_supported(self) -> None:
        """Refuse a column that holds neither numbers nor texts."""
        if self.unsupported:
            raise TableError(
                f"{self.path}: column {show(self.name)} {self.unsupported}, which is neither "
                "number nor text; convert it (durations to numbers in a unit of your choice), or "
                "leave it out"
            )

    @cached_property
    def not_missing(self) -> Mask:
        """(n,) mask of the cells that hold something."""
        if self.stores_numbers:
            missing = pc.is_null(self.cells, nan_is_null=True)
        else:
            missing = pc.or_(pc.is_null(self.cells), pc.is_in(self.cells, pa.array(MISSING)))
        return ~_to_numpy(pc.fill_null(missing, True))

    @cached_property
    def is_number(self) -> Mask:
        """(n,) mask of the cells that read as a decimal number, finite or not."""
        return self.not_missing if self.stores_numbers else self._matches(_NUMBER)

    @cached_property
    def is_boolean(self) -> Mask:
        """(n,) mask of the cells that read true or false, in upper or lower case."""
        return self._matches(_BOOLEAN)

    @cached_property
    def is_date(self) -> Mask:
        """(n,) mask of the cells that look like a date or a time."""
        return self._matches(_DATE)

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """(n,) numbers, NaN for every cell that is not a number."""
        return self._filled(self.is_number, lambda cells: pc.cast(cells, pa.float64()))

    @cached_property
    def booleans(self) -> NDArray[np.float64]:
        """(n,) 1 for true, 0 for false, NaN for every other cell."""
        return self._filled(self.is_boolean, lambda cells: pc.equal(pc.utf8_lower(cells), "true"))

    @cached_property
    def texts(self) -> Cells:
        """(n,) texts, null where missing; numbers as a person would write them."""
        texts = number_texts(self.cells) if self.stores_numbers else self.cells
        # pc.if_else cuts the last text of a slice short in releases of pyarrow before 24.
        return texts.take(pa.array(np.arange(len(texts)), mask=~self.not_missing))

    @cached_property
    def inexact(self) -> tuple[int, str] | None:
        """The first row whose number float64 cannot hold, and what is wrong with it."""
        stored, numbers = self.stores_numbers, self.numbers
        suspects = np.isinf(numbers) if stored else np.abs(numbers) >= _EXACT
        for row in np.flatnonzero(suspects).tolist():
            text, value = self.text(row), float(numbers[row])
            if np.isinf(value):
                return row, f"{show(text)} is not a finite number; correct it"
            if "e" not in text.lower() and Decimal(text) != Decimal(value):
                return row, (
                    f"{show(text)} would be rounded to {number_text(value)}, as not all numbers "
                    "beyond ±2**53 are a float64; put a letter before it if it is a name, else use "
                    "a larger unit or an exponent, or leave the column out"
                )
        return None

    def require(self, fits: Mask, expected: str) -> None:
        """Refuse the first cell that is neither missing nor what the column should hold."""
        wrong = self.not_missing & ~fits
        if wrong.any():
            row = int(np.argmax(wrong))
            raise self.fault(
                row, f"{show(self.text(row))} is not {expected}; correct it or leave it empty"
            )

    def _filled(self, mask: Mask, read: Callable[[Cells], Any]) -> NDArray[np.float64]:
        values = np.full(len(self.cells), np.nan)
        values[mask] = _to_numpy(read(self.cells.filter(pa.array(mask))))
        return values

    def _matches(self, pattern: str) -> Mask:
        if self.stores_numbers:
            return np.zeros(len(self.cells), dtype=bool)
        return _to_numpy(pc.fill_null(pc.match_substring_regex(self.cells, pattern), False))


def number_texts(cells: Cells) -> Cells:
    """Return float64 cells as the texts that a person would write: 3 rather than 3.0."""
    values = [None if v is None or v != v else number_text(v) for v in cells.to_pylist()]
    return pa.array(values, pa.string())


def positions(texts: Cells, values: list[Any]) -> NDArray[np.int64]:
    """Return the place of each text in a list that may hold None, -1 for those not in it."""
    found = pc.index_in(texts, pa.array(values, pa.string()), skip_nulls=False)
    return np.array(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.int64)


def joined(pieces: list[Cells]) -> Cells:
    """Return the pieces of a column as one.

    Whole numbers that are no float64 make a piece of texts; then all of the column becomes texts.
    """
    if len({piece.type for piece in pieces}) > 1:
        pieces = [
            number_texts(piece) if pa.types.is_floating(piece.type) else piece for piece in pieces
        ]
    return pa.concat_arrays(pieces) if pieces else pa.array([], pa.string())


def number_text(value: float) -> str:
    """Return the shortest text of a number; whole numbers have no point."""
    value = float(value)
    return str(int(value)) if value.is_integer() else repr(value)


def _to_numpy(values: Any) -> Any:
    return np.asarray(values.to_numpy(zero_copy_only=False))
