"""Arrays: anything that follows the Python array API standard.

The reference mathematics is written once against that standard; users pass NumPy arrays.
SciPy's CSR matrices are accepted in one place only, as the inputs of a network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import array_api_compat
from scipy.sparse import issparse

__all__ = ["Array", "Pullback", "aligned", "array_namespace", "is_sparse", "to_numpy"]


Array: TypeAlias = Any
"""An array of any library that follows the array API standard."""

Pullback: TypeAlias = Callable[..., Any]
"""Reverse derivative: takes ∂C/∂output and returns ∂C/∂input for every input."""


def array_namespace(*arrays: Array) -> Any:
    """Return the array API namespace (``numpy``, …) that the arrays belong to."""
    return array_api_compat.array_namespace(*arrays)


def is_sparse(array: Array) -> bool:
    """Whether the array is a SciPy sparse matrix or array."""
    return bool(issparse(array))


def to_numpy(array: Array) -> Any:
    """Return the array as a NumPy array in host memory."""
    import numpy as np

    return array if isinstance(array, np.ndarray) else np.from_dlpack(array)


def aligned(numbers: Any, dtype: Any = None, *, place: int = 0) -> Any:
    """Return a copy of a vector that starts on a cache line, so that SIMD loads are fast.

    Arrays that are read together should have different values of ``place`` (0 … 3): addresses that
    agree in their last twelve bits compete for the same cache lines.
    """
    import numpy as np

    source = np.asarray(numbers)
    kind = source.dtype if dtype is None else np.dtype(dtype)
    memory = np.empty(source.size * kind.itemsize + 4096 + 4 * 1024, dtype=np.uint8)
    start = -memory.ctypes.data % 4096 + 1024 * (place % 4)
    copy = memory[start : start + source.size * kind.itemsize].view(kind)
    copy[...] = source
    return copy
