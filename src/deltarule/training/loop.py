"""The training loop: epochs of mini-batches, until a limit, a rule or a callback ends it."""

from __future__ import annotations

import numpy as np

from deltarule.errors import CheckpointError
from deltarule.program import Block, EpochOrders, Interpreter, State, StepLog
from deltarule.schedules import Position
from deltarule.training.batches import is_order
from deltarule.training.config import Metrics, TrainingConfig
from deltarule.training.data import EpochData, EpochView, advance
from deltarule.training.divergence import frozen_parameters, has_jumped
from deltarule.training.early_stopping import EarlyStopping
from deltarule.training.epoch_runs import Generator, RunOfEpochs, allows_runs, longest_run
from deltarule.training.history import History
from deltarule.training.means import epoch_means
from deltarule.training.orders import Orders, bounds_of, first_order, inherits
from deltarule.training.state import Epoch, TrainingState
from deltarule.utils.arrays import all_finite
from deltarule.utils.interrupts import DeferredSignals, deferred_signals

__all__ = ["run_epochs"]

_FINAL = ("no improvement", "callback")  # a training that ended so is complete


def run_epochs(
    interpreter: Interpreter,
    state: State,
    block: Block | EpochData,
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
    block : Block or EpochData
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


def _check_rows(training: TrainingState, block: Block | EpochData, config: TrainingConfig) -> None:
    """Raise ``CheckpointError`` unless the orders to continue from are orders of these rows."""
    order = None if training.epoch is None else training.epoch.order
    orders = (training.position.order, None if order is None else order.rows)
    held = [given for given in orders if given is not None]
    if not held:
        return
    rows = first_order(block)
    fits = all(is_order(given, rows) for given in held)
    cut_so = order is None or np.array_equal(order.bounds, bounds_of(order.rows, block, config))
    if not (fits and cut_so):
        raise CheckpointError("the order of rows to resume from is not an order of these rows.")


class _Training:
    """A training in progress: it changes the state and the training state, epoch by epoch."""

    def __init__(
        self,
        interpreter: Interpreter,
        state: State,
        block: Block | EpochData,
        config: TrainingConfig,
        training: TrainingState,
        signals: DeferredSignals,
    ) -> None:
        self.interpreter, self.state, self.block = interpreter, state, block
        self.config, self.training, self.signals = config, training, signals
        self.rule = EarlyStopping(tol=0.0) if config.stopping is None else config.stopping
        self._buffers: list[State] = []  # copies of states, whose memory is used again
        self._orders = Orders(block, config)
        self._observes = not inherits(config.schedule, "observe")
        self._new_blocks = config.epoch_block is not None or isinstance(block, EpochData)
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
        self._runs = allows_runs(interpreter, block, config)
        self._generator: Generator | None = None  # of the orders, once there is a run
        training.consistent = True

    def to_the_end(self) -> None:
        """Train until something ends the training; write a last checkpoint."""
        history = self.training.history
        if history.stopped_by not in _FINAL:  # of the training that this call continues
            history.stopped_by = "epochs" if history.n_epochs >= self.config.epochs else ""
        try:
            while not history.stopped_by:
                if not (self._runs and self._run_epochs()):
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
        assert not isinstance(block, EpochData)
        steps, diverged = self._take_steps(epoch, block)
        finite = not diverged and _is_finite(self.state)
        metrics = None
        if finite and config.validation is not None:
            with self.signals.passed_on():
                metrics = config.validation(self._shown_state())
        training.consistent = False
        self._end_epoch(epoch, steps, metrics, diverged=diverged, finite=finite)
        training.consistent = finite

    # --- several epochs in one call --------------------------------------------------------------

    def _run_epochs(self) -> bool:
        """Train for several epochs in one call of the interpreter; return whether it took any."""
        config, training, interpreter = self.config, self.training, self.interpreter
        if training.epoch is not None or self._orders.bounds is None:
            return False
        before = training.history.n_epochs
        n_epochs = min(
            longest_run(config, before, training.position.stopping_state),
            interpreter.epochs_a_call(self.block, len(self._orders.bounds) - 1),  # type: ignore[attr-defined]
        )
        if n_epochs < 2:
            return False
        training.consistent = False
        if self._generator is None:
            self._generator = Generator(config.shuffle, before)
        self._generator.keep_place(before)
        begun, orders = self._orders.several(training.position, before, n_epochs)
        entered = self._entered()
        self.state.set_safe(entered)
        evaluation = getattr(config.validation, "evaluation", None)
        with self.state.unchanged():  # until all is recorded: other threads copy whole epochs
            ran = self.state.change(
                lambda: interpreter.train_epochs(  # type: ignore[attr-defined]
                    self.state, self.block, orders, evaluation
                )
            )
            self._runs = ran is not None
            if ran is not None:
                self._end_run(RunOfEpochs(ran, config), entered, begun, orders)
        ended = training.history.n_epochs
        if ended < before + n_epochs:
            self._generator.return_to(ended, orders.rows[0])
        training.consistent = training.history.stopped_by != "divergence"
        return self._runs

    def _end_run(
        self, run: RunOfEpochs, entered: State, begun: list[Position], orders: EpochOrders
    ) -> None:
        """End the epochs of a run: keep the best state, record them all, call the callback."""
        config, training, history = self.config, self.training, self.training.history
        before, best, n = history.n_epochs, history.best_epoch, run.n_epochs
        cost = history.last_cost if best == before and before > 0 else None
        run.decide(self.rule, config, training.position.stopping_state, cost)
        order = orders.of(n - 1)
        states = (training.position.schedule_state, run.stopping_state)
        position = self._orders.after(
            begun[n - 1], order, (float(order.learning_rates[-1]), *states)
        )
        if run.best is not None:
            training.before, training.best = run.states(entered, self._copy)
            training.safe = training.best
            self._fresh = self._steps_only and run.best == n - 1
            history.best_epoch = before + run.best + 1
        if run.returns_before:
            training.safe = training.before
        training.position = position
        self._record_run(run, orders.learning_rates[:n, -1].tolist())
        history.stopped_by = self._ending(history.n_epochs) if run.finite else "divergence"

    def _record_run(self, run: RunOfEpochs, rates: list[float]) -> None:
        """Append the epochs of a run to the history, and report those that left finite numbers."""
        history, report = self.training.history, self.config.on_epoch
        n_finite = run.n_epochs - (not run.finite)
        for part in (slice(n_finite), slice(n_finite, None)):
            history.loss.extend(run.loss[part])
            history.penalty.extend(run.penalty[part])
            history.learning_rate.extend(rates[part])
            for metrics in run.metrics[part]:
                _record_metrics(history, metrics)
            if report is not None and part.start is None and n_finite > 0:
                report.record(history, n_finite)  # type: ignore[attr-defined]

    def _shown_state(self) -> State:
        """Return what a validation gets: a view, unless it is known not to change the state."""
        keeps = getattr(self.config.validation, "keeps_state", False)
        return self.state if keeps else self.state.read_only()

    def _begin_epoch(self) -> None:
        """Begin an epoch: its order of rows, its rates, and a copy of the state."""
        training = self.training
        training.consistent = False
        n_epochs = training.history.n_epochs
        training.position, order = self._orders.next(training.position, n_epochs)
        training.epoch = Epoch(order, self._entered())
        training.consistent = True

    def _entered(self) -> State:
        """Return a copy of the state that an epoch begins with."""
        fresh, self._fresh = self._fresh, False
        return self.training.best if fresh else self._copy(self.state)

    def _block_of(self, epoch: int) -> Block | EpochView:
        """Return the data of an epoch: the block, a new one, or an iterator over blocks."""
        block, make = self.block, self.config.epoch_block
        if make is None and not isinstance(block, EpochData):
            return block
        with self.signals.passed_on():
            if make is not None:
                return make(epoch)
            return block.of_epoch(epoch) if isinstance(block, EpochData) else block

    def _take_steps(self, epoch: Epoch, block: Block | EpochView) -> tuple[StepLog, bool]:
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
        if self._observes or not finite:
            training.position = self._orders.after(position, order)
        _record(history, steps, rate, config.loss_scale, diverged=diverged)
        n_epochs = history.n_epochs
        best = history.best_epoch
        follows_best = best is not None and best == n_epochs - 1 and config.validation is None
        first = float(steps.loss[0]) + float(steps.penalty[0])
        if follows_best and has_jumped(first, history.cost_of(n_epochs - 1)):
            training.safe = training.before
        if not finite:
            history.stopped_by = "divergence"
            return
        metric = _watched(history, metrics, config)
        stopping_state, is_best = self.rule.observe(position.stopping_state, metric)
        if is_best:
            history.best_epoch = n_epochs
            training.before = epoch.entered  # first: the copy may use the memory of the last one
            training.best = training.safe = self._copy(self.state, epoch.entered)
            self._fresh = self._steps_only
        schedule_state = position.schedule_state
        if self._observes:
            schedule_state, rate = config.schedule.observe(
                schedule_state, metric, rate, maximize=self.rule.maximize
            )
        training.position = self._orders.after(
            position, order, (rate, schedule_state, stopping_state)
        )
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

    def _copy(self, state: State, entered: State | None = None) -> State:
        """Return a copy of a state, in the memory of an old copy that is no longer used."""
        training = self.training
        best, before, safe = training.best, training.before, training.safe
        for old in self._buffers:
            if old is not best and old is not before and old is not safe and old is not entered:
                old.overwrite(state)
                return old
        self._buffers.append(state.copy())
        return self._buffers[-1]


def _record(history: History, steps: StepLog, rate: float, scale: float, *, diverged: bool) -> None:
    """Append an epoch's mean loss to the history; after a divergence, its last loss."""
    loss, penalty = epoch_means(steps, diverged=diverged)
    history.loss.append(scale * loss)
    history.penalty.append(penalty)
    history.learning_rate.append(rate)


def _record_metrics(history: History, metrics: Metrics) -> None:
    """Append a validation's metrics to the history."""
    if metrics.loss is not None:
        history.validation_loss.append(metrics.loss)
    if metrics.score is not None:
        history.validation_score.append(metrics.score)


def _watched(history: History, metrics: Metrics | None, config: TrainingConfig) -> float:
    """Return the metric that decides which epoch is best: score, validation loss, or cost."""
    if metrics is None:
        return history.last_cost
    _record_metrics(history, metrics)
    return config.watched(metrics)


def _is_finite(state: State) -> bool:
    """Return whether θ and the statistics are finite.

    A finite loss is not enough: batch norm may map inputs whose squares overflow to finite ones.
    """
    return all_finite(state.theta) and (
        not state.buffers or all(all_finite(array) for array in state.buffers.values())
    )
