"""What a fit reports after every epoch: history, verbose lines, health, the user's callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from deltarule.estimators.fitted_model import FittedModel
from deltarule.estimators.sklearn_compat import EpochCallbacks
from deltarule.program import State
from deltarule.training import History
from deltarule.utils.progress import ProgressBar

__all__ = ["FitReporter"]


class FitReporter:
    """Adds every epoch to the model's history and passes it on.

    Parameters
    ----------
    model : FittedModel
        The model that is trained.
    n_rows : int
        Training rows in an epoch.
    callbacks : EpochCallbacks
    fitted : callable
        () -> the attributes that make an estimator of this moment.
    records_health : bool
        Whether the training records the network's health.
    verbose : bool
        Whether to print a line for every epoch.
    bar : ProgressBar, optional
        A bar that is drawn instead of the lines.
    """

    def __init__(
        self,
        model: FittedModel,
        n_rows: int,
        callbacks: EpochCallbacks,
        fitted: Callable[[], dict[str, Any]],
        *,
        records_health: bool,
        verbose: bool,
        bar: ProgressBar | None = None,
    ) -> None:
        self._model, self._n_rows = model, n_rows
        self._callbacks, self._fitted = callbacks, fitted
        self._records_health, self._verbose = records_health, verbose
        self._bar = bar
        self.before = 0  # epochs of this fit before a recovery
        self._repeats = False  # whether callbacks already know of the next epoch

    @property
    def reports_begin(self) -> bool:
        """Whether ``begin`` does anything."""
        return self._callbacks.any_epochs

    def continue_after(self, *, repeats: bool) -> None:
        """Count the epochs of the next training after those so far, or repeat the last one."""
        self._repeats = repeats
        if not repeats:
            self.before = self._model.history.n_iter

    def begin(self, entered: State | None = None) -> None:
        """Report that an epoch begins."""
        if not self._repeats:
            self._callbacks.begin_epoch()
        self._repeats = False

    @property
    def keeps_state(self) -> bool:
        """Whether no code of the user's runs at an epoch's end, which might change the state."""
        return not self._callbacks.any_epochs

    @property
    def only_records(self) -> bool:
        """Whether nobody sees an epoch's end, so that it may be recorded somewhat later."""
        return not (self._verbose or self._records_health or self._callbacks.any_epochs)

    def __call__(self, history: History) -> bool:
        """Report an epoch of steps; return whether a callback asks to stop."""
        self.record(history)
        return self._report(history)

    def iteration(self, history: History) -> bool:
        """Report a minimiser's iteration; return whether a callback asks to stop."""
        held = self._model.history
        held.loss = history.last_cost
        held.loss_curve.append(held.loss)
        self.begin()
        return self._report(history)

    def record(self, history: History, epochs: int = 1) -> None:
        """Add the newest epochs of steps to the model's history."""
        with self._model.state.unchanged():  # a copy holds an epoch whole, or not at all
            self._record(history, epochs)

    def _record(self, history: History, epochs: int) -> None:
        held, n_epochs = self._model.history, history.n_epochs
        held.n_iter = self.before + n_epochs
        held.t += epochs * self._n_rows
        costs = [history.cost_of(epoch) for epoch in range(n_epochs - epochs + 1, n_epochs + 1)]
        held.loss = costs[-1]
        held.loss_curve.extend(costs)
        if held.best_loss is not None:
            for cost in costs:
                if cost < held.best_loss:
                    held.best_loss = cost
        if held.validation_scores is not None:
            self._record_validation(history, epochs)

    def _record_validation(self, history: History, epochs: int) -> None:
        """Add the newest epochs' losses and scores of the rows held out; NaN if one diverged."""
        held = self._model.history
        assert held.validation_scores is not None
        assert held.validation_loss_curve is not None
        n_epochs = history.n_epochs
        if len(history.validation_loss) < n_epochs:  # the only one has diverged
            held.validation_scores.append(float("nan"))
            held.validation_loss_curve.append(float("nan"))
            return
        held.validation_scores.extend(history.validation_score[-epochs:])
        held.validation_loss_curve.extend(history.validation_loss[-epochs:])
        best = history.best_epoch
        if best is not None and best > n_epochs - epochs:  # by score, or by loss
            held.best_validation_score = history.validation_score[best - 1]
        elif held.best_validation_score is None:
            held.best_validation_score = -np.inf

    def _report(self, history: History) -> bool:
        if self.only_records:
            return False
        held = self._model.history
        if self._records_health:
            held.health.append(history.health[-1])
        if self._bar is not None:
            self._bar.update(self.before + history.n_epochs, _newest(held.loss, history))
        elif self._verbose:
            print(f"Iteration {self.before + history.n_epochs}, loss = {held.loss:.8f}")  # noqa: T201
            if history.validation_score:
                print(f"Validation score: {history.validation_score[-1]:f}")  # noqa: T201
        return self._callbacks.end_epoch(self._fitted)

    def end(self) -> None:
        """Report that the fit is over."""
        self._callbacks.end_fit(self._fitted)

    def close(self) -> None:
        """Leave the bar as it is, however the fit ended."""
        if self._bar is not None:
            self._bar.stop()


def _newest(loss: float | None, history: History) -> str:
    """Return the newest loss and score, as the bar shows them."""
    if not history.validation_score:
        return f"loss {loss:#.4g}"
    return f"loss {loss:#.4g}  validation score {history.validation_score[-1]:#.4g}"
