"""An Optuna study of one table: in memory, or in a file from which a search goes on."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from deltarule.errors import OutputError, SpecError
from deltarule.tables.tuning.space import FIRST, Space, default_space
from deltarule.utils.checks import check_path
from deltarule.utils.context import error_context, needing

if TYPE_CHECKING:
    import optuna

__all__ = ["Study", "Tried", "open_study"]

_NAME, _IDENTITY, _RECIPE, _STOPPED = "deltarule", "identity", "recipe", "stopped"
RANDOM_TRIALS = 10  # before the sampler learns from the others
Outcome: TypeAlias = Literal["complete", "pruned", "stopped", "failed"]


class Tried(NamedTuple):
    """One trial of a search.

    `loss` is that of the parameters that were kept, on rows that the network did not learn from:
    log loss, or the root of the mean squared error; None unless the trial is complete. `outcome` is
    "complete", "pruned" (given up, because it fell behind others), "stopped" (it ran when the time
    was over, or when Ctrl-C ended the search) or "failed" (its loss was not finite, or the process
    was killed).
    """

    number: int
    recipe: dict[str, Any]
    loss: float | None
    outcome: Outcome


class Study:
    """What was tried on a table, and what is to be tried next.

    The sampler of trial n is seeded by the seed and n, so that a search that goes on proposes what
    an uninterrupted one would have.
    """

    def __init__(self, study: optuna.study.Study, seed: int) -> None:
        self._study, self._seed = study, seed

    @property
    def tried(self) -> list[Tried]:
        """All trials that have ended, in order."""
        trials = self._study.get_trials(deepcopy=False)
        return [_tried(trial) for trial in trials if trial.state.is_finished()]

    def best(self, count: int = 1) -> list[Tried]:
        """Return complete trials of little loss with different recipes; the best first.

        Those are first that have an activation of their own: networks that differ gain more by
        their average than they lose by being a little worse.
        """
        complete = [one for one in self.tried if one.outcome == "complete"]
        complete.sort(key=lambda one: (one.loss, one.number))
        recipes: list[dict[str, Any]] = []
        different: list[Tried] = []
        for one in complete:
            if one.recipe not in recipes:
                recipes.append(one.recipe)
                different.append(one)
        seen: set[Any] = set()
        first = []
        for one in different:
            if (activation := one.recipe.get("activation")) not in seen:
                seen.add(activation)
                first.append(one)
        chosen = (first + [one for one in different if one not in first])[:count]
        return sorted(chosen, key=different.index)

    def ask(self, space: Space) -> optuna.trial.Trial:
        """Return the next trial; the first ones of the default space are known to be good."""
        import numpy as np
        import optuna

        number = len(self._study.get_trials(deepcopy=False))
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        self._study.sampler = optuna.samplers.TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed)
        if space is default_space and number < len(FIRST):
            self._study.enqueue_trial(FIRST[number])
        return self._study.ask()

    def tell(
        self,
        trial: optuna.trial.Trial,
        recipe: dict[str, Any],
        outcome: Outcome,
        loss: float | None = None,
    ) -> Tried:
        """Keep what a trial gave; a loss that is not finite is a failure."""
        from optuna.trial import TrialState

        trial.set_user_attr(_RECIPE, {name: _plain(value) for name, value in recipe.items()})
        if outcome == "complete" and loss is not None and math.isfinite(loss):
            return _tried(self._study.tell(trial, loss))
        if outcome == "stopped":
            trial.set_user_attr(_STOPPED, True)
        state = TrialState.PRUNED if outcome == "pruned" else TrialState.FAIL
        return _tried(self._study.tell(trial, state=state))


@contextmanager
def open_study(
    storage: str | PathLike[str] | None, identity: str, seed: int, warm_up: int
) -> Iterator[Study]:
    """Open the study of a table, in a file if one is named; it is closed at the end.

    Parameters
    ----------
    storage : path or None
        A file that this or an earlier search of the same table writes.
    identity : str
        What the table, its split and the arguments that are not searched are known by.
    seed : int
        All proposals follow from it.
    warm_up : int
        The step (network of an ensemble, or epoch) from which on a trial may be given up.

    Raises
    ------
    MissingDependencyError
        If Optuna is not installed.
    SpecError
        If the file holds a search of another table.
    OutputError
        If the file cannot be read or written.
    """
    with needing("tune", "a search needs Optuna"):
        import optuna
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=warm_up)
    held: Any = None
    try:
        if storage is not None:
            check_path("storage", storage)
            held = _file_storage(Path(storage))
        with error_context((_database_errors(), _unreadable(storage))):
            study = optuna.create_study(
                storage=held, pruner=pruner, study_name=_NAME, load_if_exists=True
            )
            if study.user_attrs.get(_IDENTITY, identity) != identity:
                raise SpecError(
                    f"storage (--study): {storage} holds a search of another table, of other rows, "
                    "or with other arguments; name a new file, or give what that search was given."
                )
            study.set_user_attr(_IDENTITY, identity)
            _end_the_interrupted(study)
            yield Study(study, seed)
    finally:
        if held is not None:
            held.remove_session()
            held.engine.dispose()
        optuna.logging.set_verbosity(before)


def _file_storage(path: Path) -> Any:
    import optuna

    if path.is_dir() or not path.parent.is_dir():
        raise OutputError(
            f"storage (--study): {path} cannot be written; name a file in a folder that exists"
        )
    with warnings.catch_warnings(), error_context((Exception, _unreadable(path))):
        warnings.simplefilter("ignore")
        return optuna.storages.RDBStorage(f"sqlite:///{path.absolute()}")


def _database_errors() -> tuple[type[BaseException], ...]:
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    return (StorageInternalError, SQLAlchemyError)


def _unreadable(storage: Any) -> Any:
    def error(found: Exception) -> OutputError:
        reason = " ".join(str(found).split())[:200]
        return OutputError(
            f"storage (--study): {storage} cannot be used as the file of a search ({reason}); name "
            "a new file"
        )

    return error


def _end_the_interrupted(study: optuna.study.Study) -> None:
    """Count trials that a killed process has left running as failed."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _tried(trial: optuna.trial.FrozenTrial) -> Tried:
    from optuna.trial import TrialState

    outcomes: dict[Any, Outcome] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    stopped = trial.user_attrs.get(_STOPPED, False)
    outcome: Outcome = "stopped" if stopped else outcomes[trial.state]
    loss = trial.value if outcome == "complete" else None
    return Tried(trial.number, dict(trial.user_attrs.get(_RECIPE, {})), loss, outcome)


def _plain(value: Any) -> Any:
    """Return a setting as JSON holds it."""
    if isinstance(value, list | tuple) or hasattr(value, "tolist"):
        listed = value.tolist() if hasattr(value, "tolist") else value
        return [_plain(item) for item in listed] if isinstance(listed, list | tuple) else listed
    return value
