"""Checks of the arrays that are passed to the metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError, ShapeError

__all__ = ["check_weight", "finite_array", "flat_column", "number_column", "same_length"]

Floats = npt.NDArray[np.float64]


def finite_array(name: str, values: Any) -> Floats:
    """Return ``values`` as a float array; raise ``DataError`` unless all are finite numbers."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} must contain numbers; got dtype {array.dtype}. Convert it first.")
    numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        bad = int((~np.isfinite(numbers)).sum())
        raise DataError(
            f"{name} must be finite; {bad} of {numbers.size} values are NaN or infinite. "
            "Remove those rows, or check whether training diverged."
        )
    return numbers


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
