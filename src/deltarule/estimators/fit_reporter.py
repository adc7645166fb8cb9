"""What is said on the way: fitted attributes, verbose lines, health, the user's callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deltarule.analysis.health import HealthMonitor
from deltarule.estimators.fit_data import Rows
from deltarule.estimators.interpreter_cache import Kept
from deltarule.estimators.sklearn_compat import EpochCallbacks
from deltarule.program import State
from deltarule.training import History

if TYPE_CHECKING:
    from deltarule.estimators.base import BaseMLP

__all__ = ["Report", "take_over"]

_PRIVATE = ("_hidden", "_network", "_label_binarizer")


class Report:
    """After every epoch, tell whoever wants to know."""

    def __init__(self, estimator: BaseMLP, rows: Rows, epochs: int) -> None:
        self._estimator, self._n_rows = estimator, rows.block.n_rows
        self.before = 0  # epochs of earlier runs of this fit
        self._repeats = False  # whether the next epoch is one that callbacks know already
        shown = rows.shown
        self._callbacks = EpochCallbacks(estimator, epochs, shown.x, shown.y, shown.weight)
        tape, state = estimator._network.tape, estimator._state
        self._health = HealthMonitor(tape, state, rows.block) if estimator.record else None

    def go_on(self, *, repeats: bool) -> None:
        """Count the epochs of a further run behind those so far, or repeat the last one."""
        self._repeats = repeats
        if not repeats:
            self.before = self._estimator.n_iter_

    def begin(self, entered: State | None = None) -> None:
        """Tell the callbacks that an epoch begins, and with which state."""
        if self._health is not None and entered is not None:
            self._health.begin(entered)
        if not self._repeats:
            self._callbacks.begin_epoch()
        self._repeats = False

    def epoch(self, history: History) -> bool:
        """Take an epoch of steps over; return whether a callback says stop."""
        take_over(self._estimator, history, self._n_rows, self.before)
        return self._tell(history)

    def iteration(self, history: History) -> bool:
        """Take a minimiser's iteration over; return whether a callback says stop."""
        estimator = self._estimator
        estimator.loss_ = estimator._loss_scale() * history.loss[-1] + history.penalty[-1]
        estimator.loss_curve_.append(estimator.loss_)
        self.begin()
        return self._tell(history)

    def _tell(self, history: History) -> bool:
        estimator, number = self._estimator, self.before + history.n_epochs
        if self._health is not None:
            self._health.observe(history)
            estimator.health_.append(history.health[-1])
        if estimator.verbose:
            print(f"Iteration {number}, loss = {estimator.loss_:.8f}")  # noqa: T201
            if history.validation_score:
                print(f"Validation score: {history.validation_score[-1]:f}")  # noqa: T201
        return self._callbacks.end_epoch(self._fitted)

    def end(self) -> None:
        """Tell the callbacks that the fit is over."""
        self._callbacks.end_fit(self._fitted)

    def _fitted(self) -> dict[str, Any]:
        """Return the attributes from which a ready estimator of this moment is made."""
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
    """Add the newest epoch's figures on the held-out rows; NaN for an epoch that diverged."""
    assert estimator.validation_scores_ is not None
    assert estimator.validation_loss_curve_ is not None
    measured = len(history.validation_loss) == history.n_epochs
    score = history.validation_score[-1] if measured else float("nan")
    estimator.validation_scores_.append(score)
    estimator.validation_loss_curve_.append(
        history.validation_loss[-1] if measured else float("nan")
    )
    watch = estimator._watch
    if watch is None or not measured:
        return
    if watch.maximize:
        best = watch.best
    else:  # the score that goes with the lowest loss
        best = score if history.best_epoch == history.n_epochs else None
    if best is not None:
        estimator.best_validation_score_ = best
    elif watch.maximize:
        estimator.best_validation_score_ = -np.inf
