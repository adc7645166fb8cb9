"""Class weights: one factor for each row, by its class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from deltarule.errors import DataError, SpecError
from deltarule.network.targets import Targets

__all__ = ["class_factors", "target_factors"]


def target_factors(targets: Targets, class_weight: Any, weight: Any) -> Any:
    """Return each row's class weight, by class number."""
    values = np.asarray(targets.values)
    if targets.kind == "numbers":
        raise DataError(
            "class_weight is for networks that tell classes apart (cross-entropy losses). Use "
            "sample_weight here."
        )
    several = targets.kind == "labels" and values.shape[1] > 1
    if several:
        return class_factors(class_weight, None, (values > 0.5).astype(int), weight)
    one_column = values.shape[1] == 1
    codes = (values[:, 0] > 0.5).astype(int) if one_column else np.argmax(values, axis=1)
    return class_factors(class_weight, np.arange(max(values.shape[1], 2)), codes, weight)


def class_factors(class_weight: Any, classes: Any, codes: Any, weight: Any) -> Any:
    """Return the weight of each row's class (n,), as in scikit-learn.

    Parameters
    ----------
    class_weight : "balanced", dict or list of dict
        With several labels a list, one dict for each label; their weights are multiplied.
    classes : array of shape (k,)
        The classes, by which a dict names them.
    codes : array of shape (n,) or (n, k)
        The index of each row's class; with several labels, 0 or 1 for each.
    weight : array of shape (n,) or None
        Sample weights. "balanced" counts each row by its weight, so rows of weight 0 are absent.

    Raises
    ------
    SpecError
        If the weights do not fit the classes.
    """
    if isinstance(class_weight, str) and class_weight != "balanced":
        raise SpecError(f"class_weight must be 'balanced' or a dict; got {class_weight!r}.")
    if codes.ndim == 1:
        if not isinstance(class_weight, str | Mapping):
            raise SpecError(
                "class_weight must be 'balanced' or a dict of classes; a list of dicts is for "
                f"several labels. Got {class_weight!r}."
            )
        return _column(class_weight, classes, codes, weight)
    columns = codes.shape[1]
    given = [class_weight] * columns if isinstance(class_weight, str) else class_weight
    if not isinstance(given, list) or len(given) != columns:
        raise SpecError(
            f"class_weight must be 'balanced', or a list of {columns} dicts of 0 and 1, one for "
            f"each label; got {class_weight!r}."
        )
    factors = [_column(g, np.arange(2), c, weight) for g, c in zip(given, codes.T, strict=True)]
    return np.prod(factors, axis=0)


def _column(class_weight: Any, classes: Any, codes: Any, weight: Any) -> Any:
    """Return the weight of each row's class for one label, or for classes."""
    from sklearn.utils.class_weight import compute_class_weight

    present = codes if weight is None else codes[weight > 0]
    of_class = np.ones(len(classes))
    if isinstance(class_weight, str):
        seen = np.unique(present)
        counted = None if weight is None else weight[weight > 0]
        of_class[seen] = compute_class_weight(
            class_weight, classes=seen, y=present, sample_weight=counted
        )
    else:
        of_class[:] = _weights_of(class_weight, classes.tolist())
    if not (np.isfinite(of_class).all() and (of_class >= 0).all()):
        raise SpecError(
            f"class_weight must hold finite numbers of at least 0; got {class_weight!r}."
        )
    return of_class[codes]


def _weights_of(class_weight: Mapping[Any, float], labels: list[Any]) -> list[float]:
    """Return the weight of each label, 1 for those that have none.

    As in scikit-learn, unknown class names are ignored when every label has a weight, because a
    cross-validation fold may lack a class.
    """
    named = [label for label in labels if label in class_weight]
    if len(named) < min(len(labels), len(class_weight)):
        raise SpecError(
            f"class_weight names {list(class_weight)}, but the classes are {labels}. Name them as "
            "in y; those left out have weight 1."
        )
    return [float(class_weight.get(label, 1.0)) for label in labels]
