"""Fitting: a model, its options and its rows handed to the training loop or to a minimiser.

Warnings point at the user's call of ``fit``, which is a fixed number of frames away.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from deltarule.clipping import Clipping
from deltarule.estimators.fit_checkpoint import capture, restore
from deltarule.estimators.fit_data import FitData
from deltarule.estimators.fit_reporter import FitReporter
from deltarule.estimators.fitted_model import FittedModel, PartialFitState
from deltarule.estimators.interpreter_cache import InterpreterCache
from deltarule.estimators.options import FitOptions
from deltarule.estimators.row_weights import Repeating
from deltarule.estimators.solver_options import Slowed
from deltarule.estimators.validation_metric import validation_metric
from deltarule.optimizers import LBFGS, LineSearch, Optimizer
from deltarule.program import Block, Interpreter, State
from deltarule.training import (
    History,
    Run,
    Stopping,
    descend,
    epoch_orders,
    minimize_cost,
    run_epochs,
)
from deltarule.training.divergence import divergence_error
from deltarule.training.lbfgs import Minimum
from deltarule.training.streams import Stream

if TYPE_CHECKING:
    from deltarule.training.checkpoints.keeper import FolderKeeper

__all__ = ["FitJob", "fit_by_steps", "fit_whole"]

_SLOWER = 0.1
"""What ``on_divergence="recover"`` multiplies every learning rate by, once."""


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
    score : callable or None
        () -> the user's score of the estimator as it stands, on the rows held out.
    checkpointer : FolderKeeper or None
        Writes checkpoints, and may have found one to resume from.
    """

    options: FitOptions
    model: FittedModel
    data: FitData
    random_state: np.random.RandomState
    interpreters: InterpreterCache
    reporter: FitReporter
    score: Callable[[], float] | None = None
    checkpointer: FolderKeeper | None = None

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
    """Train by mini-batches: one epoch for ``partial_fit``, else up to ``max_iter``."""
    options, model, reporter = job.options, job.model, job.reporter
    state, block, incremental = model.state, job.data.block, options.incremental
    if not incremental:
        state.slots, model.position = None, PartialFitState()
    if job.checkpointer is not None:
        _resume(model, reporter, job.checkpointer)
    run = _run(job)
    run.epochs, run.keeper = options.epochs - reporter.before, job.checkpointer
    assert isinstance(options.solver, Optimizer)
    interpreter = job.interpreter(options.solver, options.clipping)
    if model.network.tape.normalizations and job.data.callback_data.weight is not None:
        interpreter = Repeating(interpreter, job.data.callback_data.weight)
    history = run_epochs(interpreter, state, block, run)
    position = _position(model, run)
    may_recover = options.recovers and position.factor == 1.0
    if history.stopped_by == "divergence" and may_recover:
        reporter.record(history)
        warnings.warn(_recovery(options, history, block), ConvergenceWarning, stacklevel=5)
        run.epochs = 1 if incremental else options.epochs - history.n_epochs
        position = model.position = _slow_down(run, position)
        if position.best is not None:
            state.restore(position.best[1])
        reporter.resume(repeats=incremental)
        if run.epochs > 0:
            history = run_epochs(interpreter, state, block, run)
            position = _position(model, run)._replace(factor=_SLOWER, best=None)
        else:
            history.stopped_by = "epochs"
    if incremental and may_recover:
        position = _with_best(position, history, state)
    # a schedule counts the calls of partial_fit after this fit from 0, at the rate reached
    model.position = position if incremental else position._replace(epochs=0, steps=0)
    _conclude(job, history)
    reporter.end()


def _resume(model: FittedModel, reporter: FitReporter, checkpointer: FolderKeeper) -> None:
    """Bring the model to where a checkpoint was written, and say what later ones must hold."""
    if checkpointer.found is not None:
        before, factor = restore(model.history, checkpointer.found.owner)
        reporter.before = before
        model.position = PartialFitState(factor=factor)
    checkpointer.capture = lambda: capture(model.history, reporter.before, model.position.factor)


def _run(job: FitJob) -> Run:
    """Return how to train, by the options."""
    options, model, data = job.options, job.model, job.data
    n_rows, position = data.block.n_rows, model.position
    block: Block | Stream = data.block
    shuffling = _shuffling(job.random_state) if options.shuffle else None
    held_out = data.held_out
    return Run(
        epochs=options.epochs,
        batch_size=_batch_size(options, n_rows),
        learning_rate=options.learning_rate or 0.0,
        orders=block.orders if isinstance(block, Stream) else epoch_orders(n_rows, shuffling),
        schedule=_slowed(options.schedule, position.factor),
        stopping=_stopping(model, options),
        validation=None
        if held_out is None
        else validation_metric(model, held_out, job.interpreter(), job.score),
        restore_best=options.early_stopping,
        block_of=data.block_of,
        least_rows=model.network.tape.least_rows,
        on_begin=job.reporter.begin,
        on_epoch=job.reporter.epoch,
        current_rate=position.rate,
        schedule_memory=position.memory,
        examples_seen=model.history.t,
        epochs_before=position.epochs,
        steps_before=position.steps,
        planned_epochs=options.max_epochs,
        loss_scale=model.loss_scale,
    )


def _slowed(schedule: Any, factor: float) -> Any:
    return schedule if factor == 1.0 else Slowed(schedule, factor)


def _position(model: FittedModel, run: Run) -> PartialFitState:
    """Return where a run has come to."""
    return model.position._replace(
        rate=run.current_rate,
        memory=run.schedule_memory,
        epochs=run.epochs_before,
        steps=run.steps_before,
    )


def _with_best(position: PartialFitState, history: History, state: State) -> PartialFitState:
    """Keep the state after the best call of ``partial_fit``: the last may be close to diverging."""
    if position.factor < 1.0 or history.stopped_by == "divergence":
        return position
    cost = history.cost[-1]
    better = position.best is None or cost < position.best[0]
    return position._replace(best=(cost, state.copy())) if better else position


def _slow_down(run: Run, position: PartialFitState) -> PartialFitState:
    """Lower every learning rate from here on, and reset the patience that was used up."""
    run.schedule = Slowed(run.schedule, _SLOWER)
    rate = run.learning_rate if run.current_rate is None else run.current_rate
    run.current_rate = _SLOWER * rate
    if run.stopping is not None:
        run.stopping.stale = 0
    return position._replace(rate=run.current_rate, factor=_SLOWER)


def _recovery(options: FitOptions, history: History, block: Block) -> str:
    cause = divergence_error(
        block.x, block.y, epochs=history.n_epochs, learning_rate=options.learning_rate
    )
    return f"{cause} Going on from there with every learning rate times {_SLOWER:g}."


def _stopping(model: FittedModel, options: FitOptions) -> Stopping:
    """Return the model's early-stopping rule, which outlives a fit, with the present options."""
    rule, maximize = model.stopping, options.watches_score
    if rule is None or rule.maximize != maximize:
        rule = model.stopping = Stopping(maximize=maximize)
    rule.tol, rule.patience = options.tol, options.patience
    return rule


def _batch_size(options: FitOptions, n_rows: int) -> int:
    if options.batch_size is not None and options.batch_size > n_rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
            stacklevel=7,
        )
    return options.rows_per_batch(n_rows)


def _shuffling(random_state: np.random.RandomState) -> Callable[[Any], Any]:
    """Return what gives the next epoch's order, by scikit-learn's draw."""

    def shuffled(rows: Any) -> Any:
        places = np.arange(len(rows))
        random_state.shuffle(places)
        return rows[places]

    return shuffled


def _conclude(job: FitJob, history: History) -> None:
    """Report how the training ended, in scikit-learn's words where it has them."""
    options, model, block = job.options, job.model, job.data.block
    if history.stopped_by == "divergence":
        job.reporter.record(history)
        error = divergence_error(
            block.x, block.y, epochs=model.history.n_iter, learning_rate=options.learning_rate
        )
        if not options.early_stopping:
            raise error
        warnings.warn(str(error), ConvergenceWarning, stacklevel=6)
    elif history.stopped_by == "interrupt":
        warnings.warn("Training interrupted by user.", stacklevel=6)
    elif history.stopped_by == "epochs" and not options.incremental:
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({options.epochs}) reached and the "
            "optimization hasn't converged yet.",
            ConvergenceWarning,
            stacklevel=6,
        )


# --- the whole set at once ---------------------------------------------------------------------


def fit_whole(job: FitJob) -> None:
    """Minimise the cost over the whole block."""
    options, model, block = job.options, job.model, job.data.block
    held, interpreter = model.history, job.interpreter()
    ended = _minimize(options, interpreter, model.state, block, job.reporter.iteration)
    held.n_iter = min(ended.n_iterations, options.max_epochs)
    held.t += held.n_iter * block.n_rows
    held.best_loss = min(held.loss_curve, default=None)
    if ended.history.stopped_by != "interrupt" or not held.loss_curve:  # else it takes too long
        loss, penalty, _ = interpreter.cost(model.state, interpreter.gradient(model.state, block))
        held.loss = model.loss_scale * loss + penalty
    if ended.history.stopped_by == "divergence":
        error = divergence_error(block.x, block.y, epochs=held.n_iter)
        if not options.recovers or not np.isfinite(model.history.loss or 0.0):
            raise error
        warnings.warn(str(error), ConvergenceWarning, stacklevel=5)
    elif ended.history.stopped_by == "interrupt":
        warnings.warn("Training interrupted by user.", stacklevel=5)
    elif not ended.converged and ended.history.stopped_by != "callback":
        solver = options.given["solver"]
        name = solver if isinstance(solver, str) else "the solver"
        warnings.warn(
            f"{name} failed to converge after {held.n_iter} iteration(s): {ended.message}. "
            "Increase max_iter or max_fun, raise tol, or scale the data.",
            ConvergenceWarning,
            stacklevel=5,
        )
    job.reporter.end()


def _minimize(
    options: FitOptions,
    interpreter: Interpreter,
    state: State,
    block: Block,
    on_iteration: Callable[[History], bool],
) -> Minimum:
    solver = options.solver
    assert isinstance(solver, LBFGS | LineSearch)
    common: dict[str, Any] = {
        "max_iterations": options.max_epochs,
        "max_evaluations": solver.max_evaluations,
        "tol": solver.tol,
        "on_iteration": on_iteration,
    }
    if isinstance(solver, LBFGS):
        return minimize_cost(interpreter, state, block, memory=solver.memory, **common)
    return descend(interpreter, state, block, max_step=solver.max_step, **common)
