"""Norms of gradients and of weights: clipping and max-norm, which few networks use (R5, H4).

Kernels over parameter blocks take ``(context, s, i, k, rows, one)``, and what follows a stage
``(context, s, k, rows, one)``, as in ``parameter_updates`` and ``stage_end``.
"""

from __future__ import annotations

from math import isfinite, sqrt

from deltarule.engine.kernels.intrinsics import (
    block_at,
    column_block_at,
    context_at,
    fast,
    inlined,
    like,
    read_float,
    size_of,
    stage_at,
    vector,
)
from deltarule.engine.records import OF_WEIGHTS

__all__ = [
    "clip_columns",
    "clip_entries",
    "clip_norm",
    "find_gradient_scale",
    "find_weight_scale",
    "gradient_norm_of_block",
    "rescale_block",
    "weight_norm_of_block",
]


# --- clipping the gradient ------------------------------------------------------------------------


def gradient_norm_of_block(context, s, i, k, rows, one):
    """Compute a block's part of the gradient's norm."""
    c = context_at(context)
    norm_of_entries(c, c.gradient, block_at(c.blocks, i), i, one)


def find_gradient_scale(context, s, k, rows, one):
    """Find the factor that brings the gradient's norm down to its limit."""
    c = context_at(context)
    c.clip_scale = factor_for(c, c.clip_limit, False)


def clip_norm(g, n, scale, limit, one):
    """G ← g min(1, c/‖g‖): ``scale`` is that factor, found by an earlier stage."""
    if scale != 1.0:
        multiply_by(g, n, scale, one)


def clip_entries(g, n, scale, limit, one):
    """G ← min(max(g, −c), c), c = ``limit``; NaN stays."""
    slope, bound = vector(g, n, one), like(one, limit)
    for i in range(n):
        x = slope[i]
        x = bound if x > bound else x
        slope[i] = -bound if x < -bound else x


# --- keeping the weights small --------------------------------------------------------------------


def weight_norm_of_block(context, s, i, k, rows, one):
    """Compute a block's part of the norm of all weights."""
    c = context_at(context)
    block = block_at(c.blocks, i)
    if block.kind == OF_WEIGHTS:
        norm_of_entries(c, c.theta, block, i, one)


def find_weight_scale(context, s, k, rows, one):
    """Find the factor that brings the norm of all weights down to its limit."""
    c = context_at(context)
    c.weight_scale = factor_for(c, stage_at(c.stages, s).limit, True)


def rescale_block(context, s, i, k, rows, one):
    """Multiply a block's weights by that factor."""
    c = context_at(context)
    block = block_at(c.blocks, i)
    if block.kind == OF_WEIGHTS and c.weight_scale != 1.0:
        n = block.stop - block.start
        multiply_by(c.theta + block.start * size_of(one), n, c.weight_scale, one)


def clip_columns(context, s, i, k, rows, one):
    """Scale every column of W (p, q) whose norm exceeds the limit down to it.

    A block has at most 64 columns. They are read row by row, all of them side by side.
    """
    c = context_at(context)
    limit, block = stage_at(c.stages, s).limit, column_block_at(c.column_blocks, i)
    p, q, left = block.n_rows, block.n_columns, block.first_column
    size, zero, columns = size_of(one), one - one, min(q - left, 64)
    corner, stride = c.theta + (block.start + left) * size, q * size
    largest = vector(c.column_norms + 128 * i * size, columns, one)
    total = vector(c.column_norms + (128 * i + 64) * size, columns, one)
    for j in range(columns):
        largest[j] = zero
        total[j] = zero
    for r in range(p):
        w = vector(corner + r * stride, columns, one)
        for j in range(columns):
            entry = abs(w[j])
            largest[j] = entry if entry > largest[j] else largest[j]
    for j in range(columns):
        largest[j] = largest[j] if largest[j] > zero else one
    for r in range(p):
        w = vector(corner + r * stride, columns, one)
        for j in range(columns):
            ratio = w[j] / largest[j]  # so that no square overflows
            total[j] += ratio * ratio
    n_long = 0
    for j in range(columns):
        norm = largest[j] * sqrt(total[j])
        too_long = norm > limit
        total[j] = like(one, limit) / norm if too_long else one
        n_long += too_long
    if n_long > 0:
        for r in range(p):
            w = vector(corner + r * stride, columns, one)
            for j in range(columns):
                w[j] *= total[j]


# --- shared ------------------------------------------------------------------------------


@fast
def multiply_by(address, n, scale, one):
    """Multiply n numbers by one."""
    x, s = vector(address, n, one), like(one, scale)
    for i in range(n):
        x[i] *= s


@inlined
def norm_of_entries(c, array, block, i, one):
    """Store the largest |entry|, and Σ(entry/largest)²: no square overflows."""
    n = block.stop - block.start
    x = vector(array + block.start * size_of(one), n, one)
    largest, total = one - one, 0.0
    for j in range(n):
        largest = max(largest, abs(x[j]))
        if x[j] != x[j]:
            largest = x[j]
            break
    if largest > 0:
        for j in range(n):
            ratio = x[j] / largest
            total += ratio * ratio
    vector(c.largest, i + 1, 1.0)[i] = largest
    vector(c.scaled_squares, i + 1, 1.0)[i] = total


@fast
def factor_for(c, limit, weights_only):
    """Return the factor that brings the norm of all blocks down to a limit; 1 if none is needed."""
    top = total = 0.0
    for i in range(c.n_blocks):
        if block_at(c.blocks, i).kind == OF_WEIGHTS or not weights_only:
            largest = read_float(c.largest + 8 * i)
            if not isfinite(largest):
                return 1.0  # NaN or infinity: the next loss shows it
            top = max(top, largest)
    if top == 0.0:
        return 1.0
    for i in range(c.n_blocks):
        if block_at(c.blocks, i).kind == OF_WEIGHTS or not weights_only:
            ratio = read_float(c.largest + 8 * i) / top
            total += read_float(c.scaled_squares + 8 * i) * ratio * ratio
    norm = top * sqrt(total)
    return limit / norm if norm > limit else 1.0
