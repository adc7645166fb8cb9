"""The search for recipes, as a method of the tabular estimators."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from deltarule.errors import SpecError
from deltarule.tables.fold_training import GivenUpError
from deltarule.tables.preparation import Prepared
from deltarule.tables.tabular.fit_table import FitTable
from deltarule.tables.tabular.python_words import speaking_python
from deltarule.tables.tuning.search import Budget, Deadline, Watcher, search
from deltarule.tables.tuning.space import Space, check_space, default_space
from deltarule.tables.tuning.study import Tried, open_study

if TYPE_CHECKING:
    from deltarule.tables.model import TableModel
    from deltarule.tables.settings import Arguments

__all__ = ["Found", "TuningMixin"]

FOLDS = 4
"""A trial is an ensemble of so many networks, if the model is one."""
MIXED = 4
"""The model that is kept has so many of the best recipes in turn, of different activations."""
WARM_UP = {"networks": 1, "epochs": 10}
"""Steps before a trial may be given up: networks of an ensemble, or epochs of one network."""
FOUND = ("hidden_layer_sizes", "activation", "learning_rate_init", "dropout", "alpha", "recipes")
"""Arguments that a recipe says."""
Report = Callable[[Tried, Tried], None]


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes
    ----------
    recipes : list of dict
        Those of the model; empty if the defaults were better on the rows held out.
    loss, default_loss : float
        Log loss, or the root of the mean squared error, of the best recipes and of the defaults: of
        an ensemble on the rows that each network left out, of one network on the dev rows.
    tried : list of Tried
        Every trial that has ended, those of earlier searches in the same file included.
    interrupted : bool
        Whether Ctrl-C ended the search.
    """

    recipes: list[dict[str, Any]]
    loss: float
    default_loss: float
    tried: list[Tried]
    interrupted: bool = False


class TuningMixin:
    """The methods ``tune`` and ``tune_prepared``."""

    if TYPE_CHECKING:  # what the estimators have
        checkpoint: Any
        _validate_params: Callable[[], None]
        _arguments: Callable[[], Arguments]
        set_params: Callable[..., Any]
        _fit_table: Callable[[Any, Any, Any], FitTable]
        _learn: Callable[..., Any]
        _become: Callable[[FitTable, TableModel], Any]

    def tune(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        seconds: float = 600.0,
        trials: int | None = None,
        storage: str | PathLike[str] | None = None,
        space: Space | None = None,
    ) -> Self:
        """Search for the recipes that suit a table, and become the best model found.

        The defaults are fitted first. Then Optuna's sampler (TPE; Bergstra et al. 2011) proposes a
        recipe after the other; one that falls behind the median of earlier ones, at the same
        network or epoch, is given up. At last an ensemble is fitted with four recipes in turn, the
        best of each activation (one network with the best), and kept if it is better than the
        defaults. What counts is the loss on rows that a network did not learn from: those of its
        fold, or the dev rows.

        Parameters
        ----------
        X, y, sample_weight
            As in ``fit``.
        seconds : float, default=600
            How long it may take, all in all; the fit with the defaults is always finished.
        trials : int, optional
            How many recipes may be tried, those of earlier searches in the same file included.
        storage : str or path-like, optional
            A file that remembers every trial: the same call again goes on where the last one
            ended, or was killed. Without it nothing is kept but the model.
        space : callable, optional
            space(trial) -> a recipe, as in `recipes`, by the methods of an Optuna trial, such as
            ``trial.suggest_float("dropout", 0.0, 0.5)``; by default
            `deltarule.tables.default_space`.

        Returns
        -------
        self : object
            The fitted estimator, with the recipes as its argument `recipes`. ``tuning_`` says what
            was tried.

        Raises
        ------
        MissingDependencyError
            If Optuna is not installed (``pip install "deltarule[tune]"``).
        SpecError
            If an argument says what is to be found, the space is none, or the file is of another
            search.
        TableError, OutputError, DivergenceError
            As in ``fit``.

        Notes
        -----
        With the same seed, the same number of trials gives the same bits, in one search or in
        several that go on in a file; a limit in seconds ends where the machine has come to.

        Examples
        --------
        >>> from deltarule import TabularRegressor
        >>> X = [[0.0], [1.0], [2.0], [3.0]] * 10
        >>> y = [0.0, 1.0, 2.0, 3.0] * 10
        >>> model = TabularRegressor(max_iter=20).tune(X, y, trials=2)
        >>> len(model.tuning_.tried)
        2
        """
        self._validate_params()
        budget = Budget(seconds, trials)
        with speaking_python():
            return self._tuned(self._fit_table(X, y, sample_weight), budget, storage, space)

    def tune_prepared(
        self,
        prepared: Prepared,
        budget: Budget,
        storage: str | PathLike[str] | None = None,
        report: Report | None = None,
    ) -> Self:
        """Search as ``tune`` does, on a table that is prepared; ``deltarule tune`` ends here.

        Parameters
        ----------
        prepared : Prepared
            From `deltarule.tables.prepare`.
        budget : Budget
            How long to search.
        storage : str or path-like, optional
            The file that remembers every trial.
        report : callable, optional
            Called with every trial that has ended, and the best so far.

        Returns
        -------
        self : object
            As ``tune``.
        """
        self._validate_params()
        return self._tuned(FitTable(prepared), budget, storage, report=report)

    def _tuned(
        self,
        table: FitTable,
        budget: Budget,
        storage: str | PathLike[str] | None,
        space: Space | None = None,
        report: Report | None = None,
    ) -> Self:
        begin = monotonic()
        chosen = default_space if space is None else space
        check_space(chosen)
        self._check_searchable()
        prepared = table.prepared
        in_trials = table._replace(prepared=replace(prepared, folds=min(FOLDS, prepared.folds)))
        seed = prepared.provenance.network_seed
        warm_up = WARM_UP["networks" if prepared.folds > 1 else "epochs"]
        identity = _identity(prepared, self._arguments().model_dump(exclude={"recipes"}))

        def fit(recipe: dict[str, Any], watcher: Watcher) -> float:
            return _trial(clone(self).set_params(recipes=[recipe]), in_trials, watcher)

        with open_study(storage, identity, seed, warm_up) as study:
            usual, interrupted = _fitted(self, table)
            took = monotonic() - begin  # the last fit will take about as long
            deadline = Deadline(budget.seconds - 2.2 * took)
            if not interrupted:
                interrupted = search(fit, study, chosen, budget.trials, deadline, report)
            best, tried = study.best(MIXED if prepared.folds > 1 else 1), study.tried
        model, loss = usual, _loss(usual, prepared)
        found = Found([], loss, loss, tried, interrupted)
        if best:
            recipes = [one.recipe for one in best]
            try:
                tuned, cut_short = _fitted(self, table, recipes)
                found = replace(
                    found, loss=_loss(tuned, prepared), interrupted=interrupted or cut_short
                )
            except KeyboardInterrupt:
                found = replace(found, interrupted=True)
            else:
                if found.loss < loss:
                    model, found = tuned, replace(found, recipes=recipes)
        self.set_params(recipes=found.recipes or None)
        self._become(table, model)
        self.tuning_ = found
        if found.interrupted:
            warnings.warn("The search was interrupted; it ended with what it had.", stacklevel=3)
        return self

    def _check_searchable(self) -> None:
        """Raise ``SpecError`` if an argument does not go with a search."""
        if self.checkpoint is not None:
            raise SpecError(
                "checkpoint is of one fit, and a search has many; leave it out, and give storage"
            )
        said = [name for name in FOUND if getattr(self, name) is not None]
        if said:
            raise SpecError(
                f"{said[0]} is what a search finds; leave it out, or give a space that returns it"
            )


def _fitted(
    estimator: Any, table: FitTable, recipes: list[dict[str, Any]] | None = None
) -> tuple[TableModel, bool]:
    """Fit a copy of an estimator with recipes, or the defaults; say whether Ctrl-C ended it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = clone(estimator).set_params(recipes=recipes)._learn(table).model_
    if recipes is None:  # of found recipes the loss says what they are worth
        for warning in caught:
            if not issubclass(warning.category, ConvergenceWarning):
                warnings.warn(warning.message, stacklevel=4)
    return model, _is_interrupted(caught)


def _is_interrupted(caught: list[warnings.WarningMessage]) -> bool:
    """Whether a fit took Ctrl-C, and returned the best that it had."""
    return any(str(warning.message).startswith("Training interrupted") for warning in caught)


def _trial(estimator: Any, table: FitTable, watcher: Watcher) -> float:
    """Fit an estimator as a trial; return its loss on rows that it did not learn from."""
    estimator._validate_params()
    ensemble = table.prepared.folds > 1
    with warnings.catch_warnings(record=True) as caught:  # of a single training among many
        warnings.simplefilter("always")
        model = estimator._learn(
            table,
            callbacks=() if ensemble else (watcher,),
            is_hopeless=watcher if ensemble else None,
        ).model_
    if _is_interrupted(caught):
        raise KeyboardInterrupt
    if watcher.pruned or watcher.late:
        raise GivenUpError
    return _loss(model, table.prepared)


def _loss(model: TableModel, prepared: Prepared) -> float:
    """Return log loss or root mean squared error on the rows that were held out."""
    evaluation = model.out_of_fold or model.score(prepared.reader.part("dev")).evaluation()
    scores = evaluation.scores
    return float(scores["rmse"] if "rmse" in scores else scores["log_loss"])


def _identity(prepared: Prepared, fixed: dict[str, Any]) -> str:
    """Return a digest of what decides a fit beside its recipe.

    What preprocessing has learned of a table (means, scales, categories) stands for its rows.
    """
    provenance = prepared.provenance
    rows = [provenance.training_rows, provenance.dev_rows, provenance.test_rows, prepared.folds]
    seeds = [provenance.split_seed, provenance.network_seed]
    learned = prepared.preprocessing.model_dump(mode="json")
    told = json.dumps([learned, rows, seeds, fixed], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()
