"""`TabularClassifier` and `TabularRegressor`: scikit-learn's estimators of tables as they come."""

from __future__ import annotations

from typing import Any

from deltarule.errors import ModelFileError
from deltarule.storage import ModelRecord
from deltarule.tables.model import TableModel
from deltarule.tables.preparation import Prepared
from deltarule.tables.record import Task, validated
from deltarule.tables.settings import Arguments, Settings
from deltarule.tables.tabular.base import BaseTabular
from deltarule.tables.tabular.classifier import TabularClassifier
from deltarule.tables.tabular.regressor import TabularRegressor

__all__ = [
    "TabularClassifier",
    "TabularRegressor",
    "estimator_for",
    "estimator_with",
    "from_record",
]


def estimator_for(prepared: Prepared, settings: Settings) -> BaseTabular:
    """Return the estimator, not yet fitted, for the task and the options of the command line."""
    arguments = Arguments.of(prepared.plan, settings, prepared.reader.split.shares)
    kind = _KINDS[prepared.preprocessing.target.task]
    return kind(**arguments.parameters(), checkpoint=settings.checkpoint)


def estimator_with(model: TableModel) -> BaseTabular:
    """Return a fitted estimator with a model, such as one that was loaded."""
    estimator = _KINDS[model.target.task](**model.interface.arguments.parameters())
    estimator.restore(model)
    return estimator


def from_record(record: dict[str, Any], tensors: dict[str, Any]) -> BaseTabular:
    """Return the estimator in a pipeline's file, fitted or not."""
    if set(record) == {"table"} and isinstance(record["table"], dict):
        return estimator_with(
            TableModel.from_model_record(ModelRecord("table", record["table"], tensors))
        )
    if set(record) != {"tabular", "arguments"} or record["tabular"] not in _KINDS or tensors:
        raise ModelFileError("its record contains an invalid estimator of tables")
    arguments: Arguments = validated(Arguments, record["arguments"])
    return _KINDS[record["tabular"]](**arguments.parameters())


_KINDS: dict[Task, type[BaseTabular]] = {
    "classification": TabularClassifier,
    "regression": TabularRegressor,
}
