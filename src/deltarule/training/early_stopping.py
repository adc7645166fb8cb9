"""Early stopping: when an epoch counts as progress, and when training ends (items O9, R4; E-z)."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

from deltarule.utils.checks import check_between, check_flag

__all__ = ["EarlyStopping", "StoppingState"]


class StoppingState(NamedTuple):
    """What early stopping remembers from epoch to epoch."""

    best: float | None = None  # the best metric so far
    stale: int = 0  # epochs in a row without progress


@dataclass(frozen=True)
class EarlyStopping:
    """End training after too many epochs in a row that do not improve the best metric by ``tol``.

    Parameters
    ----------
    tol : float, default=1e-4
        An epoch counts as progress if it improves the best metric so far by at least ``tol``.
    patience : float, default=10
        The number of epochs in a row without progress that are allowed, or infinity; one more ends
        training.
    maximize : bool, default=False
        Whether a high metric is good, as for a score, or a low one, as for a loss.
    restore_best : bool, default=True
        Whether training ends with the parameters of its best epoch, or of its last one.

    Examples
    --------
    >>> rule = EarlyStopping(tol=0.0, patience=1)
    >>> state = None
    >>> for loss in (0.5, 0.7, 0.6):
    ...     state, is_best = rule.observe(state, loss)
    >>> state, rule.is_exhausted(state)
    (StoppingState(best=0.5, stale=2), True)
    """

    tol: float = 1e-4
    patience: float = 10
    maximize: bool = False
    restore_best: bool = True

    def __post_init__(self) -> None:
        check_between("tol", self.tol, 0.0)
        check_between("patience", self.patience, 0.0)
        check_flag("maximize", self.maximize)
        check_flag("restore_best", self.restore_best)

    def observe(self, state: StoppingState | None, metric: float) -> tuple[StoppingState, bool]:
        """Return the state after an epoch's metric, and whether the metric is the best so far.

        A metric that is NaN or infinite is neither progress nor the best.
        """
        best, stale = StoppingState() if state is None else state
        sign = 1.0 if self.maximize else -1.0
        if not isfinite(metric):
            return StoppingState(best, stale + 1), False
        progress = best is None or sign * metric >= sign * best + self.tol
        is_best = best is None or sign * metric > sign * best
        return StoppingState(metric if is_best else best, 0 if progress else stale + 1), is_best

    def is_exhausted(self, state: StoppingState | None) -> bool:
        """Return whether more epochs than ``patience`` have passed without progress."""
        return state is not None and state.stale > self.patience
