"""Shards of a batch: their sums, computed one after another and added in a balanced binary tree.

Shard s of a batch is a run of its rows. Each shard's sum is that of ``Engine.gradient`` over its
rows, to the bit, and so is the tree that ``deltarule.training.shards`` adds them in: a batch whose
shards lie on several machines takes the same step as one in a single call.

The tree is walked depth first. Sums that wait for their right neighbour stand in a stack of as many
levels as the tree has; after shard s, as many pairs are complete as s has trailing ones in binary.
"""

from __future__ import annotations

from deltarule.engine.kernels.gather import inputs_of_batch
from deltarule.engine.kernels.intrinsics import (
    add_atomically,
    block_at,
    call,
    context_at,
    copy_bytes,
    fast,
    inlined,
    instruction_at,
    like,
    penalty_at,
    read,
    read_float,
    size_of,
    vector,
)
from deltarule.engine.kernels.matmul import transpose_and_multiply
from deltarule.engine.kernels.parameter_updates import (
    add_penalties,
    rows_of_part,
    step_of_run,
    strength_of,
    take_step,
)
from deltarule.engine.kernels.simd import Machine
from deltarule.engine.kernels.stage_end import LARGEST
from deltarule.engine.records import OF_BIAS, OF_WEIGHTS
from deltarule.program.opcodes import PenaltyCode

__all__ = [
    "mean_gradient_of_block",
    "record_loss_of_shards",
    "sharded_gradient_and_step_of_block",
    "sharded_gradient_of_block",
]

_L2 = int(PenaltyCode.L2)
_AT_ONCE = 4096  # numbers of θ that are stepped at a time, as in ``parameter_updates``
_COLUMNS = 64  # of W that are summed at a time
_DEPTH = Machine("float32").depth  # rows of a batch whose products are summed in registers


def sharded_gradient_and_step_of_block(context, s, i, k, rows, one):
    """Sum a block's gradient over the shards, and step along its mean while it is in the cache."""
    c = context_at(context)
    block = block_at(c.blocks, i)
    instruction = instruction_at(c.instructions, block.instruction)
    part = rows_of_part(block, instruction, one)
    if part >= block.n_rows:
        sum_block(context, block, k, one)
        take_step(context, block, i, k, True, one)
        return
    size, width = size_of(one), instruction.n_out
    g = c.gradient + block.start * size
    stepped = computed = block.start
    squares = absolutes = 0.0
    for row in range(0, block.n_rows, part):
        count = min(part, block.n_rows - row)
        target = g + (computed - stepped) * size
        sum_of_shards(context, block, k, block.first_row + row, count, target, computed, one)
        divide(target, count * width, read_float(c.batch_weights + 8 * k), one)
        computed += count * width
        end = computed
        if computed < block.stop:  # a part's last numbers wait: runs are those of ``take_step``
            end -= (computed - stepped) % _AT_ONCE
        a, b = step_of_run(context, block, k, stepped, end, g, True, one)
        squares += a
        absolutes += b
        if stepped < end < computed:
            copy_bytes(g + (end - stepped) * size, g, (computed - end) * size)
        stepped = end
    vector(c.squares, i + 1, 1.0)[i] = squares
    vector(c.absolutes, i + 1, 1.0)[i] = absolutes


def sharded_gradient_of_block(context, s, i, k, rows, one):
    """Sum a block's gradient over the shards; make it that of the cost."""
    c = context_at(context)
    block = block_at(c.blocks, i)
    sum_block(context, block, k, one)
    start, n = block.start * size_of(one), block.stop - block.start
    add_penalties(c, block, c.gradient + start, c.theta + start, n, k, one)


def mean_gradient_of_block(context, s, i, k, rows, one):
    """Make a block's gradient, summed over a batch already, that of the cost."""
    c = context_at(context)
    block = block_at(c.blocks, i)
    start, n = block.start * size_of(one), block.stop - block.start
    divide(c.gradient + start, n, read_float(c.batch_weights + 8 * k), one)
    add_penalties(c, block, c.gradient + start, c.theta + start, n, k, one)


def record_loss_of_shards(context, s, k, rows, one):
    """Record the step's loss and penalty; stop the call if they are not finite.

    Without shards the loss is there already, as a sum over the batch. If sums over rows are wanted
    (``sums_rows``), it stays a sum, there is no penalty, and nothing stops.
    """
    c = context_at(context)
    losses, is_sum = vector(c.losses, k + 1, 1.0), c.sums_rows > 0
    loss, value, level = losses[k], 0.0, 0
    if c.n_shards > 0:
        stack = vector(c.shard_losses, 64, 1.0)
        for shard in range(c.n_shards):
            low, high = shard_of(c, k, shard)
            stack[level] = loss_of_rows(c, low, high, one)
            level += 1
            rest = shard
            while rest % 2 == 1:
                level -= 1
                stack[level - 1] += stack[level]
                rest //= 2
        loss = stack[0]
    if not is_sum:
        loss /= read_float(c.batch_weights + 8 * k)
        for j in range(c.n_penalties):
            penalty = penalty_at(c.penalties, j)
            parts, half = c.absolutes, 1.0
            if penalty.code == _L2:
                parts, half = c.squares, 0.5
            total = 0.0
            for i in range(penalty.blocks_from, penalty.blocks_to):
                total += read_float(parts + 8 * i)
            value += strength_of(c, j, k) * half * total
    losses[k] = loss
    vector(c.penalty_values, k + 1, 1.0)[k] = value
    if not (is_sum or abs(loss + value) <= LARGEST):
        add_atomically(c.stop, k - read(c.stop))


@fast
def shard_of(c, k, s):
    """Return the rows [low, high) of shard s, as places in batch k."""
    if c.n_shards == 1:
        return 0, rows_of_batch(c, k)
    at = c.shard_bounds + 8 * (k * (c.n_shards + 1) + s)
    return read(at), read(at + 8)


@fast
def loss_of_rows(c, low, high, one):
    """Return Σ w_i L_i of these rows."""
    size, n = size_of(one), (high - low) * c.members
    factor = vector(c.factor + low * c.members * size, n, one)
    losses = vector(c.row_losses + low * c.members * size, n, one)
    loss = 0.0
    for i in range(n):
        loss += factor[i] * losses[i]
    return loss


@inlined
def sum_block(context, block, k, one):
    """Compute the mean of a block's gradient over the batch, without penalties."""
    c = context_at(context)
    g, n = c.gradient + block.start * size_of(one), block.stop - block.start
    sum_of_shards(context, block, k, block.first_row, block.n_rows, g, block.start, one)
    divide(g, n, read_float(c.batch_weights + 8 * k), one)


@inlined
def sum_of_shards(context, block, k, first, count, g, start, one):
    """Sum a gradient over the shards, at address g: rows [first, first + count) of W, or a bias.

    ``start`` is the place in θ of its first number. A few columns are summed at a time, so that
    all sums that wait are in the nearest cache.
    """
    instruction = instruction_at(context_at(context).instructions, block.instruction)
    width, size = instruction.n_out, size_of(one)
    if block.kind != OF_WEIGHTS:
        sum_of_columns(context, block, k, 0, 1, 0, block.stop - block.start, g, start, one)
    elif instruction.gradient != 0:
        sum_by_kernel(context, block, k, first, count, g, start, one)
    elif rows_of_batch(context_at(context), k) <= _DEPTH:
        sum_of_products(context, block, k, first, count, g, one)
    else:
        for left in range(0, width, _COLUMNS):
            columns = min(_COLUMNS, width - left)
            corner = g + left * size
            sum_of_columns(context, block, k, first, count, left, columns, corner, start, one)


@fast
def rows_of_batch(c, k):
    """Return how many rows batch k has."""
    return read(c.bounds + 8 * (k + 1)) - read(c.bounds + 8 * k)


@fast
def sum_of_products(context, block, k, first, count, g, one):
    """Sum the gradient of rows of W over the shards of a batch that is copied at once."""
    c, size = context_at(context), size_of(one)
    instruction = instruction_at(c.instructions, block.instruction)
    source, width = instruction.input, instruction.n_out
    if source == 0 and c.x != 0:
        source = inputs_of_batch(c, k, one)
    bounds = c.shard_bounds + 8 * k * (c.n_shards + 1)
    call(
        c.product_of_shards,
        (source + first * size, instruction.n_in, instruction.output_delta, width, g, width,
         count, width, bounds, c.n_shards, one),
    )  # fmt: skip


@fast
def sum_of_columns(context, block, k, first, count, left, columns, g, start, one):
    """Sum the gradient of a part of W, or of a bias, over the shards: columns from ``left`` on."""
    c, size = context_at(context), size_of(one)
    width = columns
    if block.kind == OF_WEIGHTS:
        width = instruction_at(c.instructions, block.instruction).n_out
    step = c.n_parameters * size
    above, level = c.shard_gradients + start * size - step, 0  # level l > 0 is l steps on
    for s in range(c.n_shards):
        low, high = shard_of(c, k, s)
        place, ld = (g, width) if level == 0 else (above + level * step, columns)
        sum_of_rows(context, block, k, low, high, first, count, left, columns, place, ld, one)
        level += 1
        rest = s
        while rest % 2 == 1:
            level -= 1
            lower, ld = (g, width) if level == 1 else (above + (level - 1) * step, columns)
            add(lower, ld, above + level * step, count, columns, one)
            rest //= 2


@fast
def sum_by_kernel(context, block, k, first, count, g, start, one):
    """Sum the gradient of rows of W over the shards, by a kernel that writes it to address g."""
    c, size = context_at(context), size_of(one)
    instruction = instruction_at(c.instructions, block.instruction)
    n = count * instruction.n_out
    base, step, level = c.shard_gradients + start * size, c.n_parameters * size, 0
    for s in range(c.n_shards):
        low, high = shard_of(c, k, s)
        call(
            instruction.gradient,
            (context, block.instruction, k, low, high, first, first + count, one),
        )
        copy_bytes(g, base + level * step, n * size)
        level += 1
        rest = s
        while rest % 2 == 1:
            level -= 1
            add(base + (level - 1) * step, n, base + level * step, 1, n, one)
            rest //= 2
    copy_bytes(base, g, n * size)


@fast
def sum_of_rows(context, block, k, low, high, first, count, left, columns, g, ldg, one):
    """Sum the gradient of a part of W, or of a bias, over rows [low, high) of the batch."""
    c, size = context_at(context), size_of(one)
    instruction = instruction_at(c.instructions, block.instruction)
    width, delta = instruction.n_out, instruction.output_delta
    if block.kind == OF_BIAS or low == high:
        for r in range(count):
            sums = vector(g + r * ldg * size, columns, one)
            for j in range(columns):
                sums[j] = one - one
    if block.kind == OF_BIAS:
        sums = vector(g, width, one)
        for r in range(low, high):
            d = vector(delta + r * width * size, width, one)
            for j in range(width):
                sums[j] += d[j]
    elif low < high:
        source, n_in = instruction.input, instruction.n_in
        if source == 0 and c.x != 0:
            source = inputs_of_batch(c, k, one)
        transpose_and_multiply(
            context, source + (low * n_in + first) * size, n_in,
            delta + (low * width + left) * size, width, g, ldg, count, columns, high - low, one,
        )  # fmt: skip


@fast
def add(target, ldt, source, rows, columns, one):
    """Add (rows, columns) numbers, side by side, to others whose rows are ``ldt`` apart."""
    size = size_of(one)
    for r in range(rows):
        x = vector(target + r * ldt * size, columns, one)
        y = vector(source + r * columns * size, columns, one)
        for j in range(columns):
            x[j] += y[j]


@fast
def divide(target, n, divisor, one):
    """Divide n numbers by one."""
    x, d = vector(target, n, one), like(one, divisor)
    for i in range(n):
        x[i] /= d
