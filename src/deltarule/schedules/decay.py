"""Schedules that reduce the rate from epoch to epoch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from deltarule.errors import SpecError
from deltarule.schedules.interface import EpochSchedule
from deltarule.schedules.position import Position
from deltarule.utils.checks import (
    check_between,
    check_count,
    check_positive_integer,
    check_sequence,
)

__all__ = [
    "Exponential",
    "InverseScaling",
    "InverseSquareRoot",
    "InverseTime",
    "PiecewiseConstant",
    "StepDecay",
]

_ONE_EACH = "a sequence with one entry per change, such as [10, 20]"


@dataclass(frozen=True)
class InverseScaling(EpochSchedule):
    """Rate η₀ / (t + 1)^power after t examples (scikit-learn's ``invscaling``).

    Parameters
    ----------
    power : float, default=0.5
        ≥ 0.
    """

    power: float = 0.5

    def __post_init__(self) -> None:
        check_between("power", self.power, 0.0)

    def rate(self, initial: float, position: Position) -> float:
        """Return η₀ / (t + 1)^power."""
        try:
            return float(initial / (position.examples + 1) ** float(self.power))
        except OverflowError:
            return 0.0


@dataclass(frozen=True)
class InverseTime(EpochSchedule):
    """Inverse time decay: the rate η₀ / (1 + decay · i) in epoch i = 0, 1, … (item O7).

    Parameters
    ----------
    decay : float, default=1.0
        ≥ 0.
    """

    decay: float = 1.0

    def __post_init__(self) -> None:
        check_between("decay", self.decay, 0.0, inf, open_high=True)

    def rate(self, initial: float, position: Position) -> float:
        """Return η₀ / (1 + decay · i)."""
        return initial / (1 + self.decay * position.epochs)


@dataclass(frozen=True)
class Exponential(EpochSchedule):
    """Exponential decay: the rate η₀ · decayⁱ in epoch i = 0, 1, … (item O7; 0.95ⁱ in Mebsout).

    Parameters
    ----------
    decay : float, default=0.95
        In (0, 1].
    """

    decay: float = 0.95

    def __post_init__(self) -> None:
        check_between("decay", self.decay, 0.0, 1.0, open_low=True)

    def rate(self, initial: float, position: Position) -> float:
        """Return η₀ · decayⁱ."""
        return float(initial * self.decay**position.epochs)


@dataclass(frozen=True)
class InverseSquareRoot(EpochSchedule):
    """Rate scale · η₀ / √i in epoch i = 1, 2, … (item O7; i = 0 would divide by zero: E-ah).

    Parameters
    ----------
    scale : float, default=1.0
        > 0.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_between("scale", self.scale, 0.0, inf, open_low=True, open_high=True)

    def rate(self, initial: float, position: Position) -> float:
        """Return scale · η₀ / √i, i counted from 1."""
        return float(self.scale * initial / (position.epochs + 1) ** 0.5)


@dataclass(frozen=True)
class PiecewiseConstant(EpochSchedule):
    """Rates set by hand, constant between the given epochs (manual decay, item O7).

    Parameters
    ----------
    epochs : sequence of int
        Epochs at which the rate changes, in ascending order; 0 is the first epoch of the run.
    values : sequence of float
        The rate from each of these epochs on. Before the first of them it is η₀.

    Raises
    ------
    SpecError
        If the sequences have different lengths or no entries, or if an entry is invalid.

    Examples
    --------
    >>> schedule = PiecewiseConstant([10, 20], [0.01, 0.001])
    >>> [schedule.rate(0.1, Position(epoch)) for epoch in (0, 9, 10, 25)]
    [0.1, 0.1, 0.01, 0.001]
    """

    epochs: Sequence[int]
    values: Sequence[float]

    def __post_init__(self) -> None:
        epochs = check_sequence("epochs", self.epochs, _ONE_EACH)
        values = check_sequence("values", self.values, _ONE_EACH)
        for epoch in epochs:
            check_count("epochs", epoch)
        for value in values:
            check_between("values", value, 0.0, inf, open_low=True, open_high=True)
        if not epochs or len(epochs) != len(values):
            raise SpecError(
                "epochs and values must have the same number of entries, at least one; "
                f"got {len(epochs)} and {len(values)}."
            )
        if any(a >= b for a, b in pairwise(epochs)):
            raise SpecError(f"epochs must be in ascending order; got {epochs}. Sort them.")
        object.__setattr__(self, "epochs", epochs)
        object.__setattr__(self, "values", values)

    def rate(self, initial: float, position: Position) -> float:
        """Return the rate of the current interval."""
        begun = bisect_right(self.epochs, position.epochs)
        return float(self.values[begun - 1]) if begun else initial


@dataclass(frozen=True)
class StepDecay(EpochSchedule):
    """Step decay: the rate η₀ · factor^⌊i / every⌋ in epoch i = 0, 1, … (PyTorch's ``StepLR``).

    Parameters
    ----------
    every : int, default=30
        Number of epochs between two reductions.
    factor : float, default=0.1
        In (0, 1].
    """

    every: int = 30
    factor: float = 0.1

    def __post_init__(self) -> None:
        check_positive_integer("every", self.every)
        check_between("factor", self.factor, 0.0, 1.0, open_low=True)

    def rate(self, initial: float, position: Position) -> float:
        """Return η₀ · factor^⌊i / every⌋."""
        return float(initial * self.factor ** (position.epochs // self.every))
