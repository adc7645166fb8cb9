"""A model of a table as an ONNX graph: its network, and its columns as named inputs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import SpecError
from deltarule.onnx import Exportable, Labels, Numbers, Scaling
from deltarule.onnx.columns import Column
from deltarule.tables.kinds import Unseen, kind_of
from deltarule.tables.record import Classes, PreprocessingRecord
from deltarule.utils.checks import check_name

__all__ = ["columns_of", "exportable_of"]


def exportable_of(record: PreprocessingRecord, estimator: Any) -> Exportable:
    """Return the network of a model of a table, with the table's labels or unit as outputs."""
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


def columns_of(record: PreprocessingRecord, unseen: Unseen = "other") -> list[Column]:
    """Return the columns as inputs of a graph; `unseen` says what unseen categories become."""
    check_name("unseen", unseen, ("other", "error"))
    return [kind_of(column).onnx_input(column, unseen) for column in record.columns]


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
