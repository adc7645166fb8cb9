"""The search for arguments, as a method of the tabular estimators."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

from sklearn.base import clone

from deltarule.errors import SpecError
from deltarule.tables.prepare import Prepared
from deltarule.tables.tabular.fit_table import FitTable
from deltarule.tables.tabular.python_words import speaking_python
from deltarule.tables.tuning.search import INTERRUPTED, Budget, search
from deltarule.tables.tuning.space import DEFAULT_NAMES, Space, check_space, default_space
from deltarule.tables.tuning.study import Tried, open_study

if TYPE_CHECKING:
    from deltarule.tables.model import TableModel
    from deltarule.tables.settings import Arguments

__all__ = ["TuningMixin"]

SEARCHABLE = frozenset(
    {"hidden_layer_sizes", "activation", "alpha", "batch_size", "learning_rate_init", "max_iter"}
    | {"n_iter_no_change", "dropout"}
)
"""Arguments that do not change how a table is prepared."""


class TuningMixin:
    """The methods ``tune`` and ``tune_prepared``."""

    if TYPE_CHECKING:  # what the estimators have
        checkpoint: Any
        _validate_params: Callable[[], None]
        _arguments: Callable[[], Arguments]
        get_params: Callable[[], dict[str, Any]]
        set_params: Callable[..., Any]
        _fit_table: Callable[[Any, Any, Any], FitTable]
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
        """Search for arguments that suit a table, and become the best model found.

        Optuna's sampler (TPE; Bergstra et al. 2011) proposes arguments, beginning near the
        defaults; a fit that falls behind the median of earlier ones at the same epoch is given up.
        What counts is the loss on the dev rows, without the penalty.

        Parameters
        ----------
        X, y, sample_weight
            As in ``fit``.
        seconds : float, default=600
            How long to search; the fit that runs then ends with its best parameters.
        trials : int, optional
            How many trials there may be, those of earlier searches in the same file included.
        storage : str or path-like, optional
            A file that remembers every trial: the same call again goes on where the last one
            ended, or was killed. Without it nothing is kept but the best.
        space : callable, optional
            space(trial) -> a dict of arguments of this estimator, by the methods of an Optuna
            trial, such as ``{"alpha": trial.suggest_float("alpha", 0.01, 1.0, log=True)}``; by
            default `deltarule.tables.default_space`. Other arguments are those of this estimator.

        Returns
        -------
        self : object
            The estimator with the arguments and the model of the best trial. ``tuning_`` has what
            was tried: ``tuning_.tried``.

        Raises
        ------
        MissingDependencyError
            If Optuna is not installed (``pip install "deltarule[tune]"``).
        SpecError
            If the space is none, or the file is of another search.
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
        with speaking_python():
            return self._tuned(
                self._fit_table(X, y, sample_weight), Budget(seconds, trials), storage, space
            )

    def tune_prepared(
        self,
        prepared: Prepared,
        budget: Budget,
        storage: str | PathLike[str] | None = None,
        report: Callable[[Tried, Tried], None] | None = None,
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
        held: FitTable,
        budget: Budget,
        storage: str | PathLike[str] | None,
        space: Space | None = None,
        report: Callable[[Tried, Tried], None] | None = None,
    ) -> Self:
        chosen = default_space if space is None else space
        check_space(chosen)
        if self.checkpoint is not None:
            raise SpecError(
                "checkpoint is of one fit, and a search has many; leave it out, and name a storage"
            )
        known = frozenset(set(self.get_params()) & SEARCHABLE)
        fixed = self._arguments().model_dump(exclude=set(DEFAULT_NAMES if space is None else known))
        identity = _identity(held.prepared, fixed)

        def fit(arguments: dict[str, Any], callbacks: tuple[Any, ...]) -> TableModel:
            one = clone(self).set_params(**arguments)
            one._validate_params()
            if callbacks:
                one.set_callbacks(*callbacks)
            return one._learn(held).model_

        seed = held.prepared.provenance.network_seed
        with open_study(storage, identity, seed) as study:
            found = search(fit, study, chosen, known, budget, report)
        self.set_params(**found.arguments)
        self._become(held, found.model)
        self.tuning_ = found
        if found.interrupted:
            warnings.warn(INTERRUPTED, stacklevel=3)
        return self


def _identity(prepared: Prepared, fixed: dict[str, Any]) -> str:
    """Return a digest of what decides a fit beside the arguments that are searched.

    What preprocessing has learned of a table (means, scales, categories) stands for its rows.
    """
    provenance = prepared.provenance
    rows = [provenance.training_rows, provenance.dev_rows, provenance.test_rows]
    seeds = [provenance.split_seed, provenance.network_seed]
    learned = prepared.preprocessing.model_dump(mode="json")
    told = json.dumps([learned, rows, seeds, fixed], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()
