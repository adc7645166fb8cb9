"""Penalties on the weights: their values and gradients (item R1)."""

from __future__ import annotations

from deltarule.arrays import Array, array_namespace
from deltarule.tape import Tape

__all__ = ["l2", "penalty"]


def l2(w: Array, strength: float) -> tuple[float, Array]:
    """Return ½ s Σw² and its gradient s w (Schönhuth eq. 21-28; Matt R §5).

    s = λ/n on the mean loss; under plain gradient descent a step multiplies w by (1 − ηs).
    """
    xp = array_namespace(w)
    return 0.5 * strength * float(xp.sum(w * w)), strength * w


def penalty(tape: Tape, theta: Array, batch_weight: float) -> tuple[float, Array]:
    """Return the value of all penalties at θ, and its gradient (p,).

    ``batch_weight`` is Σw of the batch, by which strengths given per batch are divided.
    """
    xp = array_namespace(theta)
    value, gradient = 0.0, xp.zeros_like(theta)
    for term in tape.penalties:
        strength = term.strength / batch_weight if term.per_batch else term.strength
        part, slope = l2(theta[term.start : term.stop], strength)
        value += part
        gradient[term.start : term.stop] += slope
    return value, gradient
