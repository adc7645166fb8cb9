"""Scaling, and the maps of members with one W, compiled (item B2; ``deltarule.reference.members``).

Kernels take ``(context, i, k, low, high, left, right, one)``, as in ``forward_backward``; those of
members run over all columns. A gradient is that of rows [left, right) of W, over all rows of the
batch, as in ``sparse_inputs``. Members lie side by side in a row of a register.
"""

from __future__ import annotations

from deltarule.engine.kernels.gather import inputs_of_batch
from deltarule.engine.kernels.intrinsics import (
    context_at,
    copy_bytes,
    fast,
    inlined,
    instruction_at,
    like,
    read,
    size_of,
    swap_atomically,
    vector,
)
from deltarule.engine.kernels.matmul import (
    multiply,
    multiply_by_transpose,
    transpose_and_multiply,
)
from deltarule.engine.kernels.sparse_inputs import copy_densely, first_entry, row_of, value_of

__all__ = [
    "average_forward",
    "expand_forward",
    "expand_gradient",
    "heads_backward",
    "heads_forward",
    "heads_gradient",
    "repeat_forward",
    "scale_backward",
    "scale_forward",
    "sparse_expand_forward",
    "sparse_expand_gradient",
]


_COLUMNS = 512  # at a time, so that factors and sums stay in the nearest cache

# --- scaling --------------------------------------------------------------------------------------


def scale_forward(context, i, k, low, high, left, right, one):
    """Y ← γ ⊙ X, plus β if there is one. Inputs from CSR are kept in ``extra``."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, width = size_of(one), instruction.n_out
    source = instruction.input
    if instruction.extra != 0:
        source = instruction.extra
        for r in range(low, high):
            copy_densely(c, k, r, source + r * width * size, one)
    elif source == 0:
        source = inputs_of_batch(c, k, one)
    for first in range(left, right, _COLUMNS):
        n = min(_COLUMNS, right - first)
        gamma = vector(c.theta + (instruction.weights + first) * size, n, one)
        beta = vector(c.theta + (instruction.bias + first) * size, n, one)
        for r in range(low, high):
            start = (r * width + first) * size
            x, y = vector(source + start, n, one), vector(instruction.output + start, n, one)
            if instruction.bias >= 0:
                for j in range(n):
                    y[j] = gamma[j] * x[j] + beta[j]
            else:
                for j in range(n):
                    y[j] = gamma[j] * x[j]


def scale_backward(context, i, k, low, high, left, right, one):
    """DX ← γ ⊙ dY in place, and Σ X ⊙ dY and Σ dY over the tile's rows, for the gradient."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, width = size_of(one), instruction.n_out
    source = instruction.input
    if instruction.extra != 0:
        source = instruction.extra
    elif source == 0:
        source = inputs_of_batch(c, k, one)
    tile = 2 * (low // instruction.rows_in_tile)
    for first in range(left, right, _COLUMNS):
        n = min(_COLUMNS, right - first)
        sums = instruction.tile_sums + (tile * width + first) * size
        total, shift = vector(sums, n, one), vector(sums + width * size, n, one)
        gamma = vector(c.theta + (instruction.weights + first) * size, n, one)
        for j in range(n):
            total[j] = one - one
            shift[j] = one - one
        for r in range(low, high):
            start = (r * width + first) * size
            x, d = vector(source + start, n, one), vector(instruction.output_delta + start, n, one)
            for j in range(n):
                total[j] += x[j] * d[j]
                shift[j] += d[j]
            if instruction.input_delta != 0:
                for j in range(n):
                    d[j] *= gamma[j]


# --- the first instruction ------------------------------------------------------------------------


def repeat_forward(context, i, k, low, high, left, right, one):
    """Y_i ← X for every member i."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    members, bytes_of_row = instruction.members, instruction.n_in * size_of(one)
    for r in range(low, high):
        target = instruction.output + r * members * bytes_of_row
        source = target
        if c.x == 0:
            copy_densely(c, k, r, target, one)
        else:
            source = inputs_of_batch(c, k, one) + r * bytes_of_row
            copy_bytes(source, target, bytes_of_row)
        for j in range(1, members):
            copy_bytes(source, target + j * bytes_of_row, bytes_of_row)


@inlined
def claim_scratch(c):
    """Return the number of an area that no other thread uses, until it is released."""
    area = 0
    while c.n_scratch > 1 and not swap_atomically(c.scratch_flags + 64 * area, 0, 1):
        area = area + 1 if area + 1 < c.n_scratch else 0
    return area


@inlined
def release_scratch(c, area):
    """Let other threads use the area."""
    swap_atomically(c.scratch_flags + 64 * area, 1, 0)


def expand_forward(context, i, k, low, high, left, right, one):
    """Z_i ← (X ⊙ r_i) W: a few rows at a time, of all members, are scaled and multiplied."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, p, q, members = size_of(one), instruction.n_in, instruction.n_out, instruction.members
    source = inputs_of_batch(c, k, one)
    area = claim_scratch(c)
    room = c.scratch + area * c.scratch_size * size
    most = max(1, c.scratch_size // (members * p))
    at_once = (high - low + (high - low + most - 1) // most - 1) // (
        (high - low + most - 1) // most
    )
    for first in range(low, high, at_once):
        count = min(at_once, high - first)
        for r in range(count):
            scale_for_members(
                source + (first + r) * p * size, c.theta + instruction.bias * size,
                room + r * members * p * size, members, p, one,
            )  # fmt: skip
        multiply(
            context, room, p, c.theta + instruction.weights * size, q, 0,
            instruction.output + first * members * q * size, q, count * members, q, p, one,
        )  # fmt: skip
    release_scratch(c, area)


@fast
def scale_for_members(source, r, target, members, p, one):
    """Write x ⊙ r_i for every member i."""
    size = size_of(one)
    x = vector(source, p, one)
    for j in range(members):
        factor = vector(r + j * p * size, p, one)
        y = vector(target + j * p * size, p, one)
        for t in range(p):
            y[t] = x[t] * factor[t]


def expand_gradient(context, i, k, low, high, left, right, one):
    """∂W ← Σ_i r_i ⊙ G_i and ∂r_i ← Σ_columns W ⊙ G_i, with G_i = Xᵀ dZ_i."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, p, q, members = size_of(one), instruction.n_in, instruction.n_out, instruction.members
    source = inputs_of_batch(c, k, one)
    area = claim_scratch(c)
    room = c.scratch + area * c.scratch_size * size
    at_once = max(1, min(right - left, c.scratch_size // q))
    together = max(1, c.scratch_size // (at_once * q))  # members
    for first in range(left, right, at_once):
        count = min(at_once, right - first)
        for j in range(0, members, together):
            n = min(together, members - j)
            transpose_and_multiply(
                context, source + first * size, p, instruction.output_delta + j * q * size,
                members * q, room, n * q, count, n * q, high, one,
            )  # fmt: skip
            add_gradients_of_members(
                c.theta + (instruction.weights + first * q) * size,
                c.theta + (instruction.bias + j * p + first) * size,
                room,
                c.gradient + (instruction.weights + first * q) * size,
                c.gradient + (instruction.bias + j * p + first) * size,
                count, p, q, n, j == 0, one,
            )  # fmt: skip
    release_scratch(c, area)


@fast
def add_gradients_of_members(w, r, g, w_gradient, r_gradient, rows, p, q, members, is_first, one):
    """Add Σ_i r_i ⊙ G_i to ∂W, or store it, and store ∂r_i, for members side by side in g."""
    size = size_of(one)
    factors = vector(r, (members - 1) * p + rows, one)
    slopes = vector(r_gradient, (members - 1) * p + rows, one)
    for row in range(rows):
        weights = vector(w + row * q * size, q, one)
        total = vector(w_gradient + row * q * size, q, one)
        if is_first:
            for t in range(q):
                total[t] = one - one
        given = g + row * members * q * size
        j = 0
        while j + 4 <= members:  # read W and ∂W once for four
            g0, g1 = vector(given, q, one), vector(given + q * size, q, one)
            g2, g3 = vector(given + 2 * q * size, q, one), vector(given + 3 * q * size, q, one)
            f0, f1 = factors[j * p + row], factors[(j + 1) * p + row]
            f2, f3 = factors[(j + 2) * p + row], factors[(j + 3) * p + row]
            s0 = s1 = s2 = s3 = one - one
            for t in range(q):
                total[t] += (f0 * g0[t] + f1 * g1[t]) + (f2 * g2[t] + f3 * g3[t])
                s0 += weights[t] * g0[t]
                s1 += weights[t] * g1[t]
                s2 += weights[t] * g2[t]
                s3 += weights[t] * g3[t]
            slopes[j * p + row], slopes[(j + 1) * p + row] = s0, s1
            slopes[(j + 2) * p + row], slopes[(j + 3) * p + row] = s2, s3
            given += 4 * q * size
            j += 4
        while j < members:
            g0, f0, s0 = vector(given, q, one), factors[j * p + row], one - one
            for t in range(q):
                total[t] += f0 * g0[t]
                s0 += weights[t] * g0[t]
            slopes[j * p + row] = s0
            given += q * size
            j += 1


def sparse_expand_forward(context, i, k, low, high, left, right, one):
    """Z_i ← (X ⊙ r_i) W over the stored entries of the batch's rows."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, p, q, members = size_of(one), instruction.n_in, instruction.n_out, instruction.members
    r_of = vector(c.theta + instruction.bias * size, members * p, one)
    for r in range(low, high):
        target = instruction.output + r * members * q * size
        whole = vector(target, members * q, one)
        for t in range(members * q):
            whole[t] = one - one
        ends = vector(c.indptr + 8 * row_of(c, k, r), 2, 0)
        for e in range(ends[0], ends[1]):
            column = read(c.indices + 8 * e)
            value = value_of(c, e, column, r, one)
            w = vector(c.theta + (instruction.weights + column * q) * size, q, one)
            for j in range(members):
                factor = value * r_of[j * p + column]
                z = vector(target + j * q * size, q, one)
                for t in range(q):
                    z[t] += factor * w[t]


def sparse_expand_gradient(context, i, k, low, high, left, right, one):
    """∂W[left:right] and ∂r[:, left:right] over the stored entries of these features."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, p, q, members = size_of(one), instruction.n_in, instruction.n_out, instruction.members
    r_of = vector(c.theta + instruction.bias * size, members * p, one)
    slopes = vector(c.gradient + instruction.bias * size, members * p, one)
    whole = vector(c.gradient + (instruction.weights + left * q) * size, (right - left) * q, one)
    for t in range(len(whole)):
        whole[t] = one - one
    for j in range(members):
        for column in range(left, right):
            slopes[j * p + column] = one - one
    for r in range(low, high):
        delta = instruction.output_delta + r * members * q * size
        ends = vector(c.indptr + 8 * row_of(c, k, r), 2, 0)
        for e in range(first_entry(c, ends[0], ends[1], left), ends[1]):
            column = read(c.indices + 8 * e)
            if column >= right:
                break
            value = value_of(c, e, column, r, one)
            start = (instruction.weights + column * q) * size
            w, g = vector(c.theta + start, q, one), vector(c.gradient + start, q, one)
            for j in range(members):
                d = vector(delta + j * q * size, q, one)
                factor, slope = value * r_of[j * p + column], one - one
                for t in range(q):
                    g[t] += factor * d[t]
                    slope += w[t] * d[t]
                slopes[j * p + column] += value * slope


# --- heads, and the average -----------------------------------------------------------------------


def heads_forward(context, i, k, low, high, left, right, one):
    """Z_i ← X_i W_i + b_i for every member i."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, p, q, members = size_of(one), instruction.n_in, instruction.n_out, instruction.members
    if q == 1:  # all W_i together are as long as a row
        for r in range(low, high):
            for j in range(members):
                x = vector(instruction.input + (r * members + j) * p * size, p, one)
                w = vector(c.theta + (instruction.weights + j * p) * size, p, one)
                total = one - one
                for t in range(p):
                    total += x[t] * w[t]
                bias = vector(c.theta + (instruction.bias + j) * size, 1, one)
                vector(instruction.output + (r * members + j) * size, 1, one)[0] = total + bias[0]
        return
    for j in range(members):
        multiply(
            context, instruction.input + (low * members + j) * p * size, members * p,
            c.theta + (instruction.weights + j * p * q) * size, q,
            c.theta + (instruction.bias + j * q) * size,
            instruction.output + (low * members + j) * q * size, members * q, high - low, q, p,
            one,
        )  # fmt: skip


def heads_backward(context, i, k, low, high, left, right, one):
    """DX_i ← dZ_i W_iᵀ."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, p, q, members = size_of(one), instruction.n_in, instruction.n_out, instruction.members
    if q == 1:
        for r in range(low, high):
            d = vector(instruction.output_delta + r * members * size, members, one)
            for j in range(members):
                x = vector(instruction.input_delta + (r * members + j) * p * size, p, one)
                w = vector(c.theta + (instruction.weights + j * p) * size, p, one)
                slope = d[j]
                for t in range(p):
                    x[t] = slope * w[t]
        return
    for j in range(members):
        multiply_by_transpose(
            context, instruction.output_delta + (low * members + j) * q * size, members * q,
            c.theta + (instruction.weights + j * p * q) * size, q,
            instruction.input_delta + (low * members + j) * p * size, members * p, high - low, p,
            q, one,
        )  # fmt: skip


def heads_gradient(context, i, k, low, high, left, right, one):
    """∂W_i ← X_iᵀ dZ_i for whole members: rows [left, right) of their W, one after the other."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, p, q, members = size_of(one), instruction.n_in, instruction.n_out, instruction.members
    for j in range(left // p, right // p):
        transpose_and_multiply(
            context, instruction.input + (low * members + j) * p * size, members * p,
            instruction.output_delta + (low * members + j) * q * size, members * q,
            c.gradient + (instruction.weights + j * p * q) * size, q, p, q, high - low, one,
        )  # fmt: skip


def average_forward(context, i, k, low, high, left, right, one):
    """Y ← the mean of X_i over the members i."""
    instruction = instruction_at(context_at(context).instructions, i)
    size, q, members = size_of(one), instruction.n_out, instruction.members
    count = like(one, members)
    for r in range(low, high):
        y = vector(instruction.output + r * q * size, q, one)
        for t in range(q):
            y[t] = one - one
        for j in range(members):
            x = vector(instruction.input + (r * members + j) * q * size, q, one)
            for t in range(q):
                y[t] += x[t]
        for t in range(q):
            y[t] /= count
