"""Numbers as users have them, and as the reference's functions take them: rows of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from deltarule.errors import DataError, ShapeError
from deltarule.reference.interpreter import quiet
from deltarule.utils.arrays import Array, array_namespace, floating
from deltarule.utils.checks import check_undated

__all__ = ["as_array", "as_rows", "plainly"]


def as_array(name: str, given: Any) -> Array:
    """Return numbers as a floating array; what are none raise ``DataError`` with their name."""
    check_undated(name, given)
    try:
        return floating(given)
    except (DataError, ValueError) as error:  # NumPy raises its own for ragged lists
        raise DataError(f"{name} must be real numbers: {error}") from None


def as_rows(name: str, given: Any) -> tuple[Array, tuple[int, ...]]:
    """Return numbers (…, k) as an array (n, k), and their shape."""
    array = as_array(name, given)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ShapeError(
            f"{name} must have a last axis with an entry for each class; got shape "
            f"{tuple(array.shape)}."
        )
    shape = tuple(array.shape)
    return array_namespace(array).reshape(array, (-1, shape[-1])), shape


def plainly(function: Callable[..., Array], names: str, *given: Any) -> Any:
    """Return an elementwise function of numbers that are broadcast; a float for scalars.

    ``function`` takes and returns arrays (n, 1). ``names`` are those of the arguments.
    """
    arrays = [as_array(name, one) for name, one in zip(names.split(), given, strict=True)]
    xp = array_namespace(*arrays)
    if len(arrays) > 1:
        dtype = xp.result_type(*_deciding(arrays, given))
        try:
            arrays = xp.broadcast_arrays(*(xp.astype(array, dtype) for array in arrays))
        except ValueError:
            shapes = ", ".join(str(tuple(array.shape)) for array in arrays)
            raise ShapeError(
                f"{' and '.join(names.split())} must have shapes that broadcast; got {shapes}."
            ) from None
    shape = tuple(arrays[0].shape)
    with quiet():
        value = xp.reshape(function(*(xp.reshape(array, (-1, 1)) for array in arrays)), shape)
    return float(value) if shape == () and isinstance(value, np.ndarray | np.generic) else value


def _deciding(arrays: list[Array], given: tuple[Any, ...]) -> list[Array]:
    """Return the arrays whose type decides: those that were floating, or all."""
    own = [array for array, one in zip(arrays, given, strict=True) if array is one]
    return own or arrays
