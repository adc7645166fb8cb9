"""Fitting: an estimator's arguments translated for ``train``, and how the fit ended.

Each function changes the estimator's state and its fitted attributes. Warnings point at the
user's call of ``fit``, which is a fixed number of frames away.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from deltarule.errors import DivergenceError
from deltarule.estimators._checkpoints import capture, restore
from deltarule.estimators._choices import (
    Slowed,
    clipping_of,
    minimizer_of,
    optimizer_of,
    schedule_of,
)
from deltarule.estimators._monitor import maximizes, monitor_of
from deltarule.estimators._report import Report, take_over
from deltarule.estimators._rows import Rows
from deltarule.estimators._weights import Repeating
from deltarule.optimizers import Optimizer, Rprop
from deltarule.program import Interpreter, State
from deltarule.schedules import Position
from deltarule.trainer import train
from deltarule.training import EarlyStopping, History

if TYPE_CHECKING:
    from deltarule.estimators._base import BaseMLP
    from deltarule.training.checkpoints.writer import CheckpointWriter

__all__ = ["PartialFitState", "fit_by_steps", "fit_whole"]

_SLOWER = 0.1
"""With ``on_divergence="recover"``, every learning rate is multiplied by this, once."""


class PartialFitState(NamedTuple):
    """What the next call of ``partial_fit``, or of ``fit`` with ``warm_start``, continues from."""

    position: Position = Position()  # at first, nothing is done
    maximizes: bool = False  # whether the best metric in the position is a score
    factor: float = 1.0  # of every learning rate; below 1 after a recovery
    best: tuple[float, State] | None = None  # lowest cost of a call, for a recovery


# --- a step for each mini-batch ------------------------------------------------------------------


def fit_by_steps(
    estimator: BaseMLP, rows: Rows, incremental: bool, writer: CheckpointWriter | None = None
) -> None:
    """Train by mini-batches: one epoch for ``partial_fit``, else up to ``max_iter``.

    ``writer`` writes checkpoints, and may have found one to resume from.
    """
    state, n_rows = estimator._state, rows.block.n_rows
    progress = _progress_at_start(estimator, incremental)
    epochs = 1 if incremental else int(estimator.max_iter)
    report = Report(estimator, rows, epochs)
    if writer is not None:
        if writer.found is not None:
            report.before, factor = restore(estimator, writer.found.owner)
            progress = progress._replace(factor=factor)
        writer.capture = lambda: capture(estimator, report.before, estimator._progress.factor)
    estimator._progress = progress
    call = _arguments(estimator, rows, report, incremental) | {"checkpoint": writer}
    history, error = _train(estimator, rows, call, progress, epochs - report.before)
    progress = progress._replace(position=_end_of(history))
    may_recover = estimator.on_divergence == "recover" and progress.factor == 1.0
    if error is not None and may_recover:
        take_over(estimator, history, n_rows)
        message = f"{error} Training continues from there with every learning rate times "
        warnings.warn(f"{message}{_SLOWER:g}.", ConvergenceWarning, stacklevel=5)
        left = 1 if incremental else epochs - history.n_epochs
        progress = estimator._progress = _slowed_down(progress)
        if progress.best is not None:
            state.restore(progress.best[1])
        report.continue_after(repeats=incremental)
        if left > 0:
            history, error = _train(estimator, rows, call, progress, left)
            progress = progress._replace(position=_end_of(history), best=None)
        else:
            history.stopped_by, error = "epochs", None
    if incremental and may_recover:
        progress = _with_best(progress, history, state)
    position = progress.position._replace(order=None)
    if not incremental:  # calls of partial_fit after it count from 0, at the present rate
        position = position._replace(epochs=0, steps=0)
    estimator._progress = progress._replace(position=position)
    if error is not None:
        take_over(estimator, history, n_rows, report.before)
        if not estimator.early_stopping:
            raise error
        warnings.warn(str(error), ConvergenceWarning, stacklevel=5)
    else:
        _warn_of_end(history, None if incremental else epochs)
    report.end()


def _progress_at_start(estimator: BaseMLP, incremental: bool) -> PartialFitState:
    """Return where a call begins: ``fit`` forgets rates and counts, but not the best metric."""
    progress, maximize = estimator._progress, maximizes(estimator)
    position = progress.position
    if not incremental:
        estimator._state.slots = None
        position = Position(stopping_state=position.stopping_state)
        progress = PartialFitState(maximizes=progress.maximizes)
    if progress.maximizes != maximize:
        position = position._replace(stopping_state=None)
    position = position._replace(examples=estimator.t_)
    return progress._replace(position=position, maximizes=maximize)


def _arguments(estimator: BaseMLP, rows: Rows, report: Report, incremental: bool) -> dict[str, Any]:
    """Return the arguments of ``train`` that do not change during a fit."""
    held_out, optimizer = rows.held_out, optimizer_of(estimator)
    clipping = clipping_of(estimator.gradient_clip)
    engine: Interpreter = estimator._interpreter(optimizer, clipping)
    if estimator._network.tape.normalizations and rows.shown.weight is not None:
        engine = Repeating(engine, rows.shown.weight)
    return {
        "optimizer": optimizer,
        "batch_size": _batch_size(estimator, optimizer, rows.block.n_rows),
        "planned_epochs": int(estimator.max_iter),
        "seed": estimator._random_state,
        "validation": None if held_out is None else monitor_of(estimator, held_out),
        "stopping": EarlyStopping(
            tol=float(estimator.tol),
            patience=float(estimator.n_iter_no_change),
            maximize=maximizes(estimator),
            restore_best=bool(estimator.early_stopping),
        ),
        "schedule": schedule_of(estimator, incremental),
        "augment": rows.augment,
        "shuffle": bool(estimator.shuffle),
        "loss_scale": estimator._loss_scale(),
        "record_health": bool(estimator.record_health),
        "on_epoch_begin": report.begin,
        "on_epoch": report.epoch,
        "engine": engine,
    }


def _train(
    estimator: BaseMLP, rows: Rows, call: dict[str, Any], progress: PartialFitState, epochs: int
) -> tuple[History, DivergenceError | None]:
    """Return the history of a training, and its error if it diverged."""
    if progress.factor != 1.0 and not isinstance(call["optimizer"], Rprop):  # it has no schedule
        call = call | {"schedule": Slowed(call["schedule"], progress.factor)}
    try:
        history = train(
            estimator._network,
            estimator._state,
            rows.block,
            epochs=epochs,
            resume=progress.position,
            **call,
        )
    except DivergenceError as error:
        return error.history, error
    return history, None


def _end_of(history: History) -> Position:
    assert history.position is not None
    return history.position


def _with_best(progress: PartialFitState, history: History, state: State) -> PartialFitState:
    """Keep the state after the best call of ``partial_fit``: the last one may be far from it."""
    if progress.factor < 1.0 or history.stopped_by == "divergence":
        return progress
    cost = history.cost[-1]
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
    return progress._replace(position=position, factor=_SLOWER)


def _batch_size(estimator: BaseMLP, optimizer: Optimizer, n_rows: int) -> int:
    """Return the rows in a mini-batch; "auto" is 200, and all rows for Rprop."""
    if estimator.batch_size == "auto":
        return n_rows if isinstance(optimizer, Rprop) else min(200, n_rows)
    if estimator.batch_size > n_rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
            stacklevel=7,
        )
    return min(int(estimator.batch_size), n_rows)


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


# --- the whole set at once ----------------------------------------------------------------------


def fit_whole(estimator: BaseMLP, rows: Rows) -> None:
    """Minimise the cost over the whole block."""
    state, block, max_iter = estimator._state, rows.block, int(estimator.max_iter)
    interpreter = estimator._interpreter()
    report = Report(estimator, rows, max_iter)
    error: DivergenceError | None = None
    try:
        history = train(
            estimator._network,
            state,
            block,
            optimizer=minimizer_of(estimator),
            epochs=max_iter,
            loss_scale=estimator._loss_scale(),
            record_health=bool(estimator.record_health),
            on_epoch=report.iteration,
            engine=interpreter,
        )
    except DivergenceError as diverged:
        history, error = diverged.history, diverged
    estimator.n_iter_ = min(history.best_epoch or 0, max_iter)
    estimator.t_ += estimator.n_iter_ * block.n_rows
    estimator.best_loss_ = min(estimator.loss_curve_, default=None)
    if history.stopped_by != "interrupt" or not estimator.loss_curve_:  # do not delay an interrupt
        loss, penalty, _ = interpreter.cost(state, interpreter.gradient(state, block))
        estimator.loss_ = estimator._loss_scale() * loss + penalty
    if error is not None:
        if estimator.on_divergence == "raise" or not np.isfinite(estimator.loss_):
            raise error
        warnings.warn(str(error), ConvergenceWarning, stacklevel=5)
    elif history.stopped_by == "interrupt":
        warnings.warn("Training interrupted by user.", stacklevel=5)
    elif not history.converged and history.stopped_by != "callback":
        name = estimator.solver if isinstance(estimator.solver, str) else "the solver"
        warnings.warn(
            f"{name} failed to converge after {estimator.n_iter_} iteration(s): {history.message}. "
            "Increase max_iter or max_fun, raise tol, or scale the data.",
            ConvergenceWarning,
            stacklevel=5,
        )
    report.end()
