"""What a cell means: missing, a number, a truth value, a date, or just text.

A cell is missing if it is empty or reads ``NA``, ``N/A``, ``n/a``, ``#N/A``, ``<NA>``, ``NaN``,
``nan``, ``NULL`` or ``null``. ``None`` is text: in a column of categories it is often one of them
("no garage"), and in a column of numbers it is a mistake that is better reported.

A number is a decimal number as in ``12``, ``-3.5`` or ``6.02e23``, with a point and nothing else;
it must be finite. One beyond ±2⁵³ that is written out, without an exponent, must not need rounding:
ids would become other ids, and one class with their neighbours.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.table import Column, Table, show

__all__ = [
    "Kind",
    "check_usable",
    "foreign",
    "is_date",
    "is_number",
    "is_truth",
    "parse_numbers",
    "parse_texts",
    "present",
    "unfit_number",
]

Kind = Literal["number", "boolean", "category"]

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null")

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_DATE = (
    r"^([0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.]([0-9]{4}|[0-9]{2}))"
    r"([ T][0-9].*)?$|^[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?$"
)
_TRUTH = r"^(?i:true|false)$"
_EXACT = 2.0**53
"""Up to this every whole number is a float64."""


def is_numeric(column: Column) -> bool:
    """Say whether the file itself stores a column as numbers (Parquet can)."""
    return bool(pa.types.is_floating(column.type))


def foreign(column: Column) -> str:
    """Return what a column holds if it is neither numbers nor texts, or nothing."""
    kind = column.type
    return "" if is_numeric(column) or pa.types.is_string(kind) else f"holds {show(kind)}"


def check_usable(table: Table, name: str) -> None:
    """Refuse a column that holds neither numbers nor texts."""
    holds = foreign(table.columns[name])
    if holds:
        raise TableError(
            f"{table.path}: column {show(name)} {holds}, which is neither number nor text; convert "
            "it (durations to numbers in a unit of your choice), or leave it out"
        )


def present(column: Column) -> NDArray[np.bool_]:
    """Say of each cell whether there is something in it."""
    if is_numeric(column):
        missing = pc.is_null(column, nan_is_null=True)
    else:
        missing = pc.or_(pc.is_null(column), pc.is_in(column, pa.array(MISSING)))
    missing = pc.fill_null(missing, True)
    return ~_to_numpy(missing)


def is_number(column: Column) -> NDArray[np.bool_]:
    """Say of each cell whether it reads as a decimal number, finite or not."""
    return present(column) if is_numeric(column) else _matches(column, _NUMBER)


def is_truth(column: Column) -> NDArray[np.bool_]:
    """Say of each cell whether it reads true or false, in any case."""
    return _matches(column, _TRUTH)


def is_date(column: Column) -> NDArray[np.bool_]:
    """Say of each cell whether it looks like a date or a time."""
    return _matches(column, _DATE)


def parse_numbers(table: Table, name: str, column: Column, kind: Kind) -> NDArray[np.float64]:
    """Return a column as float64, NaN where missing; truth values become 0 and 1.

    Raises
    ------
    TableError
        At the first cell that is not what the column holds, with file, line and column.
    """
    there = present(column)
    fits = is_truth(column) if kind == "boolean" else is_number(column)
    wrong = there & ~fits
    if wrong.any():
        row = int(np.argmax(wrong))
        expected = "true or false" if kind == "boolean" else "a number"
        raise table.fault(
            name,
            row,
            f"{show(column[row].as_py())} is not {expected}; correct it or leave it empty",
        )
    numbers = np.full(len(column), np.nan)
    if is_numeric(column):
        numbers[there] = _to_numpy(column.filter(pa.array(there)))
    elif kind == "boolean":
        numbers[there] = _to_numpy(pc.equal(pc.utf8_lower(column.filter(pa.array(there))), "true"))
    else:
        numbers[there] = _to_numpy(pc.cast(column.filter(pa.array(there)), pa.float64()))
    unfit = unfit_number(column, numbers)
    if unfit:
        raise table.fault(name, *unfit)
    return numbers


def unfit_number(column: Column, numbers: NDArray[np.float64]) -> tuple[int, str] | None:
    """Return the first row whose number float64 cannot hold, and what is wrong with it.

    Parameters
    ----------
    column : Column
        The cells.
    numbers : (n,) array
        What they were parsed as; NaN for cells without a number.
    """
    stored = is_numeric(column)
    for row in np.flatnonzero(np.isinf(numbers) if stored else np.abs(numbers) >= _EXACT).tolist():
        cell, value = str(column[row].as_py()), float(numbers[row])
        if np.isinf(value):
            return row, f"{show(cell)} is not a finite number; correct it"
        if "e" not in cell.lower() and Decimal(cell) != Decimal(value):
            return row, (
                f"{show(cell)} would be rounded to {number_text(value)}, as not all numbers beyond "
                "±2**53 are a float64; put a letter before it if it is a name, else use a larger "
                "unit or an exponent, or leave the column out"
            )
    return None


def parse_texts(column: Column) -> Column:
    """Return a column as texts, null where missing."""
    texts = number_texts(column) if is_numeric(column) else column
    return pc.if_else(pa.array(present(column)), texts, pa.scalar(None, pa.string()))


def number_texts(column: Column) -> Column:
    """Return numbers as the texts that a person would write: 3 rather than 3.0."""
    values = [None if v is None or v != v else number_text(v) for v in column.to_pylist()]
    return pa.array(values, pa.string())


def number_text(value: float) -> str:
    """Return the shortest text of a number; whole numbers have no point."""
    value = float(value)
    return str(int(value)) if value.is_integer() else repr(value)


def first_row(mask: NDArray[np.bool_]) -> int:
    """Return the first row where a mask holds."""
    return int(np.argmax(mask))


def _matches(column: Column, pattern: str) -> NDArray[np.bool_]:
    if is_numeric(column):
        return np.zeros(len(column), dtype=bool)
    return _to_numpy(pc.fill_null(pc.match_substring_regex(column, pattern), False))


def _to_numpy(values: Any) -> Any:
    return np.asarray(values.to_numpy(zero_copy_only=False))


def fault_at(table: Table, name: str, mask: NDArray[np.bool_], problem: str) -> TableError:
    """Return the error for the first cell where a mask holds."""
    return table.fault(name, first_row(mask), problem)
