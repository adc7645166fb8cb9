"""The rows of a batch: copied together from the user's arrays, and results copied back."""

from __future__ import annotations

from deltarule.engine.kernels.intrinsics import (
    copy_bytes,
    fast,
    inlined,
    like,
    prefetch,
    read,
    read_float,
    size_of,
    vector,
)
from deltarule.engine.kernels.math_functions import formula

__all__ = ["copy_out", "gather", "inputs_of_batch"]

_nought = formula(lambda x: x * 0)
"""0; NaN if the number is NaN or infinite."""

_CACHE_LINE = 64  # bytes
_AHEAD = 2  # rows are requested this far ahead: they lie anywhere in the user's array


@inlined
def gather(c, k, low, high, one):
    """Copy rows [low, high) of batch k: inputs, targets, and what each row's loss counts."""
    size, start, rows = size_of(one), read(c.bounds + 8 * k), c.rows
    if rows != 0 and c.x != 0:
        width = c.n_inputs * size
        target = c.batch_x
        for i in range(low, high):
            if i + _AHEAD < high:
                ahead = c.x + read(rows + 8 * (start + i + _AHEAD)) * width
                for byte in range(0, width, _CACHE_LINE):
                    prefetch(ahead + byte)
            copy_bytes(c.x + read(rows + 8 * (start + i)) * width, target + i * width, width)
    if c.checks_inputs > 0:
        n, total = (high - low) * c.n_inputs, like(one, 0.0)
        x = vector(inputs_of_batch(c, k, one) + low * c.n_inputs * size, n, one)
        for i in range(n):
            total += _nought(x[i])
        if total != like(one, 0.0):
            c.odd_inputs = 1
    if c.y == 0:
        return
    width = c.n_outputs * size
    share, factor = vector(c.share, high, one), vector(c.factor, high * c.members, one)
    whole = like(one, read_float(c.batch_weights + 8 * k))
    for i in range(low, high):
        row = start + i
        if rows != 0:
            row = read(rows + 8 * row)
        source, target = vector(c.y + row * width, width, one), c.batch_y + i * width
        weight = one
        if c.weight != 0:
            weight = vector(c.weight + row * size, 1, one)[0]
        share[i] = weight / whole
        counts = weight if c.sums_rows > 0 else share[i]
        if c.members > 1:
            for j in range(i * c.members, (i + 1) * c.members):
                copy_bytes(c.y + row * width, c.batch_y + j * width, width)
                factor[j] = counts / like(one, c.members)
            continue
        factor[i] = counts
        if width == size:
            vector(target, 1, one)[0] = source[0]
        else:
            copy_bytes(c.y + row * width, target, width)


@inlined
def copy_out(c, k, low, high, one):
    """Copy the outputs and the losses of rows [low, high) of batch k to the caller's arrays."""
    size, n = size_of(one), high - low
    start = read(c.bounds + 8 * k) + low
    if c.output != 0:
        width = c.output_width * size
        copy_bytes(c.output_register + low * width, c.output + start * width, n * width)
    if c.output_losses == 0:
        return
    if c.members == 1:
        copy_bytes(c.row_losses + low * size, c.output_losses + start * size, n * size)
        return
    losses = vector(c.row_losses + low * c.members * size, n * c.members, one)
    means = vector(c.output_losses + start * size, n, one)
    for i in range(n):
        total = one - one
        for j in range(i * c.members, (i + 1) * c.members):
            total += losses[j]
        means[i] = total / like(one, c.members)


@fast
def inputs_of_batch(c, k, one):
    """Return the address of the batch's inputs: the copy, or their place in the user's array."""
    if c.rows != 0:
        return c.batch_x
    start = read(c.bounds + 8 * k)
    return c.x + start * c.n_inputs * size_of(one)
