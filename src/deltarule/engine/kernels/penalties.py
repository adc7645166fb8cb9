"""The L1 penalty and its proximal step, compiled (items R1, R2)."""

from __future__ import annotations

from deltarule.engine.kernels.intrinsics import like, vector

__all__ = ["l1_step"]


def l1_step(theta, g, n, strength, proximal, one):
    """Add s sgn(θ) to g; or, if proximal, soft-threshold θ by s times the step size in g."""
    w, slope = vector(theta, n, one), vector(g, n, one)
    s, zero = like(one, strength), one - one
    if proximal > 0:
        for i in range(n):
            size = abs(w[i]) - slope[i] * s
            size = size if size > zero else zero
            w[i] = size if w[i] > zero else -size
    else:
        for i in range(n):
            slope[i] += s if w[i] > zero else (-s if w[i] < zero else zero)
