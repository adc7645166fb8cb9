"""Chunks of θ: the gradient of a run of parameters, and the step that follows it.

What is done to a chunk is a kernel ``(context, stage, i, k, rows, one)``: chunk i, in the step of
batch k, which has so many rows.
"""

from __future__ import annotations

from deltarule.engine.kernels.batch import inputs_of_batch
from deltarule.engine.kernels.memory import (
    call,
    fast,
    inlined,
    like,
    read,
    read_float,
    size_of,
    vector,
)
from deltarule.engine.kernels.products import transpose_and_multiply
from deltarule.engine.layout import (
    ABSOLUTES,
    BACKWARD,
    BATCH_WEIGHT,
    BOUNDS,
    CHUNK_COUNT,
    CHUNK_FIELDS,
    CHUNK_FIRST,
    CHUNK_IS_PROXIMAL,
    CHUNK_KIND,
    CHUNK_LINE,
    CHUNK_PENALTY_FROM,
    CHUNK_PENALTY_TO,
    CHUNK_START,
    CHUNK_STOP,
    CHUNKS,
    CLIP_KERNEL,
    CONTEXT_FIELDS,
    GRADIENT,
    LINE_FIELDS,
    LINES,
    N_IN,
    N_OUT,
    NUMBERS,
    OF_BIAS,
    OF_STATISTICS,
    OF_WEIGHTS,
    PENALTIES,
    PENALTY_CODE,
    PENALTY_FIELDS,
    PENALTY_KERNEL,
    PENALTY_PER_BATCH,
    RATES,
    SHARE,
    SLOT_1,
    SLOT_2,
    SOURCE,
    SQUARES,
    STATISTICS_KERNEL,
    STRENGTHS,
    TAKEN,
    TARGET_DELTA,
    THETA,
    TOTALS,
    UPDATE_CONSTANTS,
    UPDATE_KERNEL,
    WEIGHT_DECAY,
    X,
)
from deltarule.opcodes import PenaltyCode

__all__ = ["gradient_of_chunk", "measure_chunk", "step_of_chunk", "strength_of", "update_of_chunk"]


_L2, _PROXIMAL_L1 = int(PenaltyCode.L2), int(PenaltyCode.PROXIMAL_L1)


_BLOCK = 4096  # numbers of θ that are stepped at a time: they stay in the nearest cache


def step_of_chunk(context, stage_at, i, k, rows, one):
    """Compute the gradient, and take the step."""
    c = vector(context, CONTEXT_FIELDS, 0)
    chunk = vector(c[CHUNKS] + 8 * CHUNK_FIELDS * i, CHUNK_FIELDS, 0)
    take_gradient(context, chunk, k, rows, one)
    take_step(c, chunk, i, k, True, one)


def gradient_of_chunk(context, stage_at, i, k, rows, one):
    """Compute the gradient, with the penalties' share unless sums over rows are wanted."""
    c = vector(context, CONTEXT_FIELDS, 0)
    chunk = vector(c[CHUNKS] + 8 * CHUNK_FIELDS * i, CHUNK_FIELDS, 0)
    take_gradient(context, chunk, k, rows, one)
    if c[TOTALS] == 0:
        start, n = chunk[CHUNK_START] * size_of(one), chunk[CHUNK_STOP] - chunk[CHUNK_START]
        add_penalties(c, chunk, c[GRADIENT] + start, c[THETA] + start, n, k, one)


def update_of_chunk(context, stage_at, i, k, rows, one):
    """Take the step along a gradient that is there."""
    c = vector(context, CONTEXT_FIELDS, 0)
    chunk = vector(c[CHUNKS] + 8 * CHUNK_FIELDS * i, CHUNK_FIELDS, 0)
    take_step(c, chunk, i, k, False, one)


def measure_chunk(context, stage_at, i, k, rows, one):
    """Measure what penalties need of θ."""
    c = vector(context, CONTEXT_FIELDS, 0)
    measure(c, vector(c[CHUNKS] + 8 * CHUNK_FIELDS * i, CHUNK_FIELDS, 0), i, one)


@inlined
def take_gradient(context, chunk, k, rows, one):
    """Compute a chunk's gradient from what the pass has left."""
    c, size = vector(context, CONTEXT_FIELDS, 0), size_of(one)
    line_at = c[LINES] + 8 * LINE_FIELDS * chunk[CHUNK_LINE]
    line = vector(line_at, LINE_FIELDS, 0)
    g = c[GRADIENT] + chunk[CHUNK_START] * size
    width, delta = line[N_OUT], line[TARGET_DELTA]
    if chunk[CHUNK_KIND] == OF_WEIGHTS:
        first, count = chunk[CHUNK_FIRST], chunk[CHUNK_COUNT]
        source = line[SOURCE]
        if source == 0 and c[X] != 0:
            source = inputs_of_batch(c, k, one)
        if line[BACKWARD] != 0:
            call(line[BACKWARD], (context, line_at, k, 0, rows, first, first + count, one))
        else:
            transpose_and_multiply(
                context, source + first * size, line[N_IN],
                delta, width, g, width, count, width, rows, one,
            )  # fmt: skip
    elif chunk[CHUNK_KIND] == OF_BIAS:
        sums = vector(g, width, one)
        for j in range(width):
            sums[j] = one - one
        for r in range(rows):
            d = vector(delta + r * width * size, width, one)
            for j in range(width):
                sums[j] += d[j]


@inlined
def add_penalties(c, chunk, g, w, n, k, one):
    """Add the gradients of the penalties that have one, over n numbers of a chunk."""
    for j in range(chunk[CHUNK_PENALTY_FROM], chunk[CHUNK_PENALTY_TO]):
        strength = strength_of(c, j, k)
        code = read(c[PENALTIES] + 8 * (PENALTY_FIELDS * j + PENALTY_CODE))
        if code == _L2:
            slope, weight, s = vector(g, n, one), vector(w, n, one), like(one, strength)
            for i in range(n):
                slope[i] += s * weight[i]
        elif code != _PROXIMAL_L1:
            call(c[PENALTY_KERNEL], (w, g, n, strength, 0, one))


@inlined
def take_step(c, chunk, i, k, adds_penalties, one):
    """Clip, step, shrink and measure a chunk of θ, a block at a time."""
    if chunk[CHUNK_KIND] == OF_STATISTICS:
        line_at = c[LINES] + 8 * LINE_FIELDS * chunk[CHUNK_LINE]
        call(c[STATISTICS_KERNEL], (line_at, c[BATCH_WEIGHT], c[BOUNDS], c[SHARE], k, one))
        return
    size, decay = size_of(one), 0.0
    if chunk[CHUNK_KIND] == OF_WEIGHTS:
        decay = read_float(c[UPDATE_CONSTANTS] + 8 * WEIGHT_DECAY)
    is_penalised = chunk[CHUNK_PENALTY_FROM] < chunk[CHUNK_PENALTY_TO]
    squares = absolutes = 0.0
    for low in range(chunk[CHUNK_START], chunk[CHUNK_STOP], _BLOCK):
        n, start = min(_BLOCK, chunk[CHUNK_STOP] - low), low * size
        g, w = c[GRADIENT] + start, c[THETA] + start
        if adds_penalties:
            add_penalties(c, chunk, g, w, n, k, one)
        if c[CLIP_KERNEL] != 0:
            call(c[CLIP_KERNEL], (g, n, c[NUMBERS], one))
        call(
            c[UPDATE_KERNEL],
            (w, g, c[SLOT_1] + start, c[SLOT_2] + start, n, read_float(c[RATES] + 8 * k),
             read(c[TAKEN]), c[UPDATE_CONSTANTS], decay, chunk[CHUNK_IS_PROXIMAL], c[NUMBERS],
             one),
        )  # fmt: skip
        if chunk[CHUNK_IS_PROXIMAL] > 0:
            for j in range(chunk[CHUNK_PENALTY_FROM], chunk[CHUNK_PENALTY_TO]):
                if read(c[PENALTIES] + 8 * (PENALTY_FIELDS * j + PENALTY_CODE)) == _PROXIMAL_L1:
                    call(c[PENALTY_KERNEL], (w, g, n, strength_of(c, j, k), 1, one))
        if is_penalised:
            a, b = sums_of(w, n, one)
            squares += a
            absolutes += b
    vector(c[SQUARES], i + 1, 1.0)[i] = squares
    vector(c[ABSOLUTES], i + 1, 1.0)[i] = absolutes


@inlined
def strength_of(c, j, k):
    """Return a penalty's strength on the mean loss of batch k."""
    strength = read_float(c[STRENGTHS] + 8 * j)
    if read(c[PENALTIES] + 8 * (PENALTY_FIELDS * j + PENALTY_PER_BATCH)) > 0:
        strength /= read_float(c[BATCH_WEIGHT] + 8 * k)
    return strength


@inlined
def measure(c, chunk, i, one):
    """Sum a chunk's squares and absolute values, for the penalties: as ``take_step`` does."""
    squares = absolutes = 0.0
    if chunk[CHUNK_PENALTY_FROM] < chunk[CHUNK_PENALTY_TO]:
        for low in range(chunk[CHUNK_START], chunk[CHUNK_STOP], _BLOCK):
            n = min(_BLOCK, chunk[CHUNK_STOP] - low)
            a, b = sums_of(c[THETA] + low * size_of(one), n, one)
            squares += a
            absolutes += b
    vector(c[SQUARES], i + 1, 1.0)[i] = squares
    vector(c[ABSOLUTES], i + 1, 1.0)[i] = absolutes


@fast
def sums_of(address, n, one):
    """Return Σθ² and Σ|θ| of few numbers, so that float32 keeps its digits."""
    w = vector(address, n, one)
    a = b = one - one
    for j in range(n):
        a += w[j] * w[j]
        b += abs(w[j])
    return a, b
