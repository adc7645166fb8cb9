"""Saving a model of any kind to a file, and loading it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deltarule import estimators
from deltarule.errors import ModelFileError
from deltarule.storage import (
    ModelRecord,
    StrPath,
    read_model_record,
    reading_model,
    write_model_record,
)
from deltarule.utils.checks import check_flag, check_path, shown

__all__ = ["load", "save"]

_CHECKPOINT = (
    "it is a checkpoint of a training run; resume that run (checkpoint= of the estimator, "
    "--resume of `deltarule train`), and save the resulting model"
)


def save(model: Any, path: StrPath, *, overwrite: bool = False) -> Path:
    """Save a fitted model in one file that contains no code, and return the path.

    Parameters
    ----------
    model : MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor, TableModel or pipeline
        A fitted model. In a pipeline, steps may be deltarule's estimators and scikit-learn's own
        transformers (its preprocessing, impute, compose, decomposition, feature_extraction and
        feature_selection; ``docs/format.md`` has the list). Pipelines need skops.
    path : str or path-like
        The file to write; its usual extension is ``.safetensors``.
    overwrite : bool, default=False
        Whether an existing file may be replaced.

    Returns
    -------
    pathlib.Path
        The path written.

    Raises
    ------
    ModelFileError
        If the model is not fitted, or contains an object that a file must not contain, such as a
        function or an unknown class. The message names the object's place in the model.
    OutputError
        If the file cannot be written, or exists and ``overwrite`` is false.
    MissingDependencyError
        If the model is a pipeline and skops is not installed.

    See Also
    --------
    load : Read the file back.
    """
    check_path("path", path)
    overwrite = check_flag("overwrite", overwrite)
    return write_model_record(_model_record(model), path, overwrite=overwrite)


def load(path: StrPath) -> Any:
    """Return the model in a file written by `save`, an estimator's ``save`` or ``deltarule train``.

    Loading never executes code from the file, and always detects a damaged file.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor or scikit-learn pipeline
        The fitted model; its predictions equal those of the saved model to the bit.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or was not written by deltarule.
    MissingDependencyError
        If the file contains a pipeline and skops is not installed.
    """
    model_record = read_model_record(path)
    with reading_model(path):
        if model_record.kind == "table":
            from deltarule.tables import TableModel  # pyarrow: not for an estimator's file
            from deltarule.tables.tabular import estimator_with

            return estimator_with(TableModel.from_model_record(model_record))
        if model_record.kind == "pipeline":
            from deltarule.persistence import pipelines  # scikit-learn, as in every estimator

            return pipelines.from_model_record(model_record)
        if model_record.kind in ("checkpoint", "curves"):
            raise ModelFileError(_CHECKPOINT)
        return estimators.from_record(model_record.record, model_record.tensors)


def _model_record(model: Any) -> ModelRecord:
    if hasattr(model, "to_model_record"):  # of a table
        model_record: ModelRecord = model.to_model_record()
        return model_record
    from deltarule.persistence import pipelines

    if pipelines.holds(model):
        return pipelines.to_model_record(model)
    if not isinstance(model, estimators.MLPClassifier | estimators.MLPRegressor):
        raise ModelFileError(
            "model must be an MLPClassifier, an MLPRegressor, a TableModel or a pipeline of them; "
            f"got {shown(model)}."
        )
    return ModelRecord("estimator", *model.to_record())
