"""A user's arrays as a block of rows, checked against a network."""

from __future__ import annotations

from typing import Any

import numpy as np

from deltarule.errors import DataError, ShapeError
from deltarule.network.class_weight import target_factors
from deltarule.network.targets import Targets, as_numbers, encode_targets, smooth
from deltarule.program import Block
from deltarule.spec import NetworkSpec
from deltarule.utils.arrays import Array, is_sparse, to_numpy

__all__ = ["check_inputs", "make_block"]


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
        factors = target_factors(targets, class_weight, weight)
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


def _is_foreign(array: Any) -> bool:
    """Return whether it is an array API array of another library than NumPy."""
    return hasattr(array, "__array_namespace__") and not isinstance(array, np.ndarray | np.generic)
