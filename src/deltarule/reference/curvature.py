"""Exact second derivatives along a direction: Hessian-vector products (items H5, R6).

The tape is run forward with values and their tangents, and backward with adjoints and their
tangents. This is the differential of backpropagation itself (Pearlmutter 1994, "Fast exact
multiplication by the Hessian"). At a kink the second derivative counts as 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from deltarule.program import Block, State
from deltarule.program.opcodes import Op
from deltarule.program.tape import Instruction
from deltarule.reference.activations import (
    activate_differential,
    activate_pullback_differential,
    parametric_differential,
    parametric_pullback_differential,
)
from deltarule.reference.elementwise import scale_differential, scale_pullback_differential
from deltarule.reference.features import run_groups_back, run_groups_tangent
from deltarule.reference.interpreter import Reference, TrainingPass, quiet
from deltarule.reference.members import (
    average,
    expand,
    expand_pullback_differential,
    heads_differential,
    heads_pullback_differential,
    of_members,
)
from deltarule.reference.normalization import (
    batch_norm_differential,
    batch_norm_pullback_differential,
)
from deltarule.reference.penalties import penalty_curvature
from deltarule.utils.arrays import Array, array_namespace, is_sparse

__all__ = ["hessian_vector", "output_differential"]

_OF_GROUPS = (Op.PERIODIC, Op.BLOCKS)
_TRAINED = (Op.AFFINE, Op.SCALE, Op.EXPAND, Op.HEADS, *_OF_GROUPS)


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
    instruction, loss, k = tape.loss, reference.loss, tape.members
    given, moved = trace.contents[instruction.source], tangents.registers[instruction.source]
    losses, pull = reference.row_losses(trace, block)
    weight = xp.ones_like(losses) if block.weight is None else block.weight
    rows = (given.shape[0] * k, -1)
    curved = loss.curvature(
        xp.reshape(given, rows),
        of_members(block.y, k),
        tape.loss_constants,
        xp.reshape(moved, rows),
    )
    curved = xp.reshape(curved, given.shape) / k
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
    xp, k = array_namespace(state.theta), reference.tape.members
    if instruction.op in _TRAINED:
        primals, tangents = (reference.parameters(instruction, of) for of in (state.theta, v))
        return _trained_tangent(reference, instruction, source, dx, primals, tangents)
    if dx is None:
        return None
    if instruction.op == Op.AVERAGE:
        return average(reference.apart(dx))[0]
    if instruction.op == Op.ACTIVATE:
        rows = (source.shape[0] * k, -1)
        g = reference.activations[instruction.code]
        if instruction.weights >= 0:
            assert g is not None
            alpha, _ = reference.parameters(instruction, state.theta)
            dalpha, _ = reference.parameters(instruction, v)
            return parametric_differential(g, source, alpha, dx, dalpha, instruction.constant)
        moved = activate_differential(
            g, xp.reshape(source, rows), xp.reshape(dx, rows), instruction.constant
        )
        return xp.reshape(moved, source.shape)
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


def _trained_tangent(
    reference: Reference,
    instruction: Instruction,
    source: Array,
    dx: Array | None,
    primals: tuple[Array, Array | None],
    tangents: tuple[Array, Array | None],
) -> Array:
    """Return the tangent of a register that parameters of its instruction move."""
    (w, b), (dw, db) = primals, tangents
    xp, n = array_namespace(w), source.shape[0]
    if instruction.op in _OF_GROUPS:
        groups = reference.tape.groups[instruction.code]
        return run_groups_tangent(instruction, groups, (source, w, b), (dx, dw, db))
    if instruction.op == Op.EXPAND:
        return xp.reshape(expand(source, dw, b)[0] + expand(source, w, db)[0], (n, -1))
    if instruction.op == Op.SCALE:
        x = source.toarray() if is_sparse(source) else source
        back = xp.zeros_like(x) if dx is None else dx
        moved = scale_differential(xp.reshape(w, (-1,)), x, xp.reshape(dw, (-1,)), back)
        return moved if db is None else moved + xp.reshape(db, (-1,))
    if instruction.op == Op.HEADS:
        x = reference.apart(source)
        back = xp.zeros_like(x) if dx is None else reference.apart(dx)
        return xp.reshape(heads_differential(x, w, b, back, dw, db), (n, -1))
    k = reference.tape.members
    if k > 1:
        source, dx = xp.reshape(source, (n * k, -1)), xp.reshape(dx, (n * k, -1))
    moved = source @ dw if dx is None else dx @ w + source @ dw
    moved = moved if db is None else moved + db
    return xp.reshape(moved, (n, -1)) if k > 1 else moved


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
    if moved is None and instruction.weights < 0:
        return None  # before the first parameters
    if instruction.op == Op.ACTIVATE:
        rows = (source.shape[0] * reference.tape.members, -1)
        z, dz, a_bar, da_bar = (xp.reshape(array, rows) for array in (source, moved, bar, d_bar))
        g = reference.activations[instruction.code]
        if instruction.weights >= 0:
            assert g is not None
            alpha, _ = reference.parameters(instruction, state.theta)
            dalpha, _ = reference.parameters(instruction, tangents.direction)
            back, slope = parametric_pullback_differential(
                g, (z, alpha), (dz, dalpha), (a_bar, da_bar), instruction.constant
            )
            result[instruction.weights : instruction.weights + instruction.n_out] = slope
            return back
        back = activate_pullback_differential(g, z, dz, a_bar, da_bar, instruction.constant)
        return xp.reshape(back, source.shape)
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
    back, *slopes = _trained_back(
        reference, instruction, (source, moved), (bar, d_bar),
        reference.parameters(instruction, state.theta),
        reference.parameters(instruction, tangents.direction),
    )  # fmt: skip
    for start, slope in zip((instruction.weights, instruction.bias), slopes, strict=False):
        result[start : start + slope.size] = xp.reshape(slope, (-1,))
    return None if moved is None else back


def _trained_back(
    reference: Reference,
    instruction: Instruction,
    registers: tuple[Array, Array | None],
    bars: tuple[Array, Array],
    primals: tuple[Array, Array | None],
    tangents: tuple[Array, Array | None],
) -> tuple[Any, ...]:
    """Return the tangents of the source's adjoint, and of the gradients of the parameters."""
    (source, moved), (bar, d_bar), (w, b), (dw, db) = registers, bars, primals, tangents
    xp, n, k = array_namespace(w), source.shape[0], reference.tape.members
    if instruction.op in _OF_GROUPS:
        groups = reference.tape.groups[instruction.code]
        return run_groups_back(instruction, groups, (source, w, b), (moved, dw, db), (bar, d_bar))
    if instruction.op == Op.EXPAND:
        apart = reference.apart(bar), reference.apart(d_bar)
        return None, *expand_pullback_differential((source, w, b), (dw, db), *apart)
    if instruction.op == Op.SCALE:
        x = source.toarray() if is_sparse(source) else source
        flat, d_flat = xp.reshape(w, (-1,)), xp.reshape(dw, (-1,))
        dx = xp.zeros_like(x) if moved is None else moved
        slope, back = scale_pullback_differential((flat, x), (d_flat, dx), bar, d_bar)
        return back, slope, *(() if b is None else (xp.sum(d_bar, axis=0),))
    if instruction.op == Op.HEADS:
        x = reference.apart(source)
        dx = xp.zeros_like(x) if moved is None else reference.apart(moved)
        apart = reference.apart(bar), reference.apart(d_bar)
        back, *slopes = heads_pullback_differential((x, w, b), (dx, dw), *apart)
        return xp.reshape(back, (n, -1)), *slopes
    if k > 1:
        rows = (n * k, -1)
        source, moved, bar, d_bar = (xp.reshape(a, rows) for a in (source, moved, bar, d_bar))
    d_weights = source.T @ d_bar
    if moved is None:
        back = None
    else:
        d_weights = d_weights + moved.T @ bar
        back = xp.reshape(d_bar @ w.T + bar @ dw.T, (n, -1))
    return back, d_weights, *(() if b is None else (xp.sum(d_bar, axis=0),))
