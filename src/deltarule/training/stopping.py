"""When to stop: no improvement on the best so far (items O9, R4; erratum E-z)."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

__all__ = ["Stopping"]


@dataclass
class Stopping:
    """Watch a figure; give up after too many epochs that do not better its best by ``tol``.

    Parameters
    ----------
    tol : float
        By how much the best so far must be bettered for an epoch to count as progress.
    patience : float
        Epochs in a row without progress that are borne; one more ends the run.
    maximize : bool, default=False
        Whether high is good, as for a score, or low, as for a loss.
    """

    tol: float = 1e-4
    patience: float = 10
    maximize: bool = False
    best: float | None = None
    stale: int = 0  # epochs in a row without progress

    def update(self, value: float) -> bool:
        """Take an epoch's figure in; return whether it is the best so far."""
        sign = 1.0 if self.maximize else -1.0
        first = self.best is None
        best = self.best if self.best is not None else 0.0
        number = isfinite(value)  # what is no finite number is no progress
        progress = number and (first or sign * value >= sign * best + self.tol)
        self.stale = 0 if progress else self.stale + 1
        if number and (first or sign * value > sign * best):
            self.best = value
            return True
        return False

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.stale > self.patience
