"""Batch normalisation, compiled: a tile of columns over all rows (items N1-N3).

Kernels take ``(context, i, k, low, high, left, right, one)``, as in ``forward_backward``.
"""

from __future__ import annotations

from math import sqrt

from deltarule.engine.kernels.intrinsics import (
    context_at,
    instruction_at,
    like,
    population_at,
    read,
    read_float,
    size_of,
    vector,
)

__all__ = [
    "normalize_backward",
    "normalize_forward",
    "normalize_with_population",
    "update_population",
]


def normalize_forward(context, i, k, low, high, left, right, one):
    """Y ← γ ⊙ (X − μ)/√(σ² + ε) + β, μ and σ² over the rows; store x̂, μ, σ² and 1/√(σ² + ε)."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, width, columns, zero = size_of(one), instruction.n_out, right - left, one - one
    corner, shift = (low * width + left) * size, left * size
    mu = vector(instruction.statistics + shift, columns, one)
    variance = vector(instruction.statistics + width * size + shift, columns, one)
    factor = vector(instruction.statistics + 2 * width * size + shift, columns, one)
    gamma = vector(c.theta + instruction.weights * size + shift, columns, one)
    beta = vector(c.theta + instruction.bias * size + shift, columns, one)
    share = vector(c.share + low * size, high - low, one)
    for j in range(columns):
        mu[j] = zero
        variance[j] = zero
    for r in range(high - low):
        x, p = vector(instruction.input + corner + r * width * size, columns, one), share[r]
        for j in range(columns):
            mu[j] += p * x[j]
    for r in range(high - low):
        x, p = vector(instruction.input + corner + r * width * size, columns, one), share[r]
        for j in range(columns):
            centred = x[j] - mu[j]
            variance[j] += p * (centred * centred)
    epsilon = like(one, instruction.constant)
    for j in range(columns):
        factor[j] = one / sqrt(variance[j] + epsilon)
    for r in range(high - low):
        start = corner + r * width * size
        x, hat = (
            vector(instruction.input + start, columns, one),
            vector(instruction.extra + start, columns, one),
        )
        y = vector(instruction.output + start, columns, one)
        for j in range(columns):
            hat[j] = (x[j] - mu[j]) * factor[j]
            y[j] = gamma[j] * hat[j] + beta[j]


def normalize_backward(context, i, k, low, high, left, right, one):
    """DX ← γ/√(σ² + ε) ⊙ (dY − p (Σ dY + x̂ ⊙ Σ dY ⊙ x̂)); dγ ← Σ dY ⊙ x̂; dβ ← Σ dY."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, width, columns, zero = size_of(one), instruction.n_out, right - left, one - one
    corner, shift = (low * width + left) * size, left * size
    factor = vector(instruction.statistics + 2 * width * size + shift, columns, one)
    gamma = vector(c.theta + instruction.weights * size + shift, columns, one)
    along = vector(c.gradient + instruction.weights * size + shift, columns, one)
    total = vector(c.gradient + instruction.bias * size + shift, columns, one)
    share = vector(c.share + low * size, high - low, one)
    for j in range(columns):
        along[j] = zero
        total[j] = zero
    for r in range(high - low):
        start = corner + r * width * size
        hat, dy = (
            vector(instruction.extra + start, columns, one),
            vector(instruction.output_delta + start, columns, one),
        )
        for j in range(columns):
            along[j] += dy[j] * hat[j]
            total[j] += dy[j]
    for r in range(high - low):
        start, p = corner + r * width * size, share[r]
        hat, dy = (
            vector(instruction.extra + start, columns, one),
            vector(instruction.output_delta + start, columns, one),
        )
        dx = vector(instruction.input_delta + start, columns, one)
        for j in range(columns):
            dx[j] = gamma[j] * factor[j] * (dy[j] - p * (total[j] + hat[j] * along[j]))


def normalize_with_population(context, i, k, low, high, left, right, one):
    """Y ← γ ⊙ (X − μ)/√(σ² + ε) + β with the population's statistics: an affine map of X."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    size, width = size_of(one), instruction.n_out
    mu = vector(instruction.statistics, width, one)
    factor = vector(instruction.statistics + 2 * width * size, width, one)
    gamma = vector(c.theta + instruction.weights * size, width, one)
    beta = vector(c.theta + instruction.bias * size, width, one)
    for r in range(low, high):
        x = vector(instruction.input + r * width * size, width, one)
        y = vector(instruction.output + r * width * size, width, one)
        for j in range(width):
            y[j] = gamma[j] * ((x[j] - mu[j]) * factor[j]) + beta[j]


def update_population(context, i, k, one):
    """Average the mean and variance of batch k into those that prediction uses (item N3)."""
    c = context_at(context)
    instruction = instruction_at(c.instructions, i)
    width = instruction.n_out
    batch = vector(instruction.statistics, 2 * width, one)
    kept = vector(instruction.population_statistics, 2 * width, one)
    population = population_at(instruction.population)
    batch_weight = read_float(c.batch_weights + 8 * k)
    share, correction = population.momentum, 1.0
    if population.is_corrected == 0:  # b/(b − 1), b the number of rows with a weight above 0
        rows = read(c.bounds + 8 * (k + 1)) - read(c.bounds + 8 * k)
        p, b = vector(c.share, rows, one), 0.0
        for r in range(rows):
            b += 1.0 if p[r] > 0 else 0.0
        correction = b / (b - 1.0)
    if share == 0.0:
        if k == 0 and population.is_corrected == 0:
            population.weight_seen = 0.0
        share = batch_weight / (population.weight_seen + batch_weight)
        population.weight_seen += batch_weight
    new, old, new_variance = like(one, share), like(one, 1.0 - share), like(one, share * correction)
    for j in range(width):
        kept[j] = old * kept[j] + new * batch[j]
        kept[width + j] = old * kept[width + j] + new_variance * batch[width + j]
