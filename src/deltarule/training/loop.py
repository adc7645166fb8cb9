"""The training loop: epochs of mini-batches, until a limit, a rule or a callback ends it."""

from __future__ import annotations

from math import isfinite

import numpy as np

from deltarule.errors import CheckpointError, SpecError
from deltarule.program import BatchSchedule, Block, Interpreter, State, StepLog
from deltarule.schedules import EpochSchedule, Position, Rates, Schedule
from deltarule.training.batches import Rows, batch_bounds, is_order
from deltarule.training.config import Metrics, TrainingConfig
from deltarule.training.data import EpochIterator, StreamedBlock, advance
from deltarule.training.divergence import frozen_parameters
from deltarule.training.early_stopping import EarlyStopping
from deltarule.training.history import History
from deltarule.training.state import Epoch, TrainingState
from deltarule.utils.arrays import Array, all_finite, to_numpy
from deltarule.utils.blas import dot
from deltarule.utils.interrupts import DeferredSignals, deferred_signals

__all__ = ["run_epochs"]

_FINAL = ("no improvement", "callback")  # a training that ended so is complete

_DIVERGENCE_RATIO = 10.0
"""If an epoch starts with a loss more than this many times the best cost, the steps of the best
epoch are assumed to have caused the divergence."""


def run_epochs(
    interpreter: Interpreter,
    state: State,
    block: Block | StreamedBlock,
    config: TrainingConfig,
    start: TrainingState | None = None,
) -> TrainingState:
    """Return the training state at the end; ``state`` is moved in place, and ends finite.

    At the first non-finite loss training stops and the best finite state is restored: that of the
    best epoch so far, or the one before the first epoch. If the steps of the best epoch caused the
    divergence (the next loss is far above its cost), the state before that epoch is restored.
    After Ctrl-C the best state is restored, too. Signals wait until a call of the interpreter has
    ended.

    Parameters
    ----------
    interpreter : Interpreter
        What takes the steps.
    state : State
        The network's state.
    block : Block or StreamedBlock
        The rows to train on.
    config : TrainingConfig
        How to train.
    start : TrainingState, optional
        Where to continue from; by default a new training begins.
    """
    training = TrainingState.begin(state, Position()) if start is None else start
    try:
        try:
            # Installing signal handlers takes too long for a single epoch, as of ``partial_fit``.
            wanted = (
                config.epochs - training.history.n_epochs > 1 or config.checkpointer is not None
            )
            with deferred_signals(wanted=wanted) as signals:
                if config.checkpointer is not None:
                    config.checkpointer.begin(state, training, interpreter.check)
                _check_rows(training, block, config)
                _Training(interpreter, state, block, config, training, signals).to_the_end()
        except KeyboardInterrupt:
            training.history.stopped_by = "interrupt"
        history, stopping = training.history, config.stopping
        if history.stopped_by != "divergence":
            training.frozen = frozen_parameters(state)
        if history.stopped_by == "divergence":
            state.restore(training.safe)
        elif history.stopped_by == "interrupt" or (stopping is not None and stopping.restore_best):
            if training.epoch is not None or history.best_epoch != history.n_epochs:
                training.last = state.copy()
            state.restore(training.best)
        return training
    finally:
        state.set_safe(None)
        release = getattr(interpreter, "release", None)
        if release is not None:
            release()


def _first_order(block: Block | StreamedBlock) -> Rows:
    """Return the rows in their order; no row numbers for a stream, whose source orders its rows."""
    return np.arange(0 if isinstance(block, StreamedBlock) else block.n_rows, dtype=np.int64)


def _check_rows(
    training: TrainingState, block: Block | StreamedBlock, config: TrainingConfig
) -> None:
    """Raise ``CheckpointError`` unless the orders to continue from are orders of these rows."""
    order = None if training.epoch is None else training.epoch.order
    orders = (training.position.order, None if order is None else order.rows)
    held = [given for given in orders if given is not None]
    if not held:
        return
    rows = _first_order(block)
    fits = all(is_order(given, rows) for given in held)
    if not fits or (order is not None and not _is_cut(order, block, config)):
        raise CheckpointError("the order of rows to resume from is not an order of these rows.")


def _is_cut(order: BatchSchedule, block: Block | StreamedBlock, config: TrainingConfig) -> bool:
    """Return whether an order is cut into the batches that this training takes."""
    return np.array_equal(order.bounds, _bounds_of(order.rows, block, config))


def _bounds_of(rows: Rows, block: Block | StreamedBlock, config: TrainingConfig) -> Rows:
    """Return the bounds of the batches of an order of rows."""
    same = _has_same_bounds(block, config)
    present = None if same else to_numpy(block.weight)[rows] > 0
    return batch_bounds(block.n_rows, config.batch_size, present, config.min_rows)


def _has_same_bounds(block: Block | StreamedBlock, config: TrainingConfig) -> bool:
    """Return whether batches are cut alike in every order of the rows."""
    return block.weight is None or config.min_rows <= 1


class _Training:
    """A training in progress: it changes the state and the training state, epoch by epoch."""

    def __init__(
        self,
        interpreter: Interpreter,
        state: State,
        block: Block | StreamedBlock,
        config: TrainingConfig,
        training: TrainingState,
        signals: DeferredSignals,
    ) -> None:
        self.interpreter, self.state, self.block = interpreter, state, block
        self.config, self.training, self.signals = config, training, signals
        self.rule = EarlyStopping(tol=0.0) if config.stopping is None else config.stopping
        self._buffers: list[State] = []  # copies of states, whose memory is used again
        self._bounds: Rows | None = None  # of the batches, if they are the same in every epoch
        self._rows: Rows | None = None  # in their order, if that is the order of every epoch
        self._rates: tuple[float, int, Rates] | None = None  # of the last epoch with one rate
        self._has_one_rate = _inherits(config.schedule, "rates")
        self._observes = not _inherits(config.schedule, "observe")
        self._new_blocks = config.epoch_block is not None or isinstance(block, StreamedBlock)
        # Whether an epoch begins with the state that the last one left, so that a copy of it serves
        # as both. A user's function may change the state; a checkpoint holds both states apart.
        self._steps_only = (
            config.checkpointer is None
            and config.on_epoch_begin is None
            and (config.on_epoch is None or getattr(config.on_epoch, "keeps_state", False))
        )
        self._fresh = (  # whether the best state is still a copy of the state, as at the beginning
            training.history.n_epochs == 0 and training.best is training.before is training.safe
        )
        training.consistent = True

    def to_the_end(self) -> None:
        """Train until something ends the training; write a last checkpoint."""
        history = self.training.history
        if history.stopped_by not in _FINAL:  # of the training that this call continues
            history.stopped_by = "epochs" if history.n_epochs >= self.config.epochs else ""
        try:
            while not history.stopped_by:
                self._run_epoch()
                self._between_calls()
        except Exception:
            raise
        except BaseException:  # a signal
            if self.config.checkpointer is not None and self.training.consistent:
                self.config.checkpointer.write(self.state, self.training)
            raise

    def _between_calls(self) -> None:
        """Handle a signal that has come; write a checkpoint if one is due."""
        if self.signals.came is not None:
            self.signals.deliver()
        if self.config.checkpointer is not None and self.training.consistent:
            self.config.checkpointer.offer(self.state, self.training)

    def _run_epoch(self) -> None:
        """Train for an epoch, or the rest of one; record in the history why to stop, if so."""
        config, training = self.config, self.training
        if training.epoch is None:
            self._begin_epoch()
        epoch = training.epoch
        assert epoch is not None
        if config.on_epoch_begin is not None:
            config.on_epoch_begin(epoch.entered)
        self.state.set_safe(epoch.entered)
        block = self._block_of(training.position.epochs) if self._new_blocks else self.block
        assert not isinstance(block, StreamedBlock)
        steps, diverged = self._take_steps(epoch, block)
        finite = not diverged and _is_finite(self.state)
        metrics = None
        if finite and config.validation is not None:
            with self.signals.passed_on():
                metrics = config.validation(self._shown_state())
        training.consistent = False
        self._end_epoch(epoch, steps, metrics, diverged=diverged, finite=finite)
        training.consistent = finite

    def _shown_state(self) -> State:
        """Return what a validation gets: a view, unless it is known not to change the state."""
        keeps = getattr(self.config.validation, "keeps_state", False)
        return self.state if keeps else self.state.read_only()

    def _begin_epoch(self) -> None:
        """Begin an epoch: its order of rows, its rates, and a copy of the state."""
        config, training = self.config, self.training
        training.consistent = False
        position, planned = training.position, config.planned_epochs
        order_before, rate = position.order, position.learning_rate
        rows = self._first_rows() if order_before is None else order_before
        if config.shuffle is not None:
            rows = config.shuffle(rows)
            order_before = rows
        rows.flags.writeable = False  # a user's schedule is shown them
        if planned is None:
            planned = position.epochs - training.history.n_epochs + config.epochs
        training.position = Position(
            position.epochs,
            position.steps,
            position.examples,
            planned,
            config.learning_rate if rate is None else rate,
            position.schedule_state,
            position.stopping_state,
            order_before,
        )
        order = self._order(rows)
        entered = training.best if self._fresh else self._copy()
        self._fresh = False
        training.epoch = Epoch(order, entered)
        training.consistent = True

    def _first_rows(self) -> Rows:
        """Return the rows in their order, as a new array if it will be shuffled."""
        if self._rows is not None:
            return self._rows
        rows = _first_order(self.block)
        if self.config.shuffle is None:
            self._rows = rows
        return rows

    def _block_of(self, epoch: int) -> Block | EpochIterator:
        """Return the data of an epoch: the block, a new one, or an iterator over blocks."""
        block, make = self.block, self.config.epoch_block
        if make is None and not isinstance(block, StreamedBlock):
            return block
        with self.signals.passed_on():
            if make is not None:
                return make(epoch)
            return block.of_epoch(epoch) if isinstance(block, StreamedBlock) else block

    def _order(self, rows: Rows) -> BatchSchedule:
        """Return an epoch's rows cut into batches, with the schedule's rate for each batch."""
        config, block, bounds = self.config, self.block, self._bounds
        if bounds is None:
            bounds = _bounds_of(rows, block, config)
            if _has_same_bounds(block, config):
                self._bounds = bounds
        return BatchSchedule(rows, bounds, self._rates_of(len(bounds) - 1))

    def _rates_of(self, n_steps: int) -> Rates:
        """Return the schedule's rates for an epoch, checked."""
        config, schedule, position = self.config, self.config.schedule, self.training.position
        if self._has_one_rate and isinstance(schedule, EpochSchedule):
            rate = schedule.rate(config.learning_rate, position)
            known = self._rates
            if known is not None and known[0] == rate and known[1] == n_steps:
                return known[2]
            rates = np.full(n_steps, rate, dtype=float)
            if isinstance(rate, float):
                rates.flags.writeable = False
                self._rates = (rate, n_steps, rates)
        else:  # a copy: the schedule may keep its array
            rates = np.array(schedule.rates(config.learning_rate, position, n_steps), dtype=float)
        if rates.shape != (n_steps,) or not ((rates >= 0) & np.isfinite(rates)).all():
            raise SpecError(
                f"schedule must give {n_steps} rates of at least 0, one for each step; got "
                f"{rates}. See what {type(config.schedule).__name__}.rates returns."
            )
        return rates

    def _take_steps(self, epoch: Epoch, block: Block | EpochIterator) -> tuple[StepLog, bool]:
        """Take the steps that are left, in several calls of the interpreter if it returns before.

        Return them all, and whether the last one has diverged.
        """
        order, n_batches, training = epoch.order, epoch.order.n_batches, self.training
        diverged = bool(epoch.reports) and epoch.reports[-1].diverged
        while epoch.done < n_batches and not diverged:
            self._between_calls()
            training.consistent = False
            left = range(epoch.done, n_batches)
            taken = advance(self.interpreter, self.state, block, order, left)
            epoch.add(taken)
            diverged = taken.diverged
            training.consistent = not diverged
        if self.signals.came is not None:
            self.signals.deliver()
        return epoch.steps(), diverged

    def _end_epoch(
        self,
        epoch: Epoch,
        steps: StepLog,
        metrics: Metrics | None,
        *,
        diverged: bool,
        finite: bool,
    ) -> None:
        """End an epoch: record it, keep the best state, and call schedule and callback."""
        config, training, history = self.config, self.training, self.training.history
        training.epoch = None
        position, order = training.position, epoch.order
        rate = float(order.learning_rates[-1])
        done = (
            position.epochs + 1,
            position.steps + order.n_batches,
            position.examples + self.block.n_rows,
            position.planned_epochs,
        )
        if self._observes or not finite:
            states = (position.schedule_state, position.stopping_state)
            training.position = Position(*done, rate, *states, position.order)
        _record(history, steps, rate, config.loss_scale, diverged=diverged)
        n_epochs = history.n_epochs
        best = history.best_epoch
        follows_best = best is not None and best == n_epochs - 1 and config.validation is None
        if follows_best and _has_jumped(steps, history.cost_of(n_epochs - 1)):
            training.safe = training.before
        if not finite:
            history.stopped_by = "divergence"
            return
        metric = _watched(history, metrics, config)
        stopping_state, is_best = self.rule.observe(position.stopping_state, metric)
        if is_best:
            history.best_epoch = n_epochs
            training.best = self._copy(epoch.entered)
            training.before, training.safe = epoch.entered, training.best
            self._fresh = self._steps_only
        schedule_state = position.schedule_state
        if self._observes:
            schedule_state, rate = config.schedule.observe(
                schedule_state, metric, rate, maximize=self.rule.maximize
            )
        training.position = Position(*done, rate, schedule_state, stopping_state, position.order)
        stop = config.on_epoch is not None and config.on_epoch(history)
        history.stopped_by = "callback" if stop else self._ending(n_epochs)

    def _ending(self, n_epochs: int) -> str:
        """Return why training ends after this epoch; an empty string if it does not."""
        config, training, position = self.config, self.training, self.training.position
        if config.stopping is not None and config.stopping.is_exhausted(position.stopping_state):
            slower = config.schedule.on_plateau(position.learning_rate or 0.0)
            if slower is None:
                return "no improvement"
            training.position = position._replace(
                learning_rate=slower, stopping_state=position.stopping_state._replace(stale=0)
            )
        return "epochs" if n_epochs >= config.epochs else ""

    def _copy(self, entered: State | None = None) -> State:
        """Return a copy of the state, in the memory of an old copy that is no longer used."""
        training, state = self.training, self.state
        best, before, safe = training.best, training.before, training.safe
        for old in self._buffers:
            if old is not best and old is not before and old is not safe and old is not entered:
                old.overwrite(state)
                return old
        self._buffers.append(state.copy())
        return self._buffers[-1]


def _inherits(schedule: Schedule, method: str) -> bool:
    """Return whether a schedule has the method of ``EpochSchedule``, and not its own."""
    return getattr(type(schedule), method, None) is getattr(EpochSchedule, method) and (
        method not in getattr(schedule, "__dict__", {})
    )


def _has_jumped(steps: StepLog, best_cost: float) -> bool:
    """Return whether an epoch's first loss is NaN, or far above the best epoch's cost."""
    first = float(steps.loss[0]) + float(steps.penalty[0])
    return not first <= _DIVERGENCE_RATIO * best_cost


def _record(history: History, steps: StepLog, rate: float, scale: float, *, diverged: bool) -> None:
    """Append an epoch's mean loss to the history; after a divergence, its last loss."""
    weights = steps.weight
    weight = float(weights[0]) if len(weights) == 1 else float(weights.sum())
    if diverged or weight == 0:
        loss, penalty = float(steps.loss[-1]), float(steps.penalty[-1])
    else:
        loss = _mean(steps.loss, weights, weight)
        alone = len(weights) == 1 and steps.penalty[0] == 0.0  # a usual case, without arithmetic
        penalty = 0.0 if alone else _mean(steps.penalty, weights, weight)
    history.loss.append(scale * loss)
    history.penalty.append(penalty)
    history.learning_rate.append(rate)


def _mean(values: Array, weights: Array, total: float) -> float:
    if len(values) == 1:  # as below, for an epoch of one step, which is often a short one
        mean = (0.0 + float(values[0]) * float(weights[0])) / total
        return mean if isfinite(mean) else float(values[0]) * (float(weights[0]) / total)
    with np.errstate(over="ignore"):
        mean = dot(values, weights) / total
    return mean if isfinite(mean) else dot(values, weights / total)  # their sum overflows


def _watched(history: History, metrics: Metrics | None, config: TrainingConfig) -> float:
    """Return the metric that decides which epoch is best: score, validation loss, or cost."""
    if metrics is None:
        return history.last_cost
    if metrics.loss is not None:
        history.validation_loss.append(metrics.loss)
    if metrics.score is not None:
        history.validation_score.append(metrics.score)
    if config.watches_score:
        return float("nan") if metrics.score is None else metrics.score
    if metrics.loss is None:
        raise ValueError("validation must measure a loss, or a score that is maximised.")
    return metrics.loss


def _is_finite(state: State) -> bool:
    """Return whether θ and the statistics are finite.

    A finite loss is not enough: batch norm may map inputs whose squares overflow to finite ones.
    """
    return all_finite(state.theta) and (
        not state.buffers or all(all_finite(array) for array in state.buffers.values())
    )
