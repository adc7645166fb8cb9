"""Checks of the arrays that are passed to the metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.utils.checks import numeric_array, shown

__all__ = [
    "any_array",
    "check_estimator",
    "check_rows",
    "check_weight",
    "finite_array",
    "flat_column",
    "number_column",
    "same_length",
]

Floats = npt.NDArray[np.float64]


def finite_array(name: str, values: Any) -> Floats:
    """Return ``values`` as a float array; raise ``DataError`` unless all are finite numbers."""
    numbers: Floats = numeric_array(name, values).astype(np.float64)
    if not np.isfinite(numbers).all():
        bad = int((~np.isfinite(numbers)).sum())
        raise DataError(
            f"{name} must be finite; {bad} of {numbers.size} values are NaN or infinite. "
            "Remove those rows, or check whether training diverged."
        )
    return numbers


def any_array(name: str, values: Any) -> npt.NDArray[Any]:
    """Return ``values`` as an array of any type; raise ``DataError`` if it is not rectangular."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name} must be rectangular; got rows of unequal length.") from error


def check_rows(X: Any, y: Any) -> None:
    """Raise ``ShapeError`` unless X and y are tables or arrays with the same number of rows."""
    from scipy.sparse import issparse

    counts = []
    for name, given in (("X", X), ("y", y)):
        table = issparse(given) or hasattr(given, "iloc") or hasattr(given, "shape")
        shape = given.shape if table else np.shape(any_array(name, given))
        if len(shape) == 0 or shape[0] == 0:
            raise ShapeError(
                f"{name} must be an array with a first axis of rows, at least one; got "
                f"{shown(given)}."
            )
        counts.append(int(shape[0]))
    if counts[0] != counts[1]:
        raise ShapeError(
            f"X and y must have the same number of rows; got {counts[0]} and {counts[1]}."
        )


def check_estimator(name: str, given: Any, *methods: str) -> None:
    """Raise ``SpecError`` unless an object has the methods of an estimator."""
    missing = [method for method in methods if not callable(getattr(given, method, None))]
    if missing or isinstance(given, type):
        raise SpecError(
            f"{name} must be a scikit-learn estimator with {' and '.join(methods)}; got "
            f"{shown(given)}."
        )


def flat_column(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a column (n, 1) as (n,), and any other array unchanged."""
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def number_column(name: str, values: Any, *, at_least: int = 1) -> Floats:
    """Return ``values`` as (n,) finite floats with n ≥ ``at_least``; (n, 1) becomes (n,)."""
    numbers = flat_column(finite_array(name, values))
    if numbers.ndim != 1:
        raise ShapeError(f"{name} must have shape (n,); got {numbers.shape}. Pass one column.")
    if len(numbers) < at_least:
        raise DataError(
            f"{name} must have at least {at_least} values; got {len(numbers)}. Pass more rows."
        )
    return numbers


def same_length(first: str, a: Any, second: str, b: Any) -> None:
    """Raise ``ShapeError`` unless two arrays have the same number of rows."""
    for name, array in ((first, a), (second, b)):
        if np.ndim(array) == 0:
            raise ShapeError(f"{name} must have one entry per row; got a single {shown(array)}.")
    if len(a) != len(b):
        raise ShapeError(
            f"{first} and {second} must have the same number of rows; got {len(a)} and {len(b)}."
        )


def check_weight(sample_weight: Any, n_rows: int) -> Floats | None:
    """Return the weights as (n_rows,) floats, non-negative and not all zero; None stays None."""
    if sample_weight is None:
        return None
    weight = finite_array("sample_weight", sample_weight)
    if weight.shape != (n_rows,):
        raise ShapeError(
            f"sample_weight must have shape {(n_rows,)}; got {weight.shape}. Pass a weight per row."
        )
    with np.errstate(over="ignore"):
        total = weight.sum()
    if total == np.inf:
        raise DataError(
            f"sample_weight has a sum that overflows; got weights up to {weight.max():g}. Divide "
            "them by their largest value."
        )
    if weight.min() < 0 or total == 0:
        raise DataError(
            f"sample_weight must be non-negative and not all zero; got {weight.min():g} "
            f"to {weight.max():g}. Use weight 0 for rows to ignore."
        )
    return weight
