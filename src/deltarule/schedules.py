"""How the learning rate changes over a training run.

A schedule is a frozen description; the number it acts on, the state's current rate, belongs
to the training run. It has two moments to speak: before every epoch, and on a plateau (when
the stopping rule would end the run).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from deltarule.checks import check_between

__all__ = ["Adaptive", "Clock", "Constant", "InverseScaling", "Schedule"]


class Clock(NamedTuple):
    """How far a training run has come."""

    epoch: int  # epochs finished
    examples: int  # examples seen


class Schedule(Protocol):
    """What a training run asks of a schedule."""

    def rate(self, initial: float, current: float, clock: Clock) -> float:
        """Return the learning rate of the epoch that begins at ``clock``."""
        ...

    def on_plateau(self, current: float) -> float | None:
        """Return a new rate to go on with, or None to stop."""
        ...


@dataclass(frozen=True)
class Constant:
    """The rate stays as it is."""

    def rate(self, initial: float, current: float, clock: Clock) -> float:
        """Return the current rate."""
        return current

    def on_plateau(self, current: float) -> float | None:
        """Stop."""
        return None


@dataclass(frozen=True)
class InverseScaling:
    """η₀ / (t + 1)^power, t the examples seen (scikit-learn's ``invscaling``)."""

    power: float = 0.5

    def __post_init__(self) -> None:
        check_between("power", self.power, 0.0)

    def rate(self, initial: float, current: float, clock: Clock) -> float:
        """Return η₀ / (t + 1)^power."""
        return float(initial / (clock.examples + 1) ** self.power)

    def on_plateau(self, current: float) -> float | None:
        """Stop."""
        return None


@dataclass(frozen=True)
class Adaptive:
    """On a plateau divide the rate; stop once it is small (scikit-learn's ``adaptive``)."""

    divisor: float = 5.0
    smallest: float = 1e-6

    def __post_init__(self) -> None:
        check_between("divisor", self.divisor, 1.0, open_low=True)
        check_between("smallest", self.smallest, 0.0)

    def rate(self, initial: float, current: float, clock: Clock) -> float:
        """Return the current rate."""
        return current

    def on_plateau(self, current: float) -> float | None:
        """Return the divided rate, or None at or below the smallest."""
        return None if current <= self.smallest else current / self.divisor
