"""scikit-learn pipelines in a model file.

deltarule's own estimators are taken out of the pipeline and kept as they always are, as records
and tensors; a placeholder with a number stands where each one was. The rest goes through skops,
whose archive is one more tensor: the file's digest covers it like everything else.
"""

from __future__ import annotations

import copy
from types import ModuleType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from deltarule.errors import MissingDependencyError, ModelFileError
from deltarule.estimators import (
    MLPClassifier,
    MLPRegressor,
    from_blueprint,
    from_record,
)
from deltarule.files import Contents
from deltarule.persistence.allowed import Placeholder, classes, functions, types
from deltarule.persistence.archive import check, normalize
from deltarule.persistence.inspection import objects

__all__ = ["from_contents", "holds", "to_contents"]

_OURS = (MLPClassifier, MLPRegressor)
_ARCHIVE = "skops"


def holds(model: Any) -> bool:
    """Whether a model is one of scikit-learn's objects, to be kept as a pipeline is."""
    return isinstance(model, BaseEstimator) and type(model).__module__.startswith("sklearn.")


def to_contents(model: Any) -> Contents:
    """Return what a file of a pipeline holds.

    Raises
    ------
    ModelFileError
        If the pipeline is not fitted, or a part of it is not allowed; the message names the part.
    """
    skops = _skops()
    found = objects(model, _OURS)
    try:
        check_is_fitted(model)
    except NotFittedError:
        raise ModelFileError(f"this {type(model).__name__} is not fitted yet: call fit") from None
    ours = [part for _, part in found if type(part) in _OURS]
    # Copying with the estimators already "copied" puts their placeholders in their places.
    memo: dict[int, Any] = {id(part): Placeholder(number) for number, part in enumerate(ours)}
    archive = normalize(skops.dumps(copy.deepcopy(model, memo)))
    check(archive)  # what cannot be read back is not written
    records: list[dict[str, Any]] = []
    tensors: dict[str, Any] = {_ARCHIVE: np.frombuffer(archive, np.uint8)}
    for number, estimator in enumerate(ours):
        if not estimator.__sklearn_is_fitted__():  # such as TransformedTargetRegressor.regressor
            records.append(estimator.to_blueprint())
            continue
        record, arrays = estimator.to_record()
        records.append(record)
        tensors |= {f"{number}.{name}": array for name, array in arrays.items()}
    return Contents("pipeline", {"networks": records}, tensors)


def from_contents(contents: Contents) -> Any:
    """Build a pipeline from what a file of it holds.

    Raises
    ------
    ModelFileError
        If anything in it is malformed or not allowed. Nothing has been built then.
    """
    skops = _skops()
    networks = _networks(contents)
    archive = contents.tensors.get(_ARCHIVE)
    if archive is None or archive.dtype != np.uint8 or archive.ndim != 1:
        raise ModelFileError("its record is of a pipeline, but there is none")
    try:
        data = archive.tobytes()
        check(data)
        model = skops.loads(data, trusted=[*classes(), *functions(), *types(), "numpy.dtype"])
        places = [part for _, part in objects(model, (Placeholder,)) if type(part) is Placeholder]
        model = copy.deepcopy(model, _replacements(places, networks))
        for _, part in objects(model, _OURS):
            if hasattr(part, "_parameter_constraints"):
                part._validate_params()
        if not holds(model) or not getattr(model, "steps", True):
            raise ModelFileError("its pipeline has no steps")
        check_is_fitted(model)
        return model
    except ModelFileError:
        raise
    except Exception as error:  # whatever scikit-learn says of a state that makes no sense
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ModelFileError(f"its pipeline is not valid: {reason}") from error


def _networks(contents: Contents) -> list[Any]:
    """Return the estimators of ours, in the order of their numbers."""
    records = contents.record.get("networks")
    if set(contents.record) != {"networks"} or not isinstance(records, list):
        raise ModelFileError("its record lacks entries, or has unknown ones")
    arrays: list[dict[str, Any]] = [{} for _ in records]
    for name, array in contents.tensors.items():
        if name == _ARCHIVE:
            continue
        number, dot, inner = name.partition(".")
        if not dot or number not in map(str, range(len(records))):
            raise ModelFileError("its tensors are not those of its networks")
        arrays[int(number)][inner] = array
    made = []
    for record, tensors in zip(records, arrays, strict=True):
        if not isinstance(record, dict):
            raise ModelFileError("its record holds no valid network")
        fitted = "widths" in record or tensors
        made.append(from_record(record, tensors) if fitted else from_blueprint(record))
    return made


def _replacements(places: list[Placeholder], networks: list[Any]) -> dict[int, Any]:
    """Return the estimator to put in the place of each placeholder, by its identity."""
    numbers = [vars(place) for place in places]
    if sorted(map(str, numbers)) != sorted(str({"number": i}) for i in range(len(networks))):
        raise ModelFileError("its pipeline has other places for networks than networks")
    return {id(place): networks[place.number] for place in places}


def _skops() -> ModuleType:
    try:
        import skops.io
    except ImportError:
        raise MissingDependencyError(
            "pipelines in model files need skops, which is not installed: "
            'pip install "deltarule[pipelines]"'
        ) from None
    return skops.io
