"""Estimators from the records of model files."""

from __future__ import annotations

from typing import Any

from deltarule.errors import ModelFileError
from deltarule.estimators.classifier import MLPClassifier
from deltarule.estimators.layer_options import read_regularization
from deltarule.estimators.regressor import MLPRegressor
from deltarule.estimators.solver_options import read_solver

__all__ = ["from_blueprint", "from_record"]

_CLASSES: dict[str, type[MLPClassifier] | type[MLPRegressor]] = {
    "classifier": MLPClassifier,
    "regressor": MLPRegressor,
}


def from_record(record: dict[str, Any], tensors: dict[str, Any]) -> MLPClassifier | MLPRegressor:
    """Return the fitted estimator that an estimator's ``to_record`` recorded.

    Raises
    ------
    ModelFileError
        If the record does not fit the tensors, or is not one of ours.
    """
    from deltarule.estimators import serialization  # pydantic: only for files

    with serialization.reading_record():
        serialization.check_entries(record)
        estimator = _unfitted(record)
        given = estimator.get_params(deep=False)
        regularization = read_regularization(given, read_solver(given))
        estimator._restore(serialization.read_model(record, tensors, regularization))
        return estimator


def from_blueprint(record: dict[str, Any]) -> MLPClassifier | MLPRegressor:
    """Return the estimator, not yet fitted, that its ``to_blueprint`` recorded.

    Raises
    ------
    ModelFileError
        If the record is not one of ours.
    """
    from deltarule.estimators import serialization

    with serialization.reading_record():
        if set(record) != {"kind", "parameters"}:
            raise ModelFileError("the model's record has missing or unknown entries.")
        return _unfitted(record)


def _unfitted(record: dict[str, Any]) -> MLPClassifier | MLPRegressor:
    from deltarule.estimators.serialization import read_blueprint

    blueprint = read_blueprint(record)
    estimator = _CLASSES[blueprint.kind]()
    known = set(estimator.get_params(deep=False)) - {"checkpoint"}
    if set(blueprint.parameters) != known:
        raise ModelFileError("the model's record does not hold the estimator's parameters.")
    estimator.set_params(**blueprint.parameters)
    estimator._validate_params()
    return estimator
