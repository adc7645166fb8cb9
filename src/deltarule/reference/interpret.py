"""The tape, read line by line: the interpreter that is the oracle.

Forward, every instruction's map returns its value and its pullback; backward, the pullbacks run
in reverse order. That is the chain rule r(h∘g∘f) = rf ∘ rg ∘ rh (item B2), and with the maps of
this package it is backpropagation, BP1-BP4 (item B1).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import numpy as np
import numpy.typing as npt

from deltarule.arrays import Array, Pullback, array_namespace
from deltarule.opcodes import Op
from deltarule.optimizers import SGD, Optimizer
from deltarule.program import Block, Order, State, Steps, Sums
from deltarule.reference.activations import activate
from deltarule.reference.affine import affine
from deltarule.reference.losses import LOSSES
from deltarule.reference.optimizers import rule_of
from deltarule.reference.penalties import penalty
from deltarule.tape import Instruction, Tape

__all__ = ["Reference", "quiet"]

_PATIENCE = 0.1  # seconds after which ``advance`` gives control back


class Reference:
    """Interpret a tape on arrays of any library that follows the array API standard.

    Parameters
    ----------
    tape : Tape
        A verified tape.
    optimizer : Optimizer, default=SGD()
        Whose steps ``apply`` and ``advance`` take.
    """

    def __init__(self, tape: Tape, optimizer: Optimizer | None = None) -> None:
        self.tape = tape
        self._rule = rule_of(SGD() if optimizer is None else optimizer)
        self._body = tape.instructions[:-1]

    def forward(self, state: State, block: Block, *, logits: bool = False) -> Array:
        """Return the outputs A_L (n, k), or Z_L with ``logits``."""
        wanted = self.tape.logits if logits else self.tape.output
        with quiet():
            return self.slots(state.theta, block.x)[wanted]

    def slots(self, theta: Array, x: Array) -> list[Array]:
        """Return the content of every slot, for whoever wants to look inside."""
        contents = [x]
        for line in self._body:
            contents.append(self._run(line, theta, contents[line.source])[0])
        return contents

    def losses(self, state: State, block: Block) -> Array:
        """Return the loss of every row (n,), unweighted, without penalties."""
        line = self.tape.loss
        with quiet():
            given = self.slots(state.theta, block.x)[line.source]
            return LOSSES[line.code](given, block.y)[0]

    def gradient(
        self, state: State, block: Block, rows: npt.NDArray[np.int64] | slice | None = None
    ) -> Sums:
        """Return Σ w_i L_i, Σ w_i and Σ w_i ∂L_i/∂θ over the rows: one pass out, one back."""
        piece = block if rows is None else block.take(rows)
        with quiet():
            return self._backpropagate(state.theta, piece)

    def _backpropagate(self, theta: Array, block: Block) -> Sums:
        xp = array_namespace(theta)
        contents, pullbacks = [block.x], []
        for line in self._body:
            value, pullback = self._run(line, theta, contents[line.source])
            contents.append(value)
            pullbacks.append(pullback)
        line = self.tape.loss
        losses, pull = LOSSES[line.code](contents[line.source], block.y)
        weight = xp.ones_like(losses) if block.weight is None else block.weight
        gradient = xp.zeros_like(theta)
        adjoints = {line.source: pull(weight)}  # ∂(Σ w L)/∂slot
        for line, pullback in zip(reversed(self._body), reversed(pullbacks), strict=True):
            if line.target not in adjoints:
                continue  # a fused loss reads the logits: nothing flows through the output
            given = pullback(adjoints.pop(line.target))
            if line.op == Op.AFFINE:
                adjoints[line.source], dw, db = given
                gradient[line.weights : line.weights + line.n_in * line.n_out] = xp.reshape(
                    dw, (-1,)
                )
                gradient[line.bias : line.bias + line.n_out] = db
            else:
                adjoints[line.source] = given
        return Sums(float(xp.sum(weight * losses)), float(xp.sum(weight)), gradient)

    def _run(self, line: Instruction, theta: Array, source: Array) -> tuple[Array, Pullback]:
        if line.op == Op.ACTIVATE:
            return activate(line.code, source, line.constant)
        xp = array_namespace(theta)
        shape = (line.n_in, line.n_out)
        w = xp.reshape(theta[line.weights : line.weights + line.n_in * line.n_out], shape)
        b = theta[line.bias : line.bias + line.n_out]
        return affine(source, w, b, x_is_data=line.source == 0)

    def cost(self, state: State, sums: Sums) -> tuple[float, float, Array]:
        """Return the mean loss, the penalty, and the gradient of their sum."""
        value, slope = penalty(self.tape, state.theta, sums.weight)
        return sums.loss / sums.weight, value, sums.gradient / sums.weight + slope

    def apply(self, state: State, sums: Sums, learning_rate: float) -> None:
        """Take one step of the optimiser along the gradient of the cost of ``sums``."""
        with quiet():
            self._step(state, self.cost(state, sums)[2], learning_rate)

    def _step(self, state: State, gradient: Array, learning_rate: float) -> None:
        slots = self._rule.begin(state.theta) if state.slots is None else state.slots
        change, state.slots = self._rule.step(slots, gradient, learning_rate)
        state.theta[...] = state.theta + change
        state.step += 1

    def advance(self, state: State, block: Block, order: Order, steps: range) -> Steps:
        """Take the steps of these batches; stop before the step of a non-finite loss.

        After 0.1 s the call returns with the steps taken so far. A batch whose weights sum to
        zero says nothing, and no step is taken for it.
        """
        seen: list[tuple[int, float, float, float]] = []
        begin = monotonic()
        with quiet():
            for k in steps:
                if seen and monotonic() - begin > _PATIENCE:
                    break
                rows = order.batch(k)
                sums = self._backpropagate(state.theta, block.take(rows))
                if sums.weight == 0:
                    seen.append((len(rows), 0.0, 0.0, 0.0))
                    continue
                loss, value, gradient = self.cost(state, sums)
                seen.append((len(rows), sums.weight, loss, value))
                if not np.isfinite(loss + value):
                    break
                self._step(state, gradient, float(order.learning_rates[k]))
        columns = np.array(seen, dtype=np.float64).reshape(-1, 4).T
        return Steps(columns[0].astype(np.int64), *columns[1:])


@contextmanager
def quiet() -> Iterator[None]:
    """Let infinities and NaN through without a warning: training looks at every loss."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        yield
