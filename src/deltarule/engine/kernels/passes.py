"""A pass: lines of the tape over a block of rows, or of columns, out and back."""

from __future__ import annotations

from deltarule.engine.kernels.memory import (
    call,
    copy_bytes,
    fast,
    like,
    prefetch,
    read,
    read_float,
    size_of,
    vector,
)
from deltarule.engine.kernels.products import multiply, multiply_by_transpose
from deltarule.engine.layout import (
    BACKWARD,
    BACKWARD_FROM,
    BACKWARD_TO,
    BATCH_WEIGHT,
    BATCH_X,
    BATCH_Y,
    BIAS,
    BOUNDS,
    CODE,
    CONSTANTS,
    CONTEXT_FIELDS,
    DATA,
    EXTRA,
    FACTOR,
    FIRST,
    FORWARD,
    FORWARD_FROM,
    FORWARD_TO,
    GATHER,
    GEMM,
    GRADIENT,
    INDICES,
    INDPTR,
    INPUT_DROPOUTS,
    LINES,
    LINE_FIELDS,
    LOSS_CONSTANTS,
    LOSS_DELTA,
    LOSS_KERNEL,
    LOSS_SOURCE,
    N_IN,
    N_INPUTS,
    N_INPUT_DROPOUTS,
    N_LOSS_CONSTANTS,
    N_OUT,
    N_OUTPUTS,
    OP,
    OUTPUT,
    OUTPUT_LOSSES,
    OUTPUT_SLOT,
    ROWS,
    ROW_LOSSES,
    SEED,
    SHARE,
    SMALL_PRODUCT,
    SOURCE,
    SOURCE_DELTA,
    STAGE_FIELDS,
    STATISTICS,
    STEP,
    TARGET,
    TARGET_DELTA,
    THETA,
    TOTALS,
    WEIGHT,
    WEIGHTS,
    WITH_LOSS,
    X,
    Y,
)
from deltarule.opcodes import Op

__all__ = ["inputs_of_batch", "run_pass"]


_AFFINE, _NORMALIZE, _DROPOUT = int(Op.AFFINE), int(Op.NORMALIZE), int(Op.DROPOUT)


def run_pass(context, stage_at, k, rows, low, high, left, right, one):
    """Run a stage's lines over rows [low, high) and columns [left, right), or all if right is 0."""
    c = vector(context, CONTEXT_FIELDS, 0)
    stage = vector(stage_at, STAGE_FIELDS, 0)
    if stage[GATHER] > 0:
        gather(c, k, low, high, one)
    for i in range(stage[FORWARD_FROM], stage[FORWARD_TO]):
        run_forward(c, i, k, rows, low, high, left, right, one)
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
        run_backward(c, i, rows, low, high, left, right, one)
    if c[OUTPUT] != 0 and stage[FORWARD_TO] > stage[FORWARD_FROM]:
        hand_out(c, k, low, high, one)


_CACHE_LINE = 64  # bytes
_AHEAD = 2  # rows that are asked for before they are copied: they lie anywhere in the block


@fast
def gather(c, k, low, high, one):
    """Copy rows [low, high) of batch k: inputs, targets, and what each row counts."""
    size, start, rows = size_of(one), read(c[BOUNDS] + 8 * k), c[ROWS]
    if rows != 0 and c[X] != 0:
        width = c[N_INPUTS] * size
        target = c[BATCH_X]
        for i in range(low, high):
            if i + _AHEAD < high:
                ahead = c[X] + read(rows + 8 * (start + i + _AHEAD)) * width
                for byte in range(0, width, _CACHE_LINE):
                    prefetch(ahead + byte)
            copy_bytes(c[X] + read(rows + 8 * (start + i)) * width, target + i * width, width)
    if c[Y] == 0:
        return
    width = c[N_OUTPUTS] * size
    share, factor = vector(c[SHARE], high, one), vector(c[FACTOR], high, one)
    whole = like(one, read_float(c[BATCH_WEIGHT] + 8 * k))
    for i in range(low, high):
        row = start + i
        if rows != 0:
            row = read(rows + 8 * row)
        source, target = vector(c[Y] + row * width, width, one), c[BATCH_Y] + i * width
        if width == size:
            vector(target, 1, one)[0] = source[0]
        else:
            copy_bytes(c[Y] + row * width, target, width)
        weight = one
        if c[WEIGHT] != 0:
            weight = vector(c[WEIGHT] + row * size, 1, one)[0]
        share[i] = weight / whole
        factor[i] = weight if c[TOTALS] > 0 else share[i]


@fast
def hand_out(c, k, low, high, one):
    """Copy the outputs, or the losses, of rows [low, high) of batch k to where they are wanted."""
    size, k_out = size_of(one), c[N_OUTPUTS]
    start = read(c[BOUNDS] + 8 * k) + low
    if c[OUTPUT_LOSSES] != 0:
        n = (high - low) * size
        copy_bytes(c[ROW_LOSSES] + low * size, c[OUTPUT_LOSSES] + start * size, n)
        return
    width = k_out * size
    source = c[OUTPUT_SLOT] + low * width
    copy_bytes(source, c[OUTPUT] + start * width, (high - low) * width)


@fast
def inputs_of_batch(c, k, one):
    """Return the address of the batch's inputs: copied together, or where they lie."""
    if c[ROWS] != 0:
        return c[BATCH_X]
    start = read(c[BOUNDS] + 8 * k)
    return c[X] + start * c[N_INPUTS] * size_of(one)


@fast
def run_forward(c, i, k, rows, low, high, left, right, one):
    """Run line i over a block."""
    line = vector(c[LINES] + 8 * LINE_FIELDS * i, LINE_FIELDS, 0)
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
    constant = read_float(c[CONSTANTS] + 8 * i)
    if line[OP] == _AFFINE:
        n_in = line[N_IN]
        weights = c[THETA] + line[WEIGHTS] * size
        if source == 0:
            call(
                line[FORWARD],
                (c[INDPTR], c[INDICES], c[DATA], c[ROWS],
                 read(c[BOUNDS] + 8 * k), low, high, weights, line[TARGET],
                 n_in, width, left, right, c[INPUT_DROPOUTS], c[N_INPUT_DROPOUTS],
                 c[FIRST], c[SEED], read(c[STEP]), one),
            )  # fmt: skip
        else:
            multiply(
                c[GEMM], c[SMALL_PRODUCT], source + low * n_in * size, n_in,
                weights + left * size, width, target, width, n, columns, n_in, one,
            )  # fmt: skip
        if line[BIAS] >= 0:
            bias = vector(c[THETA] + (line[BIAS] + left) * size, columns, one)
            for r in range(n):
                z = vector(target + r * width * size, columns, one)
                for j in range(columns):
                    z[j] += bias[j]
    elif line[OP] == _NORMALIZE:
        gamma = c[THETA] + (line[WEIGHTS] + left) * size
        beta = c[THETA] + (line[BIAS] + left) * size
        call(
            line[FORWARD],
            (source + corner, target, line[EXTRA] + corner,
             line[STATISTICS] + left * size, gamma, beta, c[SHARE] + low * size,
             n, columns, width, constant, one),
        )  # fmt: skip
    elif line[OP] == _DROPOUT:
        call(
            line[FORWARD],
            (source + corner, target, line[EXTRA] + corner, n, columns, width,
             c[FIRST] + low, left, constant, c[SEED], read(c[STEP]),
             line[CODE], one),
        )  # fmt: skip
    else:
        call(line[FORWARD], (source + corner, target, n, columns, width, constant, one))


@fast
def run_backward(c, i, rows, low, high, left, right, one):
    """Run line i backward over a block; the columns are those of its source."""
    line = vector(c[LINES] + 8 * LINE_FIELDS * i, LINE_FIELDS, 0)
    if line[SOURCE_DELTA] == 0:
        return
    size, width = size_of(one), line[N_IN]
    if right == 0:
        right = width
    corner = (low * width + left) * size
    columns, n = right - left, high - low
    target = line[SOURCE_DELTA] + corner
    constant = read_float(c[CONSTANTS] + 8 * i)
    if line[OP] == _AFFINE:
        n_out = line[N_OUT]
        weights = c[THETA] + (line[WEIGHTS] + left * n_out) * size
        multiply_by_transpose(
            c[GEMM], c[SMALL_PRODUCT], line[TARGET_DELTA] + low * n_out * size, n_out,
            weights, n_out, target, width, n, columns, n_out, one,
        )  # fmt: skip
        return
    arriving = line[TARGET_DELTA] + corner
    if line[OP] == _NORMALIZE:
        call(
            line[BACKWARD],
            (line[EXTRA] + corner, arriving, target, line[STATISTICS] + left * size,
             c[THETA] + (line[WEIGHTS] + left) * size,
             c[GRADIENT] + (line[WEIGHTS] + left) * size,
             c[GRADIENT] + (line[BIAS] + left) * size,
             c[SHARE] + low * size, n, columns, width, one),
        )  # fmt: skip
    elif line[OP] == _DROPOUT:
        call(line[BACKWARD], (line[EXTRA] + corner, arriving, target, n, columns, width, one))
    else:
        call(
            line[BACKWARD],
            (line[SOURCE] + corner, line[TARGET] + corner, arriving, target,
             n, columns, width, constant, one),
        )  # fmt: skip
