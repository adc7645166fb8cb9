"""What the two estimators share: scikit-learn's conventions around a fit."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import validate_parameter_constraints
from sklearn.utils.validation import validate_data

from deltarule.errors import BusyError
from deltarule.estimators.compatibility import check_options
from deltarule.estimators.fit_checkpoint import begin_stream, compare_data, open_checkpoints
from deltarule.estimators.fit_data import FitData, RawRows, is_frame, read_only
from deltarule.estimators.fit_reporter import FitReporter
from deltarule.estimators.fitted_estimator import SPARSE_FORMATS, FittedEstimator
from deltarule.estimators.fitting import FitJob, fit_by_steps, fit_whole
from deltarule.estimators.initial_model import new_model, resume
from deltarule.estimators.interpreter_cache import InterpreterCache, plain_key
from deltarule.estimators.nested_parameters import NestedParameters
from deltarule.estimators.options import FitOptions
from deltarule.estimators.parameter_constraints import COMMON, for_scikit_learn
from deltarule.estimators.preparation import prepare_data
from deltarule.estimators.sklearn_compat import (
    EpochCallbackMixin,
    check_sample_weight,
    with_callbacks,
)
from deltarule.estimators.solver_options import is_minimizer
from deltarule.estimators.streamed_dataset import StreamedDataset
from deltarule.estimators.target_encoder import TargetEncoder
from deltarule.estimators.validation_metric import score_of
from deltarule.estimators.validation_split import Validation, given_validation_set
from deltarule.utils.checks import check_undated
from deltarule.utils.locks import ForkSafeLock
from deltarule.utils.progress import progress_bar

if TYPE_CHECKING:
    from deltarule.training.checkpoints.writer import CheckpointWriter

__all__ = ["BaseMLP"]

_NO_VALIDATION = Validation()

_MOST_VALID = 256
_VALID: set[tuple[Any, ...]] = set()
"""Arguments that were found valid, as texts: a search fits many estimators with the same ones."""


class BaseMLP(EpochCallbackMixin, NestedParameters, FittedEstimator, ABC):
    """A network behind scikit-learn's interface; not to be used directly.

    The random numbers are drawn in scikit-learn's order, so that the same ``random_state`` gives
    the same initial parameters and the same mini-batches as scikit-learn's own estimators.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = for_scikit_learn(COMMON)
    # Groups are often meant for the splitter around the fit alone, as they always are with
    # scikit-learn's estimators: ``set_fit_request(groups=True)`` asks for them.
    __metadata_request__fit: ClassVar[dict[str, Any]] = {"groups": False}
    _numeric_targets: ClassVar[bool]

    @abstractmethod
    def _encoder(self, y: Any, known: TargetEncoder | None, *, learn: bool) -> TargetEncoder:
        """Return what encodes validated targets, by the estimator's arguments.

        ``known`` is the encoder of an earlier fit; with ``learn`` a new one begins.
        """

    @abstractmethod
    def _readable_targets(self, y: Any) -> Any:
        """Return targets that scikit-learn can validate; refuse those that it would misread."""

    # --- fitting -------------------------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        validation: Validation = _NO_VALIDATION,
        *,
        incremental: bool = False,
        known: TargetEncoder | None = None,
        dataset: StreamedDataset | None = None,
    ) -> None:
        """Train on X and y; or on ``dataset``, of which X and y are a few rows.

        ``known`` is the encoder that the first call of ``partial_fit`` begins with.
        """
        options = self._read_options(incremental)
        with self._checkpoints(options, dataset) as writer:
            before = dict(vars(self))
            try:
                data = self._prepare(
                    options, RawRows(X, y, sample_weight), validation, known, writer
                )
            except Exception:  # arguments or rows are refused: an earlier fit stays as it was
                self.__dict__ = before
                raise
            if dataset is not None:
                shards = dataset.partitioned(options.shards)
                block = dataset.stream(self._model, data.block, shards)
                data = data._replace(block=block, shards=shards)
            job = self._job(options, data, writer)
            if dataset is not None:
                job = dataset.job(job)
            try:
                if options.minimizes:
                    fit_whole(job)
                else:
                    fit_by_steps(job)
            finally:
                job.reporter.close()

    def _fit_lock(self) -> AbstractContextManager[Any]:
        """Return a lock for a fit: another thread's fit of this estimator waits for it."""
        lock: ForkSafeLock | None = vars(self).get("_lock_of_fits")
        if lock is None:
            lock = self.__dict__.setdefault("_lock_of_fits", ForkSafeLock())
        if lock.is_mine:
            raise BusyError(
                f"this {type(self).__name__} is being fitted by the call of fit or partial_fit "
                "that runs this code (a callback, a signal handler or a finaliser). Fit "
                "sklearn.base.clone(estimator), or wait until that call has ended."
            )
        held: AbstractContextManager[Any] = lock.here()
        return held

    def _checkpoints(
        self, options: FitOptions, dataset: StreamedDataset | None
    ) -> AbstractContextManager[CheckpointWriter | None]:
        """Open the folder of checkpoints, if there is one."""
        if options.checkpoint is None:
            return nullcontext()
        identity = {} if dataset is None else dataset.identity()
        return open_checkpoints(options, type(self).__qualname__, identity)

    def _read_options(self, incremental: bool) -> FitOptions:
        """Return the arguments, read and checked; those of the last call are not read again."""
        cache: InterpreterCache | None = vars(self).get("_interpreters")
        if cache is None:
            cache = self.__dict__.setdefault("_interpreters", InterpreterCache())
        given = {name: getattr(self, name) for name in self._parameter_constraints}
        if not cache.knows_valid(given.values()):
            known = plain_key(type(self), given.values())
            if known is None or known not in _VALID:
                self._check_parameters()
            if known is not None:
                if len(_VALID) >= _MOST_VALID:
                    _VALID.clear()
                _VALID.add(known)
            cache.remember_valid(given.values())
        options = cache.options(incremental=incremental)
        if options is None:
            options = FitOptions.read(given, incremental=incremental)
            check_options(options)
            cache.remember_options(options)
        return options

    def _check_parameters(self) -> None:
        """Refuse arguments of wrong types or ranges, in scikit-learn's words."""
        # As ``_validate_params``, which would look up the constructor's signature in every fit.
        given = {name: getattr(self, name) for name in self._parameter_constraints}
        validate_parameter_constraints(
            self._parameter_constraints, given, caller_name=type(self).__name__
        )

    def _prepare(
        self,
        options: FitOptions,
        raw: RawRows,
        validation: Validation,
        known: TargetEncoder | None,
        writer: CheckpointWriter | None,
    ) -> FitData:
        """Check the rows, begin or resume the model, and hold the validation set out."""
        earlier = self._model if options.resumes and self.__sklearn_is_fitted__() else None
        check_undated("X", raw.X)
        raw = raw._replace(y=self._readable_targets(raw.y))
        X, y = validate_data(
            self,
            raw.X,
            raw.y,
            accept_sparse=SPARSE_FORMATS,
            multi_output=True,
            y_numeric=self._numeric_targets,
            dtype=options.input_types,
            reset=earlier is None,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        known = known if earlier is None else earlier.targets
        encoder = self._encoder(y, known, learn=earlier is None and not options.incremental)
        targets = encoder.encode(y, validated=True)
        weight = check_sample_weight(raw.weight, X)
        random_state = self._interpreters.random_stream(self.random_state)
        if writer is not None:
            random_state = begin_stream(writer, self.random_state, random_state)
        shape = X.shape[1], targets.shape[1]
        if earlier is None:
            model = new_model(options, encoder, shape, X.dtype, random_state)
        else:
            model = resume(earlier, options, encoder, shape, random_state)
        names = getattr(self, "feature_names_in_", None)
        model.feature_names = None if names is None else [str(name) for name in names]
        block = model.as_block(X, targets, weight)
        raw = RawRows(raw.X if is_frame(raw.X) else X, raw.y, block.weight)
        own = given_validation_set(validation, options, model, self._checked_rows)
        data = prepare_data(options, model, block, raw, own, validation.groups, random_state)
        if writer is not None:
            compare_data(writer, block, validation, data, model, options)
        self._model, self._random_state = model, random_state
        if data.held_out is not None:

            def scored(scorer: Any, X: Any, y: Any, **weights: Any) -> Any:
                return scorer(self, X, y, **weights)

            classes = getattr(encoder, "classes", None)
            score = score_of(scored, self.monitor, data.held_out.raw, classes)
            data = data._replace(held_out=data.held_out._replace(score=score))
        return data

    def _job(self, options: FitOptions, data: FitData, writer: CheckpointWriter | None) -> FitJob:
        """Return the fit of the model to prepared rows, reported to the user's callbacks."""
        model, shown = self._model, data.callback_data
        given = shown.x, shown.y, shown.weight
        if vars(self).get("_skl_callbacks"):  # which may not change the rows of the training
            given = read_only(shown.x), read_only(shown.y), read_only(shown.weight)
        callbacks = self._begin_callbacks(options.epochs, *given)
        watched = options.verbose and not options.incremental  # whose calls are one epoch each
        return FitJob(
            options,
            model,
            data,
            self._random_state,
            self._interpreters,
            FitReporter(
                model,
                data.block.n_rows,
                callbacks,
                self._snapshot,
                records_health=options.record_health,
                verbose=options.verbose,
                bar=progress_bar(options.epochs, sys.stdout) if watched else None,
            ),
            writer,
        )

    @with_callbacks
    def fit_streamed(self, dataset: StreamedDataset, X_val: Any, y_val: Any) -> Self:
        """Fit to rows that are read again in every epoch, as ``fit`` does to rows in memory.

        Needs ``early_stopping=True`` and ``shuffle=False``, since the dataset shuffles. What needs
        all rows at once is the dataset's own task: ``standardize``, ``class_weight``, ``augment``.

        Parameters
        ----------
        dataset : StreamedDataset
            The training rows.
        X_val, y_val : array-like
            The validation set.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        As ``fit``, and whatever the dataset raises.
        """
        self._fit(dataset.X, dataset.y, None, Validation(X_val, y_val), dataset=dataset)
        return self

    def _check_solver(self) -> bool:
        if is_minimizer(self.solver):
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not "
                "stochastic."
            )
        return True

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: sparse input is accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
