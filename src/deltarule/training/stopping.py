"""When to stop: no improvement on the best so far (items O9, R4; erratum E-z)."""

from __future__ import annotations

from dataclasses import dataclass

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
        if self.best is None:
            if value == value:
                self.best = value
            return value == value
        self.stale = self.stale + 1 if sign * value < sign * self.best + self.tol else 0
        if sign * value > sign * self.best:
            self.best = value
            return True
        return False

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.stale > self.patience
