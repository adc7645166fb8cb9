"""Columns whose type in Python says that they hold something else than in training."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from deltarule.errors import TableError
from deltarule.tables.dates import DateTexts
from deltarule.tables.messages import listing, show
from deltarule.tables.model import TableModel
from deltarule.tables.record import CategoryColumn, DateNotation

__all__ = ["check_held"]


def check_held(model: TableModel, held: Mapping[str, str]) -> None:
    """Refuse dates and booleans where the model knows categories that are neither.

    Everything else is refused where the cells are read.
    """
    for column in model.preprocessing.columns:
        holds = held.get(column.name, "")
        if holds not in ("date", "boolean") or not isinstance(column, CategoryColumn):
            continue
        known = [text for text in (*column.kept, *column.rare) if text is not None]
        if not _any_is(known, holds):
            raise TableError(
                f"X: column {show(column.name)} held categories in training ({listing(known, 3)}) "
                f"and is a column of {holds}s now; give it the texts of then"
            )


def _any_is(known: list[str], holds: str) -> bool:
    """Whether one of the texts is a boolean, or a date or a time."""
    if holds == "boolean":
        return any(text.lower() in ("true", "false") for text in known)
    texts = DateTexts(pa.array(known, pa.string()))
    forms = DateNotation(form="calendar", day_first=True), DateNotation(form="time", day_first=True)
    return any(bool(texts.fits(form).any()) for form in forms)
