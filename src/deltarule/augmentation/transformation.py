"""The base class of built-in transformations, and checks of their parameters."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from deltarule.augmentation.streams import Floats, RowStreams
from deltarule.errors import SpecError
from deltarule.utils.checks import check_between, shown

__all__ = ["Shape", "Span", "Transformation", "check_finite", "check_span", "elementwise"]

Shape: TypeAlias = tuple[int, ...]
"""The shape of one example: (height, width), (height, width, channels) or (length,)."""

Span: TypeAlias = float | tuple[float, float]
"""A number r for the interval [−r, r], or the ends of an interval (low, high)."""


_MOST = 1e300  # so that the length of an interval is finite


class Transformation(ABC):
    """Base class of transformations that keep labels, with random parameters for each row."""

    ranks: ClassVar[tuple[int, ...]] = (1, 2, 3)
    """The numbers of dimensions that an example may have."""

    @abstractmethod
    def __call__(self, rng: RowStreams, x: Floats) -> Floats:
        """Return T(x) for a batch x (n, *shape), which is not changed."""

    def check_shape(self, shape: Shape | None) -> None:
        """Raise ``SpecError`` unless examples may have this shape (None: unknown)."""
        rank = 1 if shape is None else len(shape)  # without a shape, rows are signals or tables
        if rank not in self.ranks:
            wanted, such = (
                ("(length,)", "(100,)")
                if self.ranks == (1,)
                else ("(height, width) or (height, width, channels)", "(28, 28)")
            )
            raise SpecError(
                f"{type(self).__name__} needs examples of shape {wanted}; got shape={shape}. "
                f"Say it: Compose([...], shape={such})."
            )


def check_finite(name: str, value: Any, low: float = -math.inf, most: float = math.inf) -> float:
    """Return ``value`` as a float, or raise ``SpecError`` unless low ≤ value < most."""
    return check_between(name, value, low, most, open_low=low == -math.inf, open_high=True)


def check_span(name: str, span: Any, most: float = math.inf) -> tuple[float, float]:
    """Return the ends of a :data:`Span`, or raise ``SpecError`` unless |ends| < most, in order."""
    if isinstance(span, Sequence) and not isinstance(span, str):
        if len(span) != 2:
            raise SpecError(f"{name} must be a number or a pair (low, high); got {shown(span)}.")
        low, high = (
            check_between(name, end, -most, most, open_low=True, open_high=True) for end in span
        )
        check_between(name, max(abs(low), abs(high)), 0.0, _MOST)
        if low > high:
            raise SpecError(
                f"{name} must be (low, high) with low ≤ high; got {shown(span)}. Swap them."
            )
        return low, high
    reach = check_between(name, span, 0.0, most, open_high=True)
    check_between(name, reach, 0.0, _MOST)
    return -reach, reach


def elementwise(
    function: Callable[[float], float], values: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return function(value) of each value, one at a time.

    The last bit of NumPy's sine may depend on the position in the array; this result does not.
    """
    return np.array([function(value) for value in values.ravel()]).reshape(values.shape)
