"""Batch normalisation, compiled: a block of columns over all rows (items N1-N3)."""

from __future__ import annotations

from math import sqrt

from deltarule.engine.kernels.memory import like, size_of, vector

__all__ = ["normalize_backward", "normalize_forward", "normalize_with_population"]


def normalize_forward(
    x, y, normal, statistics, gamma, beta, share, rows, columns, stride, epsilon, one
):
    """Y ← γ ⊙ (X − μ)/√(σ² + ε) + β, μ and σ² over the rows; keep x̂, μ, σ² and the factor.

    ``statistics`` leads to μ; σ² and 1/√(σ² + ε) follow ``stride`` and 2 ``stride`` further on.
    """
    size, zero = size_of(one), one - one
    mu = vector(statistics, columns, one)
    variance = vector(statistics + stride * size, columns, one)
    factor = vector(statistics + 2 * stride * size, columns, one)
    g, b, p = vector(gamma, columns, one), vector(beta, columns, one), vector(share, rows, one)
    for j in range(columns):
        mu[j] = zero
        variance[j] = zero
    for i in range(rows):
        given, q = vector(x + i * stride * size, columns, one), p[i]
        for j in range(columns):
            mu[j] += q * given[j]
    for i in range(rows):
        given, q = vector(x + i * stride * size, columns, one), p[i]
        for j in range(columns):
            centred = given[j] - mu[j]
            variance[j] += q * (centred * centred)
    for j in range(columns):
        factor[j] = one / sqrt(variance[j] + like(one, epsilon))
    for i in range(rows):
        start = i * stride * size
        given, hat = vector(x + start, columns, one), vector(normal + start, columns, one)
        target = vector(y + start, columns, one)
        for j in range(columns):
            hat[j] = (given[j] - mu[j]) * factor[j]
            target[j] = g[j] * hat[j] + b[j]


def normalize_backward(
    normal, dy, dx, statistics, gamma, dgamma, dbeta, share, rows, columns, stride, one
):
    """DX ← γ/√(σ² + ε) ⊙ (dY − p (Σ dY + x̂ ⊙ Σ dY ⊙ x̂)); dγ ← Σ dY ⊙ x̂; dβ ← Σ dY."""
    size, zero = size_of(one), one - one
    factor = vector(statistics + 2 * stride * size, columns, one)
    g, p = vector(gamma, columns, one), vector(share, rows, one)
    along, total = vector(dgamma, columns, one), vector(dbeta, columns, one)
    for j in range(columns):
        along[j] = zero
        total[j] = zero
    for i in range(rows):
        start = i * stride * size
        hat, d = vector(normal + start, columns, one), vector(dy + start, columns, one)
        for j in range(columns):
            along[j] += d[j] * hat[j]
            total[j] += d[j]
    for i in range(rows):
        start, q = i * stride * size, p[i]
        hat, d = vector(normal + start, columns, one), vector(dy + start, columns, one)
        target = vector(dx + start, columns, one)
        for j in range(columns):
            target[j] = g[j] * factor[j] * (d[j] - q * (total[j] + hat[j] * along[j]))


def normalize_with_population(
    x, y, normal, statistics, gamma, beta, share, rows, columns, stride, epsilon, one
):
    """Y ← γ ⊙ (X − μ)/√(σ² + ε) + β with the statistics that are kept: an affine map of X."""
    size = size_of(one)
    mu = vector(statistics, columns, one)
    factor = vector(statistics + 2 * stride * size, columns, one)
    g, b = vector(gamma, columns, one), vector(beta, columns, one)
    for i in range(rows):
        start = i * stride * size
        given, target = vector(x + start, columns, one), vector(y + start, columns, one)
        for j in range(columns):
            target[j] = g[j] * ((given[j] - mu[j]) * factor[j]) + b[j]
