"""Penalties on the weights, their proximal steps, and projections (items R1, R2, R5)."""

from __future__ import annotations

from deltarule.program.opcodes import ConstraintCode, PenaltyCode
from deltarule.program.tape import Constraint, Penalty, Tape
from deltarule.utils.arrays import Array, array_namespace

__all__ = ["l1", "l2", "max_norm", "penalty", "penalty_curvature", "project", "shrink", "soften"]


def l2(w: Array, strength: float) -> tuple[float, Array]:
    """Return ½ s Σw² and its gradient s w (Schönhuth eq. 21-28; Matt R §5).

    s = λ/n on the mean loss; under plain gradient descent a step multiplies w by (1 − ηs).
    """
    xp = array_namespace(w)
    return 0.5 * strength * float(xp.sum(w * w)), strength * w


def l1(w: Array, strength: float) -> tuple[float, Array]:
    """Return s Σ|w| and its gradient s sgn(w), with sgn(0) = 0 (Schönhuth eq. 39-41; E-j)."""
    xp = array_namespace(w)
    return strength * float(xp.sum(xp.abs(w))), strength * xp.sign(w)


def soften(w: Array, threshold: Array | float) -> Array:
    """Return sgn(w) max(|w| − t, 0), the proximal map of t|w|, which gives exact zeros."""
    xp = array_namespace(w)
    return xp.sign(w) * xp.maximum(xp.abs(w) - threshold, xp.zeros_like(w))


def max_norm(w: Array, limit: float) -> Array:
    """Return w (p, q) with every column of norm > limit scaled to norm = limit."""
    xp = array_namespace(w)
    largest = xp.max(xp.abs(w), axis=0)
    ones = xp.ones_like(largest)
    scaled = w / xp.where(largest > 0, largest, ones)  # so that no square overflows
    norms = largest * xp.sqrt(xp.sum(scaled * scaled, axis=0))
    return w * xp.where(norms > limit, limit / xp.where(norms > limit, norms, ones), ones)


def penalty(tape: Tape, theta: Array, batch_weight: float) -> tuple[float, Array]:
    """Return the value of all penalties at θ, and the gradient (p,) of those that have one.

    ``batch_weight`` is Σw of the batch; strengths with ``normalization="batch"`` are divided by it.
    Proximal penalties are part of the value, but their step is :func:`shrink`.
    """
    xp = array_namespace(theta)
    value, gradient = 0.0, xp.zeros_like(theta)
    for term in tape.penalties:
        w = theta[term.start : term.stop]
        part, slope = (l2 if term.code == PenaltyCode.L2 else l1)(w, _strength(term, batch_weight))
        value += part
        if term.code != PenaltyCode.PROXIMAL_L1:
            gradient[term.start : term.stop] += slope
    return value, gradient


def penalty_curvature(tape: Tape, v: Array, batch_weight: float) -> Array:
    """Return the Hessian of the penalties times v: s v on weights with L2, and 0 with L1."""
    result = array_namespace(v).zeros_like(v)
    for term in tape.penalties:
        if term.code == PenaltyCode.L2:
            part = slice(term.start, term.stop)
            result[part] += _strength(term, batch_weight) * v[part]
    return result


def shrink(tape: Tape, theta: Array, step_size: Array, batch_weight: float) -> Array:
    """Return θ after the proximal steps, which shrink every penalised weight by η s."""
    for term in tape.penalties:
        if term.code == PenaltyCode.PROXIMAL_L1:
            part = slice(term.start, term.stop)
            theta[part] = soften(theta[part], step_size[part] * _strength(term, batch_weight))
    return theta


def project(tape: Tape, theta: Array) -> Array:
    """Return θ with the weights projected onto every constraint (item R5; Ayrapetyan §4.1)."""
    for constraint in tape.constraints:
        if constraint.code == ConstraintCode.UNIT_NORM:
            _project_units(theta, constraint)
        else:
            _project_all(theta, constraint)
    return theta


def _project_units(theta: Array, constraint: Constraint) -> None:
    xp = array_namespace(theta)
    for start, rows, columns in constraint.matrices:
        part = slice(start, start + rows * columns)
        w = max_norm(xp.reshape(theta[part], (rows, columns)), constraint.limit)
        theta[part] = xp.reshape(w, (-1,))


def _project_all(theta: Array, constraint: Constraint) -> None:
    xp = array_namespace(theta)
    parts = [slice(start, start + rows * columns) for start, rows, columns in constraint.matrices]
    largest = max(float(xp.max(xp.abs(theta[part]))) for part in parts)
    if largest == 0:
        return
    norm = largest * sum(float(xp.sum((theta[part] / largest) ** 2)) for part in parts) ** 0.5
    if norm > constraint.limit:
        for part in parts:
            theta[part] = theta[part] * (constraint.limit / norm)


def _strength(term: Penalty, batch_weight: float) -> float:
    return term.strength / batch_weight if term.per_batch else term.strength
