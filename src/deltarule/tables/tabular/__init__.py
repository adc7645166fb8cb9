"""`TabularClassifier` and `TabularRegressor`: scikit-learn's estimators of tables as they come."""

from __future__ import annotations

from deltarule.tables.model import TableModel
from deltarule.tables.prepare import Prepared
from deltarule.tables.record import Task
from deltarule.tables.settings import Arguments, Settings
from deltarule.tables.tabular.base import BaseTabular
from deltarule.tables.tabular.classifier import TabularClassifier
from deltarule.tables.tabular.regressor import TabularRegressor

__all__ = ["TabularClassifier", "TabularRegressor", "estimator_for", "estimator_with"]


def estimator_for(prepared: Prepared, settings: Settings) -> BaseTabular:
    """Return the estimator, not yet fitted, for the task and the options of the command line."""
    dev = prepared.reader.split.shares.dev
    arguments = Arguments.of(prepared.plan, settings, dev)
    kind = _KINDS[prepared.preprocessing.target.task]
    return kind(**arguments.parameters(), checkpoint=settings.checkpoint)


def estimator_with(model: TableModel) -> BaseTabular:
    """Return a fitted estimator with a model, such as one that was loaded."""
    estimator = _KINDS[model.target.task](**model.interface.arguments.parameters())
    estimator.restore(model)
    return estimator


_KINDS: dict[Task, type[BaseTabular]] = {
    "classification": TabularClassifier,
    "regression": TabularRegressor,
}
