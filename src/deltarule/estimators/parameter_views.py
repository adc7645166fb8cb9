"""Lists of live views into θ, such as ``coefs_`` and ``intercepts_``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from deltarule.network import Network
from deltarule.program import State
from deltarule.program.tape import Parameter
from deltarule.utils.checks import check_shape

__all__ = ["ParameterList", "kind_of", "parameter_list"]


class ParameterList(list[Any]):
    """A list of arrays that are views into θ: writing into one changes the model.

    Assigning to an item copies into the view: code written for scikit-learn, which replaces the
    arrays, works unchanged.
    """

    def __setitem__(self, index: Any, value: Any) -> None:
        """Copy a value, or one for each item of a slice, into the views."""
        if isinstance(index, slice):
            self._fill(self[index], value)
        else:
            self._fill([self[index]], [value])

    def assign(self, values: Iterable[Any]) -> None:
        """Copy each of the values into its view."""
        self._fill(list(self), values)

    @staticmethod
    def _fill(views: list[Any], values: Iterable[Any]) -> None:
        arrays = [np.asarray(value) for value in values]
        if len(arrays) != len(views):
            raise ValueError(
                f"{len(views)} arrays are needed, one for each layer; got {len(arrays)}."
            )
        for number, (view, array) in enumerate(zip(views, arrays, strict=True)):
            check_shape(f"array {number}", array, view.shape)
        for view, array in zip(views, arrays, strict=True):
            view[...] = array

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a plain list, since a copy has no θ to view."""
        return (list, (list(self),))


def parameter_list(network: Network, state: State, *kinds: str) -> ParameterList:
    """Return the views of all parameters of some kinds ("W", "b", "gamma", "beta"), by layer."""
    return ParameterList(view for p, view in network.tape.views(state.theta) if kind_of(p) in kinds)


def kind_of(parameter: Parameter) -> str:
    """Return "W", "b", "gamma" or "beta": a parameter's name without its layer's number."""
    return parameter.name.rstrip("0123456789")
