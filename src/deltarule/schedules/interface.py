"""Interface between the training loop and a schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from deltarule.schedules.position import Position

__all__ = ["Constant", "EpochSchedule", "Rates", "Schedule"]

Rates: TypeAlias = npt.NDArray[np.float64]


class Schedule(Protocol):
    """What the training loop calls on a schedule; ``EpochSchedule`` is a base class for it."""

    def rates(self, initial: float, position: Position, n_steps: int) -> Rates:
        """Return the rates (n_steps,) of the epoch that begins at ``position``, from η₀."""
        ...

    def observe(
        self, state: Any, metric: float, current: float, *, maximize: bool
    ) -> tuple[Any, float]:
        """Return the new state (at first it is None) and learning rate, after an epoch's metric."""
        ...

    def on_plateau(self, current: float) -> float | None:
        """Return a new rate to continue with, or None to stop."""
        ...


class EpochSchedule:
    """A schedule with one rate for each epoch, which a subclass returns from ``rate``."""

    def rate(self, initial: float, position: Position) -> float:
        """Return the rate of the epoch that begins at ``position``: the current one."""
        return initial if position.learning_rate is None else position.learning_rate

    def rates(self, initial: float, position: Position, n_steps: int) -> Rates:
        """Return ``rate`` for every step."""
        return np.full(n_steps, self.rate(initial, position))

    def observe(
        self, state: Any, metric: float, current: float, *, maximize: bool
    ) -> tuple[Any, float]:
        """Change nothing."""
        return state, current

    def on_plateau(self, current: float) -> float | None:
        """Return None: stop."""
        return None


@dataclass(frozen=True)
class Constant(EpochSchedule):
    """Schedule with a constant rate."""
