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

__all__ = ["check_inputs", "check_weight", "check_weight_sum", "make_block"]


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
    spec: NetworkSpec,
    X: Array,
    y: Any,
    sample_weight: Any = None,
    class_weight: Any = None,
    *,
    smoothed: bool,
) -> tuple[Block, Targets]:
    """Return inputs, targets and weights as a block, and the targets before smoothing.

    ``class_weight`` multiplies each row's weight by that of its class: a dict from class number
    to weight, or "balanced" for n/(k n_class), counted by ``sample_weight``.

    The block has ``smoothed`` targets for the objective of training. Likelihoods and losses of
    predictions are about the targets themselves.
    """
    inputs = check_inputs(spec, X)
    n = int(inputs.shape[0])
    if n == 0:
        raise DataError("X has no rows. Give at least one example.")
    targets = encode_targets(spec, to_numpy(y) if _is_foreign(y) else y, n)
    weight = check_weight(spec, sample_weight, n)
    if class_weight is not None:
        factors = target_factors(targets, class_weight, weight)
        with np.errstate(over="ignore"):  # reported by the check of the sum
            weight = (factors if weight is None else weight * factors).astype(spec.dtype)
        given = f"class_weight={class_weight!r}"
        check_weight_sum(given if sample_weight is None else f"{given} times sample_weight", weight)
    values = (smooth(spec, targets) if smoothed else targets.values).astype(spec.dtype)
    if _is_foreign(inputs):
        xp = inputs.__array_namespace__()
        values = xp.asarray(values)
        weight = None if weight is None else xp.asarray(weight)
    return Block(inputs, values, weight), targets


def check_weight(spec: NetworkSpec, sample_weight: Any, n: int) -> Any:
    """Return sample weights (n,) in the network's type, with a sum that it holds; None stays."""
    if sample_weight is None:
        return None
    given = to_numpy(sample_weight) if _is_foreign(sample_weight) else sample_weight
    weight = as_numbers("sample_weight", given, spec.dtype, "Give one weight for each row.")
    if weight.shape != (n,):
        raise ShapeError(f"sample_weight must have shape {(n,)}; got {weight.shape}.")
    if not np.isfinite(weight).all() or weight.min() < 0 or not np.any(given):
        raise DataError(
            "sample_weight must be finite, not negative, and not all zero; got values from "
            f"{weight.min():g} to {weight.max():g}."
        )
    check_weight_sum("sample_weight", weight)
    return weight


def check_weight_sum(given: str, weight: Any) -> None:
    """Raise ``DataError`` unless the weights' sum can divide the sums of a training in their type.

    A sum that is infinite makes every mean 0, and one near the smallest number leaves no digits.

    Parameters
    ----------
    given : str
        How the user named the weights.
    weight : (n,) array
        Not negative, in the type of the network.
    """
    with np.errstate(over="ignore"):
        total = float(np.sum(weight, dtype=np.float64))
    limits = np.finfo(weight.dtype)
    if total == 0:
        raise DataError(
            f"{given} leaves no row with a weight above 0 in {weight.dtype}, so there is nothing "
            "to learn from. Give a row of the data some weight."
        )
    if not float(limits.tiny) / float(limits.eps) <= total <= float(limits.max):
        wrong = "overflows" if total > 1 else "is too small for"
        raise DataError(
            f"{given}: the sum of the weights {wrong} {weight.dtype}; got weights up to "
            f"{float(np.max(weight)):g}. Divide them by their largest value: only their ratios "
            "matter."
        )


def _is_foreign(array: Any) -> bool:
    """Return whether it is an array API array of another library than NumPy."""
    return hasattr(array, "__array_namespace__") and not isinstance(array, np.ndarray | np.generic)
