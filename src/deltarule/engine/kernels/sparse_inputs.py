"""The first map on CSR inputs, with the dropouts that may precede it (item B1).

Kernels take ``(context, i, k, low, high, left, right, one)``, as in ``forward_backward``.
"""

from __future__ import annotations

from deltarule.engine.kernels.dropout import word_of
from deltarule.engine.kernels.intrinsics import (
    context_at,
    copy_bytes,
    fast,
    input_dropout_at,
    instruction_at,
    like,
    read,
    size_of,
    vector,
)

__all__ = [
    "copy_densely",
    "first_entry",
    "row_of",
    "sparse_forward",
    "sparse_gradient",
    "value_of",
]


@fast
def row_of(c, k, r):
    """Return the number of row r of batch k in the user's matrix."""
    row = read(c.bounds + 8 * k) + r
    return read(c.rows + 8 * row) if c.rows != 0 else row


@fast
def value_of(c, e, column, r, one):
    """Return stored entry e, times ∏ mask/keep of the dropouts before the first layer."""
    value = vector(c.data + e * size_of(one), 1, one)[0]
    for d in range(c.n_input_dropouts):
        dropout = input_dropout_at(c.input_dropouts, d)
        word = word_of(column, c.first_row + r, read(c.state_step), dropout.number, c.seed)
        kept = word < dropout.keep * 4294967296.0
        value *= like(one, 1.0 / dropout.keep if kept else 0.0)
    return value


@fast
def first_entry(c, first, end, left):
    """Return the first of a row's entries in a column at or after ``left``."""
    while first < end:
        middle = (first + end) // 2
        if read(c.indices + 8 * middle) < left:
            first = middle + 1
        else:
            end = middle
    return first


@fast
def copy_densely(c, k, r, target, one):
    """Write row r of batch k to an address, its zeros too."""
    x = vector(target, c.n_inputs, one)
    for j in range(c.n_inputs):
        x[j] = one - one
    ends = vector(c.indptr + 8 * row_of(c, k, r), 2, 0)
    for e in range(ends[0], ends[1]):
        column = read(c.indices + 8 * e)
        x[column] = value_of(c, e, column, r, one)


def sparse_forward(context, i, k, low, high, left, right, one):
    """Z[low:high, left:right] ← X W + b over the stored entries of the batch's rows."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, width, columns = size_of(one), instruction.n_out, right - left
    for r in range(low, high):
        z = vector(instruction.output + (r * width + left) * size, columns, one)
        if instruction.bias >= 0:
            start = instruction.bias + left
            copy_bytes(
                c.theta + start * size,
                instruction.output + (r * width + left) * size,
                columns * size,
            )
        else:
            for j in range(columns):
                z[j] = one - one
        ends = vector(c.indptr + 8 * row_of(c, k, r), 2, 0)
        for e in range(ends[0], ends[1]):
            column = read(c.indices + 8 * e)
            value = value_of(c, e, column, r, one)
            start = instruction.weights + column * width + left
            w = vector(c.theta + start * size, columns, one)
            for j in range(columns):
                z[j] += value * w[j]


def sparse_gradient(context, i, k, low, high, left, right, one):
    """∂W[left:right] ← (Xᵀ D) of these features; the columns of every row are in order."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, width = size_of(one), instruction.n_out
    g = c.gradient + instruction.weights * size
    whole = vector(g + left * width * size, (right - left) * width, one)
    for j in range(len(whole)):
        whole[j] = one - one
    for r in range(low, high):
        d = vector(instruction.output_delta + r * width * size, width, one)
        ends = vector(c.indptr + 8 * row_of(c, k, r), 2, 0)
        for e in range(first_entry(c, ends[0], ends[1], left), ends[1]):
            column = read(c.indices + 8 * e)
            if column >= right:
                break
            value = value_of(c, e, column, r, one)
            w = vector(g + column * width * size, width, one)
            for j in range(width):
                w[j] += value * d[j]
