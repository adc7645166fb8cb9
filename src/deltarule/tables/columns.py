"""A column parsed once: which cells are missing, and what the others read as.

A cell is missing if it is empty or reads ``NA``, ``N/A``, ``n/a``, ``#N/A``, ``<NA>``, ``NaN``,
``nan``, ``NULL`` or ``null``, or a mark that the user names. Beside numbers, dates and booleans
other marks are missing, too, such as ``?``, ``-``, ``None`` or ``#DIV/0!``, in upper or lower case;
beside categories they are texts like others ("None" may mean: no garage).

A number is finite. One beyond ±2⁵³ that is written out, without an exponent, must be a float64
exactly: rounding would turn ids into other ids and merge neighbouring classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.arrow import numbers_of, text_of, texts_of, to_numpy
from deltarule.tables.dates import CODED, DateTexts, read_coded
from deltarule.tables.messages import show
from deltarule.tables.notation import PLAIN, NumberTexts
from deltarule.tables.record import DateNotation, NumberNotation

__all__ = [
    "EXACT",
    "MARKS",
    "MISSING",
    "Cells",
    "ParsedColumn",
    "Reading",
    "is_number",
    "joined",
    "number_text",
    "number_texts",
    "positions",
]

Cells: TypeAlias = Any
"""A pyarrow array of texts or of float64; a missing cell is null in both."""
Mask: TypeAlias = NDArray[np.bool_]

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null")

MARKS = (
    "?", "??", "???", "-", "--", "---", ".", "..", "...", "…", "–", "—", "*", "/", "#",
    "na", "n/a", "n.a.", "n.a", "n. a.", "n/d", "nd", "n.d.", "nan", "-nan", "+nan", "<na>", "nat",
    "<nat>", "none", "<none>", "null", "(null)", "<null>", "nil", "void", "\\n",
    "missing", "(missing)", "unknown", "not available", "not applicable", "undefined", "empty",
    "(empty)", "blank", "(blank)", "tbd",
    "#n/a", "#n/a n/a", "#na", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!",
)  # fmt: skip
"""In lower case: what means a missing cell beside numbers, dates and booleans."""

_BOOLEAN = r"^(?i:true|false)$"
EXACT = 2.0**53
"""Up to this, every whole number is a float64."""
_LOOK, _SLICE = 256, 2**16
"""Rows that are read as plain numbers at once: a cell that is none makes pyarrow slow."""


class Reading(NamedTuple):
    """All cells of a column, read in one way."""

    values: NDArray[np.float64]  # NaN where a cell is missing or does not fit
    fits: Mask


class ParsedColumn:
    """The cells of a column and what they read as; each reading is computed once, when asked for.

    ``fault(row, problem)`` returns the error for one cell, with file, line and column. `missing`
    are marks that the user names; `declared` says that the file declares the cells to be texts.
    """

    def __init__(
        self,
        name: str,
        cells: Cells,
        path: Path,
        fault: Callable[[int, str], TableError],
        missing: Sequence[str] = (),
        *,
        declared: bool = False,
    ) -> None:
        self.name, self.cells, self.path, self.fault = name, cells, path, fault
        self.declared = declared
        self.marks = tuple(missing)
        self._numbers: dict[NumberNotation, Reading] = {}
        self._ranges: dict[NumberNotation, tuple[float, float]] = {}
        self._dates: dict[DateNotation, Reading] = {}
        self._plain_texts: dict[NumberNotation, list[str | None]] = {}
        self._inexact: dict[NumberNotation, tuple[int, str] | None] = {}
        self._required: set[str] = set()

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

    # --- missing cells -------------------------------------------------------------------------

    @cached_property
    def not_missing(self) -> Mask:
        """(n,) mask of the cells that hold something, be it a mark."""
        if self.stores_numbers:
            there = ~np.isnan(self._stored)
            marks = self._numeric_marks
            return there & ~np.isin(self._stored, marks) if marks else there
        if self._quick is not None:
            return self._quick.fits
        return self._spread(~to_numpy(pc.is_in(self._dictionary, self._words)), False)

    @cached_property
    def usable(self) -> Mask:
        """(n,) mask of the cells that are neither missing nor a mark for it."""
        if self.stores_numbers or self.all_plain:
            return self.not_missing
        marks = to_numpy(pc.is_in(pc.utf8_lower(self._dictionary), _lower_marks()))
        return self.not_missing & ~self._spread(marks, False) if marks.any() else self.not_missing

    # --- readings ------------------------------------------------------------------------------

    @cached_property
    def all_plain(self) -> bool:
        """Whether all cells that are not missing are plain decimal numbers, all of them finite."""
        return self._quick is not None

    def numbers(self, notation: NumberNotation = PLAIN) -> Reading:
        """Return the numbers of all cells in a notation."""
        if notation not in self._numbers:
            self._numbers[notation] = self._read_numbers(notation)
        return self._numbers[notation]

    def dates(self, notation: DateNotation) -> Reading:
        """Return the seconds since 1970 of all cells, read as dates in a notation."""
        if notation not in self._dates:
            if notation.form == "YYYYMMDD" or notation.form in CODED:
                values, fits = read_coded(self.numbers().values, notation.form)
            elif self.stores_numbers:
                values, fits = np.full(len(self), np.nan), np.zeros(len(self), dtype=bool)
            else:
                found = self.date_texts.read(notation)
                values, fits = self._spread(found[0], np.nan), self._spread(found[1], False)
            fits = fits & self.usable
            self._dates[notation] = Reading(np.where(fits, values, np.nan), fits)
        return self._dates[notation]

    @cached_property
    def is_boolean(self) -> Mask:
        """(n,) mask of the cells that read true or false, in upper or lower case."""
        if self.stores_numbers or self.all_plain:
            return np.zeros(len(self), dtype=bool)
        found = pc.match_substring_regex(self._dictionary, _BOOLEAN)
        return self._spread(to_numpy(found), False)

    @cached_property
    def booleans(self) -> NDArray[np.float64]:
        """(n,) 1 for true, 0 for false, NaN for every other cell."""
        if self.stores_numbers or self.all_plain:
            return np.full(len(self), np.nan)
        true = to_numpy(pc.equal(pc.utf8_lower(self._dictionary), text_of("true")))
        return np.where(self.is_boolean, self._spread(true, False), np.nan)

    @cached_property
    def texts(self) -> Cells:
        """(n,) texts, null where missing; numbers as a person would write them."""
        texts = number_texts(self.cells) if self.stores_numbers else self.cells
        if texts.null_count == 0 and self.not_missing.all():
            return texts
        # pc.if_else cuts the last text of a slice short in releases of pyarrow before 24.
        return texts.take(numbers_of(np.arange(len(texts)), ~self.not_missing))

    def range(self, notation: NumberNotation = PLAIN) -> tuple[float, float]:
        """Return the smallest and the largest number; NaN if there is none."""
        if notation not in self._ranges:
            values = self.numbers(notation).values
            low, high = (values.min(), values.max()) if len(values) else (np.nan, np.nan)
            if np.isnan(low) and not np.isnan(values).all():
                low, high = np.nanmin(values), np.nanmax(values)
            self._ranges[notation] = float(low), float(high)
        return self._ranges[notation]

    def inexact(self, notation: NumberNotation = PLAIN) -> tuple[int, str] | None:
        """Return the first row whose number float64 cannot hold, and what is wrong with it."""
        if notation not in self._inexact:
            low, high = self.range(notation)
            safe = not (low <= -EXACT or high >= EXACT)
            self._inexact[notation] = None if safe else self._find_inexact(notation)
        return self._inexact[notation]

    def _find_inexact(self, notation: NumberNotation) -> tuple[int, str] | None:
        numbers = self.numbers(notation).values
        suspects = np.isinf(numbers) if self.stores_numbers else np.abs(numbers) >= EXACT
        for row in np.flatnonzero(suspects).tolist():
            text, value = self._plain_text(row, notation), float(numbers[row])
            if np.isinf(value):
                return row, f"{show(self.text(row))} is not a finite number; correct it"
            if "e" not in text.lower() and Decimal(text) != Decimal(value):
                return row, (
                    f"{show(self.text(row))} would be rounded to {number_text(value)}, as not all "
                    "numbers beyond ±2**53 are a float64; put a letter before it if it is a name, "
                    "else use a larger unit or an exponent"
                )
        return None

    def require(self, fits: Mask, expected: str, way: Callable[[], str] = lambda: "") -> None:
        """Refuse the first cell that is neither missing nor what the column should hold.

        `way` returns a further remedy, if there is one.
        """
        if expected in self._required:
            return
        wrong = self.usable & ~fits
        if wrong.any():
            row = int(np.argmax(wrong))
            raise self.fault(
                row,
                f"{show(self.text(row))} is not {expected}; correct it or leave it empty{way()}",
            )
        self._required.add(expected)

    def pieces(self, size: int) -> list[ParsedColumn]:
        """Return a column of stored numbers as columns of so many rows, each with its own cells."""
        whole = self.fault  # a reference to the column would keep its cells in memory

        def piece(start: int) -> ParsedColumn:
            def fault(row: int, problem: str) -> TableError:
                return whole(start + row, problem)

            cells = numbers_of(self._stored[start : start + size].copy())
            return ParsedColumn(
                self.name, cells, self.path, fault, self.marks, declared=self.declared
            )

        return [piece(start) for start in range(0, len(self), size)]

    # --- plain numbers, as bytes -----------------------------------------------------------------

    def count_of_points(self) -> int:
        """Return how many cells of a column of plain numbers hold a decimal point."""
        if any("." in mark for mark in self.marks):
            return int(pc.sum(pc.match_substring(self.cells, ".")).as_py() or 0)
        offsets, data = _bytes_of(self.cells)
        return int(np.count_nonzero(data[offsets[0] : offsets[-1]] == ord(".")))

    def with_leading_zero(self) -> Cells:
        """Return the cells that begin with a zero and another digit."""
        offsets, data = _bytes_of(self.cells)
        if len(data) == 0:
            return self.cells.slice(0, 0)
        begins, ends = offsets[:-1], offsets[1:]
        rows = np.flatnonzero(data.take(begins, mode="clip") == ord("0"))
        rows = rows[ends[rows] - begins[rows] > 1]
        second = data[begins[rows] + 1]
        return self.cells.take(numbers_of(rows[(second >= ord("0")) & (second <= ord("9"))]))

    # --- different texts, each read once ---------------------------------------------------------

    @property
    def distinct(self) -> Cells:
        """The different texts, in the order of their first rows."""
        return self._dictionary

    def counts(self, mask: Mask) -> NDArray[np.int64]:
        """Return how often each of the different texts occurs among some rows."""
        return np.bincount(self._codes[mask & (self._codes >= 0)], minlength=len(self._dictionary))

    def counted(self, mask: Mask | None = None) -> tuple[Cells, Cells]:
        """Return the different texts of some rows with how often each occurs, null for missing."""
        if self.stores_numbers:
            texts = self.texts if mask is None else self.texts.filter(numbers_of(mask))
            found = texts.value_counts()
            return found.field(0), found.field(1)
        rows = self.not_missing if mask is None else self.not_missing & mask
        counts = self.counts(rows)
        missing = (len(self) if mask is None else int(mask.sum())) - int(counts.sum())
        texts, counts = self._dictionary.filter(numbers_of(counts > 0)), counts[counts > 0]
        if missing:
            texts = pa.concat_arrays([texts, pa.nulls(1, texts.type)])
            counts = np.append(counts, missing)
        return texts, counts

    def positions(self, values: list[Any]) -> NDArray[np.int64]:
        """Return the place of each cell's text in a list that may hold None, -1 if it is not."""
        if self.stores_numbers:
            return positions(self.texts, values)
        missing = values.index(None) if None in values else -1
        found = self._spread(positions(self._dictionary, values), missing)
        return found if self.not_missing.all() else np.where(self.not_missing, found, missing)

    @cached_property
    def number_texts(self) -> NumberTexts:
        """The different texts, taken apart as numbers."""
        return NumberTexts(self._dictionary)

    @cached_property
    def date_texts(self) -> DateTexts:
        """The different texts, taken apart as dates."""
        return DateTexts(self._dictionary)

    @cached_property
    def _coded(self) -> tuple[Cells, NDArray[np.int32]]:
        coded = pc.dictionary_encode(self.cells)
        codes = to_numpy(coded.indices, -1)
        return coded.dictionary, np.asarray(codes, dtype=np.int32)

    @property
    def _dictionary(self) -> Cells:
        return self._coded[0]

    @property
    def _codes(self) -> NDArray[np.int32]:
        return self._coded[1]

    def _spread(self, values: NDArray[Any], missing: Any) -> NDArray[Any]:
        """Return a value for each row from those of the different texts."""
        spread: NDArray[Any] = np.append(values, missing).astype(values.dtype)[self._codes]
        return spread

    @cached_property
    def _stored(self) -> NDArray[np.float64]:
        return to_numpy(self.cells)

    @property
    def _words(self) -> Cells:
        return _words_for(self.marks)

    @property
    def _numeric_marks(self) -> list[float]:
        """The user's marks that are numbers."""
        return [float(mark) for mark in self.marks if is_number(mark)]

    @cached_property
    def _quick(self) -> Reading | None:
        """The numbers of a column of plain numbers, or None; most columns need no look at texts."""
        if self.stores_numbers or not pa.types.is_string(self.cells.type):
            return None
        head = self.cells.slice(0, _LOOK)
        first = None if self._begins_as_text(head[:1]) else self._plain_numbers(head, True)
        if first is None:
            return None
        values, there = np.empty(len(self)), np.ones(len(self), dtype=bool)
        values[:_LOOK], there[:_LOOK] = first
        some = self.marks != ()  # cells are missing, so a cast of all would fail
        for start in range(0, len(self) if len(self) > _LOOK else 0, _SLICE):
            cells = self.cells.slice(start, _SLICE)
            found = None if some else self._plain_numbers(cells, False)
            if found is None:
                some = True
                found = self._plain_numbers(cells, True)
            if found is None:
                return None
            values[start : start + _SLICE], there[start : start + _SLICE] = found
        if not there.any() and len(self):
            return None
        return Reading(values, there)

    def _begins_as_text(self, first: Cells) -> bool:
        """Whether the first cell is certainly no number; a cast that fails takes long."""
        text = first[0].as_py() if len(first) else None
        if text is None or text in MISSING or text in self.marks:
            return False
        return text[:1].isalpha() and text[:1].lower() not in "ni"  # NaN, inf

    def _plain_numbers(self, cells: Cells, some: bool) -> tuple[Any, Any] | None:
        """Return numbers and where they are, or None if a cell is none; `some` may be missing."""
        there: Any = True
        if some:
            missing = numbers_of(to_numpy(pc.is_in(cells, self._words), True))
            there = ~to_numpy(pc.or_(missing, pc.is_null(cells)))
            cells = cells.filter(numbers_of(there))
        elif cells.null_count:
            return None
        try:
            numbers = to_numpy(pc.cast(cells, pa.float64()))
        except pa.ArrowInvalid:
            return None
        if not np.isfinite(numbers).all():
            return None
        if not some or there.all():
            return numbers, True
        values = np.full(len(there), np.nan)
        values[there] = numbers
        return values, there

    def _read_numbers(self, notation: NumberNotation) -> Reading:
        if self.stores_numbers:
            values = self._stored
            if self._numeric_marks:
                values = np.where(self.not_missing, values, np.nan)
            return Reading(values, self.not_missing)
        if notation == PLAIN and self._quick is not None:
            return self._quick
        found = self.number_texts.read(notation)
        self._plain_texts[notation] = found.plain
        fits = self._spread(found.fits, False) & self.usable
        return Reading(np.where(fits, self._spread(found.values, np.nan), np.nan), fits)

    def _plain_text(self, row: int, notation: NumberNotation) -> str:
        """Return a number as a plain decimal."""
        if notation in self._plain_texts:
            return str(self._plain_texts[notation][self._codes[row]])
        return self.text(row)


@lru_cache(maxsize=64)
def _words_for(marks: tuple[str, ...]) -> Cells:
    """Return the words for a missing cell, and the user's marks."""
    return texts_of([*MISSING, *marks])


@lru_cache(maxsize=1)
def _lower_marks() -> Cells:
    return texts_of(MARKS)


def number_texts(cells: Cells) -> Cells:
    """Return float64 cells as the texts that a person would write: 3 rather than 3.0."""
    values = [None if v is None or v != v else number_text(v) for v in cells.to_pylist()]
    return texts_of(values)


def positions(texts: Cells, values: list[Any]) -> NDArray[np.int64]:
    """Return the place of each text in a list that may hold None, -1 for those not in it."""
    found = pc.index_in(texts, texts_of(values), skip_nulls=False)
    return np.array(to_numpy(found, -1), dtype=np.int64)


def joined(pieces: list[Cells]) -> Cells:
    """Return the pieces of a column as one.

    Whole numbers that are no float64 make a piece of texts; then all of the column becomes texts.
    A piece that is neither numbers nor texts makes all of it of its type, which is refused by it.
    """
    kinds = {piece.type: None for piece in pieces}
    if len(kinds) > 1:
        for kind in kinds:
            if not (pa.types.is_floating(kind) or pa.types.is_string(kind)):
                return pa.nulls(sum(map(len, pieces)), kind)
        pieces = [
            number_texts(piece) if pa.types.is_floating(piece.type) else piece for piece in pieces
        ]
    return pa.concat_arrays(pieces) if pieces else texts_of([])


def number_text(value: float) -> str:
    """Return the shortest text of a number; whole numbers have no point."""
    value = float(value)
    return str(int(value)) if value.is_integer() else repr(value)


def _bytes_of(texts: Cells) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return where each text begins, and where the last one ends, and all bytes."""
    _, offsets, data = texts.buffers()
    if offsets is None or len(offsets) == 0:
        return np.zeros(1, dtype=np.int32), np.empty(0, dtype=np.uint8)
    begin = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return begin, np.frombuffer(data or b"", dtype=np.uint8)


def is_number(text: str) -> bool:
    """Return whether a text is a plain number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
