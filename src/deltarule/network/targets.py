"""Encoding of targets for a loss: a floating array (n, k), checked against its domain."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from deltarule.errors import DataError, ShapeError
from deltarule.spec import NetworkSpec, loss_name
from deltarule.utils.arrays import Array
from deltarule.utils.checks import check_undated

__all__ = ["Targets", "encode_targets", "smooth"]


class Targets(NamedTuple):
    """Encoded targets and their kind."""

    values: Array  # (n, k)
    kind: Literal["classes", "labels", "numbers"]  # one of k, any of k, real numbers


def as_numbers(name: str, given: Any, dtype: str | None, remedy: str) -> Any:
    """Return the argument as a NumPy array of numbers, converted to ``dtype`` if given.

    Raises
    ------
    DataError
        For strings, objects, ragged rows, and numbers too large for ``dtype``.
    """
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise DataError(
            f"{name} must be a rectangular array of numbers; got rows of unequal length. {remedy}"
        ) from error
    if array.dtype.kind not in "biuf":
        check_undated(name, array)
        raise DataError(f"{name} must hold numbers; got dtype {array.dtype}. {remedy}")
    if dtype is None:
        return array
    with np.errstate(over="ignore"):  # a number that is too large becomes infinite
        cast = np.ascontiguousarray(array, dtype=dtype)
    if array.dtype.kind == "f" and bool((np.isinf(cast) & np.isfinite(array)).any()):
        raise DataError(f"{name} holds a value too large for {dtype}. Scale it, or use float64.")
    return cast


def encode_targets(spec: NetworkSpec, y: Any, n_rows: int) -> Targets:
    """Return y as the (n, k) array that the loss compares the outputs with.

    If the network has several outputs, y in one dimension holds the class numbers 0 … k−1 and is
    one-hot encoded. If it has one output, y in one dimension holds the targets. Soft targets are
    allowed.

    Raises
    ------
    ShapeError, DataError
        For a wrong shape, non-finite values, or values outside the loss's domain.
    """
    given = as_numbers(
        "y",
        y,
        None,
        "Encode class names as 0 … k-1, or use deltarule.MLPClassifier, which takes any labels.",
    )
    k, name, classes = spec.n_targets, loss_name(spec.loss), False
    if given.ndim == 1 and k > 1:
        values, classes = _one_hot(given, k), True
    elif given.ndim == 1:
        values = given[:, None]
    else:
        values = given
    if values.shape != (n_rows, k):
        raise ShapeError(
            f"y must have shape {(n_rows, k)}{f' or {(n_rows,)}' if k == 1 else ''}, one row per "
            f"row of X and one column per target; got {given.shape}."
        )
    values = as_numbers("y", values, spec.dtype, "Scale the targets.")
    if not np.isfinite(values).all():
        raise DataError("y contains NaN or infinity. Drop those rows, or impute them.")
    _check_domain(name, values)
    meant: Literal["classes", "labels", "numbers"] = "numbers"
    if classes or name == "categorical_cross_entropy":
        meant = "classes"
    elif name == "binary_cross_entropy":
        meant = "labels"
    if spec.n_outputs > k:
        values = np.repeat(values, spec.n_outputs // k, axis=1)
    return Targets(values, meant)


def smooth(spec: NetworkSpec, targets: Targets) -> Array:
    """Return the targets with label smoothing s: (1 − s) y + s/K for K classes, s/2 for labels."""
    s = spec.label_smoothing
    if s == 0:
        return targets.values
    classes = spec.n_targets if targets.kind == "classes" else 2
    return (1 - s) * targets.values + s / classes


def _one_hot(labels: Any, k: int) -> Any:
    integers = labels.astype(np.int64) if np.isfinite(labels).all() else np.zeros(0)
    if integers.shape != labels.shape or (integers != labels).any():
        raise ShapeError(
            f"y in one dimension must hold class numbers 0 … {k - 1} for a network with {k} "
            f"outputs; got values such as {labels[:3]}. Pass other targets as (n, {k})."
        )
    if len(integers) and (integers.min() < 0 or integers.max() >= k):
        raise DataError(
            f"y must hold class numbers 0 … {k - 1}; got {integers.min()} … {integers.max()}. "
            "Number the classes from 0, or add units to the output layer."
        )
    return np.eye(k)[integers]


def _check_domain(loss: str, values: Any) -> None:
    low, high = (values.min(), values.max()) if values.size else (0.0, 0.0)
    if loss in ("binary_cross_entropy", "categorical_cross_entropy") and (low < 0 or high > 1):
        raise DataError(
            f"y must lie in [0, 1] for loss={loss!r}; got {low:g} … {high:g}. Encode classes as "
            "0/1, or choose loss='squared_error'."
        )
    if loss == "categorical_cross_entropy":
        sums = values.sum(axis=1)
        worst = int(np.argmax(np.abs(sums - 1))) if len(sums) else 0
        if len(sums) and abs(sums[worst] - 1) > 1e-5:
            raise DataError(
                f"every row of y must sum to 1 for loss={loss!r}; row {worst} sums to "
                f"{sums[worst]:g}. Divide each row by its sum."
            )
    if loss == "poisson" and low < 0:
        raise DataError(
            f"y must not be negative for loss='poisson'; got {low:g}. Use loss='squared_error' "
            "for negative targets."
        )
