"""A model of a table as what an ONNX graph is written from: its record, column by column."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltarule.checks import check_name
from deltarule.errors import SpecError
from deltarule.onnx import Categories, Exportable, Labels, Number, Numbers, Scaling
from deltarule.onnx.columns import Column
from deltarule.tables.cells import MISSING
from deltarule.tables.record import CategoryColumn, Classes, NumberColumn, PreprocessingRecord

__all__ = ["columns_of", "exportable_of"]


def exportable_of(record: PreprocessingRecord, estimator: Any) -> Exportable:
    """Return the network of a model of a table, with labels and numbers as the table has them."""
    inner, target = estimator.to_exportable(), record.target
    properties = {"target": target.name}
    if isinstance(target, Classes):
        assert isinstance(inner.head, Labels)
        properties["classes"] = json.dumps(target.labels)
        labels = inner.head._replace(values=_labels(target))
        return replace(inner, head=labels, properties=inner.properties | properties)
    assert isinstance(inner.head, Numbers)
    unit = Scaling(np.array([target.mean]), np.array([target.scale]))
    numbers = inner.head._replace(scalings=(*inner.head.scalings, unit))
    return replace(inner, head=numbers, properties=inner.properties | properties)


def columns_of(record: PreprocessingRecord, unseen: str = "other") -> list[Column]:
    """Return the columns as inputs of a graph, under a policy for categories never seen."""
    check_name("unseen", unseen, ("other", "error"))
    return [
        _number(column) if isinstance(column, NumberColumn) else _categories(column, unseen)
        for column in record.columns
    ]


def _number(column: NumberColumn) -> Number:
    cells = "1 for true, 0 for false" if column.kind == "boolean" else "a number"
    words = f"column {column.name!r}: {cells}, NaN where missing"
    return Number(column.name, words, column.fill, column.mean, column.scale, column.flag)


def _categories(column: CategoryColumn, unseen: str) -> Categories:
    """Return the codes of the texts; every word for a missing cell has that of None."""
    codes = {text: code for code, text in enumerate(column.kept)}
    codes |= dict.fromkeys(column.rare, len(column.kept))
    other = len(column.kept) if column.rare and unseen == "other" else -1
    missing = codes.pop(None, other)
    known = {text: code for text, code in codes.items() if text is not None}
    known |= dict.fromkeys(MISSING, missing)
    words = f"column {column.name!r}: a category as text, empty where missing"
    strict = unseen == "error"
    return Categories(column.name, words, known, other, column.width, strict)


def _labels(target: Classes) -> NDArray[Any]:
    """Return the classes: texts, or numbers if the target's cells were numbers."""
    if not target.numeric:
        return np.array(target.labels, dtype=object)
    try:
        numbers = [float(label) for label in target.labels]
    except ValueError as error:
        raise SpecError(f"the classes of {target.name!r} must be numbers: {error}") from None
    if all(n.is_integer() and abs(n) < 2**53 for n in numbers):
        return np.array(numbers, dtype=np.int64)
    return np.array(numbers)
