"""Layers of single features, which come before the first dense layer: waves, and embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from deltarule.errors import SpecError
from deltarule.utils.checks import (
    check_between,
    check_positive_integer,
    check_sequence,
    is_count,
    shown,
)

__all__ = ["Embedding", "Periodic", "check_place"]


@dataclass(frozen=True)
class Periodic:
    """Periodic embeddings of numbers: each column x also gives its waves cos 2π(c x + φ), mapped.

    Column j of ``columns`` has its own frequencies c_j, phases φ_j, matrix V_j and v_j, all
    learned: the layer gives (x, cos(2π(c_1 x_1 + φ_1)) V_1 + v_1, …) with all columns x first. So a
    narrow step of one feature is within reach of the first gradient steps, which a dense layer
    on x alone learns late (Gorishniy, Rubachev & Babenko 2022). Phases in place of pairs of sine
    and cosine, and x itself beside them, are those of Holzmüller, Grinsztajn & Steinwart (2024).

    Parameters
    ----------
    columns : sequence of int, optional
        The columns that have waves, ascending, counted from 0; all of them by default.
    frequencies : int, default=16
        Waves of each column, ≥ 1.
    units : int, default=4
        Numbers that each column's waves become, ≥ 1.
    deviation : float, default=0.1
        Standard deviation σ > 0 of the frequencies at first, c ~ N(0, σ²), in waves for each unit
        of x; phases are uniform at first. Features should have a deviation of about 1.

    Raises
    ------
    SpecError
        For numbers outside their ranges, or columns that do not ascend.

    Examples
    --------
    >>> from deltarule import Dense, Network, Periodic
    >>> net = Network(3, [Periodic([0, 2], frequencies=8, units=2), Dense(5, "relu"), Dense(1)])
    >>> {name: view.shape for name, view in net.parameters(net.initialize(0)).items()}["wave1"]
    (16, 2)
    """

    columns: tuple[int, ...] | None = None
    frequencies: int = 16
    units: int = 4
    deviation: float = 0.1

    def __post_init__(self) -> None:
        if self.columns is not None:
            given = check_sequence("columns", self.columns, "ascending columns such as [0, 2]")
            _check_ascending("columns", given, self.columns)
            object.__setattr__(self, "columns", tuple(int(column) for column in given))
        check_positive_integer("frequencies", self.frequencies)
        check_positive_integer("units", self.units)
        check_between("deviation", self.deviation, 0.0, open_low=True, open_high=True)

    def width(self, features: int) -> int:
        """Return how many columns the layer gives for so many features."""
        count = features if self.columns is None else len(self.columns)
        return features + count * self.units


@dataclass(frozen=True)
class Embedding:
    """Embeddings of categories: each group of columns is mapped by a matrix of its own.

    For one-hot columns the rows of a group's matrix are the vectors that its categories are
    embedded as: the product picks one. Columns in no group stay, and come first. The vectors are
    drawn from N(0, 1) and have no penalties and no decay.

    Parameters
    ----------
    groups : sequence of (start, stop)
        The columns [start, stop) of each category, in order and apart from each other.
    units : int, default=8
        Length of the vectors, ≥ 1.

    Raises
    ------
    SpecError
        For groups that are none, overlap or are out of order, or a length below 1.

    Examples
    --------
    >>> from deltarule import Dense, Embedding, Network
    >>> net = Network(12, [Embedding([(2, 12)], units=3), Dense(5, "relu"), Dense(1)])
    >>> views = net.parameters(net.initialize(0))
    >>> views["embedding1"].shape, views["W1"].shape
    ((10, 3), (5, 5))
    """

    groups: tuple[tuple[int, int], ...]
    units: int = 8

    def __post_init__(self) -> None:
        given = check_sequence("groups", self.groups, "columns (start, stop) such as [(2, 12)]")
        pairs = [
            check_sequence(f"groups[{i}]", pair, "(start, stop)") for i, pair in enumerate(given)
        ]
        if not pairs or any(len(pair) != 2 for pair in pairs):
            raise SpecError(
                "groups must hold columns (start, stop), one pair for each category; got "
                f"{shown(self.groups)}. Leave the layer out if there is none."
            )
        bounds = [bound for start, stop in pairs for bound in (start, stop)]
        ascends = all(is_count(bound) for bound in bounds) and all(
            start < stop for start, stop in pairs
        )
        if not ascends or any(a[1] > b[0] for a, b in pairwise(pairs)):
            raise SpecError(
                "groups must be columns start < stop, counted from 0, in order and apart from each "
                f"other; got {shown(self.groups)}."
            )
        groups = tuple((int(start), int(stop)) for start, stop in pairs)
        object.__setattr__(self, "groups", groups)
        check_positive_integer("units", self.units)

    def width(self, features: int) -> int:
        """Return how many columns the layer gives for so many features."""
        inside = sum(stop - start for start, stop in self.groups)
        return features - inside + len(self.groups) * self.units


def check_place(
    layer: Periodic | Embedding, number: int, features: int, members: int, *, follows_dense: bool
) -> int:
    """Return the width after a layer, which is ``layers[number]``, checked to be possible there.

    Raises
    ------
    SpecError
        If it follows a dense layer, names columns that there are not, or has members around it.
    """
    kind = type(layer).__name__
    if follows_dense:
        raise SpecError(
            f"layers[{number}] is a {kind} layer, which is of single features and must come before "
            "the first Dense. Put it there, or leave it out."
        )
    if members > 1:
        raise SpecError(
            f"layers[{number}], a {kind} layer, does not go with members={members}. Set members=1, "
            "or leave the layer out."
        )
    last = layer.columns[-1] if isinstance(layer, Periodic) and layer.columns else -1
    if isinstance(layer, Embedding):
        last = layer.groups[-1][1] - 1
    if last >= features:
        raise SpecError(
            f"layers[{number}] must name columns below {features}, the number of features that "
            f"it reads; got column {last}."
        )
    return layer.width(features)


def _check_ascending(name: str, columns: tuple[Any, ...], given: Any) -> None:
    counts = all(is_count(column) for column in columns)
    if not columns or not counts or any(a >= b for a, b in pairwise(columns)):
        raise SpecError(
            f"{name} must be ascending columns, counted from 0, such as [0, 2]; got {shown(given)}."
        )
