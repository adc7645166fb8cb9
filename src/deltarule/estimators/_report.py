"""Reports after every epoch: fitted attributes, verbose lines, the user's callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deltarule.estimators._kept import Kept
from deltarule.estimators._rows import Rows
from deltarule.estimators._sklearn import EpochCallbacks
from deltarule.program import State
from deltarule.training import History

if TYPE_CHECKING:
    from deltarule.estimators._base import BaseMLP

__all__ = ["Report", "take_over"]

_PRIVATE = ("_hidden", "_network", "_label_binarizer")


class Report:
    """Hooks of a fit: they set the fitted attributes, print, and call the user's callbacks."""

    def __init__(self, estimator: BaseMLP, rows: Rows, epochs: int) -> None:
        self._estimator, self._n_rows = estimator, rows.block.n_rows
        self.before = 0  # epochs of this fit before a recovery
        self._repeats = False  # whether callbacks have been told of the next epoch already
        shown = rows.shown
        self._callbacks = EpochCallbacks(estimator, epochs, shown.x, shown.y, shown.weight)

    def continue_after(self, *, repeats: bool) -> None:
        """Count the epochs of the next training after those so far, or repeat the last one."""
        self._repeats = repeats
        if not repeats:
            self.before = self._estimator.n_iter_

    def begin(self, entered: State | None = None) -> None:
        """Tell the callbacks that an epoch begins."""
        if not self._repeats:
            self._callbacks.begin_epoch()
        self._repeats = False

    def epoch(self, history: History) -> bool:
        """Add an epoch to the fitted attributes; return whether a callback ends the fit."""
        take_over(self._estimator, history, self._n_rows, self.before)
        return self._report(history)

    def iteration(self, history: History) -> bool:
        """Add a minimiser's iteration to the fitted attributes; return as ``epoch`` does."""
        estimator = self._estimator
        estimator.loss_ = history.cost[-1]
        estimator.loss_curve_.append(estimator.loss_)
        self.begin()
        return self._report(history)

    def _report(self, history: History) -> bool:
        estimator, number = self._estimator, self.before + history.n_epochs
        if estimator.record_health:
            estimator.health_.append(history.health[-1])
        if estimator.verbose:
            print(f"Iteration {number}, loss = {estimator.loss_:.8f}")  # noqa: T201
            if history.validation_score:
                print(f"Validation score: {history.validation_score[-1]:f}")  # noqa: T201
        return self._callbacks.end_epoch(self._fitted)

    def end(self) -> None:
        """Tell the callbacks that the fit ended."""
        self._callbacks.end_fit(self._fitted)

    def _fitted(self) -> dict[str, Any]:
        """Return the attributes of an estimator as fitted so far."""
        attributes = {
            name: value
            for name, value in vars(self._estimator).items()
            if name.endswith("_") or name in _PRIVATE
        }
        own = {"_state": self._estimator._state.copy(), "_kept": Kept()}
        return attributes | own


def take_over(estimator: BaseMLP, history: History, n_rows: int, before: int = 0) -> None:
    """Add the history's newest epoch to the fitted attributes."""
    estimator.n_iter_ = before + history.n_epochs
    estimator.t_ += n_rows
    estimator.loss_ = history.cost[-1]
    estimator.loss_curve_.append(estimator.loss_)
    if estimator.best_loss_ is not None and estimator.loss_ < estimator.best_loss_:
        estimator.best_loss_ = estimator.loss_
    if estimator.validation_scores_ is not None:
        _take_validation_over(estimator, history)


def _take_validation_over(estimator: BaseMLP, history: History) -> None:
    """Add the newest epoch's metrics on the held-out rows; NaN for an epoch that diverged."""
    assert estimator.validation_scores_ is not None
    assert estimator.validation_loss_curve_ is not None
    measured = len(history.validation_loss) == history.n_epochs
    score = history.validation_score[-1] if measured else float("nan")
    estimator.validation_scores_.append(score)
    estimator.validation_loss_curve_.append(
        history.validation_loss[-1] if measured else float("nan")
    )
    if measured and history.best_epoch == history.n_epochs:  # by score, or by loss
        estimator.best_validation_score_ = score
    elif measured and estimator.best_validation_score_ is None:
        estimator.best_validation_score_ = -np.inf
