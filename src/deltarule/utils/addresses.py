"""The address of an array's numbers, for code that is given addresses"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["address_of"]

# NumPy's interface for C code fixes that an array object begins with its data's address, after what
# every object begins with. Reading it there takes a fifth of the time of ``array.ctypes.data``.
_PLACE = object.__basicsize__
_cell = ctypes.c_int64.from_address


def _address_in_object(array: npt.NDArray[Any]) -> int:
    return _cell(id(array) + _PLACE).value


def _address(array: npt.NDArray[Any]) -> int:
    return int(array.ctypes.data)


_probe = np.empty(3)
address_of: Callable[[npt.NDArray[Any]], int] = (
    _address_in_object if _address_in_object(_probe) == _address(_probe) else _address
)
"""The address of an array's first number, as an integer."""
