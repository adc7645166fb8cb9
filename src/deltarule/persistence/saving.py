"""Save a model and load it again, whatever kind of model it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deltarule import estimators
from deltarule.errors import ModelFileError
from deltarule.files import Contents, StrPath, blaming, read_contents, write_contents
from deltarule.persistence import pipelines

__all__ = ["load", "save"]

_CHECKPOINT = (
    "it is a checkpoint of a training; go on with that training (checkpoint= of the estimator, "
    "--resume of `deltarule train`), and save the model that comes out"
)


def save(model: Any, path: StrPath, *, overwrite: bool = False) -> Path:
    """Save a fitted model in one file that holds no code.

    Parameters
    ----------
    model : MLPClassifier, MLPRegressor, TableModel or scikit-learn pipeline
        A fitted model. In a pipeline, steps may be deltarule's estimators and scikit-learn's own
        transformers (its preprocessing, impute, compose, decomposition, feature_extraction and
        feature_selection; ``docs/format.md`` has the list); this needs skops.
    path : str or path-like
        The file to write; ``.safetensors`` is the usual ending.
    overwrite : bool, default=False
        Whether an existing file may be replaced.

    Returns
    -------
    pathlib.Path
        The path written.

    Raises
    ------
    ModelFileError
        If the model is not fitted, or holds what a file must not: a function, a class of others.
        The message names its place in the model.
    OutputError
        If the file cannot be written, or exists and ``overwrite`` is false.
    MissingDependencyError
        If the model is a pipeline and skops is not installed.

    See Also
    --------
    load : Read the file back.
    """
    return write_contents(_contents(model), path, overwrite=overwrite)


def load(path: StrPath) -> Any:
    """Load a model saved by `save`, by an estimator's ``save`` or by ``deltarule train``.

    Loading never executes code from the file, and a damaged file is always noticed.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    MLPClassifier, MLPRegressor, TableModel or scikit-learn pipeline
        The fitted model; its predictions equal the saved one's to the bit.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or was not written by deltarule.
    MissingDependencyError
        If the file holds a pipeline and skops is not installed.
    """
    contents = read_contents(path)
    with blaming(path):
        if contents.kind == "table":
            from deltarule.tables import TableModel  # pyarrow: not for an estimator's file

            return TableModel.from_contents(contents)
        if contents.kind == "pipeline":
            return pipelines.from_contents(contents)
        if contents.kind == "checkpoint":
            raise ModelFileError(_CHECKPOINT)
        return estimators.from_record(contents.record, contents.tensors)


def _contents(model: Any) -> Contents:
    if hasattr(model, "to_contents"):  # a TableModel
        contents: Contents = model.to_contents()
        return contents
    if pipelines.holds(model):
        return pipelines.to_contents(model)
    if not isinstance(model, estimators.MLPClassifier | estimators.MLPRegressor):
        raise ModelFileError(f"only deltarule's estimators can be recorded; got {model!r}.")
    return Contents("estimator", *model.to_record())
