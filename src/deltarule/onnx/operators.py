"""The activations in ONNX operators, by their codes on the tape.

No formula overflows or loses digits by cancellation, for any finite z. All formulas run in float32
and float64: they use only operators for which ONNX Runtime has float64 kernels. If ONNX's operator
of the activation has no float64 kernel (Elu, Softplus, …) or is inaccurate, a formula replaces it.
No formula ends with a factor or divisor for all entries: ONNX Runtime merges these with a MatMul
that follows, and rounds them to float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import sqrt
from typing import Any, TypeAlias

import numpy as np

from deltarule.onnx.graph import Graph
from deltarule.program.opcodes import ActivationCode

__all__ = ["activate", "logistic"]

_SELU_ALPHA = 1.6732632423543772
_SELU_SCALE = 1.0507009873554805

Operator: TypeAlias = Callable[[Graph, str, float], str]


def activate(g: Graph, code: int, z: str, constant: float = 0.0) -> str:
    """Append an activation, and return its value."""
    return _OPERATORS[ActivationCode(code)](g, z, constant)


def logistic(g: Graph, z: str) -> str:
    """Append σ(z) = (1 or e)/(1 + e) with e = e^{−|z|}, and return its value.

    The Sigmoid of runtimes is inaccurate somewhere below −18, which does not matter inside a
    network. This formula keeps all digits of small probabilities and of z σ(z).
    """
    e = _exp_of_minus_abs(g, z)
    one = g.number(1.0)
    above = g.node("Where", g.node("Less", z, g.number(0.0)), e, one)
    return g.node("Div", above, g.node("Add", e, one))


def _one(operator: str, **attributes: Any) -> Operator:
    """Return a function that appends one operator of ONNX."""

    def append(g: Graph, z: str, constant: float) -> str:
        return g.node(operator, z, **attributes)

    return append


def _identity(g: Graph, z: str, constant: float) -> str:
    return z


def _leaky_relu(g: Graph, z: str, slope: float) -> str:
    """max(z, βz), for 0 ≤ β ≤ 1."""
    return g.node("Max", z, g.node("Mul", z, g.number(slope)))


def _elu(g: Graph, z: str, alpha: float) -> str:
    """max(z, 0) + α(e^m − 1), m = min(z, 0)."""
    return g.node("Add", g.node("Relu", z), g.node("Mul", _expm1_below(g, z), g.number(alpha)))


def _expm1_below(g: Graph, z: str) -> str:
    """e^m − 1, m = min(z, 0), as tanh(m/2)(e^m + 1), which does not cancel."""
    m = g.node("Min", z, g.number(0.0))
    half = g.node("Tanh", g.node("Mul", m, g.number(0.5)))
    return g.node("Mul", half, g.node("Add", g.node("Exp", m), g.number(1.0)))


def _selu(g: Graph, z: str, constant: float) -> str:
    below = g.node("Mul", _expm1_below(g, z), g.number(_SELU_ALPHA * _SELU_SCALE))
    return g.node("Add", g.node("Mul", g.node("Relu", z), g.number(_SELU_SCALE)), below)


def _silu(g: Graph, z: str, constant: float) -> str:
    return g.node("Mul", z, logistic(g, z))


def _softplus(g: Graph, z: str, constant: float) -> str:
    """max(z, 0) + log(1 + e), e = e^{−|z|}.

    The logarithm is log d + (e − (d − 1))/d; the quotient corrects the rounding of d = 1 + e.
    """
    e = _exp_of_minus_abs(g, z)
    one = g.number(1.0)
    d = g.node("Add", e, one)
    lost = g.node("Sub", e, g.node("Sub", d, one))
    log1p = g.node("Add", g.node("Log", d), g.node("Div", lost, d))
    return g.node("Add", g.node("Relu", z), log1p)


def _mish(g: Graph, z: str, constant: float) -> str:
    """The product of z and w = tanh(softplus(z)), by e = e^{−|z|}.

    w = n/(n + 2), n = e(e + 2), below 0; w = (1 + 2e)/(1 + 2e + 2e²) above.
    """
    e = _exp_of_minus_abs(g, z)
    below = g.node("Less", z, g.number(0.0))
    one, two = g.number(1.0), g.number(2.0)
    n = g.node("Mul", e, g.node("Add", e, two))
    m = g.node("Add", g.node("Mul", e, two), one)
    d = g.node("Add", g.node("Mul", g.node("Mul", e, e), two), m)
    above = g.node("Where", below, n, m)
    w = g.node("Div", above, g.node("Where", below, g.node("Add", n, two), d))
    return g.node("Mul", z, w)


def _softsign(g: Graph, z: str, constant: float) -> str:
    return g.node("Div", z, g.node("Add", g.node("Abs", z), g.number(1.0)))


def _hard_sigmoid(g: Graph, z: str, constant: float) -> str:
    line = g.node("Div", g.node("Add", z, g.number(3.0)), g.number(6.0))
    return g.node("Clip", line, g.number(0.0), g.number(1.0))


def _hard_tanh(g: Graph, z: str, constant: float) -> str:
    return g.node("Clip", z, g.number(-1.0), g.number(1.0))


def _gelu(g: Graph, z: str, constant: float) -> str:
    """The product of z and Φ(z) = (1 + erf(z/√2))/2.

    In float64, for which runtimes have no Erf, it is computed as max(z, 0) − |z| Φ(−|z|) with
    Φ(−|z|) = ½ e^{−z²/2} p(t)/(1 + 2x), x = |z|/√2, and the polynomial p of :func:`_tail`.
    """
    one, half = g.number(1.0), g.number(0.5)
    if g.dtype == np.float32:
        erf = g.node("Erf", g.node("Div", z, g.number(sqrt(2))))
        return g.node("Mul", g.node("Mul", z, half), g.node("Add", erf, one))
    size = g.node("Abs", z)
    x = g.node("Div", size, g.number(sqrt(2)))
    t = g.node("Div", g.node("Sub", x, g.number(_KNEE)), g.node("Add", x, g.number(_KNEE)))
    highest, *rest = _tail()
    p = g.number(highest)
    for coefficient in rest:
        p = g.node("Add", g.node("Mul", p, t), g.number(coefficient))
    square = g.node("Mul", g.node("Mul", z, z), g.number(-0.5))
    below = g.node("Div", p, g.node("Add", g.node("Mul", x, g.number(2.0)), one))
    tail = g.node("Mul", g.node("Mul", g.node("Exp", square), below), half)
    return g.node("Sub", g.node("Relu", z), g.node("Mul", size, tail))


_KNEE, _DEGREE = 3.75, 22


@cache
def _tail() -> tuple[float, ...]:
    """Return the coefficients, highest first, of p(t) ≈ (1 + 2x) e^{x²} erfc(x) for all x ≥ 0.

    The polynomial interpolates at the Chebyshev points of t = (x − k)/(x + k) in (−1, 1), with a
    relative error of 2e-15 (Shepherd & Laframboise 1981, with k = 3.75).
    """
    from numpy.polynomial import chebyshev
    from scipy.special import erfcx

    t = chebyshev.chebpts1(_DEGREE + 1)
    x = _KNEE * (1 + t) / (1 - t)
    fitted = chebyshev.chebfit(t, (1 + 2 * x) * erfcx(x), _DEGREE)
    return tuple(float(c) for c in chebyshev.cheb2poly(fitted)[::-1])


def _exp_of_minus_abs(g: Graph, z: str) -> str:
    return g.node("Exp", g.node("Neg", g.node("Abs", z)))


_A = ActivationCode

_OPERATORS: dict[ActivationCode, Operator] = {
    _A.IDENTITY: _identity,
    _A.SIGMOID: _one("Sigmoid"),
    _A.TANH: _one("Tanh"),
    _A.RELU: _one("Relu"),
    _A.LEAKY_RELU: _leaky_relu,
    _A.SOFTMAX: _one("Softmax", axis=-1),
    _A.EXP: _one("Exp"),
    _A.SELU: _selu,
    _A.ELU: _elu,
    _A.GELU: _gelu,
    _A.SILU: _silu,
    _A.SOFTPLUS: _softplus,
    _A.MISH: _mish,
    _A.SOFTSIGN: _softsign,
    _A.HARD_SIGMOID: _hard_sigmoid,
    _A.HARD_TANH: _hard_tanh,
}
