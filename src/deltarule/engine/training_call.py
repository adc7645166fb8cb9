"""Steps of a training: what does not change between two calls is checked and laid out once.

An epoch of a small network is one step of some microseconds. So an engine keeps one
``TrainingCall`` from call to call: buffers and addresses, with the state, block and bounds that
they were made for. Each call compares these by identity, copies the order of the rows, and runs.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from deltarule.engine.epoch_runs import EpochMemory
from deltarule.engine.evaluation import Evaluation
from deltarule.engine.inputs import (
    Inputs,
    batch_weights,
    check_batches,
    check_cuts,
    check_targets,
    inputs_of,
)
from deltarule.engine.optimizers import OptimizerArrays, Update
from deltarule.engine.statistics import load_statistics, save_statistics
from deltarule.engine.work_plan import Mode
from deltarule.program import BatchSchedule, Block, EpochOrders, EpochRun, State, StepLog
from deltarule.program.shards import batch_cuts
from deltarule.program.tape import Tape
from deltarule.utils.addresses import address_of

if TYPE_CHECKING:
    from deltarule.engine.buffers import Buffers

__all__ = ["MOST_ROWS", "TrainingCall"]

MOST_ROWS = 4096
"""Orders of up to so many rows are copied (to ask for an address takes longer), or run together."""

_INT = np.dtype(np.int64)
_largest = np.maximum.reduce


class StepEngine(Protocol):
    """Protocol of what takes the steps: the engine."""

    update: Update

    def check(self, state: State) -> None:
        """Raise ``DataError`` unless the steps can continue from the state."""

    def steps_a_call(self, steps: range) -> int:
        """Return how many of the steps a call takes."""

    def note_time(self, threads: int, seconds_a_step: float) -> None:
        """Remember how long the steps of the newest call took."""

    def take_buffers(self, mode: Mode, rows: int, inputs: Inputs | None) -> Buffers:
        """Return buffers that no other call is using."""

    def give_back(self, buffers: Buffers) -> None:
        """Let other calls use these buffers."""

    def threads_for(self, buffers: Buffers) -> int:
        """Return on how many threads a call runs."""


class TrainingCall:
    """Buffers, addresses and checked arguments of the steps of one training.

    Attributes
    ----------
    busy : bool
        Whether a call is running: a signal handler that takes steps needs another object.
    """

    def __init__(self, tape: Tape, arrays: OptimizerArrays, n_shards: int = 0) -> None:
        self.busy = False
        self._tape, self._arrays, self._n_shards = tape, arrays, n_shards
        self._dtype = np.dtype(tape.dtype)
        self._forget()

    def _forget(self) -> None:
        self._buffers: Buffers | None = None
        self._block: Block | None = None
        self._inputs: Inputs | None = None
        self._shares_indices = False
        self._given_bounds: Any = None
        self._given_cuts: Any = None  # of the batches into shards
        self._theta: Any = None
        self._seed = -1
        self._optimizer_state: Any = None  # as the last call left it
        self._laid_out = False
        self._epochs: EpochMemory | None = None

    def release(self, engine: StepEngine) -> None:
        """Give the buffers back; hold neither state nor data any longer."""
        if self._buffers is not None:
            engine.give_back(self._buffers)
        self._forget()

    def train_steps(
        self, engine: StepEngine, state: State, block: Block, order: BatchSchedule, steps: range
    ) -> StepLog:
        """Take steps for ``engine``, as ``Engine.train_steps`` describes."""
        begin = steps.start
        end = min(steps.stop, begin + engine.steps_a_call(steps))
        self._prepare(engine, state, block, order, begin, end)
        return self._run(engine, state, block, order, begin, end)

    def train_epochs(
        self,
        engine: StepEngine,
        state: State,
        block: Block,
        orders: EpochOrders,
        evaluation: Evaluation | None,
    ) -> EpochRun | None:
        """Take whole epochs for ``engine``, as ``Engine.train_epochs`` describes."""
        rows, n_epochs = orders.rows, len(orders.rows)
        n = len(orders.bounds) - 1
        self._prepare(engine, state, block, orders.of(0), 0, n)
        plain = rows.dtype == _INT and rows.shape[1:] == self._shape and rows.flags.c_contiguous
        if not plain or self._counts_rows or _largest(rows.view(np.uint64), None) >= self._n_rows:
            return None
        found = None if evaluation is None else evaluation.begin_run(n_epochs)
        if found is None and evaluation is not None:
            return None
        measured = None if evaluation is None or found is None else (evaluation, *found)
        return self._run_epochs(engine, state, block, orders, measured)

    def _prepare(
        self,
        engine: StepEngine,
        state: State,
        block: Block,
        order: BatchSchedule,
        begin: int,
        end: int,
    ) -> None:
        """Check what has changed since the last call, and lay it out."""
        if not self._knows(state):
            engine.check(state)
        if block is not self._block or (begin == 0 and self._shares_indices):
            self._set_block(block)
        if not self._fits(order, begin, end):
            check_batches(order, begin, end, block.n_rows, self._tape.min_rows, block.weight)
            self._set_bounds(order, block)
        if not self._laid_out:
            self._lay_out(engine, block)
        self._set_state(engine, state)

    # --- what seldom changes -------------------------------------------------------------------

    def _knows(self, state: State) -> bool:
        """Return whether a state has the arrays that the last call left in it."""
        theta, step = state.theta, state.step
        return (
            theta is self._theta
            and state.optimizer_state is self._optimizer_state
            and theta.flags.writeable
            and state.seed == self._seed
            and type(step) is int
            and 0 <= step < 2**61
            and not state.buffers  # statistics, which are new arrays after every step
        )

    def _set_block(self, block: Block) -> None:
        """Check a block's arrays, and read its inputs as kernels do."""
        tape = self._tape
        self._laid_out, self._block = False, None
        check_targets(block, tape.n_outputs, self._dtype)
        self._inputs = inputs = inputs_of(block.x, tape.n_inputs, self._dtype)
        # The user may change index arrays that kernels follow: they are checked in every epoch.
        held = (getattr(block.x, "indices", None), getattr(block.x, "indptr", None))
        self._shares_indices = inputs.sparse and any(
            np.may_share_memory(a, b)
            for a, b in zip(held, (inputs.indices, inputs.indptr), strict=True)
        )
        self._given_bounds = None
        self._block = block

    def _fits(self, order: BatchSchedule, begin: int, end: int) -> bool:
        """Return whether an order is cut as the last one was, and its rows are rows of the block.

        The rows that it gives are copied first, where they are few, so that nothing changes them.
        """
        rows, bounds, rates = order
        if (
            bounds is not self._given_bounds
            or order.shards is not self._given_cuts
            or type(rows) is not np.ndarray
            or rows.dtype != _INT
            or rows.shape != self._shape
            or not rows.flags.c_contiguous
            or not 0 <= begin < end <= len(self._sizes) <= len(rates)
            or self._counts_rows
        ):
            return False
        if self._rows is not None:
            self._rows[...] = rows
            return bool(
                _largest(self._unsigned)  # type: ignore[arg-type]
                < self._n_rows
            )  # negative ones are large
        taken = rows[self._bounds[begin] : self._bounds[end]].view(np.uint64)
        return bool(_largest(taken) < self._n_rows)

    def _set_bounds(self, order: BatchSchedule, block: Block) -> None:
        """Lay out for an order, which has been checked, and for others that are cut alike."""
        n, n_rows = order.n_batches, len(order.rows)
        self._given_bounds, self._bounds = order.bounds, order.bounds.copy()
        self._sizes = np.diff(self._bounds)
        self._sizes.flags.writeable = False
        self._shape, self._n_rows = order.rows.shape, block.n_rows
        self._weights = None if block.weight is not None else self._sizes.astype(np.float64)
        if self._weights is not None:
            self._weights.flags.writeable = False
        # Whether other batches, or other orders', may have too few rows of non-zero weight.
        least = self._tape.min_rows
        self._counts_rows = least > 1 and (block.weight is not None or self._sizes.min() < least)
        self._rates, self._records = np.zeros(n), np.zeros((2, n))
        self._given_cuts = self._cuts = order.shards
        if self._n_shards:
            if order.shards is None:
                self._cuts = batch_cuts(self._bounds, self._n_shards)
            else:
                check_cuts(order.shards, self._sizes, self._n_shards)
        self._rows = order.rows.copy() if n_rows <= MOST_ROWS else None
        self._unsigned = None if self._rows is None else self._rows.view(np.uint64)
        self._laid_out = False

    def _lay_out(self, engine: StepEngine, block: Block) -> None:
        """Write the addresses that stay into the context of buffers of this size."""
        inputs = self._inputs
        assert inputs is not None
        rows, buffers = int(self._sizes.max()), self._buffers
        if buffers is None or (buffers.rows, buffers.sparse) != (rows, inputs.sparse):
            self._buffers, self._theta, self._seed = None, None, -1
            if buffers is not None:
                engine.give_back(buffers)
            self._buffers = buffers = engine.take_buffers(Mode.TRAIN, rows, inputs)
        c = buffers.context
        c.bounds, c.first_row = address_of(self._bounds), 0
        c.shard_bounds = 0 if self._cuts is None else address_of(self._cuts)
        c.rows = 0 if self._rows is None else address_of(self._rows)
        c.batch_weights = 0 if self._weights is None else address_of(self._weights)
        c.learning_rates = address_of(self._rates)
        c.losses, c.penalty_values = (address_of(row) for row in self._records)
        c.y = address_of(block.y)  # type: ignore[arg-type]
        c.weight = 0 if block.weight is None else address_of(block.weight)
        inputs.write_addresses(c)
        buffers.allocate_batch_inputs()
        self._laid_out = True

    def _set_state(self, engine: StepEngine, state: State) -> None:
        """Write the addresses of the state's arrays; the optimiser's are copied unless ours."""
        buffers = self._buffers
        assert buffers is not None
        c = buffers.context
        if state.theta is not self._theta:
            c.theta, self._theta = address_of(state.theta), None
        if state.seed != self._seed:
            c.seed = self._seed = int(state.seed)
        if self._theta is None or state.optimizer_state is not self._optimizer_state:
            self._averages, self._taken, self._product = self._arrays.load(
                engine.update, state.optimizer_state, state.theta
            )
            c.slot_1 = address_of(self._averages.first)
            c.slot_2 = address_of(self._averages.second)
        self._theta, self._optimizer_state = state.theta, state.optimizer_state

    # --- a call --------------------------------------------------------------------------------

    def _run(
        self,
        engine: StepEngine,
        state: State,
        block: Block,
        order: BatchSchedule,
        begin: int,
        end: int,
    ) -> StepLog:
        buffers = self._buffers
        assert buffers is not None
        c, counters, weights = buffers.context, buffers.counters, self._weights
        if self._rows is None:
            c.rows = address_of(order.rows)
        if weights is None:
            weights = self._weights_of(order, block, begin, end)
            c.batch_weights = address_of(weights)
        n = len(self._sizes)
        self._rates[...] = order.learning_rates[:n]
        c.begin, c.end = begin, end
        buffers.optimizer.momentum_product = self._product
        if buffers.normalizations:
            load_statistics(buffers, state)
        counters.steps_taken = self._taken
        threads = engine.threads_for(buffers)
        started = perf_counter()
        buffers.run(int(state.step), threads)
        batches = min(counters.stop + 1, end) - begin
        engine.note_time(threads, (perf_counter() - started) / batches)
        steps = self._count_steps(engine, state, buffers)
        if buffers.normalizations and steps > 0 and weights[begin:end].any():
            save_statistics(buffers, state)
        records = self._records.copy()
        if batches == n:
            return StepLog(self._sizes, weights, records[0], records[1])
        seen = slice(begin, begin + batches)
        return StepLog(self._sizes[seen], weights[seen], records[0, seen], records[1, seen])

    def _weights_of(
        self, order: BatchSchedule, block: Block, begin: int, end: int
    ) -> npt.NDArray[np.float64]:
        """Return Σw of every batch of rows that have weights."""
        cuts = self._cuts if self._n_shards else None
        return batch_weights(order, block.weight, begin, end, cuts=cuts)

    def _count_steps(self, engine: StepEngine, state: State, buffers: Buffers) -> int:
        """Return how many steps a call has taken, and add them to the state's."""
        steps = int(buffers.counters.steps_taken) - self._taken
        state.step += steps
        if steps > 0 or state.optimizer_state is not None:
            self._taken += steps
            self._product = buffers.optimizer.momentum_product
            state.optimizer_state = self._optimizer_state = self._averages.as_state(
                engine.update, self._taken, self._product
            )
        return steps

    def _run_epochs(
        self,
        engine: StepEngine,
        state: State,
        block: Block,
        orders: EpochOrders,
        measured: Any,
    ) -> EpochRun:
        buffers, n, n_epochs = self._buffers, len(self._sizes), len(orders.rows)
        assert buffers is not None
        rates = np.ascontiguousarray(orders.learning_rates, np.float64)
        weights = np.empty((n_epochs, n))
        if self._weights is None:
            for epoch in range(n_epochs):
                weights[epoch] = self._weights_of(orders.of(epoch), block, 0, n)
        else:
            weights[...] = self._weights
        n_arrays = 1 + len(self._averages.arrays(engine.update))
        memory = self._epochs
        if memory is None or memory.buffers is not buffers or memory.n_arrays != n_arrays:
            memory = self._epochs = EpochMemory(buffers, n_arrays)
        buffers.optimizer.momentum_product = self._product
        buffers.counters.steps_taken = taken = self._taken
        before, started = int(state.step), perf_counter()
        whole, losses, penalties = memory.run(state, orders.rows, rates, weights, measured)
        stop = 0 if whole == n_epochs else min(int(buffers.counters.stop) + 1, n)
        engine.note_time(1, (perf_counter() - started) / (whole * n + stop))
        self._count_steps(engine, state, buffers)
        begun = whole + (stop > 0)
        return EpochRun(
            StepLog(self._sizes, weights[:begun], losses[:begun], penalties[:begun]),
            whole,
            stop,
            memory.finite(whole),
            lambda epoch: memory.state_after(epoch, engine.update, before, taken, state.seed),
            None if measured is None else measured[1],
            None if measured is None else measured[2],
        )
