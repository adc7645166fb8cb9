"""From a table to a fitted model, in two steps with room between them to tell the user.

prepared = prepare(read_table("penguins.csv"), Plan("species"))
model = fit(prepared, Settings())

Training reads the rows of a table in its files again in every epoch, through a shuffle buffer;
all rows of a table in memory are shuffled together.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import SpecError
from deltarule.estimators import MLPClassifier, MLPRegressor, from_record
from deltarule.estimators.class_targets import ClassTargets
from deltarule.tables.evaluation import Evaluation
from deltarule.tables.fold_training import fit_folds, member_estimator, to_the_last_epoch
from deltarule.tables.model import TableModel
from deltarule.tables.preparation import Prepared
from deltarule.tables.record import Classes
from deltarule.tables.settings import Arguments, Interface, Settings
from deltarule.tables.time_budget import Deadline
from deltarule.utils.blas import one_blas_thread

__all__ = ["fit", "interface_of", "score_parts"]


class _ScoreWithLogLoss(ClassTargets):
    """Targets whose score prefers, among epochs of equal dev accuracy, that of least log loss.

    Small dev parts give every epoch one of a few accuracies; the first epoch that reaches the
    highest is seldom the best. The scores are lower than the accuracy by a millionth of the loss.
    """

    def score(self, targets: Any, outputs: Any, weight: Any) -> float:
        accuracy = super().score(targets, outputs, weight)
        P = np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs
        codes = targets[:, 0] if outputs.shape[1] == 1 else targets.argmax(axis=1)
        true = P[np.arange(len(P)), codes.astype(np.intp)]
        losses = -np.log(np.maximum(true, 1e-12))
        return accuracy - 1e-6 * float(np.average(losses, weights=weight))

    def scores(self, targets: Any, outputs: Any, weight: Any) -> list[float]:
        return [self.score(targets, one, weight) for one in outputs]


class _TableClassifier(MLPClassifier):
    """A classifier that stops early by ``_ScoreWithLogLoss``."""

    def _encoder(self, y: Any, known: Any, *, learn: bool) -> ClassTargets:
        encoder = super()._encoder(y, known, learn=learn)
        parts = {part.name: getattr(encoder, part.name) for part in fields(encoder)}
        return _ScoreWithLogLoss(**parts)


def fit(
    prepared: Prepared,
    settings: Settings,
    callbacks: tuple[Any, ...] = (),
    *,
    sample_weight: NDArray[np.float64] | None = None,
    interface: Interface | None = None,
    is_hopeless: Callable[[int, float], bool] | None = None,
) -> TableModel:
    """Train a network, stopping early on the dev rows, and return the best of all epochs.

    Parameters
    ----------
    prepared : Prepared
        From `prepare`.
    settings : Settings
        The network and how it is trained; what is None in it is chosen for one network, or by the
        recipe of an ensemble.
    callbacks : tuple
        They follow scikit-learn's ``FitCallback``; of an ensemble, every network is a fit of its
        own, and they are trained one after the other.
    sample_weight : (n,) array, optional
        Weights of the rows of a table in memory, in the loss and in the dev score.
    interface : Interface, optional
        How Python's estimators show the model; by default with the arguments of the command line.
    is_hopeless : callable, optional
        (network, its least loss on its fold) -> whether the other networks of an ensemble are not
        worth training; `GivenUpError` is raised then.

    Returns
    -------
    TableModel

    Raises
    ------
    SpecError
        If a setting makes no sense.
    CheckpointError, OutputError
        If the folder of checkpoints is of another training, or cannot be written to.
    DivergenceError
        If the loss becomes infinite.
    TableError
        If the files change in the meantime.
    KeyboardInterrupt
        If it comes before the first epoch has ended. Later ones end the training, and the best so
        far is returned: of an ensemble the networks that have begun.

    Examples
    --------
    >>> from deltarule.datasets import penguins_path
    >>> from deltarule.tables import Plan, Settings, fit, prepare, read_table
    >>> table = read_table(penguins_path())
    >>> model = fit(prepare(table, Plan("species")), Settings(hidden=(8,), patience=5))
    >>> model.predict(table).values[0]
    np.str_('Adelie')
    """
    record, dev = prepared.preprocessing, prepared.dev
    interface = interface or interface_of(prepared, settings)
    if prepared.folds > 1:
        weight, _ = _weights(prepared, sample_weight)
        return _fit_ensemble(prepared, settings, callbacks, weight, interface, is_hopeless)
    if settings.recipes is None:
        settings = settings.for_one()
    estimator = _estimator(prepared, settings)
    deadline = None if settings.max_seconds is None else Deadline(settings.max_seconds)
    if callbacks or deadline is not None:
        estimator.set_callbacks(*callbacks, *(() if deadline is None else (deadline,)))
    learn = record.target.to_network
    recipe = settings.recipes is not None
    with one_blas_thread(), to_the_last_epoch() if recipe else nullcontext():
        if prepared.reader.source.in_memory:
            training = prepared.reader.whole_part("training")
            weight, dev_weight = _weights(prepared, sample_weight)
            estimator.fit(
                training.X,
                learn(training.y),
                weight,
                X_val=dev.X,
                y_val=learn(dev.y),
                sample_weight_val=dev_weight,
            )
        else:
            estimator.set_params(shuffle=False)
            dataset = prepared.passes.dataset(
                prepared.reader,
                dev.X.shape[1],
                prepared.provenance.training_rows,
                estimator.batch_size,
                prepared.streams,
            )
            estimator.fit_streamed(dataset, dev.X, learn(dev.y))
    if not estimator.validation_scores_:
        raise KeyboardInterrupt  # the fit took it, before an epoch had ended
    if deadline is not None and deadline.passed:
        warnings.warn(
            f"the training ended after {settings.max_seconds:g} s, at epoch {estimator.n_iter_} of "
            f"at most {estimator.max_iter}; a longer time (--time, max_seconds) may have a better "
            "one",
            stacklevel=2,
        )
    # The same estimator as a file would hold, so that a model behaves the same after loading.
    return TableModel(
        record,
        from_record(*estimator.to_record()),
        prepared.provenance,
        interface,
    )


def _fit_ensemble(
    prepared: Prepared,
    settings: Settings,
    callbacks: tuple[Any, ...],
    weight: NDArray[np.float64] | None,
    interface: Interface,
    is_hopeless: Callable[[int, float], bool] | None,
) -> TableModel:
    """Train a network for each fold."""
    if settings.checkpoint is not None:
        raise SpecError(
            f"checkpoints are of one network, but {prepared.folds} are trained; use --ensemble 1 "
            "(ensemble=1), or leave --checkpoint out"
        )
    with one_blas_thread():
        ensemble, evaluation = fit_folds(prepared, settings, callbacks, weight, is_hopeless)
    return TableModel(prepared.preprocessing, ensemble, prepared.provenance, interface, evaluation)


def interface_of(prepared: Prepared, settings: Settings) -> Interface:
    """Return how Python's estimators show a model that the command line trains."""
    target = prepared.preprocessing.target.name
    columns = [name for name in prepared.reader.source.names if name != target]
    drawn = prepared.reader.split.shares
    return Interface(arguments=Arguments.of(prepared.plan, settings, drawn), columns=columns)


def _weights(prepared: Prepared, sample_weight: Any) -> tuple[Any, Any]:
    """Return the weights of the training rows and of the dev rows."""
    part = prepared.reader.split.exact
    if sample_weight is None or part is None:
        return None, None
    return sample_weight[part == 0], sample_weight[part == 1]


def score_parts(model: TableModel, prepared: Prepared) -> dict[str, Evaluation]:
    """Return the scores on the rows held out: the dev part, and the test part if there is one.

    Of an ensemble that was just trained, the scores out of fold take the place of those of a dev
    part.

    Parameters
    ----------
    model : TableModel
        A trained model.
    prepared : Prepared
        What it was trained on.
    """
    held_out = {"dev": prepared.provenance.dev_rows, "test": prepared.provenance.test_rows}
    scores = {} if model.out_of_fold is None else {"out_of_fold": model.out_of_fold}
    return scores | {
        name: model.score(prepared.reader.part(name)).evaluation()
        for name, rows in held_out.items()
        if rows
    }


def _estimator(prepared: Prepared, settings: Settings) -> Any:
    """Return the estimator that the settings of one network ask for, not yet fitted."""
    target, rows = prepared.preprocessing.target, prepared.provenance.training_rows
    if settings.recipes is not None:
        return member_estimator(
            0, target, settings, rows, prepared.provenance.network_seed, n_threads=None
        )
    # By default a power of two between 16 and 256 that gives some twenty steps an epoch or more.
    batch = settings.batch_size or int(2 ** np.clip(np.floor(np.log2(max(rows, 1) / 20)), 4, 8))
    if not settings.hidden or min(settings.hidden) < 1:
        raise SpecError("hidden must be widths of at least 1, such as 64,32 (--hidden)")
    monitor = "loss" if settings.monitor == "loss" else "auto"
    kind: type[Any] = MLPRegressor
    if isinstance(target, Classes):
        kind = MLPClassifier if monitor == "loss" else _TableClassifier
    return kind(
        hidden_layer_sizes=settings.hidden,
        activation=settings.activation,
        solver="adam",
        alpha=settings.alpha,
        batch_size=min(batch, rows),
        learning_rate_init=settings.learning_rate,
        max_iter=settings.epochs,
        random_state=prepared.provenance.network_seed,
        early_stopping=True,
        n_iter_no_change=settings.patience,
        monitor=monitor,
        checkpoint=settings.checkpoint,
        dropout=settings.dropout,
        verbose=settings.verbose,
        shards=prepared.plan.shards,
    )
