"""Losses, compiled: the loss of every row and its gradient (items L1-L4).

The equations are in ``deltarule.reference.losses``. Every kernel is
``loss(source, y, share, losses, delta, rows, columns, constants, n_constants, one)``: addresses of
outputs or logits, targets and gradients (rows, columns), of each row's share in the gradient and
of its loss (rows,). Losses are not weighted; delta_i ← share_i ∂L_i/∂source_i. If delta is 0, no
gradient is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from deltarule.engine.kernels.intrinsics import like, size_of, vector
from deltarule.engine.kernels.math_functions import (
    clipped,
    exp,
    expm1,
    formula,
    largest,
    log,
    log1p,
    polynomial,
    where,
)
from deltarule.program.opcodes import LossCode

__all__ = ["LOSSES"]


def _positive(x: Any) -> Any:
    return where(x > 0, x, 0)


def _sign(r: Any) -> Any:
    return where(r > 0, 1, where(r < 0, -1, r * 0))


def _huber(a: Any, y: Any, c: Any) -> Any:
    """½r² for |r| ≤ c, c (|r| − ½c) beyond."""
    inner = clipped(a - y, c)
    return inner * ((a - y) - 0.5 * inner)


def _pinball_slope(a: Any, y: Any, q: Any) -> Any:
    return where(a - y > 0, 1 - q, where(a - y < 0, -q, 0))


def _sigmoid_term(z: Any, y: Any, c: Any) -> Any:
    """Y softplus(−z) + (1 − y) softplus(z); both have the same logarithm."""
    return log1p(exp(-abs(z))) + (y * _positive(-z) + (1 - y) * _positive(z))


def _sigmoid_slope(z: Any, y: Any, c: Any) -> Any:
    """(1 − y) σ(z) − y σ(−z)."""
    e = exp(-abs(z))
    return ((1 - y) * where(z >= 0, 1, e) - y * where(z >= 0, e, 1)) / (1 + e)


# (e^u − 1 − u) 2/u² and (x − log(1 + x) − x t)/(−2 t³), t = x/(2 + x), in u and t²: Taylor series.
_EXP_ABOVE_LINE = tuple(2 / np.prod(np.arange(1.0, k + 1)) for k in range(2, 21))
_LINE_ABOVE_LOG = tuple(1 / k for k in range(3, 30, 2))


def _poisson(a: Any, y: Any, c: Any) -> Any:
    """A − y − y log(a/y); y (x − log(1 + x)), x = (a − y)/y, near a = y."""
    positive = y > 0
    safe = where(positive, y, 1)
    alike = positive & (a * 1e-10 < safe) & (a > safe * 1e-10)  # their ratio does not overflow
    rate = where(alike, a, safe)
    x = (rate - safe) / safe
    near = alike & (abs(x) < 0.5)
    t = where(near, x, 0) / (2 + where(near, x, 0))
    series = t * (x - 2 * t * t * polynomial(t * t, _LINE_ABOVE_LOG))
    logarithm = where(alike, log(rate / safe), log(a) - log(safe))
    return where(near, safe * series, a - y - y * logarithm)


def _distance(z: Any, y: Any) -> tuple[Any, Any, Any]:
    """Return y or 1, u = z − log y, and whether e^u − 1 would cancel as a difference."""
    safe = where(y > 0, y, 1)
    u = z - log(safe)
    return safe, u, (y > 0) & (abs(u) < 1)


def _exp_poisson(z: Any, y: Any, c: Any) -> Any:
    """E^z − y + y (log y − z) = y (e^u − 1 − u)."""
    safe, u, near = _distance(z, y)
    small = where(near, u, 0)
    series = 0.5 * small * small * polynomial(small, _EXP_ABOVE_LINE)
    return where(near, safe * series, exp(z) - y - y * u)


def _exp_poisson_slope(z: Any, y: Any, c: Any) -> Any:
    safe, u, near = _distance(z, y)
    return where(near, safe * expm1(where(near, u, 0)), exp(z) - y)


# The term of one unit and its derivative, of (source, y, c); c is the unit's constant.
_TERMS: dict[LossCode, tuple[Callable[..., Any], Callable[..., Any]]] = {
    LossCode.SQUARED_ERROR: (
        lambda a, y, c: 0.5 * ((a - y) * (a - y)),
        lambda a, y, c: a - y,
    ),
    LossCode.ABSOLUTE_ERROR: (lambda a, y, c: abs(a - y), lambda a, y, c: _sign(a - y)),
    LossCode.HUBER: (_huber, lambda a, y, c: clipped(a - y, c)),
    LossCode.QUANTILE: (lambda a, y, q: _pinball_slope(a, y, q) * (a - y), _pinball_slope),
    LossCode.POISSON: (_poisson, lambda a, y, c: (a - y) / a),
    LossCode.SIGMOID_CROSS_ENTROPY: (_sigmoid_term, _sigmoid_slope),
    LossCode.EXP_POISSON: (_exp_poisson, _exp_poisson_slope),
}
_WITH_CONSTANTS = (LossCode.HUBER, LossCode.QUANTILE)


def _sum_of_terms(code: LossCode) -> Callable[..., None]:
    """Return the kernel of a loss that is a sum over units."""
    term, slope = (formula(function) for function in _TERMS[code])
    with_constants = code in _WITH_CONSTANTS

    def loss(source, y, share, losses, delta, rows, columns, constants, n_constants, one):
        shares, totals = vector(share, rows, one), vector(losses, rows, one)
        levels = vector(constants, n_constants, 1.0)
        c, row = like(one, levels[0] if with_constants else 0.0), columns * size_of(one)
        if columns == 1:  # vectorise over the rows
            given, target = vector(source, rows, one), vector(y, rows, one)
            for i in range(rows):
                totals[i] = term(given[i], target[i], c)
            if delta != 0:
                gradient = vector(delta, rows, one)
                for i in range(rows):
                    gradient[i] = shares[i] * slope(given[i], target[i], c)
            return
        for i in range(rows):
            given = vector(source + i * row, columns, one)
            target = vector(y + i * row, columns, one)
            total = like(one, 0.0)
            for j in range(columns):
                if with_constants and n_constants > 1:
                    c = like(one, levels[j])
                total += term(given[j], target[j], c)
            totals[i] = total
            if delta != 0:
                gradient, weight = vector(delta + i * row, columns, one), shares[i]
                for j in range(columns):
                    if with_constants and n_constants > 1:
                        c = like(one, levels[j])
                    gradient[j] = weight * slope(given[j], target[j], c)

    loss.__name__ = loss.__qualname__ = f"{code.name.lower()}_loss"
    return loss


# --- softmax losses -------------------------------------------------------------------------------


def _bounded_difference(z: Any, top: Any) -> Any:
    """Return z − top, but at least minus the largest number: the difference may overflow."""
    difference = z - top
    return where(difference < -largest(z), -largest(z), difference)


_exp, _log, _log1p = formula(exp), formula(log), formula(log1p)
_below = formula(_bounded_difference)
_larger = formula(lambda x, y: where(x > y, x, y))
_less_than_one = formula(lambda e: where(e >= 1, 0, e))
_is_one = formula(lambda e: where(e >= 1, 1, 0))
_scaled = formula(lambda share, p, y: share * (p - y))


def softmax_cross_entropy_loss(
    source, y, share, losses, delta, rows, columns, constants, n_constants, one
):
    """L_i = Σ_k y_ik (m_i − z_ik) + log1p(Σ_{k≠argmax} e^{z_ik − m_i});  dL/dz = softmax(z) − y.

    The exponentials are stored in delta, and computed for all rows in one loop, because rows are
    short. The largest of a row is 1; it is left out of the sum, which so keeps its digits.
    """
    totals, shares = vector(losses, rows, one), vector(share, rows, one)
    row = columns * size_of(one)
    gradient = vector(delta, rows * columns if delta != 0 else 0, one)
    for i in range(rows):
        z, target = vector(source + i * row, columns, one), vector(y + i * row, columns, one)
        top, total = z[0], like(one, 0.0)
        for j in range(columns):
            top = _larger(z[j], top)
        if delta == 0:
            others, ties = like(one, 0.0), like(one, -1.0)
            for j in range(columns):
                below = _below(z[j], top)
                total -= target[j] * below
                others += _less_than_one(_exp(below))
                ties += _is_one(_exp(below))
            totals[i] = total + _log1p(others + ties)
        else:
            kept = vector(delta + i * row, columns, one)
            for j in range(columns):
                kept[j] = _below(z[j], top)
                total -= target[j] * kept[j]
            totals[i] = total
    if delta != 0:
        for j in range(rows * columns):
            gradient[j] = _exp(gradient[j])
        for i in range(rows):
            e, target = vector(delta + i * row, columns, one), vector(y + i * row, columns, one)
            others, ties = like(one, 0.0), like(one, -1.0)
            for j in range(columns):
                others += _less_than_one(e[j])
                ties += _is_one(e[j])
            others += ties
            totals[i] += _log1p(others)
            weight, part = shares[i], one / (one + others)
            for j in range(columns):
                e[j] = _scaled(weight, e[j] * part, target[j])


def _margin_of(z: Any, top: Any, logarithm: Any) -> Any:
    """Return z − (top + logarithm), limited to the range of the type."""
    bound = 0.5 * largest(z)
    half = 0.5 * z - 0.5 * top - 0.5 * logarithm
    return 2 * where(half > bound, bound, where(half < -bound, -bound, half))


_margin = formula(_margin_of)
_term, _slope = formula(_sigmoid_term), formula(_sigmoid_slope)


def softmax_binary_cross_entropy_loss(
    source, y, share, losses, delta, rows, columns, constants, n_constants, one
):
    """L_i = Σ_k y_k softplus(−v_k) + (1 − y_k) softplus(v_k), v_k = z_k − ℓ_k.

    ℓ_k = log Σ_{j≠k} e^{z_j}. With m the largest logit, e_j = e^{z_j − m} and T its sum, the sum
    is e^m (T − e_k) for every k but the largest, of which it needs e'_j = e^{z_j − m'}, m' the
    second. dL/dz_j = r_j − Σ_{k≠j} r_k Q_kj takes one pass, as Q_kj = e_j/(T − e_k).
    """
    zero = like(one, 0.0)
    for i in range(rows):
        row = i * columns
        z, target = vector(source, (i + 1) * columns, one), vector(y, (i + 1) * columns, one)
        gradient = vector(delta, (i + 1) * columns if delta != 0 else 0, one)
        first = row
        for j in range(row, row + columns):
            first = j if z[j] > z[first] else first
        second = row if first != row else row + (columns > 1)
        for j in range(row, row + columns):
            second = j if j != first and z[j] > z[second] else second
        top, next_top = z[first], z[second]
        others, next_others = zero, zero
        for j in range(row, row + columns):
            if j != first:
                others += _exp(_below(z[j], top))
                next_others += _exp(_below(z[j], next_top))
        total, pull, first_slope = zero, zero, zero
        for j in range(row, row + columns):
            if j == first:
                margin = _margin(z[j], next_top, _log(next_others))
            else:
                rest = max(others - _exp(_below(z[j], top)), zero)
                margin = _margin(z[j], top, _log1p(rest))
            total += _term(margin, target[j], zero)
            if delta != 0:
                slope = _slope(margin, target[j], zero)
                gradient[j] = slope
                if j == first:
                    first_slope = slope
                else:
                    pull += slope / (one + rest)
        vector(losses, rows, one)[i] = total
        if delta != 0:
            weight = vector(share, rows, one)[i]
            for j in range(row, row + columns):
                slope = gradient[j]
                if j == first:
                    gradient[j] = weight * (slope - pull)
                else:
                    e = _exp(_below(z[j], top))
                    rest = max(others - e, zero)
                    by_first = first_slope * (_exp(_below(z[j], next_top)) / next_others)
                    gradient[j] = weight * (slope - e * (pull - slope / (one + rest)) - by_first)


LOSSES: dict[int, Callable[..., None]] = {
    LossCode.SOFTMAX_CROSS_ENTROPY: softmax_cross_entropy_loss,
    LossCode.SOFTMAX_BINARY_CROSS_ENTROPY: softmax_binary_cross_entropy_loss,
    **{code: _sum_of_terms(code) for code in _TERMS},
}
