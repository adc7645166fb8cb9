"""Fitting: a model, its options and its rows translated for ``train``, and how the fit ended.

Warnings point at the user's call of ``fit``, which is a fixed number of frames away.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from deltarule.errors import DivergenceError
from deltarule.estimators.fit_checkpoint import capture, restore
from deltarule.estimators.fit_data import FitData
from deltarule.estimators.fit_reporter import FitReporter
from deltarule.estimators.fitted_model import FittedModel, PartialFitState
from deltarule.estimators.interpreter_cache import InterpreterCache
from deltarule.estimators.options import FitOptions
from deltarule.estimators.row_weights import Repeating
from deltarule.estimators.solver_options import Slowed
from deltarule.estimators.validation_metric import ValidationMetric
from deltarule.program import Interpreter, State
from deltarule.schedules import Position, Schedule
from deltarule.spec.gradient_clipping import Clipping
from deltarule.spec.optimizers import Optimizer, Rprop
from deltarule.trainer import train
from deltarule.training import EarlyStopping, History

if TYPE_CHECKING:
    from deltarule.training.checkpoints.writer import CheckpointWriter

__all__ = ["FitJob", "fit_by_steps", "fit_whole"]

_SLOWER = 0.1
"""With ``on_divergence="recover"``, every learning rate is multiplied by this, once."""


@dataclass(frozen=True)
class FitJob:
    """All that a fit needs.

    Attributes
    ----------
    options : FitOptions
    model : FittedModel
        Moved by the fit.
    data : FitData
    random_state : RandomState
        Of the shuffling.
    interpreters : InterpreterCache
    reporter : FitReporter
    writer : CheckpointWriter or None
        Writes checkpoints, and may have found one to resume from.
    """

    options: FitOptions
    model: FittedModel
    data: FitData
    random_state: np.random.RandomState
    interpreters: InterpreterCache
    reporter: FitReporter
    writer: CheckpointWriter | None = None

    def interpreter(
        self, optimizer: Optimizer | None = None, clipping: Clipping | None = None
    ) -> Interpreter:
        """Return an interpreter of the model's network."""
        return self.interpreters.interpreter(
            self.model.network.tape,
            optimizer,
            clipping,
            engine=self.options.engine,
            n_threads=self.options.n_threads,
        )


# --- a step for every mini-batch ---------------------------------------------------------------


def fit_by_steps(job: FitJob) -> None:
    """Train by mini-batches: one epoch for ``partial_fit``, else up to ``max_iter``.

    After a divergence training may continue once, at a lower learning rate.
    """
    options, model, reporter = job.options, job.model, job.reporter
    progress = model.progress = _progress_at_start(options, model)
    if job.writer is not None:
        progress = model.progress = _resume(model, reporter, job.writer)
    arguments, left = _arguments(job), options.epochs - reporter.before
    while True:
        error: DivergenceError | None = None
        try:
            history = train(
                model.network,
                model.state,
                job.data.block,
                epochs=left,
                schedule=_schedule(options, progress.factor),
                resume=progress.position,
                **arguments,
            )
        except DivergenceError as diverged:
            history, error = diverged.history, diverged
        progress = progress._replace(position=_end_of(history))
        if error is None or not options.recovers or progress.factor < 1.0:
            break
        reporter.record(history)
        message = f"{error} Training continues from there with every learning rate times "
        warnings.warn(f"{message}{_SLOWER:g}.", ConvergenceWarning, stacklevel=5)
        if progress.best is not None:
            model.state.restore(progress.best[1])
        progress = model.progress = _slowed_down(progress)
        reporter.continue_after(repeats=options.incremental)
        left = 1 if options.incremental else options.epochs - history.n_epochs
        if left == 0:
            history.stopped_by, error = "epochs", None
            break
    if options.incremental and options.recovers:
        progress = _with_best(progress, history, model.state)
    position = progress.position._replace(order=None)
    if not options.incremental:  # calls of partial_fit after it count from 0, at the present rate
        position = position._replace(epochs=0, steps=0)
    model.progress = progress._replace(position=position)
    if error is not None:
        reporter.record(history)
        if not options.early_stopping:
            raise error
        warnings.warn(str(error), ConvergenceWarning, stacklevel=5)
    else:
        _warn_of_end(history, None if options.incremental else options.epochs)
    reporter.end()


def _progress_at_start(options: FitOptions, model: FittedModel) -> PartialFitState:
    """Return where a call begins: ``fit`` forgets rates and counts, but not the best metric."""
    progress, maximizes = model.progress, options.watches_score
    position = progress.position
    if not options.incremental:
        model.state.optimizer_state = None
        position = Position(stopping_state=position.stopping_state)
        progress = PartialFitState(maximizes=progress.maximizes)
    solver = type(options.solver)
    if progress.solver not in (None, solver):  # its memory and rates mean nothing to another one
        model.state.optimizer_state = None
        position = Position(stopping_state=position.stopping_state)
    progress = progress._replace(solver=solver)
    if progress.maximizes != maximizes:
        position = position._replace(stopping_state=None)
    position = position._replace(examples=model.history.t)
    return progress._replace(position=position, maximizes=maximizes)


def _resume(model: FittedModel, reporter: FitReporter, writer: CheckpointWriter) -> PartialFitState:
    """Return the progress of the checkpoint that was found, and say what later ones must hold."""
    progress = model.progress
    if writer.found is not None:
        reporter.before, factor = restore(model.history, writer.found.owner)
        progress = progress._replace(factor=factor)
    writer.capture = lambda: capture(model.history, reporter.before, model.progress.factor)
    return progress


def _arguments(job: FitJob) -> dict[str, Any]:
    """Return the arguments of ``train`` that do not change during a fit."""
    options, model, held_out = job.options, job.model, job.data.held_out
    assert isinstance(options.solver, Optimizer)
    interpreter = job.interpreter(options.solver, options.clipping)
    sample_weight = job.data.callback_data.weight
    if model.network.tape.normalizations and sample_weight is not None:
        interpreter = Repeating(interpreter, sample_weight)
    metric = None
    if held_out is not None:
        metric = ValidationMetric(model, held_out, job.interpreter())
    return {
        "optimizer": options.solver,
        "batch_size": _batch_size(options, job.data.block.n_rows),
        "planned_epochs": options.max_epochs,
        "seed": job.random_state,
        "validation": metric,
        "stopping": EarlyStopping(
            tol=options.tol,
            patience=options.patience,
            maximize=options.watches_score,
            restore_best=options.early_stopping,
        ),
        "augment": job.data.augment,
        "shuffle": options.shuffle,
        "loss_scale": model.loss_scale,
        "record_health": options.record_health,
        "on_epoch_begin": job.reporter.begin if job.reporter.reports_begin else None,
        "on_epoch": job.reporter,
        "engine": interpreter,
        "checkpoint": job.writer,
    }


def _schedule(options: FitOptions, factor: float) -> Schedule:
    """Return the schedule, slowed down after a recovery; Rprop has none."""
    if factor == 1.0 or isinstance(options.solver, Rprop):
        return options.schedule
    return Slowed(options.schedule, factor)


def _end_of(history: History) -> Position:
    assert history.position is not None
    return history.position


def _with_best(progress: PartialFitState, history: History, state: State) -> PartialFitState:
    """Keep the state after the best call of ``partial_fit``: the last one may be far from it."""
    if progress.factor < 1.0 or history.stopped_by == "divergence":
        return progress
    cost = history.last_cost
    better = progress.best is None or cost < progress.best[0]
    return progress._replace(best=(cost, state.copy())) if better else progress


def _slowed_down(progress: PartialFitState) -> PartialFitState:
    """Lower the learning rate of the epochs to come, and start to count epochs without progress."""
    position, stopping = progress.position, progress.position.stopping_state
    assert position.learning_rate is not None
    position = position._replace(
        learning_rate=_SLOWER * position.learning_rate,
        stopping_state=None if stopping is None else stopping._replace(stale=0),
    )
    return progress._replace(position=position, factor=_SLOWER, best=None)


def _batch_size(options: FitOptions, n_rows: int) -> int:
    if options.batch_size is not None and options.batch_size > n_rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
            stacklevel=7,
        )
    return options.rows_per_batch(n_rows)


def _warn_of_end(history: History, epochs: int | None) -> None:
    """Report how the training ended, in scikit-learn's words where it has them."""
    if history.stopped_by == "interrupt":
        warnings.warn("Training interrupted by user.", stacklevel=6)
    elif history.stopped_by == "epochs" and epochs is not None:
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({epochs}) reached and the "
            "optimization hasn't converged yet.",
            ConvergenceWarning,
            stacklevel=6,
        )


# --- the whole set at once ---------------------------------------------------------------------


def fit_whole(job: FitJob) -> None:
    """Minimise the cost over the whole block."""
    options, model, block = job.options, job.model, job.data.block
    held, interpreter = model.history, job.interpreter()
    error: DivergenceError | None = None
    try:
        history = train(
            model.network,
            model.state,
            block,
            optimizer=options.solver,
            epochs=options.max_epochs,
            loss_scale=model.loss_scale,
            record_health=options.record_health,
            on_epoch=job.reporter.iteration,
            engine=interpreter,
        )
    except DivergenceError as diverged:
        history, error = diverged.history, diverged
    held.n_iter = min(history.best_epoch or 0, options.max_epochs)
    held.t += held.n_iter * block.n_rows
    held.best_loss = min(held.loss_curve, default=None)
    if history.stopped_by != "interrupt" or not held.loss_curve:  # do not delay an interrupt
        loss, penalty, _ = interpreter.cost(model.state, interpreter.gradient(model.state, block))
        held.loss = model.loss_scale * loss + penalty
    if error is not None:
        if not options.recovers or not np.isfinite(model.history.loss or 0.0):
            raise error
        warnings.warn(str(error), ConvergenceWarning, stacklevel=5)
    elif history.stopped_by == "interrupt":
        warnings.warn("Training interrupted by user.", stacklevel=5)
    elif not history.converged and history.stopped_by != "callback":
        solver = options.given["solver"]
        name = solver if isinstance(solver, str) else "the solver"
        warnings.warn(
            f"{name} failed to converge after {held.n_iter} iteration(s): {history.message}. "
            "Increase max_iter or max_fun, raise tol, or scale the data.",
            ConvergenceWarning,
            stacklevel=5,
        )
    job.reporter.end()
