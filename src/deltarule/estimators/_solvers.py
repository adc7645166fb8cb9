"""The solvers: an estimator's arguments handed to the training loop or to L-BFGS.

Each function moves the estimator's state and its fitted attributes. Warnings point at the user's
call of ``fit``, which is a fixed number of frames away.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from deltarule.estimators._kept import Kept
from deltarule.estimators._sklearn import EpochCallbacks, RestartedInverseScaling
from deltarule.optimizers import SGD, Adam, Optimizer
from deltarule.program import Block, State
from deltarule.schedules import Adaptive, Constant, InverseScaling, Schedule
from deltarule.training import History, Run, Stopping, epoch_orders, minimize_cost, run_epochs
from deltarule.training.divergence import divergence_error
from deltarule.training.loop import Figures

if TYPE_CHECKING:
    from deltarule.estimators._base import BaseMLP

__all__ = ["fit_lbfgs", "fit_stochastic"]


# --- gradient descent and Adam -----------------------------------------------------------------


def fit_stochastic(
    estimator: BaseMLP, block: Block, held_out: Block | None, incremental: bool
) -> None:
    """Train by mini-batches: one epoch for ``partial_fit``, else up to ``max_iter``."""
    state, network = estimator._state, estimator._network
    watch = _watch(estimator)
    if not incremental:
        state.slots, estimator._rate = None, None
    epochs = 1 if incremental else int(estimator.max_iter)
    report = _Report(estimator, block, epochs)
    run = Run(
        epochs=epochs,
        batch_size=_batch_size(estimator, block.n_rows),
        learning_rate=float(estimator.learning_rate_init),
        orders=epoch_orders(block.n_rows, _shuffling(estimator)),
        schedule=_schedule(estimator, incremental),
        stopping=watch,
        validation=None if held_out is None else _validation(estimator, held_out),
        restore_best=bool(estimator.early_stopping),
        least_rows=network.tape.least_rows,
        on_begin=report.begin,
        on_epoch=report.epoch,
        current_rate=estimator._rate,
        examples_seen=estimator.t_,
        loss_scale=estimator._loss_scale(),
    )
    interpreter = estimator._interpreter(_optimizer(estimator))
    history = run_epochs(interpreter, state, block, run)
    estimator._rate = run.current_rate
    _conclude(estimator, history, block, epochs=None if incremental else epochs)
    report.end()


def _watch(estimator: BaseMLP) -> Stopping:
    """Return the estimator's stopping rule, which outlives a fit, with its present arguments."""
    watch = estimator._watch
    if watch is None or watch.maximize != bool(estimator.early_stopping):
        watch = estimator._watch = Stopping(maximize=bool(estimator.early_stopping))
    watch.tol, watch.patience = float(estimator.tol), float(estimator.n_iter_no_change)
    return watch


def _optimizer(estimator: BaseMLP) -> Optimizer:
    rate = float(estimator.learning_rate_init)
    if estimator.solver == "sgd":
        return SGD(rate, float(estimator.momentum), bool(estimator.nesterovs_momentum))
    return Adam(rate, float(estimator.beta_1), float(estimator.beta_2), float(estimator.epsilon))


def _schedule(estimator: BaseMLP, incremental: bool) -> Schedule:
    if estimator.solver == "sgd" and estimator.learning_rate == "invscaling":
        power = float(estimator.power_t)
        return InverseScaling(power) if incremental else RestartedInverseScaling(power)
    if estimator.solver == "sgd" and estimator.learning_rate == "adaptive":
        return Adaptive()
    return Constant()


def _batch_size(estimator: BaseMLP, n_rows: int) -> int:
    if estimator.batch_size == "auto":
        return min(200, n_rows)
    if estimator.batch_size > n_rows:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
            stacklevel=6,
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


def _validation(estimator: BaseMLP, held_out: Block) -> Callable[[State], Figures]:
    interpreter = estimator._interpreter()

    def measure(state: State) -> Figures:
        outputs = interpreter.forward(state, held_out)
        if not np.isfinite(outputs).all():
            return Figures(score=float("nan"))
        with np.errstate(over="ignore"):  # R² of numbers whose squares are infinite: -inf
            score = estimator._score_targets(held_out.y, outputs, held_out.weight)
        return Figures(score=score)

    return measure


def _conclude(estimator: BaseMLP, history: History, block: Block, epochs: int | None) -> None:
    """Say how the training ended, in scikit-learn's words where it has them."""
    if history.stopped_by == "divergence":
        _take_over(estimator, history, block.n_rows)
        error = divergence_error(
            block.x,
            block.y,
            epochs=history.n_epochs,
            learning_rate=float(estimator.learning_rate_init),
        )
        if not estimator.early_stopping:
            raise error
        assert estimator.validation_scores_ is not None
        estimator.validation_scores_.append(float("nan"))
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


def _take_over(estimator: BaseMLP, history: History, n_rows: int) -> None:
    """Add the history's newest epoch to the fitted attributes."""
    estimator.n_iter_ = history.n_epochs
    estimator.t_ += n_rows
    estimator.loss_ = history.cost[-1]
    estimator.loss_curve_.append(estimator.loss_)
    if estimator.best_loss_ is not None and estimator.loss_ < estimator.best_loss_:
        estimator.best_loss_ = estimator.loss_
    if history.validation_score and estimator.validation_scores_ is not None:
        if len(history.validation_score) == history.n_epochs:
            estimator.validation_scores_.append(history.validation_score[-1])
        best = estimator._watch.best if estimator._watch is not None else None
        estimator.best_validation_score_ = -np.inf if best is None else best


# --- L-BFGS ------------------------------------------------------------------------------------


def fit_lbfgs(estimator: BaseMLP, block: Block) -> None:
    """Minimise the cost over the whole block."""
    state, max_iter = estimator._state, int(estimator.max_iter)
    interpreter = estimator._interpreter()
    report = _Report(estimator, block, max_iter)
    scale = estimator._loss_scale()

    def on_iteration(history: History) -> bool:
        estimator.loss_ = scale * history.loss[-1] + history.penalty[-1]
        estimator.loss_curve_.append(estimator.loss_)
        report.begin()
        return report.iteration(history)

    ended = minimize_cost(
        interpreter,
        state,
        block,
        max_iterations=max_iter,
        max_evaluations=int(estimator.max_fun),
        tol=float(estimator.tol),
        on_iteration=on_iteration,
    )
    estimator.n_iter_ = min(ended.n_iterations, max_iter)
    estimator.t_ += estimator.n_iter_ * block.n_rows
    estimator.best_loss_ = min(estimator.loss_curve_, default=None)
    loss, penalty, _ = interpreter.cost(state, interpreter.gradient(state, block))
    estimator.loss_ = scale * loss + penalty
    if ended.history.stopped_by == "divergence":
        raise divergence_error(block.x, block.y, epochs=estimator.n_iter_)
    if ended.history.stopped_by == "interrupt":
        warnings.warn("Training interrupted by user.", stacklevel=5)
    elif not ended.converged and ended.history.stopped_by != "callback":
        warnings.warn(
            f"lbfgs failed to converge after {estimator.n_iter_} iteration(s): {ended.message}. "
            "Increase max_iter or max_fun, raise tol, or scale the data.",
            ConvergenceWarning,
            stacklevel=5,
        )
    report.end()


# --- what is said on the way -------------------------------------------------------------------


class _Report:
    """After every epoch: fitted attributes, verbose lines, the user's callbacks."""

    def __init__(self, estimator: BaseMLP, block: Block, epochs: int) -> None:
        self._estimator, self._n_rows = estimator, block.n_rows
        self._callbacks = EpochCallbacks(estimator, epochs, block.x, block.y, block.weight)

    def begin(self) -> None:
        """Tell the callbacks that an epoch begins."""
        self._callbacks.begin_epoch()

    def epoch(self, history: History) -> bool:
        """Take a stochastic solver's epoch over; return whether a callback says stop."""
        _take_over(self._estimator, history, self._n_rows)
        return self.iteration(history)

    def iteration(self, history: History) -> bool:
        """Print, and tell the callbacks; return whether one says stop."""
        estimator = self._estimator
        if estimator.verbose:
            print(f"Iteration {history.n_epochs}, loss = {estimator.loss_:.8f}")  # noqa: T201
            if history.validation_score:
                print(f"Validation score: {history.validation_score[-1]:f}")  # noqa: T201
        return self._callbacks.end_epoch(self._fitted)

    def end(self) -> None:
        """Tell the callbacks that the fit is over."""
        self._callbacks.end_fit(self._fitted)

    def _fitted(self) -> dict[str, Any]:
        """Return the attributes from which a ready estimator of this moment is made."""
        attributes = {
            name: value
            for name, value in vars(self._estimator).items()
            if name.endswith("_") or name in ("_hidden", "_network", "_label_binarizer")
        }
        own = {"_state": self._estimator._state.copy(), "_kept": Kept()}
        return attributes | own
