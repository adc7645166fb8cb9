"""The rows of a batch: copied together from the block, and outputs copied back."""

from __future__ import annotations

from deltarule.engine.kernels.memory import (
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
from deltarule.engine.layout import (
    BATCH_WEIGHT,
    BATCH_X,
    BATCH_Y,
    BOUNDS,
    FACTOR,
    N_INPUTS,
    N_OUTPUTS,
    OUTPUT,
    OUTPUT_LOSSES,
    OUTPUT_SLOT,
    ROW_LOSSES,
    ROWS,
    SHARE,
    TOTALS,
    WEIGHT,
    X,
    Y,
)

__all__ = ["gather", "hand_out", "inputs_of_batch"]

_CACHE_LINE = 64  # bytes
_AHEAD = 2  # rows that are asked for before they are copied: they lie anywhere in the block


@inlined
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


@inlined
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
