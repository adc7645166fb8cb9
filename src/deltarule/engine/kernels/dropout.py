"""Dropout, compiled: Philox4x32-10 in the loop (item R3; ``deltarule.reference.dropout``).

Kernels take ``(context, i, k, low, high, left, right, one)``, as in ``forward_backward``.
"""

from __future__ import annotations

import numpy as np

from deltarule.engine.kernels.gather import inputs_of_batch
from deltarule.engine.kernels.intrinsics import (
    context_at,
    fast,
    instruction_at,
    like,
    read,
    size_of,
    vector,
)

__all__ = ["dropout_backward", "dropout_forward", "word_of"]

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


@fast
def philox(c0, c1, c2, c3, seed):
    """Return the four words of one counter under a 64-bit key, as in the reference."""
    k0, k1 = seed & _LOW, (seed >> _SHIFT) & _LOW
    for _ in range(10):
        first, second = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (
            (second >> _SHIFT) ^ c1 ^ k0,
            second & _LOW,
            (first >> _SHIFT) ^ c3 ^ k1,
            first & _LOW,
        )
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@fast
def word_of(unit, row, step, number, seed):
    """Return the random word, below 2³², that decides whether a unit of a row is kept."""
    words = philox(
        np.uint64(unit // 4), np.uint64(row), np.uint64(step) & _LOW, np.uint64(number),
        np.uint64(seed),
    )  # fmt: skip
    place = unit % 4
    word = words[0]
    if place == 1:
        word = words[1]
    elif place == 2:
        word = words[2]
    elif place == 3:
        word = words[3]
    return float(word)


def dropout_forward(context, i, k, low, high, left, right, one):
    """Y ← X ⊙ mask/p over a tile whose first column is a multiple of 4; store the factors."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, width, columns = size_of(one), instruction.n_out, right - left
    source = instruction.input
    if source == 0:
        source = inputs_of_batch(c, k, one)
    keep = instruction.constant
    scale, zero, bound = like(one, 1.0 / keep), one - one, keep * 4294967296.0
    seed, step, number = c.seed, read(c.state_step), instruction.code
    key, c2, c3 = np.uint64(seed), np.uint64(step) & _LOW, np.uint64(number)
    for r in range(low, high):
        start = (r * width + left) * size
        x, y = (
            vector(source + start, columns, one),
            vector(instruction.output + start, columns, one),
        )
        f = vector(instruction.extra + start, columns, one)
        c1 = np.uint64(c.first_row + r)
        quads = columns // 4
        for q in range(quads):
            w0, w1, w2, w3 = philox(np.uint64(left // 4 + q), c1, c2, c3, key)
            f[4 * q] = scale if float(w0) < bound else zero
            f[4 * q + 1] = scale if float(w1) < bound else zero
            f[4 * q + 2] = scale if float(w2) < bound else zero
            f[4 * q + 3] = scale if float(w3) < bound else zero
        for j in range(4 * quads, columns):
            word = word_of(left + j, c.first_row + r, step, number, seed)
            f[j] = scale if word < bound else zero
        for j in range(columns):
            y[j] = x[j] * f[j]


def dropout_backward(context, i, k, low, high, left, right, one):
    """DX ← dY ⊙ mask/p, in place."""
    instruction = instruction_at(context_at(context).instructions, i)
    size, width, columns = size_of(one), instruction.n_out, right - left
    for r in range(low, high):
        start = (r * width + left) * size
        f, d = (
            vector(instruction.extra + start, columns, one),
            vector(instruction.input_delta + start, columns, one),
        )
        for j in range(columns):
            d[j] *= f[j]
