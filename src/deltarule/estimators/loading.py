"""Estimators from the records of model files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deltarule.errors import ModelFileError
from deltarule.estimators import serialization
from deltarule.estimators.fitted_attributes import FittedAttributes
from deltarule.estimators.fitted_model import FittedModel
from deltarule.estimators.interpreter_cache import InterpreterCache
from deltarule.estimators.layer_options import read_regularization
from deltarule.estimators.parameter_constraints import CLASSIFIER, REGRESSOR, fits
from deltarule.estimators.serialization import Blueprint
from deltarule.estimators.solver_options import read_solver
from deltarule.program import Interpreter

if TYPE_CHECKING:
    from deltarule.estimators.classifier import MLPClassifier
    from deltarule.estimators.regressor import MLPRegressor

__all__ = ["RecordedEstimator", "from_blueprint", "from_record"]


class RecordedEstimator(FittedAttributes):
    """The fitted estimator in a record: it predicts, and becomes scikit-learn's when asked to.

    Importing scikit-learn takes longer than all that a prediction needs.

    Parameters
    ----------
    record, tensors : dict
        What an estimator's ``to_record`` returned.

    Raises
    ------
    ModelFileError
        If the record does not fit the tensors, or is not one of ours.
    """

    def __init__(self, record: dict[str, Any], tensors: dict[str, Any]) -> None:
        with serialization.reading_record():
            serialization.check_entries(record)
            self._blueprint = _read_blueprint(record)
            given = self._blueprint.parameters
            regularization = read_regularization(given, read_solver(given))
            self._read = serialization.read_model(record, tensors, regularization)
        self._interpreters = InterpreterCache()
        self._made: MLPClassifier | MLPRegressor | None = None

    @property
    def estimator(self) -> MLPClassifier | MLPRegressor:
        """scikit-learn's estimator, always the same one; predictions then are those of it."""
        if self._made is None:
            made = _unfitted(self._blueprint)
            made._restore(self._read)
            self._made = made
        return self._made

    def predict(self, X: Any) -> Any:
        """Predict for checked rows (n, d), an array of finite floats."""
        if self._made is not None:
            return self._made.predict(X)
        return self._read.predict(self._interpreter(), X)

    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of the classes for checked rows (n, d)."""
        if self._made is not None:
            return self._made.predict_proba(X)
        return self._read.predict_proba(self._interpreter(), X)

    @property
    def classes_(self) -> Any:
        """The class labels (n_classes,), in ascending order."""
        classes = getattr(self._fitted("classes_").targets, "classes", None)
        if classes is None:
            raise self._missing("classes_")
        return classes

    def _fitted(self, name: str) -> FittedModel:
        return self._read if self._made is None else self._made._model

    def _interpreter(self) -> Interpreter:
        given = self._blueprint.parameters
        return self._interpreters.interpreter(
            self._read.network.tape, engine=given["engine"], n_threads=given["n_threads"]
        )


def from_record(record: dict[str, Any], tensors: dict[str, Any]) -> MLPClassifier | MLPRegressor:
    """Return the fitted estimator that an estimator's ``to_record`` recorded.

    Raises
    ------
    ModelFileError
        If the record does not fit the tensors, or is not one of ours.
    """
    return RecordedEstimator(record, tensors).estimator


def from_blueprint(record: dict[str, Any]) -> MLPClassifier | MLPRegressor:
    """Return the estimator, not yet fitted, that its ``to_blueprint`` recorded.

    Raises
    ------
    ModelFileError
        If the record is not one of ours.
    """
    with serialization.reading_record():
        if set(record) != {"kind", "parameters"}:
            raise ModelFileError("the model's record has missing or unknown entries.")
        return _unfitted(_read_blueprint(record))


def _read_blueprint(record: dict[str, Any]) -> Blueprint:
    """Return the kind and the arguments in a record, which are those of the estimator."""
    blueprint = serialization.read_blueprint(record)
    rules = CLASSIFIER if blueprint.kind == "classifier" else REGRESSOR
    if set(blueprint.parameters) != set(rules) - {"checkpoint"}:
        raise ModelFileError("the model's record does not hold the estimator's parameters.")
    for name, value in blueprint.parameters.items():
        if not fits(value, rules[name]):
            raise ModelFileError(f"the model's record holds no valid {name}: got {value!r:.40}.")
    return blueprint


def _unfitted(blueprint: Blueprint) -> MLPClassifier | MLPRegressor:
    from deltarule.estimators.classifier import MLPClassifier
    from deltarule.estimators.regressor import MLPRegressor

    kind = MLPClassifier if blueprint.kind == "classifier" else MLPRegressor
    estimator: MLPClassifier | MLPRegressor = kind()
    return estimator.set_params(**blueprint.parameters)
