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

_IDENTITY, _EPOCHS, _ARGUMENTS = "deltarule_identity", "epochs", "arguments"
_NAME = "deltarule"
RANDOM_TRIALS, WARM_UP = 10, 10  # trials before the sampler learns; epochs before any is given up


Outcome: TypeAlias = Literal["complete", "pruned", "failed"]


class Tried(NamedTuple):
    """One trial of a search."""

    number: int
    arguments: dict[str, Any]
    loss: float | None  # on the dev rows, of the parameters that were kept; None if it failed
    epochs: int
    outcome: Outcome


class Study:
    """What was tried on a table, and what is to be tried next.

    The sampler of trial n is seeded by the seed and n, so that a search that goes on proposes what
    an uninterrupted one would have.

    Parameters
    ----------
    study : optuna.study.Study
    seed : int
    """

    def __init__(self, study: optuna.study.Study, seed: int) -> None:
        self._study, self._seed = study, seed

    @property
    def tried(self) -> list[Tried]:
        """All trials that have ended, in order."""
        return [_tried(trial) for trial in self._study.get_trials(deepcopy=False) if _ended(trial)]

    @property
    def best(self) -> Tried | None:
        """The complete trial of least loss; None if there is none."""
        complete = [one for one in self.tried if one.outcome == "complete" and one.loss is not None]
        return min(complete, key=lambda one: (one.loss, one.number), default=None)

    def ask(self, space: Space) -> optuna.trial.Trial:
        """Return the next trial."""
        import numpy as np
        import optuna

        number = len(self._study.get_trials(deepcopy=False))
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        self._study.sampler = optuna.samplers.TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed)
        if number == 0 and space is default_space:
            self._study.enqueue_trial(FIRST)
        return self._study.ask()

    def tell(
        self, trial: optuna.trial.Trial, arguments: dict[str, Any], outcome: str, loss: float | None
    ) -> None:
        """Keep what a trial gave."""
        from optuna.trial import TrialState

        kept = {name: _plain(value) for name, value in arguments.items()}
        trial.set_user_attr(_ARGUMENTS, kept)
        if outcome == "failed" or loss is None or not math.isfinite(loss):
            self._study.tell(trial, state=TrialState.FAIL)
        elif outcome == "pruned":
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, loss)


@contextmanager
def open_study(storage: str | PathLike[str] | None, identity: str, seed: int) -> Iterator[Study]:
    """Open the study of a table, in a file if one is named; it is closed at the end.

    Parameters
    ----------
    storage : path or None
        A file that this or an earlier search of the same table writes.
    identity : str
        What the table, its split and the arguments that are not searched are known by.
    seed : int
        All proposals follow from it.

    Raises
    ------
    MissingDependencyError
        If Optuna is not installed.
    SpecError
        If the file holds a search of another table.
    OutputError
        If the file cannot be read or written.
    """
    with needing("tune", "a search for arguments needs Optuna"):
        import optuna
    quiet = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=WARM_UP)
    held: Any = None
    try:
        if storage is not None:
            check_path("storage", storage)
            held = _file_storage(Path(storage))
        with error_context((_database_errors(), _unreadable(storage))):
            study = optuna.create_study(
                storage=held, pruner=pruner, study_name=_NAME, load_if_exists=True
            )
            known = study.user_attrs.setdefault(_IDENTITY, identity)
            if known != identity:
                raise SpecError(
                    f"storage: {storage} holds a search of another table, of other rows, or with "
                    "other arguments; name a new file, or give what that search was given."
                )
            study.set_user_attr(_IDENTITY, identity)
            _end_the_interrupted(study)
            yield Study(study, seed)
    finally:
        if held is not None:
            held.remove_session()
            held.engine.dispose()
        optuna.logging.set_verbosity(quiet)


def _file_storage(path: Path) -> Any:
    import optuna

    if path.is_dir() or not path.parent.is_dir():
        raise OutputError(f"storage: {path} cannot be written; its folder must exist, and be one")
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
            f"storage: {storage} cannot be used as the file of a search ({reason}); name a new file"
        )

    return error


def _end_the_interrupted(study: optuna.study.Study) -> None:
    """Count trials that a killed process has left running as failed."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _ended(trial: optuna.trial.FrozenTrial) -> bool:
    return trial.state.is_finished()


def _tried(trial: optuna.trial.FrozenTrial) -> Tried:
    from optuna.trial import TrialState

    outcomes: dict[Any, Outcome] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    seen = trial.intermediate_values
    outcome = outcomes[trial.state]
    loss = trial.value if outcome == "complete" else min(seen.values(), default=None)
    arguments = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in trial.user_attrs.get(_ARGUMENTS, {}).items()
    }
    return Tried(trial.number, arguments, loss, len(seen), outcome)


def _plain(value: Any) -> Any:
    """Return an argument as JSON holds it."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value
