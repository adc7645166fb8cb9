"""Maps of groups of columns, compiled: waves, and blocks (``deltarule.reference.features``).

Kernels take ``(context, i, k, low, high, left, right, one)``, as in ``forward_backward``, and run
over all columns. ``groups`` of an instruction are int64 triples: the first column of a group, the
number of its columns, and the row of W (or of c and φ) that its first column meets; and behind
them the runs of columns that are copied, as pairs of a first column and a number.
"""

from __future__ import annotations

from deltarule.engine.kernels.gather import inputs_of_batch
from deltarule.engine.kernels.intrinsics import (
    context_at,
    copy_bytes,
    fast,
    inlined,
    instruction_at,
    read,
    size_of,
    vector,
)
from deltarule.engine.kernels.math_functions import cosine_of_turns, formula, sine_of_turns
from deltarule.engine.kernels.matmul import (
    multiply,
    multiply_by_transpose,
    transpose_and_multiply,
)
from deltarule.engine.kernels.sparse_inputs import copy_densely

__all__ = [
    "blocks_backward",
    "blocks_forward",
    "blocks_gradient",
    "periodic_backward",
    "periodic_forward",
]

_cosine, _sine = formula(cosine_of_turns), formula(sine_of_turns)
_TWO_PI = 6.283185307179586


@inlined
def source_of(c, instruction, k, low, high, one):
    """Return the address of what an instruction reads; CSR rows are first copied to ``extra``."""
    if instruction.extra != 0:
        size = instruction.n_in * size_of(one)
        for r in range(low, high):
            copy_densely(c, k, r, instruction.extra + r * size, one)
        return instruction.extra
    if instruction.input != 0:
        return instruction.input
    return inputs_of_batch(c, k, one)


@inlined
def copied_source_of(c, instruction, k, one):
    """Return that address again, after the forward pass."""
    if instruction.extra != 0:
        return instruction.extra
    if instruction.input != 0:
        return instruction.input
    return inputs_of_batch(c, k, one)


# --- waves ----------------------------------------------------------------------------------------


def periodic_forward(context, i, k, low, high, left, right, one):
    """Y ← (X, cos 2π(c ⊙ x + φ)), the waves of every chosen column side by side."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, p, width = size_of(one), instruction.n_in, instruction.n_out
    source = source_of(c, instruction, k, low, high, one)
    n = instruction.n_groups
    waves = (width - p) // n
    for r in range(low, high):
        row = instruction.output + r * width * size
        copy_bytes(source + r * p * size, row, p * size)
        write_waves(
            row, row + p * size, c.theta + instruction.weights * size,
            c.theta + instruction.bias * size, instruction.groups, n, waves, p, one,
        )  # fmt: skip


@fast
def write_waves(x, z, frequencies, phases, groups, n, waves, p, one):
    """Write the waves of one row; x are all columns of it."""
    row, size = vector(x, p, one), size_of(one)
    for j in range(n):
        value = row[read(groups + 24 * j)]
        place = j * waves * size
        c, phi = vector(frequencies + place, waves, one), vector(phases + place, waves, one)
        out = vector(z + place, waves, one)
        for t in range(waves):
            out[t] = _cosine(c[t] * value + phi[t])


def periodic_backward(context, i, k, low, high, left, right, one):
    """DX ← dY of its columns + Σ c s, and Σ x s and Σ s over the tile's rows, for the gradient."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, p, width = size_of(one), instruction.n_in, instruction.n_out
    n, inner = instruction.n_groups, width - p
    sums = instruction.tile_sums + 2 * (low // instruction.rows_in_tile) * inner * size
    both = vector(sums, 2 * inner, one)
    for t in range(2 * inner):
        both[t] = one - one
    for r in range(low, high):
        delta = instruction.output_delta + r * width * size
        back = 0
        if instruction.input_delta != 0:
            back = instruction.input_delta + r * p * size
            copy_bytes(delta, back, p * size)
        pull_waves(
            instruction.output + r * width * size, delta + p * size,
            c.theta + instruction.weights * size, c.theta + instruction.bias * size, sums,
            sums + inner * size, back, instruction.groups, n, inner // n, p, one,
        )  # fmt: skip


@fast
def pull_waves(x, dz, frequencies, phases, by_frequency, by_phase, dx, groups, n, waves, p, one):
    """Add one row's s = −2π sin 2π(c x + φ) ⊙ dz to the sums, and Σ c s to dx unless it is 0."""
    row, size = vector(x, p, one), size_of(one)
    for j in range(n):
        column = read(groups + 24 * j)
        value, place = row[column], j * waves * size
        c, phi = vector(frequencies + place, waves, one), vector(phases + place, waves, one)
        d, total = vector(dz + place, waves, one), vector(by_frequency + place, waves, one)
        shift = vector(by_phase + place, waves, one)
        slope = one - one
        for t in range(waves):
            s = -_TWO_PI * _sine(c[t] * value + phi[t]) * d[t]
            total[t] += value * s
            shift[t] += s
            slope += c[t] * s
        if dx != 0:
            vector(dx, p, one)[column] += slope


# --- blocks ---------------------------------------------------------------------------------------


def blocks_forward(context, i, k, low, high, left, right, one):
    """Y ← (the columns in no group, X_g W_g + b_g of every group g)."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, p, width = size_of(one), instruction.n_in, instruction.n_out
    n, ahead = instruction.n_groups, instruction.n_ahead
    q = (width - ahead) // n
    source = source_of(c, instruction, k, low, high, one)
    copy_runs(source, instruction.output, instruction, low, high, p, width, True, one)
    for g in range(n):
        bias = 0
        if instruction.bias >= 0:
            bias = c.theta + (instruction.bias + g * q) * size
        multiply(
            context, source + (low * p + read(instruction.groups + 24 * g)) * size, p,
            c.theta + (instruction.weights + read(instruction.groups + 24 * g + 16) * q) * size, q,
            bias, instruction.output + (low * width + ahead + g * q) * size, width, high - low, q,
            read(instruction.groups + 24 * g + 8), one,
        )  # fmt: skip


def blocks_backward(context, i, k, low, high, left, right, one):
    """DX ← dY of the columns in no group, dY_g W_gᵀ; and Σ dY_g over the tile's rows, for b."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, p, width = size_of(one), instruction.n_in, instruction.n_out
    n, ahead = instruction.n_groups, instruction.n_ahead
    q = (width - ahead) // n
    if instruction.bias >= 0:
        inner = n * q
        place = instruction.tile_sums + (2 * (low // instruction.rows_in_tile) + 1) * inner * size
        sums = vector(place, inner, one)
        for t in range(inner):
            sums[t] = one - one
        for r in range(low, high):
            d = vector(instruction.output_delta + (r * width + ahead) * size, inner, one)
            for t in range(inner):
                sums[t] += d[t]
    if instruction.input_delta == 0:
        return
    copy_runs(
        instruction.output_delta, instruction.input_delta, instruction, low, high, width, p, False,
        one,
    )  # fmt: skip
    for g in range(n):
        first, count = read(instruction.groups + 24 * g), read(instruction.groups + 24 * g + 8)
        multiply_by_transpose(
            context, instruction.output_delta + (low * width + ahead + g * q) * size, width,
            c.theta + (instruction.weights + read(instruction.groups + 24 * g + 16) * q) * size, q,
            instruction.input_delta + (low * p + first) * size, p, high - low, count, q, one,
        )  # fmt: skip


def blocks_gradient(context, i, k, low, high, left, right, one):
    """∂W_g ← X_gᵀ dY_g for all groups, over the rows of the batch."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, p, width = size_of(one), instruction.n_in, instruction.n_out
    n, ahead = instruction.n_groups, instruction.n_ahead
    q = (width - ahead) // n
    source = copied_source_of(c, instruction, k, one)
    for g in range(n):
        first, count = read(instruction.groups + 24 * g), read(instruction.groups + 24 * g + 8)
        transpose_and_multiply(
            context, source + (low * p + first) * size, p,
            instruction.output_delta + (low * width + ahead + g * q) * size, width,
            c.gradient + (instruction.weights + read(instruction.groups + 24 * g + 16) * q) * size,
            q, count, q, high - low, one,
        )  # fmt: skip


@inlined
def copy_runs(source, target, instruction, low, high, width, other, gathers, one):
    """Copy the columns in no group to the front of the target's rows, or from there back."""
    size, runs = size_of(one), instruction.groups + 24 * instruction.n_groups
    for r in range(low, high):
        front = 0
        for run in range(instruction.n_runs):
            first, count = read(runs + 16 * run), read(runs + 16 * run + 8)
            here, there = (first, front) if gathers else (front, first)
            copy_bytes(
                source + (r * width + here) * size, target + (r * other + there) * size,
                count * size,
            )  # fmt: skip
            front += count
