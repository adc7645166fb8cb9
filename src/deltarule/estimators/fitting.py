"""The solvers: an estimator's arguments handed to the training loop or to a minimiser.

Each function moves the estimator's state and its fitted attributes. Warnings point at the user's
call of ``fit``, which is a fixed number of frames away.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from deltarule.estimators.fit_checkpoint import capture, restore
from deltarule.estimators.fit_data import Rows
from deltarule.estimators.fit_reporter import Report, take_over
from deltarule.estimators.row_weights import Repeating
from deltarule.estimators.solver_options import (
    Slowed,
    clipping_of,
    minimizer_of,
    optimizer_of,
    rate_of,
    schedule_of,
)
from deltarule.estimators.validation_metric import maximizes, monitor_of
from deltarule.optimizers import LBFGS, Rprop
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
    from deltarule.estimators.base import BaseMLP
    from deltarule.training.checkpoints.keeper import FolderKeeper

__all__ = ["Course", "fit_by_steps", "fit_whole"]

_SLOWER = 0.1
"""What ``on_divergence="recover"`` multiplies every learning rate by, once."""


class Course(NamedTuple):
    """How far the calls of ``partial_fit`` have come; ``fit`` begins a new one."""

    rate: float | None = None  # the newest learning rate
    memory: Any = None  # what the schedule remembers
    epochs: int = 0
    steps: int = 0
    factor: float = 1.0  # of every learning rate, below 1 after a recovery
    best: tuple[float, State] | None = None  # lowest cost of a call, where it may be needed


# --- a step a mini-batch -----------------------------------------------------------------------


def fit_by_steps(
    estimator: BaseMLP, rows: Rows, incremental: bool, keeper: FolderKeeper | None = None
) -> None:
    """Train by mini-batches: one epoch for ``partial_fit``, else up to ``max_iter``.

    A ``keeper`` keeps checkpoints, and may have found one to go on from.
    """
    state, block = estimator._state, rows.block
    if not incremental:
        state.slots, estimator._course = None, Course()
    epochs = 1 if incremental else int(estimator.max_iter)
    report = Report(estimator, rows, epochs)
    if keeper is not None:
        _go_on(estimator, report, keeper)
    run = _run(estimator, rows, report, incremental)
    run.epochs, run.keeper = epochs - report.before, keeper
    interpreter: Interpreter = estimator._interpreter(
        optimizer_of(estimator), clipping_of(estimator.gradient_clip)
    )
    if estimator._network.tape.normalizations and rows.shown.weight is not None:
        interpreter = Repeating(interpreter, rows.shown.weight)
    history = run_epochs(interpreter, state, block, run)
    course = _course(estimator, run)
    may_recover = estimator.on_divergence == "recover" and course.factor == 1.0
    if history.stopped_by == "divergence" and may_recover:
        take_over(estimator, history, block.n_rows)
        warnings.warn(_recovery(estimator, history, block), ConvergenceWarning, stacklevel=5)
        run.epochs = 1 if incremental else epochs - history.n_epochs
        course = estimator._course = _slow_down(run, course)
        if course.best is not None:
            state.restore(course.best[1])
        report.go_on(repeats=incremental)
        if run.epochs > 0:
            history = run_epochs(interpreter, state, block, run)
            course = _course(estimator, run)._replace(factor=_SLOWER, best=None)
        else:
            history.stopped_by = "epochs"
    if incremental and may_recover:
        course = _remember(course, history, state)
    # a schedule counts the calls of partial_fit that follow from 0, at the rate come to
    estimator._course = course if incremental else course._replace(epochs=0, steps=0)
    _conclude(estimator, history, block, report, None if incremental else epochs)
    report.end()


def _go_on(estimator: BaseMLP, report: Report, keeper: FolderKeeper) -> None:
    """Bring the estimator to where a checkpoint was kept, and tell what later ones must hold."""
    if keeper.found is not None:
        before, factor = restore(estimator, keeper.found.owner)
        report.before = before
        estimator._course = Course(factor=factor)
    keeper.capture = lambda: capture(estimator, report.before, estimator._course.factor)


def _run(estimator: BaseMLP, rows: Rows, report: Report, incremental: bool) -> Run:
    """Return how to train, by the estimator's arguments."""
    n_rows, course = rows.block.n_rows, estimator._course
    schedule = schedule_of(estimator, incremental)
    block: Block | Stream = rows.block
    shuffling = _shuffling(estimator)
    orders = block.orders if isinstance(block, Stream) else epoch_orders(n_rows, shuffling)
    return Run(
        epochs=1 if incremental else int(estimator.max_iter),
        batch_size=_batch_size(estimator, n_rows),
        learning_rate=rate_of(estimator),
        orders=orders,
        schedule=schedule if course.factor == 1.0 else Slowed(schedule, course.factor),
        stopping=_watch(estimator),
        validation=None if rows.held_out is None else monitor_of(estimator, rows.held_out),
        restore_best=bool(estimator.early_stopping),
        block_of=rows.block_of,
        least_rows=estimator._network.tape.least_rows,
        on_begin=report.begin,
        on_epoch=report.epoch,
        current_rate=course.rate,
        schedule_memory=course.memory,
        examples_seen=estimator.t_,
        epochs_before=course.epochs,
        steps_before=course.steps,
        planned_epochs=int(estimator.max_iter),
        loss_scale=estimator._loss_scale(),
    )


def _course(estimator: BaseMLP, run: Run) -> Course:
    """Return where a run has come to."""
    return Course(
        run.current_rate,
        run.schedule_memory,
        run.epochs_before,
        run.steps_before,
        estimator._course.factor,
        estimator._course.best,
    )


def _remember(course: Course, history: History, state: State) -> Course:
    """Keep the state behind the best call of ``partial_fit``: the last may be far astray."""
    if course.factor < 1.0 or history.stopped_by == "divergence":
        return course
    cost = history.cost[-1]
    better = course.best is None or cost < course.best[0]
    return course._replace(best=(cost, state.copy())) if better else course


def _slow_down(run: Run, course: Course) -> Course:
    """Lower every rate of the epochs to come, and forget the patience that was used up."""
    run.schedule = Slowed(run.schedule, _SLOWER)
    rate = run.learning_rate if run.current_rate is None else run.current_rate
    run.current_rate = _SLOWER * rate
    if run.stopping is not None:
        run.stopping.stale = 0
    return course._replace(rate=run.current_rate, factor=_SLOWER)


def _recovery(estimator: BaseMLP, history: History, block: Block) -> str:
    cause = divergence_error(
        block.x, block.y, epochs=history.n_epochs, learning_rate=rate_of(estimator)
    )
    return f"{cause} Going on from there with every learning rate times {_SLOWER:g}."


def _watch(estimator: BaseMLP) -> Stopping:
    """Return the estimator's stopping rule, which outlives a fit, with its present arguments."""
    watch, maximize = estimator._watch, maximizes(estimator)
    if watch is None or watch.maximize != maximize:
        watch = estimator._watch = Stopping(maximize=maximize)
    watch.tol, watch.patience = float(estimator.tol), float(estimator.n_iter_no_change)
    return watch


def _batch_size(estimator: BaseMLP, n_rows: int) -> int:
    if estimator.batch_size == "auto":
        whole = isinstance(optimizer_of(estimator), Rprop)
        return n_rows if whole else min(200, n_rows)
    if estimator.batch_size > n_rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
            stacklevel=7,
        )
    return min(int(estimator.batch_size), n_rows)


def _shuffling(estimator: BaseMLP) -> Callable[[Any], Any] | None:
    """Return what gives the next epoch's order, by scikit-learn's draw; None leaves the rows."""
    if not estimator.shuffle:
        return None

    def shuffled(rows: Any) -> Any:
        places = np.arange(len(rows))
        estimator._random_state.shuffle(places)
        return rows[places]

    return shuffled


def _conclude(
    estimator: BaseMLP, history: History, block: Block, report: Report, epochs: int | None
) -> None:
    """Say how the training ended, in scikit-learn's words where it has them."""
    if history.stopped_by == "divergence":
        take_over(estimator, history, block.n_rows, report.before)
        error = divergence_error(
            block.x, block.y, epochs=estimator.n_iter_, learning_rate=rate_of(estimator)
        )
        if not estimator.early_stopping:
            raise error
        warnings.warn(str(error), ConvergenceWarning, stacklevel=6)
    elif history.stopped_by == "interrupt":
        warnings.warn("Training interrupted by user.", stacklevel=6)
    elif history.stopped_by == "epochs" and epochs is not None:
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({epochs}) reached and the "
            "optimization hasn't converged yet.",
            ConvergenceWarning,
            stacklevel=6,
        )


# --- the whole set at once ---------------------------------------------------------------------


def fit_whole(estimator: BaseMLP, rows: Rows) -> None:
    """Minimise the cost over the whole block."""
    state, block, max_iter = estimator._state, rows.block, int(estimator.max_iter)
    interpreter = estimator._interpreter()
    report = Report(estimator, rows, max_iter)
    ended = _minimize(estimator, interpreter, block, report.iteration)
    estimator.n_iter_ = min(ended.n_iterations, max_iter)
    estimator.t_ += estimator.n_iter_ * block.n_rows
    estimator.best_loss_ = min(estimator.loss_curve_, default=None)
    if ended.history.stopped_by != "interrupt" or not estimator.loss_curve_:  # else no one waits
        loss, penalty, _ = interpreter.cost(state, interpreter.gradient(state, block))
        estimator.loss_ = estimator._loss_scale() * loss + penalty
    if ended.history.stopped_by == "divergence":
        error = divergence_error(block.x, block.y, epochs=estimator.n_iter_)
        if estimator.on_divergence == "raise" or not np.isfinite(estimator.loss_):
            raise error
        warnings.warn(str(error), ConvergenceWarning, stacklevel=5)
    elif ended.history.stopped_by == "interrupt":
        warnings.warn("Training interrupted by user.", stacklevel=5)
    elif not ended.converged and ended.history.stopped_by != "callback":
        name = estimator.solver if isinstance(estimator.solver, str) else "the solver"
        warnings.warn(
            f"{name} failed to converge after {estimator.n_iter_} iteration(s): {ended.message}. "
            "Increase max_iter or max_fun, raise tol, or scale the data.",
            ConvergenceWarning,
            stacklevel=5,
        )
    report.end()


def _minimize(
    estimator: BaseMLP,
    interpreter: Interpreter,
    block: Block,
    on_iteration: Callable[[History], bool],
) -> Minimum:
    state, max_iter = estimator._state, int(estimator.max_iter)
    chosen = minimizer_of(estimator)
    common: dict[str, Any] = {
        "max_iterations": max_iter,
        "max_evaluations": chosen.max_evaluations,
        "tol": chosen.tol,
        "on_iteration": on_iteration,
    }
    if isinstance(chosen, LBFGS):
        return minimize_cost(interpreter, state, block, memory=chosen.memory, **common)
    return descend(interpreter, state, block, max_step=chosen.max_step, **common)
