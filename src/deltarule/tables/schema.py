"""Decide what each column of a table holds, or say by name why it cannot be used.

The rules, in order, for the cells that are not missing:

1. all are numbers: a number. All are true or false: a boolean.
2. most are numbers: the first that is not is reported as a mistake.
3. dates, free text and texts that are nearly all different (names, identifiers) cannot be learned
   from as they stand, and are refused with what to do.
4. everything else: a category.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from deltarule.errors import TableError
from deltarule.tables.cells import (
    Kind,
    check_usable,
    first_row,
    foreign,
    is_date,
    is_number,
    is_numeric,
    is_truth,
    parse_texts,
    present,
)
from deltarule.tables.table import Column, Table, listing, show

__all__ = ["infer_kinds", "mistake", "refusal", "row_counters", "unusable_texts"]

FEW = 20
"""A text column with at most this many different texts is always a category."""
MAX_CATEGORIES = 1000


def infer_kinds(table: Table, names: Iterable[str]) -> dict[str, Kind]:
    """Return what each of the named columns holds.

    Parameters
    ----------
    table : Table
        A table as it was read.
    names : iterable of str
        The columns to learn from.

    Returns
    -------
    dict of str to {"number", "boolean", "category"}

    Raises
    ------
    TableError
        If a column holds a mistake, or if columns cannot be used: all of them are named at once.
    """
    kinds: dict[str, Kind] = {}
    refused: dict[str, str] = {}
    for name in names:
        column = table.columns[name]
        holds = foreign(column)
        if holds:
            refused[name] = holds
            continue
        kind = _kind(column)
        if kind is not None:
            kinds[name] = kind
            continue
        _check_mistake(table, name, column)
        reason = _unusable(column)
        if reason:
            refused[name] = reason
        else:
            kinds[name] = "category"
    if refused:
        raise refusal(table.path, refused)
    return kinds


def refusal(path: Path, refused: dict[str, str]) -> TableError:
    """Return the error for columns that cannot be used, with the reason for each."""
    reasons = "; ".join(f"{show(name)} {why}" for name, why in list(refused.items())[:8])
    more = f"; and {len(refused) - 8} more" if len(refused) > 8 else ""
    options = " ".join(f"--ignore {_shell(name)}" for name in refused)
    return TableError(
        f"{path}: {_columns(refused)} cannot be used: {reasons}{more}. "
        f"Convert to numbers or categories, or leave out: {options}"
    )


def row_counters(table: Table, names: Iterable[str]) -> list[str]:
    """Return the columns that only count the rows (1, 2, 3 …), which teach nothing."""
    found = []
    for name in names:
        column = table.columns[name]
        if table.rows >= FEW and is_number(column).all():
            numbers = column if is_numeric(column) else pc.cast(column, "float64")
            if (np.diff(numbers.to_numpy(zero_copy_only=False)) == 1).all():
                found.append(name)
    return found


def kind_of_target(table: Table, name: str) -> Kind:
    """Return what the target holds; texts are classes, whatever they look like."""
    check_usable(table, name)
    column = table.columns[name]
    kind = _kind(column)
    if kind is None:
        _check_mistake(table, name, column)
        if not present(column).any():
            raise TableError(f"{table.path}: the target {show(name)} is empty in every row")
        if is_date(column)[present(column)].all():
            raise TableError(
                f"{table.path}: the target {show(name)} holds dates; convert it to a number"
            )
    return kind or "category"


def _kind(column: Column) -> Kind | None:
    """Return number or boolean where every cell agrees, else None."""
    there = present(column)
    if not there.any():
        return None
    if is_number(column)[there].all():
        return "number"
    return "boolean" if is_truth(column)[there].all() else None


def _check_mistake(table: Table, name: str, column: Column) -> None:
    """Report the odd cell in a column of numbers."""
    there = present(column)
    numbers = int(is_number(column).sum())
    count = int(there.sum())
    if 2 * numbers > count:
        row = first_row(there & ~is_number(column))
        raise table.fault(name, row, mistake(name, column[row].as_py(), numbers, count))


def mistake(name: str, text: str, numbers: int, count: int) -> str:
    """Say that a cell is odd in a column of numbers."""
    return (
        f"{show(text)} is not a number, but {numbers} of the column's {count} cells are; correct "
        f"it, leave it empty, or leave the column out: --ignore {_shell(name)}"
    )


def _unusable(column: Column) -> str:
    """Return why a column of texts cannot be used, or nothing."""
    there = present(column)
    count = int(there.sum())
    if count == 0:
        return "is empty"
    if is_date(column)[there].all():
        return "holds dates or times"
    texts = parse_texts(column).drop_null()
    blanks = pc.mean(pc.count_substring(texts, " ")).as_py()
    return unusable_texts(count, len(texts.unique()), blanks)


def unusable_texts(count: int, distinct: int, blanks: float) -> str:
    """Return why texts are no categories, or nothing.

    Parameters
    ----------
    count, distinct : int
        The number of texts, and of different ones.
    blanks : float
        Blanks in a text, on average.
    """
    if distinct <= FEW:
        return ""
    if 2 * distinct > count:
        return "holds free text" if blanks >= 3 else "is different in nearly every row, like an id"
    return f"has {distinct} categories" if distinct > MAX_CATEGORIES else ""


def _columns(names: Iterable[str]) -> str:
    listed = list(names)
    return f"column {show(listed[0])}" if len(listed) == 1 else f"columns {listing(listed)}"


def _shell(name: str) -> str:
    plain = name.replace("_", "").replace("-", "").replace(".", "").isalnum()
    return name if plain and not name.startswith("-") else show(name, limit=200)
