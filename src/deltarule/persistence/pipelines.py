"""scikit-learn pipelines in a model file.

deltarule's own estimators are taken out of the pipeline and saved as records and tensors; a
numbered placeholder takes the place of each. skops writes the rest, and its archive is saved as
one more tensor, so that the file's digest covers it too.
"""

from __future__ import annotations

import copy
import sys
from types import ModuleType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from deltarule.errors import ModelFileError
from deltarule.estimators import (
    MLPClassifier,
    MLPRegressor,
    from_blueprint,
    from_record,
)
from deltarule.persistence.allowlist import Placeholder, classes, functions, types
from deltarule.persistence.attribute_checks import (
    check_attributes,
    check_steps,
    reset_addresses,
    reset_processes,
)
from deltarule.persistence.object_graph import objects
from deltarule.persistence.skops_archive import check, normalize
from deltarule.storage import ModelRecord
from deltarule.utils.context import error_context, needing

__all__ = ["from_model_record", "holds", "to_model_record"]

_ARCHIVE = "skops"


def holds(model: Any) -> bool:
    """Return whether a model is a scikit-learn object, which is saved as a pipeline."""
    return isinstance(model, BaseEstimator) and type(model).__module__.startswith("sklearn.")


def _ours() -> tuple[type[Any], ...]:
    """Return deltarule's estimators; those of tables only if they were imported."""
    tabular = sys.modules.get("deltarule.tables.tabular")
    further = () if tabular is None else (tabular.TabularClassifier, tabular.TabularRegressor)
    return MLPClassifier, MLPRegressor, *further


def to_model_record(model: Any) -> ModelRecord:
    """Return the model record of a pipeline.

    Raises
    ------
    ModelFileError
        If the pipeline is not fitted, or contains an object that is not allowed, which the message
        names.
    """
    skops = _skops()
    found = objects(model, _ours())
    try:
        check_is_fitted(model)
    except NotFittedError:
        raise ModelFileError(f"this {type(model).__name__} is not fitted: call fit first") from None
    ours = [part for _, part in found if type(part) in _ours()]
    for place, part in found:  # do not write a file that could not be read
        if type(part) not in _ours():
            check_attributes(place, part)
            check_steps(place, part)
    # The memo makes deepcopy put a placeholder where each estimator was.
    memo: dict[int, Any] = {id(part): Placeholder(number) for number, part in enumerate(ours)}
    copied = copy.deepcopy(model, memo)
    for _, part in objects(copied, (Placeholder,)):
        reset_addresses(part)
    archive = normalize(skops.dumps(copied))
    check(archive)  # do not write a file that could not be read
    records: list[dict[str, Any]] = []
    tensors: dict[str, Any] = {_ARCHIVE: np.frombuffer(archive, np.uint8)}
    for number, estimator in enumerate(ours):
        if not estimator.__sklearn_is_fitted__():  # such as TransformedTargetRegressor.regressor
            records.append(estimator.to_blueprint())
            continue
        record, arrays = estimator.to_record()
        records.append(record)
        tensors |= {f"{number}.{name}": array for name, array in arrays.items()}
    return ModelRecord("pipeline", {"networks": records}, tensors)


def from_model_record(model_record: ModelRecord) -> Any:
    """Return the pipeline that a model record describes.

    Raises
    ------
    ModelFileError
        If anything in it is malformed or not allowed; then nothing is built.
    """
    skops = _skops()
    networks = _networks(model_record)
    archive = model_record.tensors.get(_ARCHIVE)
    if archive is None or archive.dtype != np.uint8 or archive.ndim != 1:
        raise ModelFileError("its record says that it is a pipeline, but the pipeline is missing")

    def invalid(error: Exception) -> ModelFileError:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return ModelFileError(f"its pipeline is not valid: {reason}")

    # scikit-learn raises all kinds of errors for an invalid state.
    with error_context((Exception, invalid), unless=ModelFileError):
        data = archive.tobytes()
        check(data)
        model = skops.loads(data, trusted=[*classes(), *functions(), *types(), "numpy.dtype"])
        places = [part for _, part in objects(model, (Placeholder,)) if type(part) is Placeholder]
        model = copy.deepcopy(model, _replacements(places, networks))
        parts = list(objects(model, _ours()))
        for place, part in parts:
            if hasattr(part, "_parameter_constraints"):
                part._validate_params()
            if type(part) not in _ours():
                reset_processes(part)
                reset_addresses(part)
                check_attributes(place, part)
        for place, part in parts:
            check_steps(place, part)
        if not holds(model) or not getattr(model, "steps", True):
            raise ModelFileError("its pipeline has no steps")
        check_is_fitted(model)
        return model


def _networks(model_record: ModelRecord) -> list[Any]:
    """Return deltarule's estimators in the pipeline, in the order of their numbers."""
    records = model_record.record.get("networks")
    if set(model_record.record) != {"networks"} or not isinstance(records, list):
        raise ModelFileError("its record has missing or unknown entries")
    arrays: list[dict[str, Any]] = [{} for _ in records]
    for name, array in model_record.tensors.items():
        if name == _ARCHIVE:
            continue
        number, dot, inner = name.partition(".")
        if not dot or number not in map(str, range(len(records))):
            raise ModelFileError("its tensors do not belong to its networks")
        arrays[int(number)][inner] = array
    made = []
    for record, tensors in zip(records, arrays, strict=True):
        if not isinstance(record, dict):
            raise ModelFileError("its record contains an invalid network")
        if "table" in record or "tabular" in record:
            from deltarule.tables import tabular  # pyarrow: only for tables

            made.append(tabular.from_record(record, tensors))
            continue
        fitted = "widths" in record or tensors
        made.append(from_record(record, tensors) if fitted else from_blueprint(record))
    return made


def _replacements(places: list[Placeholder], networks: list[Any]) -> dict[int, Any]:
    """Return the estimator that replaces each placeholder, by the placeholder's id."""
    numbers = [vars(place) for place in places]
    if sorted(map(str, numbers)) != sorted(str({"number": i}) for i in range(len(networks))):
        raise ModelFileError("its pipeline's placeholders do not match its networks")
    return {id(place): networks[place.number] for place in places}


def _skops() -> ModuleType:
    with needing("pipelines", "pipelines in model files need skops"):
        import skops.io
    return skops.io
