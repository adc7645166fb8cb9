"""Blocks of θ: the gradient of a run of parameters, and the optimiser's step along it.

What is done to a block is a kernel ``(context, s, i, k, rows, one)``: to block i, in stage s of the
step of batch k, which has so many rows.
"""

from __future__ import annotations

from deltarule.engine.kernels.gather import inputs_of_batch
from deltarule.engine.kernels.intrinsics import (
    block_at,
    call,
    context_at,
    fast,
    inlined,
    instruction_at,
    like,
    optimizer_at,
    penalty_at,
    read,
    read_float,
    size_of,
    vector,
)
from deltarule.engine.kernels.matmul import transpose_and_multiply
from deltarule.engine.records import OF_BIAS, OF_STATISTICS, OF_WEIGHTS
from deltarule.program.opcodes import PenaltyCode

__all__ = [
    "gradient_and_step_of_block",
    "gradient_of_block",
    "penalty_sums_of_block",
    "step_of_block",
    "strength_of",
]


_L2, _PROXIMAL_L1 = int(PenaltyCode.L2), int(PenaltyCode.PROXIMAL_L1)


_AT_ONCE = 4096  # numbers of θ that are stepped at a time: they stay in the nearest cache


def gradient_and_step_of_block(context, s, i, k, rows, one):
    """Compute the gradient, and take the step along it while it is in the cache."""
    block = block_at(context_at(context).blocks, i)
    compute_gradient(context, block, k, rows, one)
    take_step(context, block, i, k, True, one)


def gradient_of_block(context, s, i, k, rows, one):
    """Compute the gradient; add the penalties' gradients unless sums over rows are wanted."""
    c = context_at(context)
    block = block_at(c.blocks, i)
    compute_gradient(context, block, k, rows, one)
    if c.sums_rows == 0:
        start, n = block.start * size_of(one), block.stop - block.start
        add_penalties(c, block, c.gradient + start, c.theta + start, n, k, one)


def step_of_block(context, s, i, k, rows, one):
    """Take the step along a gradient that an earlier stage has computed."""
    take_step(context, block_at(context_at(context).blocks, i), i, k, False, one)


def penalty_sums_of_block(context, s, i, k, rows, one):
    """Compute Σθ² and Σ|θ|, of which the penalties' values are made."""
    c = context_at(context)
    sum_for_penalties(c, block_at(c.blocks, i), i, one)


@inlined
def compute_gradient(context, block, k, rows, one):
    """Compute a block's gradient from what the forward and backward pass has left."""
    c, size = context_at(context), size_of(one)
    instruction = instruction_at(c.instructions, block.instruction)
    g = c.gradient + block.start * size
    width, delta = instruction.n_out, instruction.output_delta
    if block.kind == OF_WEIGHTS:
        first, count = block.first_row, block.n_rows
        source = instruction.input
        if source == 0 and c.x != 0:
            source = inputs_of_batch(c, k, one)
        if instruction.backward != 0:
            call(
                instruction.backward,
                (context, block.instruction, k, 0, rows, first, first + count, one),
            )
        else:
            transpose_and_multiply(
                context, source + first * size, instruction.n_in,
                delta, width, g, width, count, width, rows, one,
            )  # fmt: skip
    elif block.kind == OF_BIAS:
        sums = vector(g, width, one)
        for j in range(width):
            sums[j] = one - one
        for r in range(rows):
            d = vector(delta + r * width * size, width, one)
            for j in range(width):
                sums[j] += d[j]


@inlined
def add_penalties(c, block, g, w, n, k, one):
    """Add the gradients of the penalties that have one, over n numbers of a block."""
    for j in range(block.penalties_from, block.penalties_to):
        strength = strength_of(c, j, k)
        code = penalty_at(c.penalties, j).code
        if code == _L2:
            slope, weight, factor = vector(g, n, one), vector(w, n, one), like(one, strength)
            for i in range(n):
                slope[i] += factor * weight[i]
        elif code != _PROXIMAL_L1:
            call(c.penalty_kernel, (w, g, n, strength, 0, one))


@inlined
def take_step(context, block, i, k, adds_penalties, one):
    """Clip the gradient, step, apply proximal penalties and sum, a few numbers at a time."""
    c = context_at(context)
    if block.kind == OF_STATISTICS:
        call(c.population_kernel, (context, block.instruction, k, one))
        return
    size, decay = size_of(one), 0.0
    if block.kind == OF_WEIGHTS:
        decay = optimizer_at(c.optimizer).weight_decay
    is_penalised = block.penalties_from < block.penalties_to
    squares = absolutes = 0.0
    for low in range(block.start, block.stop, _AT_ONCE):
        n, start = min(_AT_ONCE, block.stop - low), low * size
        g, w = c.gradient + start, c.theta + start
        if adds_penalties:
            add_penalties(c, block, g, w, n, k, one)
        if c.clip_kernel != 0:
            call(c.clip_kernel, (g, n, c.clip_scale, c.clip_limit, one))
        call(
            c.update_kernel,
            (w, g, c.slot_1 + start, c.slot_2 + start, n, c.optimizer,
             read_float(c.learning_rates + 8 * k), read(c.steps_taken), decay, block.is_proximal,
             one),
        )  # fmt: skip
        if block.is_proximal > 0:
            for j in range(block.penalties_from, block.penalties_to):
                if penalty_at(c.penalties, j).code == _PROXIMAL_L1:
                    call(c.penalty_kernel, (w, g, n, strength_of(c, j, k), 1, one))
        if is_penalised:
            a, b = sums_of(w, n, one)
            squares += a
            absolutes += b
    vector(c.squares, i + 1, 1.0)[i] = squares
    vector(c.absolutes, i + 1, 1.0)[i] = absolutes


@inlined
def strength_of(c, j, k):
    """Return penalty j's strength on the mean loss of batch k."""
    penalty = penalty_at(c.penalties, j)
    strength = penalty.strength
    if penalty.per_batch > 0:
        strength /= read_float(c.batch_weights + 8 * k)
    return strength


@inlined
def sum_for_penalties(c, block, i, one):
    """Sum a block's squares and absolute values, in the order in which ``take_step`` does."""
    squares = absolutes = 0.0
    if block.penalties_from < block.penalties_to:
        for low in range(block.start, block.stop, _AT_ONCE):
            n = min(_AT_ONCE, block.stop - low)
            a, b = sums_of(c.theta + low * size_of(one), n, one)
            squares += a
            absolutes += b
    vector(c.squares, i + 1, 1.0)[i] = squares
    vector(c.absolutes, i + 1, 1.0)[i] = absolutes


@fast
def sums_of(address, n, one):
    """Return Σθ² and Σ|θ| of a few numbers: few enough for float32 to keep its digits."""
    w = vector(address, n, one)
    a = b = one - one
    for j in range(n):
        a += w[j] * w[j]
        b += abs(w[j])
    return a, b
