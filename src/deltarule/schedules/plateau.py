"""Laws by which the rate falls when there is no progress."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from deltarule.checks import check_between
from deltarule.schedules.base import EpochSchedule, check_count

__all__ = ["Adaptive", "PlateauMemory", "ReduceOnPlateau"]


@dataclass(frozen=True)
class Adaptive(EpochSchedule):
    """On a plateau divide the rate; stop once it is small (scikit-learn's ``adaptive``)."""

    divisor: float = 5.0
    smallest: float = 1e-6

    def __post_init__(self) -> None:
        check_between("divisor", self.divisor, 1.0, open_low=True)
        check_between("smallest", self.smallest, 0.0)

    def on_plateau(self, current: float) -> float | None:
        """Return the divided rate, or None at or below the smallest."""
        return None if current <= self.smallest else current / self.divisor


class PlateauMemory(NamedTuple):
    """What ``ReduceOnPlateau`` remembers."""

    best: float  # the best metric so far
    stale: int = 0  # epochs in a row without progress
    rest: int = 0  # epochs of rest still to come


@dataclass(frozen=True)
class ReduceOnPlateau(EpochSchedule):
    """Cut the rate after too many epochs without progress (PyTorch's ``ReduceLROnPlateau``).

    It hears the metric that stopping watches (validation loss or score, else the cost) and has
    a patience of its own: shorter than stopping's, or it never acts.

    Parameters
    ----------
    factor : float, default=0.1
        In (0, 1): what the rate is multiplied by.
    patience : int, default=10
        Epochs in a row without progress that are allowed; one more cuts the rate.
    threshold : float, default=1e-4
        By how much the best so far must be bettered to count as progress.
    relative : bool, default=True
        Whether the threshold is a part of the best so far.
    rest : int, default=0
        Epochs after a cut that are not counted.
    smallest : float, default=0.0
        The rate is not cut below.
    """

    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    relative: bool = True
    rest: int = 0
    smallest: float = 0.0

    def __post_init__(self) -> None:
        check_between("factor", self.factor, 0.0, 1.0, open_low=True, open_high=True)
        check_count("patience", self.patience)
        check_between("threshold", self.threshold, 0.0, inf, open_high=True)
        check_count("rest", self.rest)
        check_between("smallest", self.smallest, 0.0, inf, open_high=True)

    def observe(
        self, state: PlateauMemory | None, metric: float, current: float, *, maximize: bool
    ) -> tuple[PlateauMemory, float]:
        """Count epochs without progress; cut the rate when there are too many.

        A metric that is not a number is no progress.
        """
        sign = 1.0 if maximize else -1.0
        best, stale, rest = PlateauMemory(-sign * inf) if state is None else state
        step = self.threshold * (abs(best) if self.relative and abs(best) < inf else 1.0)
        if sign * metric > sign * best + step:
            best, stale = metric, 0
        else:
            stale += 1
        if rest > 0:
            stale, rest = 0, rest - 1
        if stale <= self.patience:
            return PlateauMemory(best, stale, rest), current
        slower = max(current * self.factor, min(self.smallest, current))
        return PlateauMemory(best, 0, self.rest), slower
