"""What a training run and a schedule say to each other."""

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
    """How far a training run has come."""

    epoch: int  # epochs finished, in this run
    examples: int  # examples seen, earlier runs included
    epochs: int = 1  # the most epochs of this run
    steps: int = 0  # steps taken, in this run

    def total_steps(self, n_steps: int) -> int:
        """Return the steps of the whole run, if every epoch to come has ``n_steps``."""
        return self.steps + (self.epochs - self.epoch) * n_steps


class Schedule(Protocol):
    """What a training run asks of a schedule; ``EpochSchedule`` is a base to build on."""

    def rates(self, initial: float, current: float, clock: Clock, n_steps: int) -> Rates:
        """Return the rates (n_steps,) of the epoch that begins at ``clock``."""
        ...

    def observe(
        self, memory: Any, metric: float, current: float, *, maximize: bool
    ) -> tuple[Any, float]:
        """Hear an epoch's metric; return what to remember (None at first) and the rate now."""
        ...

    def on_plateau(self, current: float) -> float | None:
        """Return a new rate to go on with, or None to stop."""
        ...


class EpochSchedule:
    """A schedule with one rate an epoch: a subclass says which in ``rate``, or keeps it."""

    def rate(self, initial: float, current: float, clock: Clock) -> float:
        """Return the rate of the epoch that begins at ``clock``: the current one."""
        return current

    def rates(self, initial: float, current: float, clock: Clock, n_steps: int) -> Rates:
        """Return ``rate`` for every step."""
        return np.full(n_steps, self.rate(initial, current, clock))

    def observe(
        self, memory: Any, metric: float, current: float, *, maximize: bool
    ) -> tuple[Any, float]:
        """Remember nothing, change nothing."""
        return memory, current

    def on_plateau(self, current: float) -> float | None:
        """Stop."""
        return None


@dataclass(frozen=True)
class Constant(EpochSchedule):
    """The rate stays as it is."""


def check_count(name: str, value: Any) -> None:
    """Raise ``SpecError`` unless ``value`` is an integer ≥ 0."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
        raise SpecError(f"{name} must be an integer of at least 0; got {value!r}.")
