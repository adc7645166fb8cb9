"""What a column is taken for, what the user says about that, and why it may not be understood."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from deltarule.tables.notation import described
from deltarule.tables.record import (
    CategoryColumn,
    DateNotation,
    NumberNotation,
    PreprocessingRecord,
)

__all__ = ["KindName", "Problem", "ReadOptions", "Understanding", "Understood", "rewritten"]

KindName = Literal["number", "boolean", "category", "date", "left out", "unclear"]


@dataclass(frozen=True)
class ReadOptions:
    """What the user says about the cells.

    Attributes
    ----------
    missing : tuple of str
        Further marks for a missing cell.
    category, number, date : tuple of str
        Columns that are of this kind whatever they look like; patterns such as ``code_*`` are
        allowed.
    decimal : {".", ","}, optional
        The decimal mark of all numbers.
    thousands : {",", ".", " ", "'"}, optional
        The mark between thousands.
    dates : bool, default=True
        Whether dates become features; if not, columns of dates are left out.
    day_first : bool, optional
        What 04/06/2022 is, where no other date of the table tells.
    """

    missing: tuple[str, ...] = ()
    category: tuple[str, ...] = ()
    number: tuple[str, ...] = ()
    date: tuple[str, ...] = ()
    decimal: str | None = None
    thousands: str | None = None
    dates: bool = True
    day_first: bool | None = None


@dataclass(frozen=True)
class Understood:
    """What a column is taken for.

    Attributes
    ----------
    name : str
        The column.
    kind : {"number", "boolean", "category", "date", "left out", "unclear"}
        What it holds, that nothing is learned from it, or that it is not understood.
    notation : NumberNotation, DateNotation or None
        How its numbers or dates are written.
    reason : str
        Why it is left out or unclear, or is not what it looks like.
    missing : int
        Missing cells, with those that `marks` counts.
    marks : dict of str to int
        Cells that say in a word or sign that they are missing.
    categories : int or None
        The number of categories.
    """

    name: str
    kind: KindName
    notation: NumberNotation | DateNotation | None = None
    reason: str = ""
    missing: int = 0
    marks: dict[str, int] = field(default_factory=dict)
    categories: int | None = None

    @property
    def in_words(self) -> str:
        """The kind, and what is special about it."""
        if self.kind == "category":
            return f"category ({self.categories})" if self.categories else "category"
        words: list[str] = ["yes/no" if self.kind == "boolean" else self.kind]
        if isinstance(self.notation, NumberNotation) and described(self.notation):
            words.append(described(self.notation))
        elif isinstance(self.notation, DateNotation):
            words += [] if self.notation.form == "calendar" else [self.notation.form]
        return ", ".join(words)


@dataclass(frozen=True)
class Understanding:
    """What the columns of a table are taken for, in their order, and what the user should know.

    `problem` says why training would refuse the table, and what to do; it is empty if all columns
    are understood.
    """

    columns: dict[str, Understood]
    notes: list[str]
    problem: str = ""


class Problem(NamedTuple):
    """Why a column is not understood.

    `misfits` says that some of its cells are the reason, `repeats` that its texts may be categories
    if the user says so.
    """

    column: Understood
    words: str
    remedies: tuple[str, ...] = ()
    misfits: bool = False
    repeats: bool = False


def rewritten(record: PreprocessingRecord, options: ReadOptions) -> PreprocessingRecord:
    """Return a record of the same columns whose cells are written as the options say."""

    def again(part: Any) -> Any:
        if isinstance(part, CategoryColumn):
            return part
        return part.model_copy(update={"notation": _notation(part.notation, options)})

    marks = [mark for mark in options.missing if mark not in record.missing]
    return record.model_copy(
        update={
            "missing": [*record.missing, *marks],
            "columns": [again(column) for column in record.columns],
            "target": again(record.target),
        }
    )


def _notation(known: NumberNotation | DateNotation, options: ReadOptions) -> Any:
    """Return a notation with what the options say of it."""
    if isinstance(known, DateNotation):
        if known.form != "calendar" or options.day_first is None:
            return known
        return known.model_copy(update={"day_first": options.day_first})
    decimal, thousands = options.decimal or known.decimal, options.thousands or known.thousands
    if decimal == thousands:  # the mark that the user does not name is the other one
        other = "." if decimal == "," else ","
        decimal, thousands = (decimal, other) if options.decimal else (other, thousands)
    return known.model_copy(update={"decimal": decimal, "thousands": thousands})
