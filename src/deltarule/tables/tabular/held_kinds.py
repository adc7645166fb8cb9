"""Columns whose type in Python says that they hold something else than in training."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from deltarule.errors import TableError
from deltarule.tables.columns import number_text
from deltarule.tables.dates import DateTexts
from deltarule.tables.messages import listing, show
from deltarule.tables.model import TableModel
from deltarule.tables.record import CategoryColumn, DateNotation, NumberColumn

__all__ = ["check_held"]


def check_held(model: TableModel, held: Mapping[str, frozenset[str]]) -> None:
    """Refuse booleans for numbers and the reverse, and for categories values that are none of them.

    Texts are read as the cells of a file are, so that rows are read alike whichever come together:
    a column of objects holds numbers and texts, and some of its rows only texts. Everything else
    that does not fit is refused where the cells are read.
    """
    for column in model.preprocessing.columns:
        kinds = held.get(column.name, frozenset())
        where = f"X: column {show(column.name)} held"
        if isinstance(column, NumberColumn):
            other = "boolean" if column.kind == "number" else "number"
            if kinds == {other}:
                to = "Float64" if column.kind == "number" else "boolean"
                raise TableError(
                    f"{where} {column.kind}s in training and is a column of {other}s now; give it "
                    f"{column.kind}s, in pandas with astype({to!r})"
                )
        elif isinstance(column, CategoryColumn) and not kinds <= {"text"}:
            known = [text for text in (*column.kept, *column.rare) if text is not None]
            for holds in sorted(kinds - {"text"}):
                if not _any_is(known, holds):
                    raise TableError(
                        f"{where} categories in training ({listing(known, 3)}) and holds {holds}s "
                        "now; give it the texts of then"
                    )


def _any_is(known: list[str], holds: str) -> bool:
    """Whether one of the texts is how a number, a boolean, or a date or a time is written."""
    if holds == "boolean":
        return bool({"true", "false"} & {*known})
    if holds == "number":
        return any(map(_is_number, known))
    texts = DateTexts(pa.array(known, pa.string()))
    forms = DateNotation(form="calendar", day_first=True), DateNotation(form="time", day_first=True)
    return any(bool(texts.fits(form).any()) for form in forms)


def _is_number(text: str) -> bool:
    """Whether a number would be written so, which 01 and 1.50 are not."""
    if text.removeprefix("-").isdecimal():
        return text == str(int(text))
    try:
        return text == number_text(float(text))
    except ValueError:
        return False
