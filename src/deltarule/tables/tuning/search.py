"""The loop of a search: propose, fit until it is done or falls behind, remember the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

from deltarule.errors import DivergenceError
from deltarule.tables.fold_training import GivenUpError
from deltarule.tables.tuning.space import Space, proposed
from deltarule.tables.tuning.study import Study, Tried
from deltarule.utils.checks import check_between, check_positive_integer

__all__ = ["Budget", "Deadline", "Watcher", "search"]


@dataclass(frozen=True)
class Budget:
    """How long a search goes on: until the first of them is used up.

    Parameters
    ----------
    seconds : float, default=600
        After which no trial begins, and the one that runs is given up.
    trials : int or None, default=None
        How many trials there may be, those of earlier searches in the same file included.
    """

    seconds: float = 600.0
    trials: int | None = None

    def __post_init__(self) -> None:
        check_between("seconds", self.seconds, 0.0, open_low=True)
        if self.trials is not None:
            check_positive_integer("trials", self.trials)


class Deadline:
    """When a search has to end, by the clock."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    def passed(self) -> bool:
        """Whether it is over."""
        return monotonic() >= self._end


@dataclass
class Watcher:
    """Sees the losses of a trial step by step, and says whether it should end.

    A step is a network of an ensemble, or an epoch of one network: it is what ``fit_folds`` calls,
    and a callback in scikit-learn's sense.
    """

    trial: Any
    deadline: Deadline
    pruned: bool = False
    late: bool = False
    steps: int = 0

    def __call__(self, step: int, loss: float) -> bool:
        """Return whether the trial should end after this step."""
        self.steps = step + 1
        self.trial.report(float(loss), step)
        self.pruned = bool(self.trial.should_prune())
        self.late = not self.pruned and self.deadline.passed()
        return self.pruned or self.late

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing before a fit."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing before an epoch."""

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        """Report an epoch's dev loss; return whether the fit should end."""
        if context.parent is None:
            return False
        return self(self.steps, estimator.validation_loss_curve_[-1])

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing after a fit."""


class Fit(Protocol):
    """A fit with a recipe, which returns the loss on rows that it did not learn from."""

    def __call__(self, recipe: dict[str, Any], watcher: Watcher) -> float:
        """Return the loss; raise ``GivenUpError`` if the watcher ended it."""


def search(
    fit: Fit,
    study: Study,
    space: Space,
    trials: int | None,
    deadline: Deadline,
    report: Callable[[Tried, Tried], None] | None = None,
) -> bool:
    """Try recipes until the time or the trials are used up; return whether Ctrl-C ended it.

    Parameters
    ----------
    fit : callable
        (recipe, watcher) -> loss.
    study : Study
        What was tried already, and what is next.
    space : callable
        An Optuna trial -> a recipe.
    trials : int or None
        How many there may be.
    deadline : Deadline
        When to stop; the trial that runs then ends as "stopped".
    report : callable, optional
        Called with every trial that has ended, and the best so far.
    """
    try:
        _try_recipes(fit, study, space, trials, deadline, report)
    except KeyboardInterrupt:
        return True
    return False


def _try_recipes(
    fit: Fit,
    study: Study,
    space: Space,
    trials: int | None,
    deadline: Deadline,
    report: Callable[[Tried, Tried], None] | None,
) -> None:
    """Try recipes until the time or the trials are used up."""
    while not deadline.passed() and (trials is None or len(study.tried) < trials):
        trial = study.ask(space)
        recipe = proposed(space, trial)
        watcher = Watcher(trial, deadline)
        try:
            loss = fit(recipe, watcher)
        except GivenUpError:
            tried = study.tell(trial, recipe, "pruned" if watcher.pruned else "stopped")
        except DivergenceError:
            tried = study.tell(trial, recipe, "failed")
        except KeyboardInterrupt:
            study.tell(trial, recipe, "stopped")
            raise
        else:
            tried = study.tell(trial, recipe, "complete", loss)
        best = study.best()
        if report is not None and best:
            report(tried, best[0])
