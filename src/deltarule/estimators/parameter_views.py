"""``coefs_`` and ``intercepts_``: lists of live views into θ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from deltarule.checks import check_shape

__all__ = ["ParameterList"]


class ParameterList(list[Any]):
    """A list of arrays that are views into θ: writing into one changes the model.

    Assigning to an item copies into the view, so that code written for scikit-learn, where the
    arrays can be replaced, does here what it did there.
    """

    def __setitem__(self, index: Any, value: Any) -> None:
        """Copy a value, or one for each item of a slice, into the views."""
        if isinstance(index, slice):
            self._fill(self[index], value)
        else:
            self._fill([self[index]], [value])

    def assign(self, values: Iterable[Any]) -> None:
        """Copy every one of the values into its view."""
        self._fill(list(self), values)

    @staticmethod
    def _fill(views: list[Any], values: Iterable[Any]) -> None:
        arrays = [np.asarray(value) for value in values]
        if len(arrays) != len(views):
            raise ValueError(f"{len(views)} arrays are needed, one a layer; got {len(arrays)}.")
        for number, (view, array) in enumerate(zip(views, arrays, strict=True)):
            check_shape(f"array {number}", array, view.shape)
        for view, array in zip(views, arrays, strict=True):
            view[...] = array

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a plain list: the copy has no θ to look into."""
        return (list, (list(self),))
