"""The interface between a training run and its schedule."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from deltarule.errors import SpecError

__all__ = ["Clock", "Constant", "EpochSchedule", "Rates", "Schedule"]

Rates: TypeAlias = npt.NDArray[np.float64]


class Clock(NamedTuple):
    """Progress of a training run."""

    epoch: int  # number of finished epochs of this run
    examples: int  # number of examples seen, including earlier runs
    epochs: int = 1  # largest number of epochs of this run
    steps: int = 0  # number of steps of this run

    def total_steps(self, n_steps: int) -> int:
        """Return the steps of the whole run if the remaining epochs have ``n_steps`` each."""
        return self.steps + (self.epochs - self.epoch) * n_steps


class Schedule(Protocol):
    """Protocol of a schedule; ``EpochSchedule`` is a base class for it."""

    def rates(self, initial: float, current: float, clock: Clock, n_steps: int) -> Rates:
        """Return the rates (n_steps,) of the epoch that starts at ``clock``."""
        ...

    def observe(
        self, memory: Any, metric: float, current: float, *, maximize: bool
    ) -> tuple[Any, float]:
        """Return the schedule's memory and the rate, after an epoch with this metric.

        ``memory`` is None in the first call, and then what the previous call returned.
        """
        ...

    def on_plateau(self, current: float) -> float | None:
        """Return the rate to continue with, or None to stop."""
        ...


class EpochSchedule:
    """Base class of schedules with one rate per epoch, which subclasses define in ``rate``."""

    def rate(self, initial: float, current: float, clock: Clock) -> float:
        """Return the rate of the epoch that starts at ``clock``; by default the current rate."""
        return current

    def rates(self, initial: float, current: float, clock: Clock, n_steps: int) -> Rates:
        """Return the rate of the epoch for every step."""
        return np.full(n_steps, self.rate(initial, current, clock))

    def observe(
        self, memory: Any, metric: float, current: float, *, maximize: bool
    ) -> tuple[Any, float]:
        """Return memory and rate unchanged."""
        return memory, current

    def on_plateau(self, current: float) -> float | None:
        """Return None: stop."""
        return None


@dataclass(frozen=True)
class Constant(EpochSchedule):
    """Schedule with a constant rate."""


def check_count(name: str, value: Any) -> None:
    """Raise ``SpecError`` unless ``value`` is an integer ≥ 0."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
        raise SpecError(f"{name} must be an integer of at least 0; got {value!r}.")
