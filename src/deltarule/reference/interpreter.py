"""The reference interpreter of a tape, the oracle for the compiled engine.

In the forward pass every instruction's map returns its value and its pullback; in the backward pass
the pullbacks run in reverse order. This is the chain rule r(h∘g∘f) = rf ∘ rg ∘ rh (item B2), and
with the maps of this package it is backpropagation, BP1-BP4 (item B1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError
from deltarule.program import BatchSchedule, Block, GradientSums, State, StepLog
from deltarule.program.opcodes import Op
from deltarule.program.state_checks import check_state
from deltarule.program.tape import Instruction, Tape
from deltarule.reference.activations import activate, parametric
from deltarule.reference.affine import affine, product, shift
from deltarule.reference.batch_norm_statistics import accumulate, batch_moments, inference_norm
from deltarule.reference.clipping import clip
from deltarule.reference.custom import elementwise, loss
from deltarule.reference.dropout import dropout, mask
from deltarule.reference.elementwise import scale
from deltarule.reference.features import run_groups
from deltarule.reference.members import average, expand, heads, loss_of_members, repeat
from deltarule.reference.normalization import batch_norm
from deltarule.reference.optimizers import rule_of
from deltarule.reference.penalties import penalty, project, shrink
from deltarule.spec.gradient_clipping import Clipping
from deltarule.spec.optimizers import SGD, Optimizer
from deltarule.utils.arrays import Array, Pullback, array_namespace, is_sparse
from deltarule.utils.blas import one_blas_thread
from deltarule.utils.numpy_code import numpy_code

__all__ = ["Reference", "TrainingPass"]

_OF_GROUPS = (Op.PERIODIC, Op.BLOCKS)
_OF_MEMBERS = (Op.REPEAT, Op.EXPAND, Op.HEADS, Op.AVERAGE)
_PATIENCE = 0.1  # seconds after which ``train_steps`` returns to its caller


class TrainingPass(NamedTuple):
    """Settings of a training pass over the tape; prediction has none."""

    share: Array | None  # (n,) share of each row in the batch's weight; None if all are equal
    seed: int  # key of the dropout masks
    step: int
    first: int  # position of the block's first row in the whole batch


class Trace(NamedTuple):
    """Result of a forward pass."""

    contents: list[Array]  # one array per register
    pullbacks: list[Pullback]  # one per instruction, without the loss


class Reference:
    """Interpreter of a tape on arrays of any library that follows the array API standard.

    Parameters
    ----------
    tape : Tape
        A verified tape.
    optimizer : Optimizer, default=SGD()
        Optimiser of the steps of ``apply_gradient`` and ``train_steps``.
    clipping : ClipNorm, ClipValue or None, default=None
        Clipping of the gradient before a step.
    """

    def __init__(
        self, tape: Tape, optimizer: Optimizer | None = None, clipping: Clipping | None = None
    ) -> None:
        self.tape = tape
        weights = [slice(p.start, p.stop) for p in tape.parameters if p.is_weights]
        self._rule = rule_of(SGD() if optimizer is None else optimizer, weights)
        self._state_type = type(self._rule.begin(np.empty(0)))
        self._clipping = clipping
        self._body = tape.instructions[:-1]
        self._shapes = {p.start: p.shape for p in tape.parameters}
        codes = {line.code for line in self._body if line.op == Op.ACTIVATE}
        self.activations = {code: elementwise(tape, code) for code in codes}
        self.loss = loss(tape)

    def code_identity(self) -> dict[str, str]:
        """Return what decides the bits of the reference: NumPy's loops and its BLAS."""
        return {"engine": "reference"} | numpy_code()

    def check(self, state: State) -> None:
        """Raise ``DataError`` unless ``train_steps`` can continue from this state."""
        if tuple(state.theta.shape) != (self.tape.n_parameters,):
            raise DataError(
                f"state.theta must have shape ({self.tape.n_parameters},); got "
                f"{tuple(state.theta.shape)}. Use a state from net.initialize(seed)."
            )
        check_state(state, self.tape, self._state_type)

    # --- prediction ----------------------------------------------------------------------------

    @one_blas_thread()
    def forward(
        self, state: State, block: Block, *, logits: bool = False, if_finite: bool = False
    ) -> Array:
        """Return the outputs A_L (n, k), or Z_L with ``logits``; no masks, fixed statistics.

        With ``if_finite`` return None if a dense input is NaN or infinite.
        """
        if if_finite and not is_sparse(block.x):
            xp = array_namespace(block.x)
            if not bool(xp.all(xp.isfinite(block.x))):
                return None
        with quiet():
            contents = self.trace(state, block.x, None).contents
        return contents[self.tape.logits if logits else self.tape.output]

    @one_blas_thread()
    def losses(self, state: State, block: Block) -> Array:
        """Return the loss of every row (n,) as in prediction, without weights and penalties."""
        with quiet():
            return self.row_losses(self.trace(state, block.x, None), block)[0]

    def evaluation(self, block: Block) -> Callable[[State], tuple[Array, Array]]:
        """Return a function of a state: ``forward`` and ``losses`` of this block, by one pass."""

        @one_blas_thread()
        def measure(state: State) -> tuple[Array, Array]:
            with quiet():
                trace = self.trace(state, block.x, None)
                return trace.contents[self.tape.output], self.row_losses(trace, block)[0]

        return measure

    # --- the chain rule ------------------------------------------------------------------------

    @one_blas_thread()
    def trace(
        self,
        state: State,
        x: Array,
        training: TrainingPass | None,
        masks: Sequence[Array] | None = None,
    ) -> Trace:
        """Run the tape forward, for training or, if ``training`` is None, for prediction.

        ``masks`` of the dropouts (n, width), by their numbers, are applied in prediction, too.
        """
        trace = Trace([x], [])
        for instruction in self._body:
            source = trace.contents[instruction.source]
            if masks is not None and instruction.op == Op.DROPOUT:
                value, pullback = dropout(source, masks[instruction.code], instruction.constant)
            else:
                value, pullback = self._run(instruction, state, source, training)
            trace.contents.append(value)
            trace.pullbacks.append(pullback)
        return trace

    def training_pass(self, state: State, block: Block, first: int = 0) -> TrainingPass:
        """Return the settings of a training pass over this block at this state."""
        share = None
        if block.weight is not None and self.tape.normalizations:
            share = block.weight / array_namespace(block.weight).sum(block.weight)
        return TrainingPass(share, state.seed, state.step, first)

    @one_blas_thread()
    def gradient(
        self,
        state: State,
        block: Block,
        rows: npt.NDArray[np.int64] | slice | None = None,
        *,
        first: int = 0,
    ) -> GradientSums:
        """Return Σ w_i L_i, Σ w_i and Σ w_i ∂L_i/∂θ over the rows, by a pass forward and one back.

        ``first`` is the position of the first row in the whole batch. With batch normalisation the
        rows must be the whole batch, because its moments depend on all of them.
        """
        part = block if rows is None else block.take(rows)
        with quiet():
            return self._backpropagate(state, part, first)

    def _backpropagate(self, state: State, block: Block, first: int = 0) -> GradientSums:
        xp = array_namespace(state.theta)
        trace = self.trace(state, block.x, self.training_pass(state, block, first))
        losses, pull = self.row_losses(trace, block)
        weight = xp.ones_like(losses) if block.weight is None else block.weight
        gradient = xp.zeros_like(state.theta)
        self.pull_back(trace, pull(weight), gradient)
        moments = batch_moments(self.tape, trace.contents, block.weight)
        return GradientSums(
            float(xp.sum(weight * losses)), float(xp.sum(weight)), gradient, moments
        )

    @one_blas_thread()
    def pull_back(self, trace: Trace, adjoint: Array, gradient: Array) -> list[Array | None]:
        """Run the pullbacks in reverse, starting from ∂C/∂(the register that the loss reads).

        ∂C/∂θ is written into ``gradient``. The result holds ∂C/∂register of every register that
        the loss depends on, and None for the others and for the data.
        """
        xp = array_namespace(gradient)
        adjoints: list[Array | None] = [None] * self.tape.n_registers
        adjoints[self.tape.loss.source] = adjoint
        for instruction, pullback in zip(
            reversed(self._body), reversed(trace.pullbacks), strict=True
        ):
            arriving = adjoints[instruction.target]
            if arriving is None:
                continue  # a fused loss reads the logits, so the output has no adjoint
            given = pullback(arriving)
            if instruction.weights < 0:
                adjoints[instruction.source] = given
                continue
            adjoints[instruction.source], *slopes = given
            offsets = (instruction.weights, instruction.bias)
            for start, slope in zip(offsets, slopes, strict=False):
                gradient[start : start + slope.size] = xp.reshape(slope, (-1,))
        return adjoints

    def row_losses(self, trace: Trace, block: Block) -> tuple[Array, Pullback]:
        """Return the losses of the rows, and their pullback to the register that the loss reads."""
        instruction, constants = self.tape.loss, self.tape.loss_constants
        given, k = trace.contents[instruction.source], self.tape.members
        if k == 1:
            return self.loss.value(given, block.y, constants)
        return loss_of_members(lambda z, y: self.loss.value(z, y, constants), given, block.y, k)

    def _run(
        self, instruction: Instruction, state: State, source: Array, training: TrainingPass | None
    ) -> tuple[Array, Pullback]:
        if instruction.op in _OF_MEMBERS:
            return self._run_members(instruction, state, source)
        if instruction.op == Op.AFFINE:
            w, b = self.parameters(instruction, state.theta)
            data = instruction is self.tape.first_trained
            if self.tape.members > 1:
                return self._by_rows(lambda x: product(x, w), source)
            if b is None:
                return product(source, w, x_is_data=data)
            return affine(source, w, b, x_is_data=data)
        if instruction.op == Op.ACTIVATE and instruction.weights >= 0:
            alpha, _ = self.parameters(instruction, state.theta)
            g = self.activations[instruction.code]
            assert g is not None
            return parametric(g, source, alpha, instruction.constant)
        if instruction.op == Op.ACTIVATE:
            return self._by_rows(
                lambda z: activate(self.activations[instruction.code], z, instruction.constant),
                source,
            )
        if instruction.op == Op.SCALE:
            return self._scale(instruction, state, source)
        if instruction.op in _OF_GROUPS:
            return self._run_groups(instruction, state, source)
        if instruction.op == Op.NORMALIZE:
            gamma, beta = self.parameters(instruction, state.theta)
            if training is None:
                return inference_norm(instruction, state, source, gamma, beta)
            return batch_norm(source, gamma, beta, instruction.constant, training.share)
        if training is None:
            return source, lambda dz: dz
        return dropout(
            source, self.dropout_mask(instruction, source, training), instruction.constant
        )

    def _scale(
        self, instruction: Instruction, state: State, source: Array
    ) -> tuple[Array, Pullback]:
        """Return γ ⊙ x, or γ ⊙ x + β, over all members' units; the pullback returns dx first."""
        gamma, beta = self.parameters(instruction, state.theta)
        xp = array_namespace(gamma)
        x = source.toarray() if is_sparse(source) else source
        value, pull_scale = scale(xp.reshape(gamma, (-1,)), x)
        if beta is None:

            def pullback(dz: Array) -> tuple[Array | None, ...]:
                dgamma, dx = pull_scale(dz)
                return None if instruction is self.tape.first_trained else dx, dgamma

            return value, pullback
        shifted, pull_shift = shift(value, xp.reshape(beta, (-1,)))

        def pullback_of_both(dz: Array) -> tuple[Array, ...]:
            dvalue, dbeta = pull_shift(dz)
            dgamma, dx = pull_scale(dvalue)
            return dx, dgamma, dbeta

        return shifted, pullback_of_both

    def _run_groups(
        self, instruction: Instruction, state: State, source: Array
    ) -> tuple[Array, Pullback]:
        """Return a map of groups of columns; the pullback returns dx first, None for data."""
        value, pull = self.of_groups(instruction, state, source)
        if instruction is not self.tape.first_trained:
            return value, pull
        return value, lambda dz: (None, *pull(dz)[1:])

    def of_groups(
        self, instruction: Instruction, state: State, source: Array
    ) -> tuple[Array, Pullback]:
        """Return a map of groups of columns, whose pullback returns dx first, also for data."""
        groups = self.tape.groups[instruction.code]
        first, second = self.parameters(instruction, state.theta)
        return run_groups(instruction, groups, source, first, second)

    def _run_members(
        self, instruction: Instruction, state: State, source: Array
    ) -> tuple[Array, Pullback]:
        """Return a map of (n, k, width) arrays on registers (n, k width), with its pullback."""
        if instruction.op == Op.REPEAT:
            x = source.toarray() if is_sparse(source) else source
            value, pull = repeat(x, self.tape.members)
        elif instruction.op == Op.AVERAGE:
            value, pull = average(self.apart(source))
        else:
            first, second = self.parameters(instruction, state.theta)
            if instruction.op == Op.EXPAND:
                value, pull = expand(source, first, second, x_is_data=True)
            else:
                value, pull = heads(self.apart(source), first, second)
        xp = array_namespace(value)
        n, gives_members = value.shape[0], instruction.op != Op.AVERAGE

        def pullback(dz: Array) -> Any:
            given = pull(self.apart(dz) if gives_members else dz)
            if instruction.op in (Op.REPEAT, Op.EXPAND):
                return given
            if instruction.op == Op.AVERAGE:
                return xp.reshape(given, (n, -1))
            is_first = instruction is self.tape.first_trained
            return None if is_first else xp.reshape(given[0], (n, -1)), *given[1:]

        return xp.reshape(value, (n, -1)), pullback

    def apart(self, register: Array) -> Array:
        """Return a register (n, k width) as (n, k, width)."""
        k, (n, width) = self.tape.members, register.shape
        return array_namespace(register).reshape(register, (n, k, width // k))

    def _by_rows(
        self, run: Callable[[Array], tuple[Array, Pullback]], source: Array
    ) -> tuple[Array, Pullback]:
        """Return a map of the rows of all members: (n, k width) is (n k, width)."""
        k = self.tape.members
        if k == 1:
            return run(source)
        xp, n = array_namespace(source), source.shape[0]
        value, pull = run(xp.reshape(source, (n * k, -1)))

        def pullback(dz: Array) -> Any:
            given = pull(xp.reshape(dz, (n * k, -1)))
            if isinstance(given, tuple):
                return xp.reshape(given[0], (n, -1)), *given[1:]
            return xp.reshape(given, (n, -1))

        return xp.reshape(value, (n, -1)), pullback

    def parameters(self, instruction: Instruction, theta: Array) -> tuple[Array, Array | None]:
        """Return (W, b), (γ, β) or (W, r) of an instruction, as parts of θ; b may be None."""
        xp = array_namespace(theta)

        def part(start: int) -> Array:
            shape = self._shapes[start]
            return xp.reshape(theta[start : start + int(np.prod(shape))], shape)

        return part(instruction.weights), None if instruction.bias < 0 else part(instruction.bias)

    @staticmethod
    def dropout_mask(instruction: Instruction, source: Array, training: TrainingPass) -> Array:
        """Return the mask of a dropout instruction."""
        drawn = mask(
            instruction.constant,
            source.shape[0],
            instruction.n_in,
            seed=training.seed,
            step=training.step,
            number=instruction.code,
            first=training.first,
        )
        return drawn if is_sparse(source) else array_namespace(source).asarray(drawn)

    # --- steps ---------------------------------------------------------------------------------

    def cost(self, state: State, sums: GradientSums) -> tuple[float, float, Array]:
        """Return the mean loss, the penalty, and the gradient of their sum."""
        value, slope = penalty(self.tape, state.theta, sums.weight)
        return sums.loss / sums.weight, value, sums.gradient / sums.weight + slope

    def apply_gradient(self, state: State, sums: GradientSums, learning_rate: float) -> None:
        """Take one step with the gradient of the cost of ``sums``."""
        self.check(state)
        with quiet():
            self._step(state, sums, self.cost(state, sums)[2], learning_rate)

    def _step(
        self, state: State, sums: GradientSums, gradient: Array, learning_rate: float
    ) -> None:
        """Clip, step, shrink and project; then update the statistics of batch normalisation."""
        optimizer_state = (
            self._rule.begin(state.theta)
            if state.optimizer_state is None
            else state.optimizer_state
        )
        change, state.optimizer_state, size = self._rule.step(
            optimizer_state, clip(gradient, self._clipping), learning_rate, state.theta
        )
        theta = state.theta + change
        if self.tape.penalties:
            theta = shrink(self.tape, theta, size, sums.weight)
        if self.tape.constraints:
            theta = project(self.tape, theta)
        state.theta[...] = theta
        state.step += 1
        accumulate(self.tape, state, sums)

    @one_blas_thread()
    def train_steps(
        self, state: State, block: Block, order: BatchSchedule, steps: range
    ) -> StepLog:
        """Take one step per batch; stop before the step of a loss that is infinite or NaN.

        After 0.1 s the call returns with the steps taken so far. A batch whose weights are all
        zero takes no step. The first batch of an order starts new population statistics of batch
        normalisation.
        """
        self.check(state)
        seen: list[tuple[int, float, float, float]] = []
        begin = monotonic()
        with quiet():
            for k in steps:
                if seen and monotonic() - begin > _PATIENCE:
                    break
                rows = order.batch(k)
                batch = block.take(rows)
                if batch.weight is not None and not array_namespace(batch.weight).any(batch.weight):
                    seen.append((len(rows), 0.0, 0.0, 0.0))
                    continue
                if k == 0:
                    state.restart_population_statistics()
                sums = self._backpropagate(state, batch)
                loss, value, gradient = self.cost(state, sums)
                seen.append((len(rows), sums.weight, loss, value))
                if not np.isfinite(loss + value):
                    break
                self._step(state, sums, gradient, float(order.learning_rates[k]))
        columns = np.array(seen, dtype=np.float64).reshape(-1, 4).T
        return StepLog(columns[0].astype(np.int64), *columns[1:])


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings about infinity and NaN, because training checks every loss."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        yield
