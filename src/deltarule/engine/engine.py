"""The compiled interpreter: each of its methods is a call of the driver (``kernels/driver``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from deltarule.engine.buffers import Buffers
from deltarule.engine.compiler import code_identity, is_compiled, kernel_address
from deltarule.engine.epoch_runs import most_epochs
from deltarule.engine.evaluation import Evaluation
from deltarule.engine.inputs import (
    Inputs,
    batch_weights,
    check_moments,
    check_targets,
    inputs_of,
)
from deltarule.engine.optimizers import OptimizerArrays, update_of
from deltarule.engine.prediction import Prediction
from deltarule.engine.statistics import load_statistics, moments_of, save_statistics
from deltarule.engine.thread_choice import ThreadChoice
from deltarule.engine.thread_pool import forces_threads, thread_ceiling, yield_thread_address
from deltarule.engine.training_call import MOST_ROWS, TrainingCall
from deltarule.engine.work_plan import Mode, make_plan
from deltarule.errors import DataError, SpecError
from deltarule.program import (
    BatchSchedule,
    Block,
    EpochOrders,
    EpochRun,
    GradientSums,
    State,
    StepLog,
)
from deltarule.program.opcodes import Op, PenaltyCode
from deltarule.program.state_checks import check_state
from deltarule.program.tape import Tape
from deltarule.program.verify import verify
from deltarule.spec.gradient_clipping import ClipNorm, Clipping
from deltarule.spec.optimizers import SGD, Optimizer
from deltarule.utils.addresses import address_of
from deltarule.utils.blas import dot

__all__ = ["Engine"]

T = TypeVar("T")

_CALL = 0.03  # seconds: what a call of the driver should take; 0.1 is the limit
_TRY = 0.002  # the same if it measures what another number of threads takes
_RUN = 0.01  # the same for a run of epochs
_LONG_EPOCH = 3e-4  # seconds: what Python does around an epoch takes much less
_ONE_THREAD = 3e6  # operations below which a sum over rows is not worth a second thread
_AT_ONCE = 1024  # rows whose gradient is computed at a time


class Engine:
    """Interpret a tape by compiled kernels, on NumPy arrays.

    Parameters
    ----------
    tape : Tape
        What to run; it is verified.
    optimizer : Optimizer, default=SGD()
        Whose steps ``apply_gradient`` and ``train_steps`` take.
    clipping : ClipNorm, ClipValue or None, default=None
        What is done to the gradient before a step.
    n_threads : int or None, default=None
        The most threads; None means ``DELTARULE_NUM_THREADS``, or else every core available to
        the process. More than those are never used, and small steps stay on one.
    n_shards : int, default=0
        Steps are along sums over so many shards of a batch, a power of two, added in a balanced
        tree (``deltarule.program.shards``); 0 means that batches are not cut.

    Notes
    -----
    The same state, block and order give the same bits at any number of threads. The optimiser's
    averages in ``state.optimizer_state`` are changed in place.

    A call runs on threads of its own (``n_threads``). In addition, several threads may call
    ``forward``, ``losses`` and ``gradient`` of one engine at the same time, and a signal handler
    may call them during another call; ``train_steps`` and ``apply_gradient`` are for one thread at
    a time.
    """

    def __init__(
        self,
        tape: Tape,
        optimizer: Optimizer | None = None,
        clipping: Clipping | None = None,
        *,
        n_threads: int | None = None,
        n_shards: int = 0,
    ) -> None:
        verify(tape)
        if tape.functions:
            names = ", ".join(function.name for function in tape.functions)
            raise SpecError(
                f"the compiled engine cannot run functions of your own; this network has {names}. "
                "Set engine='reference' (or 'auto'), or use the name of a built-in activation or "
                "loss, such as Dense(8, 'tanh')."
            )
        self.tape = tape
        self.update = update_of(SGD() if optimizer is None else optimizer)
        self._clipping = clipping
        self._n_threads = thread_ceiling(n_threads) if is_compiled() else 1
        self._choice = ThreadChoice(self._n_threads, measures=not forces_threads())
        self._arrays = OptimizerArrays()
        self._free: defaultdict[tuple[Mode, bool], list[Buffers]] = defaultdict(list)
        self._predictions: dict[tuple[Mode, bool], Prediction] = {}
        self._theta: Any = None  # the last θ that a prediction has checked
        self._shape = (tape.n_parameters,)
        self._seconds_a_step = 0.0
        self._dtype = np.dtype(tape.dtype)
        self.n_shards = n_shards
        self._call = TrainingCall(tape, self._arrays, n_shards)
        self._at_once = max(32, _AT_ONCE // tape.members)
        self._logits = tape.n_outputs * tape.members  # how many a row has

    # --- the interpreter's methods -----------------------------------------------------------

    def code_identity(self) -> dict[str, str]:
        """Return what decides the bits of the kernels: the processor, the compiler, settings."""
        return code_identity()

    def check(self, state: State) -> None:
        """Raise ``DataError`` unless ``train_steps`` can continue from the state."""
        self._check_state(state, changes=True)

    def train_steps(
        self, state: State, block: Block, order: BatchSchedule, steps: range
    ) -> StepLog:
        """Take the steps of these batches; k steps in one call equal k calls of one.

        It takes as many steps as fit into a few hundredths of a second, and at least one. It stops
        before the step of a batch whose loss is not finite. What is checked and laid out for a
        state, a block and the bounds of its batches is kept for the next call, and with it these
        arrays, until ``release``.
        """
        return self._with_call(lambda call: call.train_steps(self, state, block, order, steps))

    def epochs_a_call(self, block: Block, n_steps: int) -> int:
        """Return how many epochs of so many steps ``train_epochs`` should take; 0 for none."""
        seconds = self._seconds_a_step * n_steps
        plain = not (self.tape.normalizations or self.n_shards)
        if seconds == 0.0 or not plain or block.n_rows > MOST_ROWS:
            return 0
        if seconds > _LONG_EPOCH and (self._choice.is_open or self._choice.best > 1):
            return 0  # runs have one thread
        return min(most_epochs(self.tape.n_parameters), int(_RUN / seconds))

    def train_epochs(
        self,
        state: State,
        block: Block,
        orders: EpochOrders,
        evaluation: Any = None,
    ) -> EpochRun | None:
        """Take the steps of whole epochs in one call: the same bits as by ``train_steps``.

        Return None, and take no step, if they do not fit into one call on one thread. With
        ``evaluation``, which the method of that name returned, its outputs and losses are computed
        after every epoch.
        """
        if not (evaluation is None or isinstance(evaluation, Evaluation)):
            return None
        return self._with_call(
            lambda call: call.train_epochs(self, state, block, orders, evaluation)
        )

    def _with_call(self, steps: Callable[[TrainingCall], T]) -> T:
        """Return ``steps`` of what is kept from call to call; it forgets all if they fail."""
        call = self._call
        if call.busy:  # a signal handler takes steps within a call
            call = TrainingCall(self.tape, self._arrays, self.n_shards)
        call.busy = True
        try:
            result = steps(call)
        except BaseException:
            call.release(self)
            raise
        finally:
            call.busy = False
        if call is not self._call:
            call.release(self)
        return result

    def release(self) -> None:
        """Forget the state and the data that ``train_steps`` keeps for its next call."""
        if not self._call.busy:
            self._call.release(self)

    def gradient(
        self,
        state: State,
        block: Block,
        rows: npt.NDArray[np.int64] | slice | None = None,
        *,
        first: int = 0,
    ) -> GradientSums:
        """Return Σ w_i L_i, Σ w_i and Σ w_i ∂L_i/∂θ over the rows.

        If the rows are part of a batch, ``first`` is the place of the first of them in the batch,
        which dropout's masks depend on. With batch norm the rows must be a whole batch, because
        its moments depend on all of them.
        """
        part = block if rows is None else block.take(rows)
        self._check_state(state, changes=False)
        check_targets(part, self.tape.n_outputs, self._dtype)
        inputs = inputs_of(part.x, self.tape.n_inputs, self._dtype)
        if self.tape.normalizations:
            check_moments(part)
        n = part.n_rows
        bounds = _even_bounds(n, n if self.tape.normalizations else self._at_once)[0]
        order = BatchSchedule(np.empty(0, np.int64), bounds, np.zeros(len(bounds) - 1))
        weights = batch_weights(order, part.weight, 0, order.n_batches, in_order=True)
        # A batch of weight 0 would be skipped; with weight 1 its sums are those of its rows: 0, or
        # NaN for an infinite loss.
        weights[weights == 0.0] = 1.0
        weight = float(n) if part.weight is None else float(np.sum(part.weight))
        buffers = self.take_buffers(Mode.SUMS, int(np.diff(bounds).max()), inputs)
        try:
            loss, gradient = self._sum(buffers, state, part, inputs, order, weights, first)
            return GradientSums(loss, weight, gradient, moments_of(buffers, part, weight))
        finally:
            self.give_back(buffers)

    def takes_shards(self, rows: int) -> bool:
        """Return whether ``train_steps`` cuts batches of this size by itself, in one pass.

        It does if ``gradient`` computes a shard in one run, and if what it computes of each row
        does not depend on others.
        """
        plain = self.tape.members == 1 and all(
            line.op in (Op.AFFINE, Op.ACTIVATE, Op.DROPOUT) for line in self.tape.instructions[:-1]
        )
        return plain and self.n_shards > 0 and rows <= self._at_once

    def step_along(
        self, state: State, sums: GradientSums, learning_rate: float, rows: int
    ) -> tuple[float, float]:
        """Take a step along sums over all shards; return its mean loss and penalty.

        It is the step of ``train_steps`` whose largest batch has ``rows`` rows, to the bit. No
        step is taken if the loss is not finite.
        """
        records = np.array([[float(sums.loss)], [0.0]])
        self._apply(state, sums, sums.gradient, learning_rate, records, rows)
        return float(records[0, 0]), float(records[1, 0])

    def apply_gradient(self, state: State, sums: GradientSums, learning_rate: float) -> None:
        """Take one step along the gradient of the cost of ``sums``."""
        if self.n_shards:
            self.step_along(state, sums, learning_rate, 1)
        else:
            self._apply(state, sums, self.cost(state, sums)[2], learning_rate, np.zeros((2, 1)), 1)

    def _apply(
        self,
        state: State,
        sums: GradientSums,
        gradient: npt.NDArray[Any],
        learning_rate: float,
        records: npt.NDArray[np.float64],
        rows: int,
    ) -> None:
        self._check_state(state, changes=True)
        bounds, rate = np.array([0, 1]), np.array([float(learning_rate)])
        weights = np.array([float(sums.weight)])
        buffers = self.take_buffers(Mode.APPLY, rows, None)
        try:
            assert buffers.gradient is not None
            buffers.gradient[:] = gradient
            c = buffers.context
            c.bounds, c.learning_rates = address_of(bounds), address_of(rate)
            c.batch_weights = address_of(weights)
            c.losses, c.penalty_values = address_of(records[0]), address_of(records[1])
            c.begin, c.end = 0, 1
            self._step(buffers, state, sums)
        finally:
            self.give_back(buffers)

    def forward(
        self, state: State, block: Block, *, logits: bool = False, if_finite: bool = False
    ) -> Any:
        """Return the outputs A_L (n, k), or Z_L with ``logits``: no masks, fixed statistics.

        With ``if_finite`` return None if a dense input is NaN or infinite.
        """
        mode = Mode.LOGITS if logits else Mode.OUTPUTS
        x = block.x
        plain = type(x) is np.ndarray and x.dtype is self._dtype and x.flags.c_contiguous
        if not (plain and x.ndim == 2 and x.shape[1] == self.tape.n_inputs and len(x)):
            return self._forward(state, block, mode, if_finite)
        n = len(x)
        outputs = np.empty((n, self._logits if logits else self.tape.n_outputs), self._dtype)
        self._check_once(state)
        prediction = self._predictions.get((mode, False)) or self._prediction(mode, sparse=False)
        fine = prediction.run(state, n, address_of(outputs), address_of(x), if_finite=if_finite)
        return outputs if fine else None

    def losses(self, state: State, block: Block) -> Any:
        """Return the loss of every row (n,) at prediction, unweighted, without penalties."""
        return self._measuring(block, Mode.LOSSES)(state)[1]

    def evaluation(self, block: Block) -> Evaluation:
        """Return a function of a state: ``forward`` and ``losses`` of this block, by one pass.

        The block is checked here, once; the state by every call that sees another θ.
        """
        return self._measuring(block, Mode.EVALUATION)

    def _measuring(self, block: Block, mode: Mode) -> Evaluation:
        """Return a function of a state: the outputs, unless only losses are wanted, and losses."""
        inputs = inputs_of(block.x, self.tape.n_inputs, self._dtype)
        check_targets(block, self.tape.n_outputs, self._dtype)
        y: Any = block.y
        width = 0 if mode == Mode.LOSSES else self.tape.n_outputs
        prediction = self._prediction(mode, sparse=inputs.sparse)

        return Evaluation(prediction, inputs, y, width, self._check_once)

    def _check_once(self, state: State) -> None:
        """Check a state, unless its θ is that of the last prediction."""
        if state.theta is not self._theta or state.theta.shape != self._shape:
            self._check_prediction(state)

    def _forward(self, state: State, block: Block, mode: Mode, if_finite: bool) -> Any:
        """Return what ``forward`` returns, for inputs that may have to be converted."""
        self._check_prediction(state)
        inputs = inputs_of(block.x, self.tape.n_inputs, self._dtype)
        width = self._logits if mode == Mode.LOGITS else self.tape.n_outputs
        outputs = np.empty((block.n_rows, width), self._dtype)
        if block.n_rows == 0:
            return outputs
        fine = self._prediction(mode, sparse=inputs.sparse).run(
            state, block.n_rows, address_of(outputs), 0,
            others=inputs.write_addresses, if_finite=if_finite and not inputs.sparse,
        )  # fmt: skip
        return outputs if fine else None

    def _check_prediction(self, state: State) -> None:
        """Check a state, and remember its θ: what else it holds is read only by batch norm."""
        self._check_state(state, changes=False)
        self._theta = None if self.tape.normalizations else state.theta

    def _prediction(self, mode: Mode, *, sparse: bool) -> Prediction:
        """Return the prepared predictions of a mode."""
        found = self._predictions.get((mode, sparse))
        if found is None:
            fresh = Prediction(
                self.tape, mode, sparse=sparse, n_threads=self._n_threads, prepare=self._prepare,
                load=load_statistics,
            )  # fmt: skip
            found = self._predictions.setdefault((mode, sparse), fresh)
        return found

    def cost(self, state: State, sums: GradientSums) -> tuple[float, float, Any]:
        """Return the mean loss, the penalty, and the gradient of their sum."""
        value, gradient = 0.0, sums.gradient / sums.weight
        for term in self.tape.penalties:
            w = state.theta[term.start : term.stop]
            strength = term.strength / sums.weight if term.per_batch else term.strength
            part = gradient[term.start : term.stop]
            if term.code == PenaltyCode.L2:
                value += 0.5 * strength * dot(w, w)
                part += strength * w
            else:
                value += strength * float(np.sum(np.abs(w)))
                if term.code == PenaltyCode.L1:
                    part += strength * np.sign(w)
        return sums.loss / sums.weight, value, gradient

    # --- buffers -----------------------------------------------------------------------------

    def take_buffers(self, mode: Mode, rows: int, inputs: Inputs | None) -> Buffers:
        """Return buffers of a mode, for batches of this size, that no other call is using.

        Buffers that are in use are in no list, so a second thread, or a signal handler during a
        call, gets another set. ``give_back`` must follow.
        """
        sparse = inputs is not None and inputs.sparse
        free = self._free[mode, sparse]
        try:
            buffers = free.pop()
        except IndexError:
            return self._new_buffers(mode, rows, sparse)
        return buffers if buffers.rows == rows else self._new_buffers(mode, rows, sparse)

    def give_back(self, buffers: Buffers) -> None:
        """Let other calls use these buffers."""
        self._free[buffers.mode, buffers.sparse].append(buffers)

    def _new_buffers(self, mode: Mode, rows: int, sparse: bool) -> Buffers:
        plan = make_plan(
            self.tape, mode, rows, n_threads=self._n_threads,
            clips_norm=isinstance(self._clipping, ClipNorm), sharded=self.n_shards > 0,
        )  # fmt: skip
        buffers = Buffers(
            self.tape, plan, mode, rows,
            sparse=sparse, n_threads=self._n_threads, n_shards=self.n_shards,
        )  # fmt: skip
        self._prepare(buffers)
        return buffers

    def _prepare(self, buffers: Buffers) -> None:
        """Write what depends on the optimiser and the process, and not on the call."""
        c, dtype = buffers.context, self.tape.dtype
        c.product = kernel_address("product", dtype)
        c.product_by_transpose = kernel_address("product_by_transpose", dtype)
        if self.n_shards and buffers.mode == Mode.TRAIN:
            c.product_of_shards = kernel_address("product_of_shards", dtype)
        c.yield_thread = yield_thread_address()
        if buffers.mode in (Mode.TRAIN, Mode.APPLY):
            c.update_kernel = kernel_address(self.update.kernel, dtype)
            buffers.optimizer.momentum_decay = -1.0
            for name, value in self.update.constants.items():
                setattr(buffers.optimizer, name, value)
            if any(p.code != PenaltyCode.L2 for p in self.tape.penalties):
                c.penalty_kernel = kernel_address("l1_step", dtype)
            if self.tape.normalizations:
                c.population_kernel = kernel_address("update_population", dtype)
            if self._clipping is not None:
                by_norm = isinstance(self._clipping, ClipNorm)
                name = "clip_norm" if by_norm else "clip_entries"
                c.clip_kernel = kernel_address(name, dtype)
                c.clip_limit = self._clipping.limit

    # --- one call of the driver --------------------------------------------------------------

    def _check_state(self, state: State, *, changes: bool) -> None:
        theta = state.theta
        fits = (
            isinstance(theta, np.ndarray)
            and theta.shape == (self.tape.n_parameters,)
            and theta.dtype == self._dtype
            and theta.flags.c_contiguous
            and (theta.flags.writeable or not changes)
        )
        if not fits:
            given = f"{getattr(theta, 'dtype', type(theta).__name__)} {getattr(theta, 'shape', '')}"
            writeable = ", writeable" if changes else ""
            remedy = "Take it from net.initialize(seed)"
            if isinstance(theta, np.ndarray) and theta.dtype == self._dtype:
                given += "" if theta.flags.c_contiguous else ", not contiguous"
                given += "" if theta.flags.writeable else ", read-only"
                remedy = "Use state.copy()"
            raise DataError(
                f"state.theta must be a contiguous{writeable} NumPy array "
                f"({self.tape.n_parameters},) of {self._dtype}; got {given}. {remedy}."
            )
        check_state(state, self.tape, self.update.state_type if changes else None)

    def _step(self, buffers: Buffers, state: State, moments: GradientSums) -> None:
        """Run one step along given sums, and update the state."""
        averages, taken, product = self._arrays.load(
            self.update, state.optimizer_state, state.theta
        )
        c = buffers.context
        c.slot_1, c.slot_2 = address_of(averages.first), address_of(averages.second)
        buffers.optimizer.momentum_product = product
        load_statistics(buffers, state, moments)
        buffers.counters.steps_taken = taken
        self._run(buffers, state, None)
        steps = int(buffers.counters.steps_taken) - taken
        state.step += steps
        if steps > 0 or state.optimizer_state is not None:
            product = float(buffers.optimizer.momentum_product)
            state.optimizer_state = averages.as_state(self.update, taken + steps, product)
        if steps > 0:
            save_statistics(buffers, state)

    def _run(self, buffers: Buffers, state: State, inputs: Inputs | None) -> None:
        """Call the driver with a state and inputs."""
        c = buffers.context
        c.theta, c.seed = address_of(state.theta), int(state.seed)
        if inputs is not None:
            inputs.write_addresses(c)
        buffers.run(int(state.step), self.threads_for(buffers))

    def threads_for(self, buffers: Buffers) -> int:
        """Return on how many threads a call runs: as many as the work deserves."""
        plan = buffers.plan
        if plan.is_small:
            return 1
        if buffers.mode == Mode.TRAIN:
            return self._choice.threads(plan.operations, plan.most_tiles)
        return 1 if plan.operations < _ONE_THREAD else min(self._n_threads, plan.most_tiles)

    def _sum(
        self,
        buffers: Buffers,
        state: State,
        part: Block,
        inputs: Inputs,
        order: BatchSchedule,
        weights: npt.NDArray[np.float64],
        first: int,
    ) -> tuple[float, npt.NDArray[Any]]:
        """Return Σ w_i L_i and Σ w_i ∂L_i/∂θ, computed for one batch of ``order`` at a time."""
        assert buffers.gradient is not None
        bounds, records = order.bounds, np.zeros((2, order.n_batches))
        c = buffers.context
        c.rows, c.bounds = 0, address_of(bounds)
        c.batch_weights = address_of(weights)
        c.losses, c.penalty_values = address_of(records[0]), address_of(records[1])
        c.y = address_of(part.y)  # type: ignore[arg-type]
        c.weight = 0 if part.weight is None else address_of(part.weight)
        loss, gradient = 0.0, np.zeros(self.tape.n_parameters, self._dtype)
        for k in range(order.n_batches):
            c.begin, c.end, c.first_row = k, k + 1, int(first + bounds[k])
            self._run(buffers, state, inputs)
            if self.n_shards:
                loss += float(records[0, k])
                gradient = buffers.gradient.copy() if k == 0 else gradient + buffers.gradient
                continue
            n = int(bounds[k + 1] - bounds[k])
            seen = slice(n * self.tape.members)
            loss += dot(buffers.factor[seen].astype(np.float64), buffers.row_losses[seen])
            gradient += buffers.gradient
        return loss, gradient

    # --- how long a call may take ------------------------------------------------------------

    def note_time(self, threads: int, seconds_a_step: float) -> None:
        """Remember how long the steps of the newest call took, and on how many threads."""
        self._seconds_a_step = seconds_a_step
        self._choice.note(threads, seconds_a_step)

    def steps_a_call(self, steps: range) -> int:
        """Return how many steps fit into a call, judging by how long the last ones took."""
        if self._seconds_a_step == 0.0:
            return 1
        seconds = min(_TRY, _CALL) if self._choice.tries else _CALL
        return max(1, min(len(steps), int(seconds / self._seconds_a_step)))


@lru_cache(maxsize=64)
def _even_bounds(n: int, size: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the bounds of runs of ``size`` rows, the last one shorter, and a 1 for each."""
    bounds = np.append(np.arange(0, n, size), n).astype(np.int64)
    return bounds, np.ones(len(bounds) - 1)
