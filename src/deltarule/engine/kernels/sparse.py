"""The first affine map on CSR inputs, with the dropouts that may stand before it (item B1)."""

from __future__ import annotations

from deltarule.engine.kernels.dropout import word_of
from deltarule.engine.kernels.memory import (
    copy_bytes,
    fast,
    like,
    read,
    read_float,
    size_of,
    vector,
)
from deltarule.engine.layout import (
    BIAS,
    BOUNDS,
    CONTEXT_FIELDS,
    DATA,
    FIRST,
    GRADIENT,
    INDICES,
    INDPTR,
    INPUT_DROPOUTS,
    LINE_FIELDS,
    N_INPUT_DROPOUTS,
    N_OUT,
    ROWS,
    SEED,
    STEP,
    TARGET,
    TARGET_DELTA,
    THETA,
    WEIGHTS,
)

__all__ = ["sparse_forward", "sparse_gradient"]


@fast
def row_of(c, k, i):
    """Return where row i of batch k stands in the block."""
    row = read(c[BOUNDS] + 8 * k) + i
    return read(c[ROWS] + 8 * row) if c[ROWS] != 0 else row


@fast
def value_of(c, e, column, i, one):
    """Return a stored entry, ⊙ ∏ mask/keep of the dropouts before the first layer."""
    value = vector(c[DATA] + e * size_of(one), 1, one)[0]
    for d in range(c[N_INPUT_DROPOUTS]):
        keep = read_float(c[INPUT_DROPOUTS] + 16 * d)
        number = int(read_float(c[INPUT_DROPOUTS] + 16 * d + 8))
        word = word_of(column, c[FIRST] + i, read(c[STEP]), number, c[SEED])
        value *= like(one, 1.0 / keep if word < keep * 4294967296.0 else 0.0)
    return value


def sparse_forward(context, line_at, k, low, high, left, right, one):
    """Z[low:high, left:right] ← X W + b over the stored entries of the batch's rows."""
    c, line = vector(context, CONTEXT_FIELDS, 0), vector(line_at, LINE_FIELDS, 0)
    size, width, columns = size_of(one), line[N_OUT], right - left
    for i in range(low, high):
        z = vector(line[TARGET] + (i * width + left) * size, columns, one)
        if line[BIAS] >= 0:
            start = line[BIAS] + left
            copy_bytes(
                c[THETA] + start * size, line[TARGET] + (i * width + left) * size, columns * size
            )
        else:
            for j in range(columns):
                z[j] = one - one
        ends = vector(c[INDPTR] + 8 * row_of(c, k, i), 2, 0)
        for e in range(ends[0], ends[1]):
            column = read(c[INDICES] + 8 * e)
            value = value_of(c, e, column, i, one)
            start = line[WEIGHTS] + column * width + left
            w = vector(c[THETA] + start * size, columns, one)
            for j in range(columns):
                z[j] += value * w[j]


def sparse_gradient(context, line_at, k, low, high, left, right, one):
    """∂W[left:right] ← (Xᵀ D) of these features; the columns of every row are in order."""
    c, line = vector(context, CONTEXT_FIELDS, 0), vector(line_at, LINE_FIELDS, 0)
    size, width = size_of(one), line[N_OUT]
    g = c[GRADIENT] + line[WEIGHTS] * size
    whole = vector(g + left * width * size, (right - left) * width, one)
    for j in range(len(whole)):
        whole[j] = one - one
    for i in range(low, high):
        d = vector(line[TARGET_DELTA] + i * width * size, width, one)
        ends = vector(c[INDPTR] + 8 * row_of(c, k, i), 2, 0)
        first, end = ends[0], ends[1]
        while first < end:  # the first entry at or after ``left``
            middle = (first + end) // 2
            if read(c[INDICES] + 8 * middle) < left:
                first = middle + 1
            else:
                end = middle
        for e in range(first, ends[1]):
            column = read(c[INDICES] + 8 * e)
            if column >= right:
                break
            value = value_of(c, e, column, i, one)
            w = vector(g + column * width * size, width, one)
            for j in range(width):
                w[j] += value * d[j]
