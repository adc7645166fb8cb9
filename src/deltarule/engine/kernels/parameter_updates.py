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
    copy_bytes,
    fast,
    inlined,
    instruction_at,
    like,
    optimizer_at,
    penalty_at,
    read,
    read_float,
    size_of,
    stage_at,
    vector,
)
from deltarule.engine.kernels.matmul import transpose_and_multiply
from deltarule.engine.kernels.simd import Machine
from deltarule.engine.records import OF_BIAS, OF_GROUPS, OF_STATISTICS, OF_WEIGHTS
from deltarule.program.opcodes import PenaltyCode

__all__ = [
    "gradient_and_step_of_block",
    "gradient_of_block",
    "penalty_sums_of_block",
    "rows_of_part",
    "step_of_block",
    "step_of_last_block",
    "strength_of",
]


_L2, _PROXIMAL_L1 = int(PenaltyCode.L2), int(PenaltyCode.PROXIMAL_L1)


_AT_ONCE = 4096  # numbers of θ that are stepped at a time: they stay in the nearest cache
# A gradient is computed and stepped along part by part, if its rows are not too long for the right
# factor to be read for each part, nor, on short vectors, too short for it to be worth it.
_PART = 2**17  # bytes of a part, unless that is less than _PART_ROWS
_PART_ROWS, _SHORTEST, _LONGEST = (
    (24, 0, 2**14) if Machine("float32").lanes == 16 else (144, 2**13, 2**62)
)


def gradient_and_step_of_block(context, s, i, k, rows, one):
    """Compute the gradient, and take the step along it while it is in the cache."""
    c = context_at(context)
    block = block_at(c.blocks, i)
    instruction = instruction_at(c.instructions, block.instruction)
    part = rows_of_part(block, instruction, one)
    if part < block.n_rows:
        gradient_and_step_by_parts(context, block, i, k, rows, part, one)
    else:
        compute_gradient(context, block, k, rows, one)
        take_step(context, block, i, k, True, one)


@fast
def rows_of_part(block, instruction, one):
    """Return how many rows of W are computed and stepped along at a time; all, if not by parts."""
    row = size_of(one) * max(1, instruction.n_out)
    is_dense = block.kind == OF_WEIGHTS and instruction.gradient == 0
    if is_dense and _SHORTEST <= row <= _LONGEST:
        return _PART_ROWS * max(1, _PART // (_PART_ROWS * row))
    return block.n_rows


@inlined
def gradient_and_step_by_parts(context, block, i, k, rows, part, one):
    """Compute and step along so many rows of W at a time, in memory that stays in the cache.

    The numbers that are stepped at a time are those of ``take_step``: θ and the sums have the same
    bits. A part's last numbers, which do not fill a run, wait for the next part.
    """
    c, size = context_at(context), size_of(one)
    width = instruction_at(c.instructions, block.instruction).n_out
    g = c.gradient + block.start * size
    stepped = computed = block.start
    squares = absolutes = 0.0
    for row in range(0, block.n_rows, part):
        count = min(part, block.n_rows - row)
        target = g + (computed - stepped) * size
        gradient_of_rows(context, block, k, rows, block.first_row + row, count, target, one)
        computed += count * width
        end = computed
        if computed < block.stop:
            end -= (computed - stepped) % _AT_ONCE
        a, b = step_of_run(context, block, k, stepped, end, g, True, one)
        squares += a
        absolutes += b
        if stepped < end < computed:
            copy_bytes(g + (end - stepped) * size, g, (computed - end) * size)
        stepped = end
    vector(c.squares, i + 1, 1.0)[i] = squares
    vector(c.absolutes, i + 1, 1.0)[i] = absolutes


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


def step_of_last_block(context, s, i, k, rows, one):
    """Take the step of a block that others' gradients needed: the last ones in the table."""
    c = context_at(context)
    number = c.n_blocks - stage_at(c.stages, s).extent + i
    take_step(context, block_at(c.blocks, number), number, k, False, one)


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
    width, delta = block.stop - block.start, instruction.output_delta
    if block.kind == OF_GROUPS:
        call(instruction.gradient, (context, block.instruction, k, 0, rows, 0, 0, one))
    elif block.kind == OF_WEIGHTS:
        first, count = block.first_row, block.n_rows
        if instruction.gradient != 0:
            call(
                instruction.gradient,
                (context, block.instruction, k, 0, rows, first, first + count, one),
            )
        else:
            gradient_of_rows(context, block, k, rows, first, count, g, one)
    elif instruction.tile_sums != 0:
        add_sums_of_tiles(instruction, int(block.kind == OF_BIAS), width, rows, g, one)
    elif block.kind == OF_BIAS:
        sums = vector(g, width, one)
        for j in range(width):
            sums[j] = one - one
        for r in range(rows):
            d = vector(delta + r * width * size, width, one)
            for j in range(width):
                sums[j] += d[j]


@fast
def add_sums_of_tiles(instruction, which, width, rows, g, one):
    """Add up a scaling's sums over the rows of a tile: those of γ (0) or β (1)."""
    size, sums = size_of(one), vector(g, width, one)
    for j in range(width):
        sums[j] = one - one
    for tile in range((rows + instruction.rows_in_tile - 1) // instruction.rows_in_tile):
        part = vector(instruction.tile_sums + (2 * tile + which) * width * size, width, one)
        for j in range(width):
            sums[j] += part[j]


@fast
def gradient_of_rows(context, block, k, rows, first, count, g, one):
    """Compute the gradient of rows [first, first + count) of W, at address g."""
    c, size = context_at(context), size_of(one)
    instruction = instruction_at(c.instructions, block.instruction)
    source, width = instruction.input, instruction.n_out
    if source == 0 and c.x != 0:
        source = inputs_of_batch(c, k, one)
    transpose_and_multiply(
        context, source + first * size, instruction.n_in,
        instruction.output_delta, width, g, width, count, width, rows * instruction.members, one,
    )  # fmt: skip


@fast
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
    """Take the step along a block's gradient."""
    c = context_at(context)
    if block.kind == OF_STATISTICS:
        call(c.population_kernel, (context, block.instruction, k, one))
        return
    g = c.gradient + block.start * size_of(one)
    squares, absolutes = step_of_run(
        context, block, k, block.start, block.stop, g, adds_penalties, one
    )
    vector(c.squares, i + 1, 1.0)[i] = squares
    vector(c.absolutes, i + 1, 1.0)[i] = absolutes


@fast
def step_of_run(context, block, k, begin, end, gradient, adds_penalties, one):
    """Clip the gradient, step, apply proximal penalties and sum, a few numbers at a time.

    The gradient of θ[begin:end] is at this address. Return Σθ² and Σ|θ| if there are penalties.
    """
    c = context_at(context)
    size, decay = size_of(one), 0.0
    if block.kind == OF_WEIGHTS:
        decay = optimizer_at(c.optimizer).weight_decay
    is_penalised = block.penalties_from < block.penalties_to
    squares = absolutes = 0.0
    for low in range(begin, end, _AT_ONCE):
        n, start = min(_AT_ONCE, end - low), low * size
        g, w = gradient + (low - begin) * size, c.theta + start
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
    return squares, absolutes


@fast
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
