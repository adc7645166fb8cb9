"""Batch normalisation, compiled: a block of columns over all rows (items N1-N3)."""

from __future__ import annotations

from math import sqrt

from deltarule.engine.kernels.memory import like, read_float, size_of, vector
from deltarule.engine.layout import (
    BIAS,
    CONSTANTS,
    CONTEXT_FIELDS,
    EXTRA,
    GRADIENT,
    LINE_FIELDS,
    LINES,
    N_OUT,
    SHARE,
    SOURCE,
    SOURCE_DELTA,
    STATISTICS,
    TARGET,
    TARGET_DELTA,
    THETA,
    WEIGHTS,
)

__all__ = ["normalize_backward", "normalize_forward", "normalize_with_population"]


def normalize_forward(context, line_at, k, low, high, left, right, one):
    """Y ← γ ⊙ (X − μ)/√(σ² + ε) + β, μ and σ² over the rows; keep x̂, μ, σ² and 1/√(σ² + ε)."""
    c, line = vector(context, CONTEXT_FIELDS, 0), vector(line_at, LINE_FIELDS, 0)
    size, width, columns, zero = size_of(one), line[N_OUT], right - left, one - one
    corner, shift = (low * width + left) * size, left * size
    mu = vector(line[STATISTICS] + shift, columns, one)
    variance = vector(line[STATISTICS] + width * size + shift, columns, one)
    factor = vector(line[STATISTICS] + 2 * width * size + shift, columns, one)
    gamma = vector(c[THETA] + line[WEIGHTS] * size + shift, columns, one)
    beta = vector(c[THETA] + line[BIAS] * size + shift, columns, one)
    share = vector(c[SHARE] + low * size, high - low, one)
    for j in range(columns):
        mu[j] = zero
        variance[j] = zero
    for i in range(high - low):
        x, p = vector(line[SOURCE] + corner + i * width * size, columns, one), share[i]
        for j in range(columns):
            mu[j] += p * x[j]
    for i in range(high - low):
        x, p = vector(line[SOURCE] + corner + i * width * size, columns, one), share[i]
        for j in range(columns):
            centred = x[j] - mu[j]
            variance[j] += p * (centred * centred)
    epsilon = like(one, read_float(c[CONSTANTS] + (line_at - c[LINES]) // LINE_FIELDS))
    for j in range(columns):
        factor[j] = one / sqrt(variance[j] + epsilon)
    for i in range(high - low):
        start = corner + i * width * size
        x, hat = (
            vector(line[SOURCE] + start, columns, one),
            vector(line[EXTRA] + start, columns, one),
        )
        y = vector(line[TARGET] + start, columns, one)
        for j in range(columns):
            hat[j] = (x[j] - mu[j]) * factor[j]
            y[j] = gamma[j] * hat[j] + beta[j]


def normalize_backward(context, line_at, k, low, high, left, right, one):
    """DX ← γ/√(σ² + ε) ⊙ (dY − p (Σ dY + x̂ ⊙ Σ dY ⊙ x̂)); dγ ← Σ dY ⊙ x̂; dβ ← Σ dY."""
    c, line = vector(context, CONTEXT_FIELDS, 0), vector(line_at, LINE_FIELDS, 0)
    size, width, columns, zero = size_of(one), line[N_OUT], right - left, one - one
    corner, shift = (low * width + left) * size, left * size
    factor = vector(line[STATISTICS] + 2 * width * size + shift, columns, one)
    gamma = vector(c[THETA] + line[WEIGHTS] * size + shift, columns, one)
    along = vector(c[GRADIENT] + line[WEIGHTS] * size + shift, columns, one)
    total = vector(c[GRADIENT] + line[BIAS] * size + shift, columns, one)
    share = vector(c[SHARE] + low * size, high - low, one)
    for j in range(columns):
        along[j] = zero
        total[j] = zero
    for i in range(high - low):
        start = corner + i * width * size
        hat, dy = (
            vector(line[EXTRA] + start, columns, one),
            vector(line[TARGET_DELTA] + start, columns, one),
        )
        for j in range(columns):
            along[j] += dy[j] * hat[j]
            total[j] += dy[j]
    for i in range(high - low):
        start, p = corner + i * width * size, share[i]
        hat, dy = (
            vector(line[EXTRA] + start, columns, one),
            vector(line[TARGET_DELTA] + start, columns, one),
        )
        dx = vector(line[SOURCE_DELTA] + start, columns, one)
        for j in range(columns):
            dx[j] = gamma[j] * factor[j] * (dy[j] - p * (total[j] + hat[j] * along[j]))


def normalize_with_population(context, line_at, k, low, high, left, right, one):
    """Y ← γ ⊙ (X − μ)/√(σ² + ε) + β with the statistics that are kept: an affine map of X."""
    c, line = vector(context, CONTEXT_FIELDS, 0), vector(line_at, LINE_FIELDS, 0)
    size, width = size_of(one), line[N_OUT]
    mu = vector(line[STATISTICS], width, one)
    factor = vector(line[STATISTICS] + 2 * width * size, width, one)
    gamma = vector(c[THETA] + line[WEIGHTS] * size, width, one)
    beta = vector(c[THETA] + line[BIAS] * size, width, one)
    for i in range(low, high):
        x = vector(line[SOURCE] + i * width * size, width, one)
        y = vector(line[TARGET] + i * width * size, width, one)
        for j in range(width):
            y[j] = gamma[j] * ((x[j] - mu[j]) * factor[j]) + beta[j]
