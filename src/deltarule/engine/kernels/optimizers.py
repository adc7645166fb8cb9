"""Optimiser steps, compiled: one kernel each, over a run of coordinates (items O1-O5).

The equations and their sources are in ``deltarule.reference.optimizers``. Every kernel is
``update(theta, g, first, second, n, constants, rate, taken, decay, keeps_size, one)``: addresses of
θ, the gradient and two averages, all (n,); the address of the optimiser's constants (a record
``OPTIMIZER``); η; the steps taken before this one; the weight decay of these coordinates; and
whether to leave the effective step size in g, for the proximal step that follows.
A kernel adds Δθ to θ.
"""

from __future__ import annotations

from math import sqrt

from deltarule.engine.kernels.intrinsics import like, optimizer_at, vector

__all__ = [
    "UPDATES",
    "adadelta",
    "adagrad",
    "adam",
    "ema_momentum",
    "nadam",
    "rmsprop",
    "rprop",
    "sgd",
]


def sgd(theta, g, first, second, n, constants, rate, taken, decay, keeps_size, one):
    """V ← μ v − η g; Δθ = v, or μ v − η g (Nesterov). Constants: momentum μ, nesterov."""
    w, slope, v = vector(theta, n, one), vector(g, n, one), vector(first, n, one)
    c = optimizer_at(constants)
    mu, eta = like(one, c.momentum), like(one, rate)
    if c.nesterov > 0:
        for i in range(n):
            v[i] = mu * v[i] - eta * slope[i]
            w[i] += mu * v[i] - eta * slope[i]
    else:
        for i in range(n):
            v[i] = mu * v[i] - eta * slope[i]
            w[i] += v[i]
    if keeps_size > 0:
        size = like(one, rate / (1.0 - c.momentum) if c.momentum < 1 else rate)
        for i in range(n):
            slope[i] = size


def ema_momentum(theta, g, first, second, n, constants, rate, taken, decay, keeps_size, one):
    """V ← β V + (1 − β) g; Δθ = −η V. Constants: beta1 = β."""
    w, slope, v = vector(theta, n, one), vector(g, n, one), vector(first, n, one)
    c = optimizer_at(constants)
    beta, rest, eta = like(one, c.beta1), like(one, 1.0 - c.beta1), like(one, rate)
    for i in range(n):
        v[i] = beta * v[i] + rest * slope[i]
        w[i] -= eta * v[i]
    if keeps_size > 0:
        for i in range(n):
            slope[i] = eta


def rmsprop(theta, g, first, second, n, constants, rate, taken, decay, keeps_size, one):
    """S ← β S + (1 − β) g²; Δθ = −η g/(√S + ε). Constants: beta2 = β, epsilon."""
    w, slope, s = vector(theta, n, one), vector(g, n, one), vector(first, n, one)
    c = optimizer_at(constants)
    beta, rest, epsilon = like(one, c.beta2), like(one, 1.0 - c.beta2), like(one, c.epsilon)
    eta = like(one, rate)
    for i in range(n):
        s[i] = beta * s[i] + rest * slope[i] * slope[i]
        size = eta / (sqrt(s[i]) + epsilon)
        w[i] -= size * slope[i]
        slope[i] = size if keeps_size > 0 else slope[i]


def adam(theta, g, first, second, n, constants, rate, taken, decay, keeps_size, one):
    """Adam; with a decay > 0 also θ ← θ − ηλθ (AdamW). Constants: beta1, beta2, epsilon."""
    w, slope = vector(theta, n, one), vector(g, n, one)
    m, v = vector(first, n, one), vector(second, n, one)
    c = optimizer_at(constants)
    beta1, rest1 = like(one, c.beta1), like(one, 1.0 - c.beta1)
    beta2, rest2 = like(one, c.beta2), like(one, 1.0 - c.beta2)
    t = taken + 1
    step = like(one, rate / (1.0 - c.beta1**t))
    # √(v/(1 − β₂ᵗ)) + ε, with one root for each entry and only one division
    root = like(one, sqrt(1.0 / (1.0 - c.beta2**t)))
    epsilon, shrink = like(one, c.epsilon), like(one, rate * decay)
    if keeps_size > 0:
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


def nadam(theta, g, first, second, n, constants, rate, taken, decay, keeps_size, one):
    """Adam with Nesterov's momentum. Constants: Adam's, and momentum_decay ψ."""
    w, slope = vector(theta, n, one), vector(g, n, one)
    m, v = vector(first, n, one), vector(second, n, one)
    c = optimizer_at(constants)
    t = taken + 1
    mu = c.beta1 * (1.0 - 0.5 * 0.96 ** (t * c.momentum_decay))
    ahead = c.beta1 * (1.0 - 0.5 * 0.96 ** ((t + 1) * c.momentum_decay))
    product = c.momentum_product * mu
    beta1, rest1 = like(one, c.beta1), like(one, 1.0 - c.beta1)
    beta2, rest2 = like(one, c.beta2), like(one, 1.0 - c.beta2)
    of_m = like(one, ahead / (1.0 - product * ahead))
    of_g = like(one, (1.0 - mu) / (1.0 - product))
    root = like(one, sqrt(1.0 / (1.0 - c.beta2**t)))
    epsilon, eta = like(one, c.epsilon), like(one, rate)
    for i in range(n):
        m[i] = beta1 * m[i] + rest1 * slope[i]
        v[i] = beta2 * v[i] + rest2 * slope[i] * slope[i]
        size = eta / (sqrt(v[i]) * root + epsilon)
        w[i] -= size * (of_m * m[i] + of_g * slope[i])
        slope[i] = size if keeps_size > 0 else slope[i]


def adagrad(theta, g, first, second, n, constants, rate, taken, decay, keeps_size, one):
    """S ← S + g²; Δθ = −η g/(√S + ε). Constants: epsilon."""
    w, slope, s = vector(theta, n, one), vector(g, n, one), vector(first, n, one)
    epsilon, eta = like(one, optimizer_at(constants).epsilon), like(one, rate)
    for i in range(n):
        s[i] += slope[i] * slope[i]
        size = eta / (sqrt(s[i]) + epsilon)
        w[i] -= size * slope[i]
        slope[i] = size if keeps_size > 0 else slope[i]


def adadelta(theta, g, first, second, n, constants, rate, taken, decay, keeps_size, one):
    """V ← ρv + (1 − ρ)g²; d = √(u + ε)/√(v + ε) g; u ← ρu + (1 − ρ)d²; Δθ = −η d.

    Constants: beta2 = ρ, epsilon.
    """
    w, slope = vector(theta, n, one), vector(g, n, one)
    v, u = vector(first, n, one), vector(second, n, one)
    c = optimizer_at(constants)
    rho, rest, epsilon = like(one, c.beta2), like(one, 1.0 - c.beta2), like(one, c.epsilon)
    eta = like(one, rate)
    for i in range(n):
        v[i] = rho * v[i] + rest * slope[i] * slope[i]
        ratio = sqrt(u[i] + epsilon) / sqrt(v[i] + epsilon)
        d = ratio * slope[i]
        u[i] = rho * u[i] + rest * d * d
        w[i] -= eta * d
        slope[i] = eta * ratio if keeps_size > 0 else slope[i]


def rprop(theta, g, first, second, n, constants, rate, taken, decay, keeps_size, one):
    """iRprop−: step sizes grow while a slope keeps its sign, and shrink when it changes.

    Constants: eta_minus, eta_plus, min_step, max_step. ``first`` holds signs, ``second`` sizes.
    """
    w, slope = vector(theta, n, one), vector(g, n, one)
    signs, sizes = vector(first, n, one), vector(second, n, one)
    c = optimizer_at(constants)
    eta_minus, eta_plus = like(one, c.eta_minus), like(one, c.eta_plus)
    min_step, max_step = like(one, c.min_step), like(one, c.max_step)
    zero, eta = one - one, like(one, rate)
    for i in range(n):
        size = sizes[i] if taken > 0 else eta
        sign = (one if slope[i] > zero else zero) - (one if slope[i] < zero else zero)
        same = sign * signs[i]
        if same > zero:
            size = min(eta_plus * size, max_step)
        elif same < zero:
            size = max(eta_minus * size, min_step)
            sign = zero
        w[i] -= sign * size
        signs[i], sizes[i] = sign, size
        slope[i] = size if keeps_size > 0 else slope[i]


UPDATES = {
    kernel.__name__: kernel
    for kernel in (
        sgd,
        ema_momentum,
        rmsprop,
        adam,
        nadam,
        adagrad,
        adadelta,
        rprop,
    )
}
