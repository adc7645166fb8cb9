"""A user's arrays as a block of rows, checked against the network they are meant for."""

from __future__ import annotations

from typing import Any

import numpy as np

from deltarule.arrays import Array, is_sparse, to_numpy
from deltarule.checks import check_shape
from deltarule.errors import DataError, ShapeError
from deltarule.program import Block, State
from deltarule.spec import NetworkSpec
from deltarule.tape import Tape
from deltarule.targets import Targets, as_numbers, encode_targets, smooth

__all__ = ["check_inputs", "check_state", "make_block"]


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
            f"X must have shape (n, {spec.n_inputs}), a row an example; got {tuple(matrix.shape)}."
        )
    if not finite:
        raise DataError("X contains NaN or infinity. Drop those rows, or impute them.")
    return matrix


def check_state(tape: Tape, state: State) -> None:
    """Raise ``ShapeError`` unless the state is one of this network."""
    check_shape(
        "state.theta",
        state.theta,
        (tape.n_parameters,),
        "It is the state of another network: take net.initialize(seed) of this one.",
    )


def make_block(
    spec: NetworkSpec, X: Array, y: Any, sample_weight: Any = None, class_weight: Any = None
) -> tuple[Block, Targets]:
    """Return inputs, smoothed targets and weights as a block, and the targets unsmoothed.

    ``class_weight`` multiplies the weight of every row by that of its class: a mapping from class
    number to weight, or "balanced" for n/(k n_class).
    """
    inputs = check_inputs(spec, X)
    n = int(inputs.shape[0])
    if n == 0:
        raise DataError("X has no rows. Give at least one example.")
    targets = encode_targets(spec, to_numpy(y) if _is_foreign(y) else y, n)
    weight = _check_weight(spec, sample_weight, n)
    if class_weight is not None:
        factors = _class_factors(targets, class_weight)
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
    weight = as_numbers("sample_weight", given, spec.dtype, "Give one weight a row.")
    if weight.shape != (n,):
        raise ShapeError(f"sample_weight must have shape {(n,)}; got {weight.shape}.")
    if not np.isfinite(weight).all() or weight.min() < 0 or weight.sum() == 0:
        raise DataError(
            "sample_weight must be finite, not negative, and not all zero; got values from "
            f"{weight.min():g} to {weight.max():g}."
        )
    return weight


def _class_factors(targets: Targets, class_weight: Any) -> Any:
    """Return each row's class weight."""
    values = np.asarray(targets.values)
    if targets.kind == "numbers" or (targets.kind == "labels" and values.shape[1] > 1):
        raise DataError(
            "class_weight is for networks that tell classes apart (cross-entropy losses, one class "
            "a row). Use sample_weight here."
        )
    one_column = values.shape[1] == 1
    classes = (values[:, 0] > 0.5).astype(int) if one_column else np.argmax(values, axis=1)
    k = 2 if one_column else values.shape[1]
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise DataError(f"class_weight must be 'balanced' or a mapping; got {class_weight!r}.")
        counts = np.bincount(classes, minlength=k)
        return (len(classes) / (k * np.maximum(counts, 1)))[classes]
    unknown = set(class_weight) - set(range(k))
    if unknown or any(not np.isfinite(w) or w < 0 for w in class_weight.values()):
        raise DataError(
            f"class_weight must map class numbers 0 … {k - 1} to weights of at least 0; got "
            f"{class_weight!r}."
        )
    return np.array([float(class_weight.get(c, 1.0)) for c in range(k)])[classes]


def _is_foreign(array: Any) -> bool:
    """Whether it is an array of another library than NumPy that follows the array API."""
    return hasattr(array, "__array_namespace__") and not isinstance(array, np.ndarray)
