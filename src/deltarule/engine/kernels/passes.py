"""A pass: lines of the tape over a block of rows, or of columns, out and back.

Affine maps of dense inputs and activations are run from here. What else a line may be is a kernel
``(context, line, k, low, high, left, right, one)``: in batch k, rows [low, high) and columns
[left, right) of the line's target on the way out, of its source on the way back.
"""

from __future__ import annotations

from deltarule.engine.kernels.batch import gather, hand_out, inputs_of_batch
from deltarule.engine.kernels.memory import (
    call,
    inlined,
    read_float,
    size_of,
    vector,
)
from deltarule.engine.kernels.products import multiply, multiply_by_transpose
from deltarule.engine.layout import (
    BACKWARD,
    BACKWARD_FROM,
    BACKWARD_TO,
    BATCH_Y,
    BIAS,
    CONSTANTS,
    CONTEXT_FIELDS,
    FACTOR,
    FORWARD,
    FORWARD_FROM,
    FORWARD_TO,
    GATHER,
    LINE_FIELDS,
    LINES,
    LOSS_CONSTANTS,
    LOSS_DELTA,
    LOSS_KERNEL,
    LOSS_SOURCE,
    N_IN,
    N_LOSS_CONSTANTS,
    N_OUT,
    N_OUTPUTS,
    OP,
    OUTPUT,
    ROW_LOSSES,
    SOURCE,
    SOURCE_DELTA,
    STAGE_FIELDS,
    TARGET,
    TARGET_DELTA,
    THETA,
    WEIGHTS,
    WITH_LOSS,
    X,
)
from deltarule.opcodes import Op

__all__ = ["run_pass"]


_AFFINE, _ACTIVATE = int(Op.AFFINE), int(Op.ACTIVATE)


def run_pass(context, stage_at, k, rows, low, high, left, right, one):
    """Run a stage's lines over rows [low, high) and columns [left, right), or all if right is 0."""
    c = vector(context, CONTEXT_FIELDS, 0)
    stage = vector(stage_at, STAGE_FIELDS, 0)
    if stage[GATHER] > 0:
        gather(c, k, low, high, one)
    for i in range(stage[FORWARD_FROM], stage[FORWARD_TO]):
        run_forward(context, i, k, low, high, left, right, one)
    if stage[WITH_LOSS] > 0:
        k_out, size = c[N_OUTPUTS], size_of(one)
        start = low * k_out * size
        delta = c[LOSS_DELTA] + start if c[LOSS_DELTA] != 0 else 0
        call(
            c[LOSS_KERNEL],
            (
                c[LOSS_SOURCE] + start,
                c[BATCH_Y] + start,
                c[FACTOR] + low * size,
                c[ROW_LOSSES] + low * size,
                delta,
                high - low,
                k_out,
                c[LOSS_CONSTANTS],
                c[N_LOSS_CONSTANTS],
                one,
            ),
        )
    for i in range(stage[BACKWARD_FROM], stage[BACKWARD_TO] - 1, -1):
        run_backward(context, i, k, low, high, left, right, one)
    if c[OUTPUT] != 0 and stage[FORWARD_TO] > stage[FORWARD_FROM]:
        hand_out(c, k, low, high, one)


@inlined
def run_forward(context, i, k, low, high, left, right, one):
    """Run line i over a block."""
    c = vector(context, CONTEXT_FIELDS, 0)
    line_at = c[LINES] + 8 * LINE_FIELDS * i
    line = vector(line_at, LINE_FIELDS, 0)
    if line[OP] == 0:
        return
    size, width = size_of(one), line[N_OUT]
    if right == 0:
        right = width
    source = line[SOURCE]
    if source == 0 and c[X] != 0:
        source = inputs_of_batch(c, k, one)
    corner = (low * width + left) * size
    target, columns, n = line[TARGET] + corner, right - left, high - low
    if line[OP] == _ACTIVATE:
        constant = read_float(c[CONSTANTS] + 8 * i)
        call(line[FORWARD], (source + corner, target, n, columns, width, constant, one))
        return
    if line[FORWARD] != 0:
        call(line[FORWARD], (context, line_at, k, low, high, left, right, one))
    else:
        n_in = line[N_IN]
        bias = c[THETA] + (line[BIAS] + left) * size if line[BIAS] >= 0 else 0
        multiply(
            context, source + low * n_in * size, n_in,
            c[THETA] + (line[WEIGHTS] + left) * size, width, bias, target, width,
            n, columns, n_in, one,
        )  # fmt: skip


@inlined
def run_backward(context, i, k, low, high, left, right, one):
    """Run line i backward over a block; the columns are those of its source."""
    c = vector(context, CONTEXT_FIELDS, 0)
    line_at = c[LINES] + 8 * LINE_FIELDS * i
    line = vector(line_at, LINE_FIELDS, 0)
    if line[SOURCE_DELTA] == 0:
        return
    size, width = size_of(one), line[N_IN]
    if right == 0:
        right = width
    corner = (low * width + left) * size
    target, columns, n = line[SOURCE_DELTA] + corner, right - left, high - low
    if line[OP] == _ACTIVATE:
        call(
            line[BACKWARD],
            (line[SOURCE] + corner, line[TARGET] + corner, line[TARGET_DELTA] + corner, target,
             n, columns, width, read_float(c[CONSTANTS] + 8 * i), one),
        )  # fmt: skip
    elif line[OP] == _AFFINE:
        n_out = line[N_OUT]
        multiply_by_transpose(
            context, line[TARGET_DELTA] + low * n_out * size, n_out,
            c[THETA] + (line[WEIGHTS] + left * n_out) * size, n_out, target, width,
            n, columns, n_out, one,
        )  # fmt: skip
    else:
        call(line[BACKWARD], (context, line_at, k, low, high, left, right, one))
