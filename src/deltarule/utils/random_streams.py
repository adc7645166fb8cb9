"""Random streams: whether what a file holds is a position that a stream can be moved to."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np

from deltarule.utils.checks import is_count, is_number

__all__ = ["is_stream_state"]

_MERSENNE_WORDS = 624


def is_stream_state(given: Any) -> bool:
    """Whether a value is a state of a ``RandomState`` or of a ``Generator``, in range.

    NumPy checks types and shapes, but neither the position in the Mersenne twister's words, from
    where it reads memory, nor the number that waits to be drawn.
    """
    if not isinstance(given, dict) or not isinstance(given.get("state"), dict):
        return False
    inner, kind = given["state"], given.get("bit_generator")
    if kind == "MT19937":
        key, rest = inner.get("key"), set(given) - {"bit_generator", "state"}
        return (
            set(inner) == {"key", "pos"}
            and isinstance(key, np.ndarray)
            and key.shape == (_MERSENNE_WORDS,)
            and key.dtype == np.uint32
            and bool(key.any())  # all zeros would stay zeros
            and is_count(inner["pos"], below=_MERSENNE_WORDS + 1)
            and rest <= {"has_gauss", "gauss"}
            and is_count(given.get("has_gauss", 0), below=2)
            and _is_normal(given.get("gauss", 0.0))
        )
    return (
        kind in ("PCG64", "PCG64DXSM")
        and set(inner) == {"state", "inc"}
        and all(is_count(inner[name], below=2**128) for name in inner)
        and inner["inc"] % 2 == 1
        and set(given) == {"bit_generator", "state", "has_uint32", "uinteger"}
        and is_count(given["has_uint32"], below=2)
        and is_count(given["uinteger"], below=2**32)
    )


def _is_normal(value: Any) -> bool:
    """Whether a value can be a draw from the normal distribution."""
    return is_number(value) and isfinite(value) and abs(value) < 100.0
