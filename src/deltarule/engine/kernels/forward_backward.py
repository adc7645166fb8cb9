"""The forward and backward pass: instructions over a tile of rows, or of columns.

Affine maps of dense inputs, and activations, are called from here with plain addresses. Any other
instruction is a kernel ``(context, i, k, low, high, left, right, one)``: instruction i in batch k,
over rows [low, high) and columns [left, right) of its output (forward) or of its input (backward).
"""

from __future__ import annotations

from deltarule.engine.kernels.gather import copy_out, gather, inputs_of_batch
from deltarule.engine.kernels.intrinsics import (
    call,
    context_at,
    inlined,
    instruction_at,
    size_of,
    stage_at,
)
from deltarule.engine.kernels.matmul import multiply, multiply_by_transpose
from deltarule.engine.kernels.parametric import add_straight, mix, sum_bends
from deltarule.program.opcodes import Op

__all__ = ["forward_backward"]


_AFFINE, _ACTIVATE = int(Op.AFFINE), int(Op.ACTIVATE)
_SCALE, _PERIODIC, _BLOCKS = int(Op.SCALE), int(Op.PERIODIC), int(Op.BLOCKS)


def forward_backward(context, s, k, rows, low, high, left, right, one):
    """Run the instructions of stage s over rows [low, high) and columns [left, right).

    If right is 0, every instruction runs over all of its columns.
    """
    c = context_at(context)
    stage = stage_at(c.stages, s)
    if stage.gathers > 0:
        gather(c, k, low, high, one)
        if c.odd_inputs > 0:  # nothing is wanted then
            return
    for i in range(stage.forward_from, stage.forward_to):
        run_forward(context, i, k, low, high, left, right, one)
    if stage.with_loss > 0:
        size, columns = size_of(one), c.n_outputs
        first, count = low * c.members, (high - low) * c.members
        start = first * columns * size
        delta = c.loss_delta + start if c.loss_delta != 0 else 0
        call(
            c.loss_kernel,
            (
                c.loss_input + start,
                c.batch_y + start,
                c.factor + first * size,
                c.row_losses + first * size,
                delta,
                count,
                columns,
                c.loss_constants,
                c.n_loss_constants,
                one,
            ),
        )
    for i in range(stage.backward_from, stage.backward_to - 1, -1):
        run_backward(context, i, k, low, high, left, right, one)
    wanted = c.output != 0 or c.output_losses != 0
    if wanted and stage.forward_to > stage.forward_from:
        copy_out(c, k, low, high, one)


@inlined
def run_forward(context, i, k, low, high, left, right, one):
    """Run instruction i over a tile of its output."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    if instruction.op == 0:
        return
    size, width = size_of(one), instruction.n_out
    if right == 0:
        right = width
    source = instruction.input
    if source == 0 and c.x != 0:
        source = inputs_of_batch(c, k, one)
    first, n = low * instruction.members, (high - low) * instruction.members
    corner = (first * width + left) * size
    target, columns = instruction.output + corner, right - left
    if instruction.op == _ACTIVATE:
        parametric = instruction.weights >= 0
        call(
            instruction.forward,
            (source + corner, instruction.extra + corner if parametric else target, n, columns,
             width, instruction.constant, one),
        )  # fmt: skip
        if parametric:
            mix(source, instruction.extra, target, c.theta + instruction.weights * size, corner,
                left, n, columns, width, one)  # fmt: skip
        return
    if instruction.forward != 0:
        call(instruction.forward, (context, i, k, low, high, left, right, one))
    else:
        n_in = instruction.n_in
        bias = c.theta + (instruction.bias + left) * size if instruction.bias >= 0 else 0
        multiply(
            context, source + first * n_in * size, n_in,
            c.theta + (instruction.weights + left) * size, width, bias, target, width,
            n, columns, n_in, one,
        )  # fmt: skip


@inlined
def run_backward(context, i, k, low, high, left, right, one):
    """Run instruction i backward over a tile of its input."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    op = instruction.op
    if instruction.input_delta == 0 and op != _SCALE and op != _PERIODIC and op != _BLOCKS:
        return
    size, width = size_of(one), instruction.n_in
    if right == 0:
        right = width
    first, n = low * instruction.members, (high - low) * instruction.members
    corner = (first * width + left) * size
    target, columns = instruction.input_delta + corner, right - left
    if instruction.op == _ACTIVATE:
        output, parametric = instruction.output, instruction.weights >= 0
        if parametric:
            output = instruction.extra
            sums = instruction.tile_sums + 2 * (low // instruction.rows_in_tile) * width * size
            sum_bends(instruction.input, output, instruction.output_delta, instruction.kept, sums,
                      corner, left, n, columns, width, one)  # fmt: skip
        call(
            instruction.backward,
            (instruction.input + corner, output + corner, instruction.output_delta + corner,
             target, n, columns, width, instruction.constant, one),
        )  # fmt: skip
        if parametric:
            alpha = c.theta + instruction.weights * size
            add_straight(instruction.kept, target, alpha, corner, left, n, columns, width, one)
    elif instruction.op == _AFFINE:
        n_out = instruction.n_out
        multiply_by_transpose(
            context, instruction.output_delta + first * n_out * size, n_out,
            c.theta + (instruction.weights + left * n_out) * size, n_out, target, width,
            n, columns, n_out, one,
        )  # fmt: skip
    else:
        call(instruction.backward, (context, i, k, low, high, left, right, one))
