"""A user's arrays as a block of rows, checked against a network; class weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from deltarule.arrays import Array, is_sparse, to_numpy
from deltarule.checks import check_shape
from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.program import Block, State
from deltarule.spec import NetworkSpec
from deltarule.tape import Tape
from deltarule.targets import Targets, as_numbers, encode_targets, smooth

__all__ = ["check_inputs", "check_state", "class_factors", "make_block"]


def check_inputs(spec: NetworkSpec, X: Array) -> Array:
    """Return X as a finite (n, d) array of the network's type; CSR stays CSR.

    Raises
    ------
    DataError, ShapeError
        For anything but numbers, NaN or infinity, or another number of columns.
    """
    if is_sparse(X):
        matrix = X.tocsr().astype(spec.dtype)
        finite = bool(np.isfinite(matrix.data).all())
    elif not _is_foreign(X):
        remedy = "Encode strings and categories first (sklearn.preprocessing.OneHotEncoder)."
        matrix = as_numbers("X", X, spec.dtype, remedy)
        finite = bool(np.isfinite(matrix).all())
    else:
        xp = X.__array_namespace__()
        matrix = xp.astype(X, getattr(xp, spec.dtype))
        finite = bool(xp.all(xp.isfinite(matrix)))
    if len(matrix.shape) != 2 or matrix.shape[1] != spec.n_inputs:
        raise ShapeError(
            f"X must have shape (n, {spec.n_inputs}), one row for each example; got "
            f"{tuple(matrix.shape)}."
        )
    if not finite:
        raise DataError("X contains NaN or infinity. Drop those rows, or impute them.")
    return matrix


def check_state(tape: Tape, state: State) -> None:
    """Raise ``ShapeError`` unless the state has the parameters of this network."""
    check_shape(
        "state.theta",
        state.theta,
        (tape.n_parameters,),
        "It is the state of another network: use net.initialize(seed) of this one.",
    )


def make_block(
    spec: NetworkSpec, X: Array, y: Any, sample_weight: Any = None, class_weight: Any = None
) -> tuple[Block, Targets]:
    """Return inputs, smoothed targets and weights as a block, and the targets before smoothing.

    ``class_weight`` multiplies each row's weight by that of its class: a dict from class number
    to weight, or "balanced" for n/(k n_class), counted by ``sample_weight``.
    """
    inputs = check_inputs(spec, X)
    n = int(inputs.shape[0])
    if n == 0:
        raise DataError("X has no rows. Give at least one example.")
    targets = encode_targets(spec, to_numpy(y) if _is_foreign(y) else y, n)
    weight = _check_weight(spec, sample_weight, n)
    if class_weight is not None:
        factors = _factors_of(targets, class_weight, weight)
        weight = (factors if weight is None else weight * factors).astype(spec.dtype)
    values = smooth(spec, targets).astype(spec.dtype)
    if _is_foreign(inputs):
        xp = inputs.__array_namespace__()
        values = xp.asarray(values)
        weight = None if weight is None else xp.asarray(weight)
    return Block(inputs, values, weight), targets


def _check_weight(spec: NetworkSpec, sample_weight: Any, n: int) -> Any:
    if sample_weight is None:
        return None
    given = to_numpy(sample_weight) if _is_foreign(sample_weight) else sample_weight
    weight = as_numbers("sample_weight", given, spec.dtype, "Give one weight for each row.")
    if weight.shape != (n,):
        raise ShapeError(f"sample_weight must have shape {(n,)}; got {weight.shape}.")
    if not np.isfinite(weight).all() or weight.min() < 0 or weight.sum() == 0:
        raise DataError(
            "sample_weight must be finite, not negative, and not all zero; got values from "
            f"{weight.min():g} to {weight.max():g}."
        )
    return weight


def _factors_of(targets: Targets, class_weight: Any, weight: Any) -> Any:
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


def _is_foreign(array: Any) -> bool:
    """Return whether it is an array API array of another library than NumPy."""
    return hasattr(array, "__array_namespace__") and not isinstance(array, np.ndarray)
