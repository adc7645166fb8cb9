"""The training loop: epochs over batches, through the seam, until something says stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, repeat
from typing import Any, TypeAlias

import numpy as np

from deltarule.arrays import Array, to_numpy
from deltarule.errors import SpecError
from deltarule.program import Block, Interpreter, Order, State, Steps
from deltarule.schedules import Clock, Constant, Schedule
from deltarule.training.batches import Rows, batch_bounds
from deltarule.training.history import History
from deltarule.training.stopping import Stopping
from deltarule.training.streams import Stream, StreamedEpoch, advance

__all__ = ["Figures", "Run", "Validation", "run_epochs"]


@dataclass(frozen=True)
class Figures:
    """What a validation measured; either may be missing."""

    loss: float | None = None
    score: float | None = None


_ASTRAY = 10.0  # a loss above this many times the best one is taken for the way to infinity

Validation: TypeAlias = Callable[[State], Figures]


@dataclass
class Run:
    """How to train: all that a run needs beside the interpreter, the state and the data.

    Parameters
    ----------
    epochs : int
        The most epochs.
    batch_size : int
        Rows in a mini-batch.
    learning_rate : float
        η₀.
    orders : iterator of row numbers
        The order of every epoch (``epoch_orders``).
    schedule : Schedule
        How η changes.
    stopping : Stopping or None
        When no improvement ends the run; None never does.
    validation : callable, optional
        state -> ``Figures``, measured after every epoch.
    restore_best : bool
        End with the parameters of the best epoch (by validation if there is one, else by cost).
    block_of : callable, optional
        epoch -> the block of that epoch, where it is not the same one (augmentation).
    least_rows : int
        Rows of non-zero weight that every mini-batch needs; one that has fewer joins another.
    on_begin : callable, optional
        Called before every epoch.
    on_epoch : callable, optional
        Called with the history after every epoch; returning True stops.
    current_rate : float or None
        η to begin with, if an earlier run left one.
    schedule_memory : object
        What the schedule remembers of an earlier run.
    examples_seen : int
        Examples of earlier runs.
    epochs_before, steps_before : int
        Epochs and steps of earlier runs that this one goes on with: the schedule counts them.
    planned_epochs : int or None
        The epochs of all those runs together, as the schedule sees it; None: when this one ends.
    loss_scale : float
        What the recorded training loss is multiplied by: 1/k reports the mean over k targets.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    orders: Iterator[Rows]
    schedule: Schedule = field(default_factory=Constant)
    stopping: Stopping | None = None
    validation: Validation | None = None
    restore_best: bool = False
    block_of: Callable[[int], Block] | None = None
    least_rows: int = 1
    on_begin: Callable[[], None] | None = None
    on_epoch: Callable[[History], bool] | None = None
    current_rate: float | None = None
    schedule_memory: Any = None
    examples_seen: int = 0
    epochs_before: int = 0
    steps_before: int = 0
    planned_epochs: int | None = None
    loss_scale: float = 1.0


def run_epochs(interpreter: Interpreter, state: State, block: Block | Stream, run: Run) -> History:
    """Train; return what was seen. The state is moved in place, and ends finite.

    At the first non-finite loss the run stops and the best finite state is restored: that of the
    best epoch so far, or the one it began with. Where the best epoch's own steps led astray (the
    next loss is far above it), it is the state with which that epoch began. After Ctrl-C the best
    epoch's state is restored too.
    """
    history = History()
    best = before = safe = state.copy()
    shelf = [best]
    watch = (
        Stopping(tol=0.0, maximize=_watches_score(run)) if run.stopping is None else run.stopping
    )
    rate = run.learning_rate if run.current_rate is None else run.current_rate
    first, n_steps = run.epochs_before, run.steps_before
    planned = first + run.epochs if run.planned_epochs is None else run.planned_epochs
    history.stopped_by = "epochs"
    try:
        for epoch, rows in enumerate(islice(_orders(block, run), run.epochs)):
            if run.on_begin is not None:
                run.on_begin()
            entered = _copy(state, shelf, (best, before, safe))
            examples = run.examples_seen + epoch * block.n_rows
            clock = Clock(first + epoch, examples, planned, n_steps)
            order = _order(rows, run, rate, clock, block.weight)
            rate, n_steps = float(order.learning_rates[-1]), n_steps + order.n_batches
            rows_now = _block_of(first + epoch, block, run)
            steps = _epoch(interpreter, state, rows_now, order)
            _record(history, steps, rate, run.loss_scale)
            follows_best = history.best_epoch == history.n_epochs - 1
            if follows_best and run.validation is None and _is_astray(steps, history):
                safe = before
            if steps.diverged or not _is_finite(state):
                history.stopped_by = "divergence"
                break
            figure = _watched(history, state, run)
            if watch.update(figure):
                history.best_epoch = history.n_epochs
                best = _copy(state, shelf, (best, safe, entered))  # Ctrl-C may come in between
                before, safe = entered, best
            run.schedule_memory, rate = run.schedule.observe(
                run.schedule_memory, figure, rate, maximize=watch.maximize
            )
            if run.on_epoch is not None and run.on_epoch(history):
                history.stopped_by = "callback"
                break
            if watch.exhausted and run.stopping is not None:
                slower = run.schedule.on_plateau(rate)
                if slower is None:
                    history.stopped_by = "no improvement"
                    break
                rate, watch.stale = slower, 0
    except KeyboardInterrupt:
        history.stopped_by = "interrupt"
    run.current_rate = rate
    run.examples_seen += history.n_epochs * block.n_rows
    run.epochs_before, run.steps_before = first + history.n_epochs, n_steps
    if history.stopped_by == "divergence":
        state.restore(safe)
    elif run.restore_best or history.stopped_by == "interrupt":
        state.restore(best)
    return history


def _orders(block: Block | Stream, run: Run) -> Iterator[Rows]:
    """Return the order of every epoch; a stream has its own."""
    return repeat(block.rows) if isinstance(block, Stream) else run.orders


def _block_of(epoch: int, block: Block | Stream, run: Run) -> Block | StreamedEpoch:
    """Return what an epoch is trained on: the block, a fresh one, or blocks that go by."""
    if run.block_of is not None:
        return run.block_of(epoch)
    return block.of_epoch(epoch) if isinstance(block, Stream) else block


def _copy(state: State, shelf: list[State], held: tuple[State, ...]) -> State:
    """Return a copy of the state, in the memory of an old one that nobody holds if there is one."""
    for old in shelf:
        if not any(old is one for one in held):
            old.overwrite(state)
            return old
    shelf.append(state.copy())
    return shelf[-1]


def _order(rows: Rows, run: Run, rate: float, clock: Clock, weight: Array | None) -> Order:
    """Cut an epoch's rows into batches, and ask the schedule for the rate of each."""
    present = None if weight is None else to_numpy(weight)[rows] > 0
    bounds = batch_bounds(len(rows), run.batch_size, present, run.least_rows)
    n_steps = len(bounds) - 1
    rates = np.asarray(run.schedule.rates(run.learning_rate, rate, clock, n_steps), dtype=float)
    if rates.shape != (n_steps,) or not (rates >= 0).all():
        raise SpecError(
            f"schedule must give {n_steps} rates of at least 0, one a step; got {rates}. "
            f"See what {type(run.schedule).__name__}.rates returns."
        )
    return Order(rows, bounds, rates)


def _is_astray(steps: Steps, history: History) -> bool:
    """Whether an epoch's first loss is no number, or far above the best epoch's cost."""
    if history.best_epoch is None:
        return False
    first = float(steps.loss[0] + steps.penalty[0])
    return not first <= _ASTRAY * history.cost[history.best_epoch - 1]


def _epoch(
    interpreter: Interpreter, state: State, block: Block | StreamedEpoch, order: Order
) -> Steps:
    """Take every step of an order; the interpreter may give control back in between."""
    pieces: list[Steps] = []
    done = 0
    while done < order.n_batches:
        steps = range(done, order.n_batches)
        pieces.append(advance(interpreter, state, block, order, steps))
        done += len(pieces[-1].loss)
        if pieces[-1].diverged:
            break
    return Steps.join(pieces)


def _record(history: History, steps: Steps, rate: float, scale: float) -> None:
    """Average an epoch's steps by weight; a run that diverged shows what it met."""
    weight = float(np.sum(steps.weight))
    if steps.diverged or weight == 0:
        loss, penalty = float(steps.loss[-1]), float(steps.penalty[-1])
    else:
        loss = _mean(steps.loss, steps.weight, weight)
        penalty = _mean(steps.penalty, steps.weight, weight)
    history.loss.append(scale * loss)
    history.penalty.append(penalty)
    history.learning_rate.append(rate)


def _mean(figures: Array, weights: Array, total: float) -> float:
    with np.errstate(over="ignore"):
        mean = float(figures @ weights) / total
    return mean if np.isfinite(mean) else float(figures @ (weights / total))  # of huge figures


def _watched(history: History, state: State, run: Run) -> float:
    """Return the figure that decides what is best: score, validation loss, or cost."""
    if run.validation is None:
        return history.cost[-1]
    figures = run.validation(state)
    if figures.loss is not None:
        history.validation_loss.append(figures.loss)
    if figures.score is not None:
        history.validation_score.append(figures.score)
    if _watches_score(run):
        return float("nan") if figures.score is None else figures.score
    if figures.loss is None:
        raise ValueError("validation must measure a loss, or a score to be maximised.")
    return figures.loss


def _watches_score(run: Run) -> bool:
    return run.stopping is not None and run.stopping.maximize


def _is_finite(state: State) -> bool:
    """Whether θ and the statistics are: batch norm may bring inputs whose squares overflow back."""
    kept = (state.theta, *state.buffers.values())
    return all(bool(np.isfinite(to_numpy(array)).all()) for array in kept)
