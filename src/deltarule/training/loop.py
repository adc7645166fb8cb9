"""The training loop: epochs over batches, through the seam, until something says stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from deltarule.arrays import Array, to_numpy
from deltarule.errors import CheckpointError, SpecError
from deltarule.program import Block, Interpreter, Order, State, Steps
from deltarule.schedules import Clock, Constant, Schedule
from deltarule.signals import Held, held_signals
from deltarule.training.batches import Orders, Rows, batch_bounds
from deltarule.training.history import History
from deltarule.training.progress import Epoch, Keeper, Progress
from deltarule.training.stopping import Stopping
from deltarule.training.streams import Stream, StreamedEpoch, advance

__all__ = ["Figures", "Run", "Validation", "run_epochs"]


@dataclass(frozen=True)
class Figures:
    """What a validation measured; either may be missing."""

    loss: float | None = None
    score: float | None = None


_FINAL = ("no improvement", "callback")  # a run that ended so has nothing left to do
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
    orders : Orders
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
        Called before every epoch with the state that it begins with.
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
    keeper : Keeper or None
        Who keeps checkpoints, and knows where an earlier run was left.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    orders: Orders
    schedule: Schedule = field(default_factory=Constant)
    stopping: Stopping | None = None
    validation: Validation | None = None
    restore_best: bool = False
    block_of: Callable[[int], Block] | None = None
    least_rows: int = 1
    on_begin: Callable[[State], None] | None = None
    on_epoch: Callable[[History], bool] | None = None
    current_rate: float | None = None
    schedule_memory: Any = None
    examples_seen: int = 0
    epochs_before: int = 0
    steps_before: int = 0
    planned_epochs: int | None = None
    loss_scale: float = 1.0
    keeper: Keeper | None = None


def run_epochs(interpreter: Interpreter, state: State, block: Block | Stream, run: Run) -> History:
    """Train; return what was seen. The state is moved in place, and ends finite.

    At the first non-finite loss the run stops and the best finite state is restored: that of the
    best epoch so far, or the one it began with. Where the best epoch's own steps led astray (the
    next loss is far above it), it is the state with which that epoch began. After Ctrl-C the best
    epoch's state is restored too. Signals wait until a call of the interpreter has ended.
    """
    at = _beginning(state, run)
    try:
        # A single epoch, as of ``partial_fit``, is not worth the time that handlers take.
        with held_signals(wanted=run.epochs > 1 or run.keeper is not None) as signals:
            if run.keeper is not None:
                run.keeper.begin(state, at, interpreter.check)
                _go_on(run, at, block.n_rows)
            _Training(interpreter, state, block, run, at, signals).to_the_end()
    except KeyboardInterrupt:
        at.history.stopped_by = "interrupt"
    history = at.history
    run.current_rate, run.schedule_memory = at.rate, at.memory
    run.examples_seen = at.examples + history.n_epochs * block.n_rows
    run.epochs_before, run.steps_before = at.first + history.n_epochs, at.n_steps
    if history.stopped_by == "divergence":
        state.restore(at.safe)
    elif run.restore_best or history.stopped_by == "interrupt":
        state.restore(at.best)
    return history


def _beginning(state: State, run: Run) -> Progress:
    """Return where a run stands before its first epoch."""
    maximize = _watches_score(run)
    now = state.copy()
    return Progress(
        history=History(),
        watch=Stopping(tol=0.0, maximize=maximize) if run.stopping is None else run.stopping,
        rate=run.learning_rate if run.current_rate is None else run.current_rate,
        memory=run.schedule_memory,
        first=run.epochs_before,
        examples=run.examples_seen,
        n_steps=run.steps_before,
        best=now,
        before=now,
        safe=now,
    )


def _go_on(run: Run, at: Progress, n_rows: int) -> None:
    """Let orders follow those before a checkpoint, after a look whether they are of these rows."""
    inside = None if at.inside is None else at.inside.order
    orders = [rows for rows in (at.rows, inside and inside.rows) if rows is not None]
    if (inside and inside.bounds[-1] != n_rows) or not all(map(run.orders.has, orders)):
        raise CheckpointError("the checkpoint's order of rows is none of these rows.")
    run.orders.go_on(at.rows)


class _Training:
    """A run on its way: it moves the state and the progress, epoch by epoch."""

    def __init__(
        self,
        interpreter: Interpreter,
        state: State,
        block: Block | Stream,
        run: Run,
        at: Progress,
        signals: Held,
    ) -> None:
        self.interpreter, self.state, self.block = interpreter, state, block
        self.run, self.at, self.signals = run, at, signals
        held = (at.best, at.before, at.safe, *([] if at.inside is None else [at.inside.entered]))
        self._shelf = list({id(one): one for one in held}.values())
        self._at_rest = True  # whether state and progress belong together

    def to_the_end(self) -> None:
        """Train epoch after epoch, until something says stop; leave a checkpoint behind."""
        history = self.at.history
        if history.stopped_by not in _FINAL:  # of the run that this one goes on with
            history.stopped_by = "epochs" if history.n_epochs >= self.run.epochs else ""
        try:
            while not history.stopped_by:
                self._epoch()
                self._look()
        except Exception:
            raise
        except BaseException:  # a signal
            if self.run.keeper is not None and self._at_rest:
                self.run.keeper.keep(self.state, self.at)
            raise

    def _look(self) -> None:
        """Between two calls: act on a signal; keep a checkpoint if it is time."""
        if self.signals.came is not None:
            self.signals.deliver()
        if self.run.keeper is not None and self._at_rest:
            self.run.keeper.offer(self.state, self.at)

    def _epoch(self) -> None:
        """Train for an epoch, or for the rest of one; say in the history why to stop, if so."""
        run, at = self.run, self.at
        if at.inside is None:
            self._enter()
        epoch = at.inside
        assert epoch is not None
        if run.on_begin is not None:
            run.on_begin(epoch.entered)
        with self.signals.passed_on():
            block = self._block_of(at.first + at.history.n_epochs)
        steps = self._take_steps(epoch, block)
        fine = not steps.diverged and _is_finite(self.state)
        figures = None
        if fine and run.validation is not None:
            with self.signals.passed_on():
                figures = run.validation(self.state)
        self._at_rest = False
        self._leave(steps, figures, fine=fine)
        self._at_rest = fine

    def _enter(self) -> None:
        """Begin an epoch: its order, its rates, and a copy of the state."""
        run, at = self.run, self.at
        self._at_rest = False
        rows = next(run.orders)
        done = at.history.n_epochs
        planned = at.first + run.epochs if run.planned_epochs is None else run.planned_epochs
        examples = at.examples + done * self.block.n_rows
        clock = Clock(at.first + done, examples, planned, at.n_steps)
        order = _order(rows, run, at.rate, clock, self.block)
        at.rows = run.orders.memory
        at.rate, at.n_steps = float(order.learning_rates[-1]), at.n_steps + order.n_batches
        at.inside = Epoch(order, _copy(self.state, self._shelf, (at.best, at.before, at.safe)))
        self._at_rest = True

    def _block_of(self, epoch: int) -> Block | StreamedEpoch:
        """Return what an epoch is trained on: the block, a fresh one, or blocks that go by."""
        if self.run.block_of is not None:
            return self.run.block_of(epoch)
        return self.block.of_epoch(epoch) if isinstance(self.block, Stream) else self.block

    def _take_steps(self, epoch: Epoch, block: Block | StreamedEpoch) -> Steps:
        """Take the steps that are left; the interpreter may give control back in between."""
        order = epoch.order
        while epoch.done < order.n_batches:
            self._look()
            self._at_rest = False
            left = range(epoch.done, order.n_batches)
            epoch.add(advance(self.interpreter, self.state, block, order, left))
            if epoch.pieces[-1].diverged:
                break
            self._at_rest = True
        self.signals.deliver()
        return epoch.seen()

    def _leave(self, steps: Steps, figures: Figures | None, *, fine: bool) -> None:
        """End an epoch: write it down, keep the best, hear the schedule and the callbacks."""
        run, at, history = self.run, self.at, self.at.history
        assert at.inside is not None
        entered, at.inside = at.inside.entered, None
        _record(history, steps, at.rate, run.loss_scale)
        follows_best = history.best_epoch == history.n_epochs - 1
        if follows_best and run.validation is None and _is_astray(steps, history):
            at.safe = at.before
        if not fine:
            history.stopped_by = "divergence"
            return
        figure = _watched(history, figures, run)
        if at.watch.update(figure):
            history.best_epoch = history.n_epochs
            at.best = _copy(self.state, self._shelf, (at.best, at.safe, entered))
            at.before, at.safe = entered, at.best
        at.memory, at.rate = run.schedule.observe(
            at.memory, figure, at.rate, maximize=at.watch.maximize
        )
        told_to_stop = run.on_epoch is not None and run.on_epoch(history)
        history.stopped_by = "callback" if told_to_stop else self._ending()

    def _ending(self) -> str:
        """Return why the run ends with this epoch; nothing if it does not."""
        run, at = self.run, self.at
        if at.watch.exhausted and run.stopping is not None:
            slower = run.schedule.on_plateau(at.rate)
            if slower is None:
                return "no improvement"
            at.rate, at.watch.stale = slower, 0
        return "epochs" if at.history.n_epochs >= run.epochs else ""


def _copy(state: State, shelf: list[State], held: tuple[State, ...]) -> State:
    """Return a copy of the state, in the memory of an old one that nobody holds if there is one."""
    for old in shelf:
        if not any(old is one for one in held):
            old.overwrite(state)
            return old
    shelf.append(state.copy())
    return shelf[-1]


def _order(rows: Rows, run: Run, rate: float, clock: Clock, block: Block | Stream) -> Order:
    """Cut an epoch's rows into batches, and ask the schedule for the rate of each."""
    present = None if block.weight is None else to_numpy(block.weight)[rows] > 0
    bounds = batch_bounds(block.n_rows, run.batch_size, present, run.least_rows)
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


def _watched(history: History, figures: Figures | None, run: Run) -> float:
    """Return the figure that decides what is best: score, validation loss, or cost."""
    if figures is None:
        return history.cost[-1]
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
