"""Arrays: anything that follows the Python array API standard.

The reference mathematics is written once against that standard; users pass NumPy arrays.
SciPy's CSR matrices are accepted in one place only, as the inputs of a network.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

import array_api_compat
import numpy as np

from deltarule.errors import DataError
from deltarule.utils.addresses import address_of

__all__ = [
    "Array",
    "Pullback",
    "aligned",
    "aligned_zeros",
    "all_finite",
    "array_namespace",
    "floating",
    "is_array",
    "is_floating",
    "is_sparse",
    "of_numbers",
    "to_numpy",
]


_FEW = 4096  # numbers

Array: TypeAlias = Any
"""An array of any library that follows the array API standard."""

Pullback: TypeAlias = Callable[..., Any]
"""Reverse derivative: takes ∂C/∂output and returns ∂C/∂input for every input."""


def array_namespace(*arrays: Array) -> Any:
    """Return the array API namespace (``numpy``, …) that the arrays belong to."""
    return array_api_compat.array_namespace(*arrays)


def is_array(given: Any) -> bool:
    """Whether this is an array of a library, NumPy included; a list or a number is none."""
    return bool(array_api_compat.is_array_api_obj(given)) and not isinstance(given, np.generic)


def floating(given: Any, name: str = "x") -> Array:
    """Return numbers as an array of float32 or float64, whose arithmetic has fractions.

    Arrays of these types are returned as they are. Integers, booleans, float16, lists and objects
    such as ``Decimal`` become float64.

    Raises
    ------
    DataError
        If these are not real numbers.
    """
    if is_floating(given):
        return given
    if not isinstance(given, np.ndarray) and array_api_compat.is_array_api_obj(given):
        xp = array_namespace(given)
        return xp.astype(given, xp.float64)
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise DataError(f"{name} must be rectangular; got rows of unequal length.") from error
    if is_floating(array):
        return array
    try:
        # None would become NaN
        if array.dtype.kind in "biuf" or (array.dtype.kind == "O" and not _holds_none(array)):
            return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        pass  # objects that are no numbers, or too large
    raise DataError(f"{name} must hold real numbers; got an array of dtype {array.dtype}.")


def _holds_none(array: Any) -> bool:
    return any(item is None for item in array.ravel())


def is_floating(given: Any) -> bool:
    """Whether this is an array of float32, float64 or longer."""
    if isinstance(given, np.ndarray):
        return given.dtype.char in "fdg"
    if not array_api_compat.is_array_api_obj(given):
        return False
    return bool(array_namespace(given).isdtype(given.dtype, "real floating"))


def of_numbers(n_arrays: int = 1) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator: the first arguments are ``floating`` arrays, of one type.

    Integers and others next to a floating array take its type, and float64 alone.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            arrays = [floating(array) for array in args[:n_arrays]]
            own = [a for a, given in zip(arrays, args, strict=False) if a is given]
            if own and len(own) < len(arrays):
                arrays = [
                    a if a is given else array_namespace(a).astype(a, own[0].dtype)
                    for a, given in zip(arrays, args, strict=False)
                ]
            return function(*arrays, *args[n_arrays:], **kwargs)

        return call

    return decorate


def is_sparse(array: Array) -> bool:
    """Whether the array is a SciPy sparse matrix or array."""
    # Whoever has such a matrix has imported SciPy's package, which takes a tenth of a second.
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(array))


def to_numpy(array: Array) -> Any:
    """Return the array as a NumPy array in host memory."""
    return array if isinstance(array, np.ndarray) else np.from_dlpack(array)


def all_finite(array: Array) -> bool:
    """Whether no number of an array is NaN or infinite."""
    if type(array) is np.ndarray and array.size <= _FEW:  # a search of bytes is faster than all()
        return b"\0" not in np.isfinite(array).tobytes()
    return bool(np.isfinite(to_numpy(array)).all())


def aligned(numbers: Any, dtype: Any = None, *, place: int = 0) -> Any:
    """Return a copy of a vector that starts on a cache line, so that SIMD loads are fast.

    Arrays that are read together should have different values of ``place`` (0 … 3): addresses that
    agree in their last twelve bits compete for the same cache lines.
    """
    source = np.asarray(numbers)
    kind = source.dtype if dtype is None else np.dtype(dtype)
    copy = _aligned(np.empty, source.size, kind, place)
    copy[...] = source
    return copy


def aligned_zeros(n: int, dtype: Any, *, place: int = 0) -> Any:
    """Return n zeros as ``aligned`` places them; pages of memory are not touched before use."""
    return _aligned(np.zeros, n, np.dtype(dtype), place)


def _aligned(make: Callable[..., Any], n: int, kind: np.dtype[Any], place: int) -> Any:
    memory = make(n * kind.itemsize + 4096 + 4 * 1024, dtype=np.uint8)
    start = -address_of(memory) % 4096 + 1024 * (place % 4)
    return memory[start : start + n * kind.itemsize].view(kind)
