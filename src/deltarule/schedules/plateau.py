"""Schedules that reduce the learning rate when training makes no progress."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from deltarule.errors import SpecError
from deltarule.schedules.interface import EpochSchedule
from deltarule.utils.checks import check_between, check_count, check_flag

__all__ = ["Adaptive", "PlateauMemory", "ReduceOnPlateau"]


@dataclass(frozen=True)
class Adaptive(EpochSchedule):
    """Reduce the rate when training would stop, and stop at ``min_lr``.

    This is scikit-learn's ``learning_rate="adaptive"``: when the stopping rule finds no progress,
    the rate is multiplied by ``factor`` and training continues, unless the rate is already at or
    below ``min_lr``.

    Parameters
    ----------
    factor : float, default=0.2
        In (0, 1). The rate is divided by 1/factor, which is exactly scikit-learn's division by 5
        for the default, to the last bit.
    min_lr : float, default=1e-6
        ≥ 0. At or below this rate training stops instead.
    """

    factor: float = 0.2
    min_lr: float = 1e-6

    def __post_init__(self) -> None:
        check_between("factor", self.factor, 0.0, 1.0, open_low=True, open_high=True)
        check_between("min_lr", self.min_lr, 0.0)

    def on_plateau(self, current: float) -> float | None:
        """Return the reduced rate, or None if the current rate is at or below ``min_lr``."""
        return None if current <= self.min_lr else current / (1.0 / self.factor)


class PlateauMemory(NamedTuple):
    """State of ``ReduceOnPlateau`` between two epochs."""

    best: float  # the best metric so far
    bad_epochs: int = 0  # epochs in a row without progress
    cooldown_left: int = 0  # epochs of the cooldown that are still to come


@dataclass(frozen=True)
class ReduceOnPlateau(EpochSchedule):
    """Reduce the rate after too many epochs without progress (PyTorch's ``ReduceLROnPlateau``).

    The schedule watches the metric that early stopping watches: the validation loss or score, or
    the training cost without a validation set. Its patience must be shorter than the patience of
    early stopping, or training stops before the rate is ever reduced.

    Parameters
    ----------
    factor : float, default=0.1
        In (0, 1). The rate is multiplied by it.
    patience : int, default=10
        Number of epochs in a row without progress that are allowed; one more reduces the rate.
    threshold : float, default=1e-4
        How much better than the best metric so far an epoch must be to count as progress.
    relative : bool, default=True
        Whether the threshold is a fraction of the best metric so far, or an absolute difference.
    cooldown : int, default=0
        Number of epochs after a reduction during which epochs without progress are not counted.
    min_lr : float, default=0.0
        ≥ 0. The rate is not reduced below it.
    """

    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    relative: bool = True
    cooldown: int = 0
    min_lr: float = 0.0

    def __post_init__(self) -> None:
        check_between("factor", self.factor, 0.0, 1.0, open_low=True, open_high=True)
        check_count("patience", self.patience)
        check_between("threshold", self.threshold, 0.0, inf, open_high=True)
        check_flag("relative", self.relative)
        check_count("cooldown", self.cooldown)
        check_between("min_lr", self.min_lr, 0.0, inf, open_high=True)

    def observe(
        self, state: PlateauMemory | None, metric: float, current: float, *, maximize: bool
    ) -> tuple[PlateauMemory, float]:
        """Count epochs without progress; reduce the rate when there are too many.

        A metric that is NaN counts as no progress.
        """
        if not (state is None or isinstance(state, PlateauMemory)):
            raise SpecError(
                f"ReduceOnPlateau continues from None or a PlateauMemory; got {state!r:.80}. "
                "Resume from a position of a training with the same schedule."
            )
        sign = 1.0 if maximize else -1.0
        best, bad_epochs, cooldown_left = PlateauMemory(-sign * inf) if state is None else state
        margin = self.threshold * (abs(best) if self.relative and abs(best) < inf else 1.0)
        if sign * metric > sign * best + margin:
            best, bad_epochs = metric, 0
        else:
            bad_epochs += 1
        if cooldown_left > 0:
            bad_epochs, cooldown_left = 0, cooldown_left - 1
        if bad_epochs <= self.patience:
            return PlateauMemory(best, bad_epochs, cooldown_left), current
        reduced = max(current * self.factor, min(self.min_lr, current))
        return PlateauMemory(best, 0, self.cooldown), reduced
