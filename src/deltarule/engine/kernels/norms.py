"""What few networks need: norms of gradients and weights, statistics of batch norm (R5, H4, N3)."""

from __future__ import annotations

from math import isfinite, sqrt

from deltarule.engine.kernels.memory import fast, inlined, like, read, read_float, size_of, vector
from deltarule.engine.layout import (
    CHUNK_FIELDS,
    CHUNK_KIND,
    CHUNK_START,
    CHUNK_STOP,
    CHUNKS,
    CLIP_SCALE,
    COLUMN_CHUNKS,
    COLUMN_NORMS,
    CONTEXT_FIELDS,
    GRADIENT,
    LARGEST,
    LIMIT,
    LINE_FIELDS,
    N_CHUNKS,
    N_OUT,
    NUMBERS,
    OF_WEIGHTS,
    POPULATION,
    SCALED,
    SEEN,
    STAGE_FIELDS,
    STAGE_LIMIT,
    STATISTICS,
    THETA,
    WEIGHT_LIMITS,
    WEIGHT_SCALE,
)

__all__ = [
    "clip_columns",
    "clip_entries",
    "clip_norm",
    "entries_of_chunk",
    "gradient_scale",
    "keep_statistics",
    "rescale_chunk",
    "weights_of_chunk",
    "weights_scale",
]


# --- clipping the gradient ------------------------------------------------------------------------


def entries_of_chunk(context, stage_at, i, k, rows, one):
    """Measure a chunk's gradient."""
    c = vector(context, CONTEXT_FIELDS, 0)
    chunk = vector(c[CHUNKS] + 8 * CHUNK_FIELDS * i, CHUNK_FIELDS, 0)
    measure_entries(c, c[GRADIENT], chunk, i, one)


def gradient_scale(context, stage_at, k, rows, one):
    """Find what brings the gradient's norm down to its limit."""
    c = vector(context, CONTEXT_FIELDS, 0)
    numbers = vector(c[NUMBERS], WEIGHT_LIMITS, 1.0)
    numbers[CLIP_SCALE] = scale_onto(c, numbers[LIMIT], False)


def clip_norm(g, n, numbers, one):
    """G ← g min(1, c/‖g‖), with the factor found before."""
    scale = read_float(numbers + 8 * CLIP_SCALE)
    if scale != 1.0:
        multiply_by(g, n, scale, one)


def clip_entries(g, n, numbers, one):
    """G ← min(max(g, −c), c); NaN stays."""
    slope, bound = vector(g, n, one), like(one, read_float(numbers + 8 * LIMIT))
    for i in range(n):
        x = slope[i]
        x = bound if x > bound else x
        slope[i] = -bound if x < -bound else x


# --- keeping the weights small --------------------------------------------------------------------


def weights_of_chunk(context, stage_at, i, k, rows, one):
    """Measure a chunk's weights."""
    c = vector(context, CONTEXT_FIELDS, 0)
    chunk = vector(c[CHUNKS] + 8 * CHUNK_FIELDS * i, CHUNK_FIELDS, 0)
    if chunk[CHUNK_KIND] == OF_WEIGHTS:
        measure_entries(c, c[THETA], chunk, i, one)


def weights_scale(context, stage_at, k, rows, one):
    """Find what brings the norm of all weights down to its limit."""
    c = vector(context, CONTEXT_FIELDS, 0)
    limit = read_float(c[NUMBERS] + 8 * vector(stage_at, STAGE_FIELDS, 0)[STAGE_LIMIT])
    vector(c[NUMBERS], WEIGHT_LIMITS, 1.0)[WEIGHT_SCALE] = scale_onto(c, limit, True)


def rescale_chunk(context, stage_at, i, k, rows, one):
    """Multiply a chunk's weights by what was found."""
    c = vector(context, CONTEXT_FIELDS, 0)
    chunk = vector(c[CHUNKS] + 8 * CHUNK_FIELDS * i, CHUNK_FIELDS, 0)
    scale = read_float(c[NUMBERS] + 8 * WEIGHT_SCALE)
    if chunk[CHUNK_KIND] == OF_WEIGHTS and scale != 1.0:
        n = chunk[CHUNK_STOP] - chunk[CHUNK_START]
        multiply_by(c[THETA] + chunk[CHUNK_START] * size_of(one), n, scale, one)


def clip_columns(context, stage_at, i, k, rows, one):
    """Scale every column of W (p, q) that is longer than c back onto it: 64 columns at most.

    They are read row by row, all columns of the piece beside each other.
    """
    c = vector(context, CONTEXT_FIELDS, 0)
    limit = read_float(c[NUMBERS] + 8 * vector(stage_at, STAGE_FIELDS, 0)[STAGE_LIMIT])
    block = vector(c[COLUMN_CHUNKS] + 32 * i, 4, 0)
    p, q, left = block[1], block[2], block[3]
    size, zero, columns = size_of(one), one - one, min(q - left, 64)
    corner, stride = c[THETA] + (block[0] + left) * size, q * size
    largest = vector(c[COLUMN_NORMS] + 128 * i * size, columns, one)
    total = vector(c[COLUMN_NORMS] + (128 * i + 64) * size, columns, one)
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


# --- batch norm -----------------------------------------------------------------------------------


def keep_statistics(line_at, batch_weights, bounds, shares, k, one):
    """Take a batch's mean and variance into those that prediction uses (item N3)."""
    line = vector(line_at, LINE_FIELDS, 0)
    width = line[N_OUT]
    batch = vector(line[STATISTICS], 2 * width, one)
    kept = vector(line[POPULATION], 2 * width, one)
    numbers = vector(line[SEEN], 3, 1.0)  # momentum, weight seen, whether σ² is corrected
    batch_weight = read_float(batch_weights + 8 * k)
    share, correction = numbers[0], 1.0
    if numbers[2] == 0.0:  # b/(b − 1), b the rows that count
        rows = read(bounds + 8 * (k + 1)) - read(bounds + 8 * k)
        p, b = vector(shares, rows, one), 0.0
        for i in range(rows):
            b += 1.0 if p[i] > 0 else 0.0
        correction = b / (b - 1.0)
    if share == 0.0:
        if k == 0 and numbers[2] == 0.0:
            numbers[1] = 0.0
        share = batch_weight / (numbers[1] + batch_weight)
        numbers[1] += batch_weight
    new, old, new_variance = like(one, share), like(one, 1.0 - share), like(one, share * correction)
    for j in range(width):
        kept[j] = old * kept[j] + new * batch[j]
        kept[width + j] = old * kept[width + j] + new_variance * batch[width + j]


# --- what they share ------------------------------------------------------------------------------


@fast
def multiply_by(address, n, scale, one):
    """Multiply n numbers by one."""
    x, s = vector(address, n, one), like(one, scale)
    for i in range(n):
        x[i] *= s


@inlined
def measure_entries(c, array, chunk, i, one):
    """Keep the largest entry's size, and the sum of squares in its units: nothing overflows."""
    n = chunk[CHUNK_STOP] - chunk[CHUNK_START]
    x = vector(array + chunk[CHUNK_START] * size_of(one), n, one)
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
    vector(c[LARGEST], i + 1, 1.0)[i] = largest
    vector(c[SCALED], i + 1, 1.0)[i] = total


@fast
def scale_onto(c, limit, weights_only):
    """Return what brings the norm of all chunks down to a limit; 1 if it is there."""
    top = total = 0.0
    for i in range(c[N_CHUNKS]):
        kind = read(c[CHUNKS] + 8 * (CHUNK_FIELDS * i + CHUNK_KIND))
        if kind == OF_WEIGHTS or not weights_only:
            largest = read_float(c[LARGEST] + 8 * i)
            if not isfinite(largest):
                return 1.0  # no number: the next loss will tell
            top = max(top, largest)
    if top == 0.0:
        return 1.0
    for i in range(c[N_CHUNKS]):
        kind = read(c[CHUNKS] + 8 * (CHUNK_FIELDS * i + CHUNK_KIND))
        if kind == OF_WEIGHTS or not weights_only:
            ratio = read_float(c[LARGEST] + 8 * i) / top
            total += read_float(c[SCALED] + 8 * i) * ratio * ratio
    norm = top * sqrt(total)
    return limit / norm if norm > limit else 1.0
