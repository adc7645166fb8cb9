"""The loop of a search: propose, fit until it is done or falls behind, remember the best."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from deltarule.errors import DivergenceError
from deltarule.tables.tuning.space import Space, proposed
from deltarule.tables.tuning.study import Study, Tried
from deltarule.utils.checks import check_between, check_positive_integer

if TYPE_CHECKING:
    from deltarule.tables.model import TableModel

__all__ = ["Budget", "Found", "search"]

INTERRUPTED = "Training interrupted by user."


@dataclass(frozen=True)
class Budget:
    """How long a search goes on: until the first of them is used up.

    Parameters
    ----------
    seconds : float, default=600
        After which the fit that runs ends with its best parameters.
    trials : int or None, default=None
        How many trials there may be, those of earlier searches in the same file included.
    """

    seconds: float = 600.0
    trials: int | None = None

    def __post_init__(self) -> None:
        check_between("seconds", self.seconds, 0.0, open_low=True)
        if self.trials is not None:
            check_positive_integer("trials", self.trials)


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes
    ----------
    arguments : dict
        Those of the best trial.
    model : TableModel
        Its model.
    tried : list of Tried
        Every trial that has ended, those of earlier searches in the same file included.
    interrupted : bool
        Whether Ctrl-C ended the search.
    """

    arguments: dict[str, Any]
    model: TableModel
    tried: list[Tried]
    interrupted: bool = False


def search(
    fit: Callable[[dict[str, Any], tuple[Any, ...]], TableModel],
    study: Study,
    space: Space,
    known: frozenset[str],
    budget: Budget,
    report: Callable[[Tried, Tried], None] | None = None,
) -> Found:
    """Try arguments until the budget is used up; return the best with its model.

    Parameters
    ----------
    fit : callable
        (arguments, callbacks) -> the fitted model. Callbacks follow scikit-learn's ``FitCallback``.
    study : Study
        What was tried already, and what is next.
    space : callable
        An Optuna trial -> arguments.
    known : set of str
        The names of arguments that may be searched.
    budget : Budget
        When to stop.
    report : callable, optional
        Called with every trial that has ended, and the best so far.

    Raises
    ------
    DivergenceError
        If every trial has diverged.
    """
    deadline = monotonic() + budget.seconds
    model: TableModel | None = None
    of_trial = -1  # whose model it is
    failure: DivergenceError | None = None
    interrupted, ran = False, 0
    while not interrupted:
        if budget.trials is not None and len(study.tried) >= budget.trials:
            break
        if monotonic() >= deadline and (ran > 0 or study.best is not None):
            break
        ran += 1
        trial = study.ask(space)
        arguments = proposed(space, trial, known)
        watcher = _Watcher(trial, deadline)
        try:
            fitted, interrupted = _quietly(fit, arguments, (watcher,))
        except DivergenceError as error:
            failure = error
            study.tell(trial, arguments, "failed", None)
            continue
        except KeyboardInterrupt:  # before a fit's first epoch had ended, or inside the watcher
            study.tell(trial, arguments, "failed", None)
            if study.best is None:
                raise
            interrupted = True
            break
        cut_short = interrupted and study.best is not None  # its loss says little
        outcome = "failed" if cut_short else "pruned" if watcher.pruned else "complete"
        study.tell(trial, arguments, outcome, _loss_of(fitted))
        best = study.best
        if best is not None and best.number == trial.number:
            model, of_trial = fitted, trial.number
        if report is not None and best is not None:
            report(study.tried[-1], best)
    best = study.best
    if best is None:
        raise failure or DivergenceError(
            f"all {len(study.tried)} trials have failed: the loss was not finite. Search lower "
            "values of learning_rate_init, or give more trials."
        )
    if model is None or of_trial != best.number:  # an earlier search found it
        model = _quietly(fit, best.arguments, ())[0]
    return Found(best.arguments, model, study.tried, interrupted)


def _quietly(
    fit: Callable[[dict[str, Any], tuple[Any, ...]], TableModel],
    arguments: dict[str, Any],
    callbacks: tuple[Any, ...],
) -> tuple[TableModel, bool]:
    """Fit without the warnings of a single training; return whether Ctrl-C ended it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = fit(arguments, callbacks)
    return fitted, any(str(warning.message) == INTERRUPTED for warning in caught)


def _loss_of(model: TableModel) -> float:
    """Return the dev loss of the parameters that were kept: those of the best dev score."""
    estimator: Any = model.estimator
    return float(estimator.validation_loss_curve_[int(np.argmax(estimator.validation_scores_))])


@dataclass
class _Watcher:
    """A callback that ends a fit that falls behind others, or whose time is over."""

    trial: Any
    deadline: float
    pruned: bool = False
    epochs: int = field(default=0)

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing before a fit."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing before an epoch."""

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        """Report an epoch's dev loss; return whether the fit should stop."""
        if context.parent is None:
            return False
        self.trial.report(float(estimator.validation_loss_curve_[-1]), self.epochs)
        self.epochs += 1
        self.pruned = bool(self.trial.should_prune())
        return self.pruned or monotonic() >= self.deadline

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing after a fit."""
