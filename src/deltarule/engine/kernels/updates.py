"""Optimiser steps, compiled: one kernel each, over a run of coordinates (items O1-O5).

The equations and their sources stand in ``deltarule.reference.optimizers``. Every kernel is
``update(theta, g, first, second, n, rate, taken, constants, decay, keep_size, numbers, one)``:
addresses of θ, the gradient and two averages, all (n,); η; the steps taken before this one; the
optimiser's constants; the weight decay of these coordinates; whether the effective step is left
in g, for the proximal step after it; and the run's single numbers. Δθ has been added to θ when it
returns.
"""

from __future__ import annotations

from math import sqrt

from deltarule.engine.kernels.memory import like, read_float, vector
from deltarule.engine.layout import N_UPDATE_CONSTANTS, NADAM_DECAY, NADAM_PRODUCT

__all__ = [
    "UPDATES",
    "adadelta",
    "adagrad",
    "adam",
    "momentum_average",
    "nadam",
    "rmsprop",
    "rprop",
    "sgd",
]


def sgd(theta, g, first, second, n, rate, taken, constants, decay, keep_size, numbers, one):
    """V ← μ v − η g; Δθ = v, or μ v − η g (Nesterov). Constants: μ, nesterov."""
    w, slope, v = vector(theta, n, one), vector(g, n, one), vector(first, n, one)
    c = vector(constants, 2, 1.0)
    mu, eta = like(one, c[0]), like(one, rate)
    if c[1] > 0:
        for i in range(n):
            v[i] = mu * v[i] - eta * slope[i]
            w[i] += mu * v[i] - eta * slope[i]
    else:
        for i in range(n):
            v[i] = mu * v[i] - eta * slope[i]
            w[i] += v[i]
    if keep_size > 0:
        size = like(one, rate / (1.0 - c[0]) if c[0] < 1 else rate)
        for i in range(n):
            slope[i] = size


def momentum_average(
    theta, g, first, second, n, rate, taken, constants, decay, keep_size, numbers, one
):
    """V ← β V + (1 − β) g; Δθ = −η V. Constants: β."""
    w, slope, v = vector(theta, n, one), vector(g, n, one), vector(first, n, one)
    c = vector(constants, 1, 1.0)
    beta, rest, eta = like(one, c[0]), like(one, 1.0 - c[0]), like(one, rate)
    for i in range(n):
        v[i] = beta * v[i] + rest * slope[i]
        w[i] -= eta * v[i]
    if keep_size > 0:
        for i in range(n):
            slope[i] = eta


def rmsprop(theta, g, first, second, n, rate, taken, constants, decay, keep_size, numbers, one):
    """S ← β S + (1 − β) g²; Δθ = −η g/(√S + ε). Constants: β, ε."""
    w, slope, s = vector(theta, n, one), vector(g, n, one), vector(first, n, one)
    c = vector(constants, 2, 1.0)
    beta, rest, epsilon = like(one, c[0]), like(one, 1.0 - c[0]), like(one, c[1])
    eta = like(one, rate)
    for i in range(n):
        s[i] = beta * s[i] + rest * slope[i] * slope[i]
        size = eta / (sqrt(s[i]) + epsilon)
        w[i] -= size * slope[i]
        slope[i] = size if keep_size > 0 else slope[i]


def adam(theta, g, first, second, n, rate, taken, constants, decay, keep_size, numbers, one):
    """Adam; with a decay > 0 also θ ← θ − ηλθ (AdamW). Constants: β₁, β₂, ε."""
    w, slope = vector(theta, n, one), vector(g, n, one)
    m, v = vector(first, n, one), vector(second, n, one)
    c = vector(constants, 3, 1.0)
    beta1, rest1 = like(one, c[0]), like(one, 1.0 - c[0])
    beta2, rest2 = like(one, c[1]), like(one, 1.0 - c[1])
    t = taken + 1
    step = like(one, rate / (1.0 - c[0] ** t))
    # √(v/(1 − β₂ᵗ)) + ε, with one root an entry and no division but the last
    root = like(one, sqrt(1.0 / (1.0 - c[1] ** t)))
    epsilon, shrink = like(one, c[2]), like(one, rate * decay)
    if keep_size > 0:
        eta = like(one, rate)
        for i in range(n):
            m[i] = beta1 * m[i] + rest1 * slope[i]
            v[i] = beta2 * v[i] + rest2 * slope[i] * slope[i]
            denominator = sqrt(v[i]) * root + epsilon
            w[i] -= step * m[i] / denominator + shrink * w[i]
            slope[i] = eta / denominator
    elif decay > 0:
        for i in range(n):
            m[i] = beta1 * m[i] + rest1 * slope[i]
            v[i] = beta2 * v[i] + rest2 * slope[i] * slope[i]
            w[i] -= step * m[i] / (sqrt(v[i]) * root + epsilon) + shrink * w[i]
    else:
        for i in range(n):
            m[i] = beta1 * m[i] + rest1 * slope[i]
            v[i] = beta2 * v[i] + rest2 * slope[i] * slope[i]
            w[i] -= step * m[i] / (sqrt(v[i]) * root + epsilon)


def nadam(theta, g, first, second, n, rate, taken, constants, decay, keep_size, numbers, one):
    """Adam with Nesterov's momentum. Constants: β₁, β₂, ε, and ψ in its own place."""
    w, slope = vector(theta, n, one), vector(g, n, one)
    m, v = vector(first, n, one), vector(second, n, one)
    c = vector(constants, N_UPDATE_CONSTANTS, 1.0)
    t = taken + 1
    mu = c[0] * (1.0 - 0.5 * 0.96 ** (t * c[NADAM_DECAY]))
    ahead = c[0] * (1.0 - 0.5 * 0.96 ** ((t + 1) * c[NADAM_DECAY]))
    product = read_float(numbers + 8 * NADAM_PRODUCT) * mu
    beta1, rest1 = like(one, c[0]), like(one, 1.0 - c[0])
    beta2, rest2 = like(one, c[1]), like(one, 1.0 - c[1])
    of_m = like(one, ahead / (1.0 - product * ahead))
    of_g = like(one, (1.0 - mu) / (1.0 - product))
    root = like(one, sqrt(1.0 / (1.0 - c[1] ** t)))
    epsilon, eta = like(one, c[2]), like(one, rate)
    for i in range(n):
        m[i] = beta1 * m[i] + rest1 * slope[i]
        v[i] = beta2 * v[i] + rest2 * slope[i] * slope[i]
        size = eta / (sqrt(v[i]) * root + epsilon)
        w[i] -= size * (of_m * m[i] + of_g * slope[i])
        slope[i] = size if keep_size > 0 else slope[i]


def adagrad(theta, g, first, second, n, rate, taken, constants, decay, keep_size, numbers, one):
    """S ← S + g²; Δθ = −η g/(√S + ε). Constants: ε."""
    w, slope, s = vector(theta, n, one), vector(g, n, one), vector(first, n, one)
    epsilon, eta = like(one, vector(constants, 1, 1.0)[0]), like(one, rate)
    for i in range(n):
        s[i] += slope[i] * slope[i]
        size = eta / (sqrt(s[i]) + epsilon)
        w[i] -= size * slope[i]
        slope[i] = size if keep_size > 0 else slope[i]


def adadelta(theta, g, first, second, n, rate, taken, constants, decay, keep_size, numbers, one):
    """V ← ρv + (1 − ρ)g²; d = √(u + ε)/√(v + ε) g; u ← ρu + (1 − ρ)d²; Δθ = −η d.

    Constants: ρ, ε.
    """
    w, slope = vector(theta, n, one), vector(g, n, one)
    v, u = vector(first, n, one), vector(second, n, one)
    c = vector(constants, 2, 1.0)
    rho, rest, epsilon = like(one, c[0]), like(one, 1.0 - c[0]), like(one, c[1])
    eta = like(one, rate)
    for i in range(n):
        v[i] = rho * v[i] + rest * slope[i] * slope[i]
        ratio = sqrt(u[i] + epsilon) / sqrt(v[i] + epsilon)
        d = ratio * slope[i]
        u[i] = rho * u[i] + rest * d * d
        w[i] -= eta * d
        slope[i] = eta * ratio if keep_size > 0 else slope[i]


def rprop(theta, g, first, second, n, rate, taken, constants, decay, keep_size, numbers, one):
    """iRprop−: sizes grow while a slope keeps its sign and shrink where it turned.

    Constants: η⁻, η⁺, smallest, largest. ``first`` holds signs, ``second`` sizes.
    """
    w, slope = vector(theta, n, one), vector(g, n, one)
    signs, sizes = vector(first, n, one), vector(second, n, one)
    c = vector(constants, 4, 1.0)
    shrink, grow = like(one, c[0]), like(one, c[1])
    smallest, largest = like(one, c[2]), like(one, c[3])
    zero, eta = one - one, like(one, rate)
    for i in range(n):
        size = sizes[i] if taken > 0 else eta
        sign = (one if slope[i] > zero else zero) - (one if slope[i] < zero else zero)
        same = sign * signs[i]
        if same > zero:
            size = min(grow * size, largest)
        elif same < zero:
            size = max(shrink * size, smallest)
            sign = zero
        w[i] -= sign * size
        signs[i], sizes[i] = sign, size
        slope[i] = size if keep_size > 0 else slope[i]


UPDATES = {
    kernel.__name__: kernel
    for kernel in (
        sgd,
        momentum_average,
        rmsprop,
        adam,
        nadam,
        adagrad,
        adadelta,
        rprop,
    )
}
