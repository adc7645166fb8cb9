"""Exact second derivatives along a direction: Hessian-vector products (items H5, R6).

The tape is run forward with values and their tangents, and backward with adjoints and their
tangents. This is the differential of backpropagation itself (Pearlmutter 1994, "Fast exact
multiplication by the Hessian"). At a kink the second derivative counts as 0.
"""

from __future__ import annotations

from typing import NamedTuple

from deltarule.arrays import Array, array_namespace
from deltarule.opcodes import Op
from deltarule.program import Block, State
from deltarule.reference.activations import activate_differential, activate_pullback_differential
from deltarule.reference.interpret import Passage, Reference, quiet
from deltarule.reference.losses import LOSSES
from deltarule.reference.normalization import (
    batch_norm_differential,
    batch_norm_pullback_differential,
)
from deltarule.reference.penalties import penalty_curvature
from deltarule.tape import Instruction

__all__ = ["hessian_vector", "output_differential"]


class _Tangents(NamedTuple):
    """Tangents of all slots along one direction in θ."""

    direction: Array  # (p,) dθ
    slots: list[Array | None]  # tangent of every slot; None if it does not depend on θ


def hessian_vector(reference: Reference, state: State, block: Block, v: Array) -> Array:
    """Return H v (p,), the Hessian of the block's cost at this state times a direction v (p,).

    The result is exact and takes two passes forward and two backward. The cost is that of a
    training step, including penalties, with the dropout masks of the state's seed and step.
    """
    with quiet():
        return _hessian_vector(reference, state, block, v)


def output_differential(reference: Reference, state: State, block: Block, v: Array) -> Array:
    """Return the tangent (n, k) of the outputs along dθ = v, computed as in a training step."""
    how = reference.passage(state, block)
    trace = reference.trace(state, block.x, how)
    tangents = _forward(reference, state, trace.contents, v, how)
    moved = tangents.slots[reference.tape.output]
    return array_namespace(v).zeros_like(trace.contents[-1]) if moved is None else moved


def _hessian_vector(reference: Reference, state: State, block: Block, v: Array) -> Array:
    tape, xp = reference.tape, array_namespace(state.theta)
    how = reference.passage(state, block)
    trace = reference.trace(state, block.x, how)
    tangents = _forward(reference, state, trace.contents, v, how)
    line, loss = tape.loss, LOSSES[tape.loss.code]
    given, moved = trace.contents[line.source], tangents.slots[line.source]
    losses, pull = loss.value(given, block.y, tape.loss_constants)
    weight = xp.ones_like(losses) if block.weight is None else block.weight
    curved = loss.curvature(given, block.y, tape.loss_constants, moved)
    adjoints = reference.pull_back(trace, pull(weight), xp.zeros_like(state.theta))
    result = xp.zeros_like(state.theta)
    d_adjoint: Array | None = weight[:, None] * curved
    for row in reversed(tape.instructions[:-1]):
        arriving = adjoints[row.target]
        if arriving is None:
            continue  # skipped by a fused loss, or before the first weights
        d_adjoint = _back(
            reference, row, state, trace.contents, tangents, (arriving, d_adjoint), how, result
        )  # fmt: skip
    total = float(xp.sum(weight))
    return result / total + penalty_curvature(tape, v, total)


def _forward(
    reference: Reference, state: State, contents: list[Array], v: Array, how: Passage
) -> _Tangents:
    slots: list[Array | None] = [None] * len(contents)
    for line in reference.tape.instructions[:-1]:
        slots[line.target] = _tangent(
            reference, line, state, contents[line.source], slots[line.source], v, how
        )
    return _Tangents(v, slots)


def _tangent(
    reference: Reference,
    line: Instruction,
    state: State,
    source: Array,
    dx: Array | None,
    v: Array,
    how: Passage,
) -> Array | None:
    if line.op == Op.AFFINE:
        w, _ = reference.parameters(line, state.theta)
        dw, db = reference.parameters(line, v)
        moved = source @ dw if dx is None else dx @ w + source @ dw
        return moved if db is None else moved + db
    if dx is None:
        return None
    if line.op == Op.ACTIVATE:
        return activate_differential(line.code, source, dx, line.constant)
    if line.op == Op.NORMALIZE:
        gamma, beta = reference.parameters(line, state.theta)
        dgamma, dbeta = reference.parameters(line, v)
        return batch_norm_differential(
            source, gamma, beta, dx, dgamma, dbeta, line.constant, how.share
        )
    return (
        array_namespace(dx).astype(reference.kept(line, source, how), dx.dtype) / line.constant * dx
    )


def _back(
    reference: Reference,
    line: Instruction,
    state: State,
    contents: list[Array],
    tangents: _Tangents,
    arriving: tuple[Array, Array],
    how: Passage,
    result: Array,
) -> Array | None:
    """Return the tangent of the source's adjoint; write that of the gradient into ``result``."""
    xp = array_namespace(result)
    bar, d_bar = arriving
    source, moved = contents[line.source], tangents.slots[line.source]
    if line.op == Op.ACTIVATE:
        return activate_pullback_differential(line.code, source, moved, bar, d_bar, line.constant)
    if line.op == Op.DROPOUT:
        factor = xp.astype(reference.kept(line, source, how), bar.dtype) / line.constant
        return factor * d_bar
    if line.op == Op.NORMALIZE:
        gamma, _ = reference.parameters(line, state.theta)
        dgamma, _ = reference.parameters(line, tangents.direction)
        back, d_gamma, d_beta = batch_norm_pullback_differential(
            (source, gamma), (moved, dgamma), bar, d_bar, line.constant, how.share
        )
        result[line.weights : line.weights + line.n_out] = d_gamma
        result[line.bias : line.bias + line.n_out] = d_beta
        return back
    w, _ = reference.parameters(line, state.theta)
    dw, _ = reference.parameters(line, tangents.direction)
    d_weights = source.T @ d_bar
    if moved is not None:
        d_weights = d_weights + moved.T @ bar
    result[line.weights : line.weights + w.size] = xp.reshape(d_weights, (-1,))
    if line.bias >= 0:
        result[line.bias : line.bias + line.n_out] = xp.sum(d_bar, axis=0)
    return None if moved is None else d_bar @ w.T + bar @ dw.T
