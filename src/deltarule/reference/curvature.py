"""Exact second derivatives along a direction: Hessian-vector products (items H5, R6).

The tape is run forward with values and their tangents, and backward with adjoints and their
tangents. This is the differential of backpropagation itself (Pearlmutter 1994, "Fast exact
multiplication by the Hessian"). At a kink the second derivative counts as 0.
"""

from __future__ import annotations

from typing import NamedTuple

from deltarule.program import Block, State
from deltarule.program.opcodes import Op
from deltarule.program.tape import Instruction
from deltarule.reference.activations import activate_differential, activate_pullback_differential
from deltarule.reference.interpreter import Reference, TrainingPass, quiet
from deltarule.reference.losses import LOSSES
from deltarule.reference.normalization import (
    batch_norm_differential,
    batch_norm_pullback_differential,
)
from deltarule.reference.penalties import penalty_curvature
from deltarule.utils.arrays import Array, array_namespace

__all__ = ["hessian_vector", "output_differential"]


class _Tangents(NamedTuple):
    """Tangents of all registers along one direction in θ."""

    direction: Array  # (p,) dθ
    registers: list[Array | None]  # tangent of every register; None if it does not depend on θ


def hessian_vector(reference: Reference, state: State, block: Block, v: Array) -> Array:
    """Return H v (p,), the Hessian of the block's cost at this state times a direction v (p,).

    The result is exact and takes two passes forward and two backward. The cost is that of a
    training step, including penalties, with the dropout masks of the state's seed and step.
    """
    with quiet():
        return _hessian_vector(reference, state, block, v)


def output_differential(reference: Reference, state: State, block: Block, v: Array) -> Array:
    """Return the tangent (n, k) of the outputs along dθ = v, computed as in a training step."""
    training = reference.training_pass(state, block)
    trace = reference.trace(state, block.x, training)
    tangents = _forward(reference, state, trace.contents, v, training)
    moved = tangents.registers[reference.tape.output]
    return array_namespace(v).zeros_like(trace.contents[-1]) if moved is None else moved


def _hessian_vector(reference: Reference, state: State, block: Block, v: Array) -> Array:
    tape, xp = reference.tape, array_namespace(state.theta)
    training = reference.training_pass(state, block)
    trace = reference.trace(state, block.x, training)
    tangents = _forward(reference, state, trace.contents, v, training)
    instruction, loss = tape.loss, LOSSES[tape.loss.code]
    given, moved = trace.contents[instruction.source], tangents.registers[instruction.source]
    losses, pull = loss.value(given, block.y, tape.loss_constants)
    weight = xp.ones_like(losses) if block.weight is None else block.weight
    curved = loss.curvature(given, block.y, tape.loss_constants, moved)
    adjoints = reference.pull_back(trace, pull(weight), xp.zeros_like(state.theta))
    result = xp.zeros_like(state.theta)
    d_adjoint: Array | None = weight[:, None] * curved
    for instruction in reversed(tape.instructions[:-1]):
        arriving = adjoints[instruction.target]
        if arriving is None:
            continue  # skipped by a fused loss, or before the first weights
        bars = (arriving, d_adjoint)
        d_adjoint = _back(
            reference, instruction, state, trace.contents, tangents, bars, training, result
        )
    total = float(xp.sum(weight))
    return result / total + penalty_curvature(tape, v, total)


def _forward(
    reference: Reference, state: State, contents: list[Array], v: Array, training: TrainingPass
) -> _Tangents:
    registers: list[Array | None] = [None] * len(contents)
    for instruction in reference.tape.instructions[:-1]:
        registers[instruction.target] = _tangent(
            reference,
            instruction,
            state,
            contents[instruction.source],
            registers[instruction.source],
            v,
            training,
        )
    return _Tangents(v, registers)


def _tangent(
    reference: Reference,
    instruction: Instruction,
    state: State,
    source: Array,
    dx: Array | None,
    v: Array,
    training: TrainingPass,
) -> Array | None:
    if instruction.op == Op.AFFINE:
        w, _ = reference.parameters(instruction, state.theta)
        dw, db = reference.parameters(instruction, v)
        moved = source @ dw if dx is None else dx @ w + source @ dw
        return moved if db is None else moved + db
    if dx is None:
        return None
    if instruction.op == Op.ACTIVATE:
        return activate_differential(instruction.code, source, dx, instruction.constant)
    if instruction.op == Op.NORMALIZE:
        gamma, beta = reference.parameters(instruction, state.theta)
        dgamma, dbeta = reference.parameters(instruction, v)
        return batch_norm_differential(
            source, gamma, beta, dx, dgamma, dbeta, instruction.constant, training.share
        )
    return (
        array_namespace(dx).astype(reference.dropout_mask(instruction, source, training), dx.dtype)
        / instruction.constant
        * dx
    )


def _back(
    reference: Reference,
    instruction: Instruction,
    state: State,
    contents: list[Array],
    tangents: _Tangents,
    arriving: tuple[Array, Array],
    training: TrainingPass,
    result: Array,
) -> Array | None:
    """Return the tangent of the source's adjoint; write that of the gradient into ``result``."""
    xp = array_namespace(result)
    bar, d_bar = arriving
    source, moved = contents[instruction.source], tangents.registers[instruction.source]
    if instruction.op == Op.ACTIVATE:
        return activate_pullback_differential(
            instruction.code, source, moved, bar, d_bar, instruction.constant
        )
    if instruction.op == Op.DROPOUT:
        factor = (
            xp.astype(reference.dropout_mask(instruction, source, training), bar.dtype)
            / instruction.constant
        )
        return factor * d_bar
    if instruction.op == Op.NORMALIZE:
        gamma, _ = reference.parameters(instruction, state.theta)
        dgamma, _ = reference.parameters(instruction, tangents.direction)
        back, d_gamma, d_beta = batch_norm_pullback_differential(
            (source, gamma), (moved, dgamma), bar, d_bar, instruction.constant, training.share
        )
        result[instruction.weights : instruction.weights + instruction.n_out] = d_gamma
        result[instruction.bias : instruction.bias + instruction.n_out] = d_beta
        return back
    w, _ = reference.parameters(instruction, state.theta)
    dw, _ = reference.parameters(instruction, tangents.direction)
    d_weights = source.T @ d_bar
    if moved is not None:
        d_weights = d_weights + moved.T @ bar
    result[instruction.weights : instruction.weights + w.size] = xp.reshape(d_weights, (-1,))
    if instruction.bias >= 0:
        result[instruction.bias : instruction.bias + instruction.n_out] = xp.sum(d_bar, axis=0)
    return None if moved is None else d_bar @ w.T + bar @ dw.T
