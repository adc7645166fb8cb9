"""Activations, compiled: g and its reverse derivative over a block of units (items A1-A7).

The equations are in ``deltarule.reference.scalar_functions``. Every pair of kernels is

``forward(z, a, rows, columns, stride, constant, one)``: a ← g(z);
``backward(z, a, da, dz, rows, columns, stride, constant, one)``: dz ← g'(z) ⊙ da,

on addresses of tiles of ``rows`` rows with ``columns`` entries each, ``stride`` entries apart.
dz may be da. Memory between the rows is not touched. Softmax needs contiguous rows.

Derivatives use the stored outputs if that saves an exponential. In the flat ends of tanh, sigmoid
and ELU their absolute error is then about ε, but not their relative error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deltarule.engine.kernels.intrinsics import like, size_of, vector
from deltarule.engine.kernels.math_functions import (
    clipped,
    exp,
    expm1,
    formula,
    log1p,
    normal_density,
    normal_distribution,
    sigmoid,
    tanh,
    where,
)
from deltarule.program.opcodes import ActivationCode

__all__ = ["BACKWARD", "FORWARD"]

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


def _softplus(z: Any) -> Any:
    return where(z > 0, z, 0) + log1p(exp(-abs(z)))


def _silu_slope(z: Any) -> Any:
    """σ + z σ', σ' = e/(1 + e)²."""
    e = exp(-abs(z))
    part = 1 / (1 + e)
    return where(z >= 0, 1, e) * part + z * (e * part * part)


def _mish(z: Any) -> Any:
    """Z w, w = tanh(softplus(z)) = n/(n + 2), n = e² + 2e for z < 0; (1 + 2e)/D above."""
    e = exp(-abs(z))
    n = e * (e + 2)
    return z * (where(z < 0, n, 1 + 2 * e) / where(z < 0, n + 2, 1 + 2 * e * (1 + e)))


def _mish_slope(z: Any) -> Any:
    """W + z (1 − w²) σ(z), 1 − w² = 4(n + 1)/(n + 2)² for z < 0; 4e²(1 + e)²/D² above."""
    e = exp(-abs(z))
    n = e * (e + 2)
    below = z < 0
    part = 1 / where(below, n + 2, 1 + 2 * e * (1 + e))
    w = where(below, n, 1 + 2 * e) * part
    root = 2 * e * (1 + e) * part
    complement = where(below, 4 * (n + 1) * part * part, root * root)
    return w + z * (complement * (where(below, e, 1) / (1 + e)))


# g(z, c) and g'(z, a, c), a = g(z); c is the activation's constant.
_SCALARS: dict[ActivationCode, tuple[Callable[..., Any], Callable[..., Any]]] = {
    ActivationCode.IDENTITY: (lambda z, c: z, lambda z, a, c: 1 + 0 * c),
    ActivationCode.SIGMOID: (lambda z, c: sigmoid(z), lambda z, a, c: a * (1 - a)),
    ActivationCode.TANH: (lambda z, c: tanh(z), lambda z, a, c: (1 - a) * (1 + a)),
    ActivationCode.RELU: (
        lambda z, c: where(z <= 0, 0, z),
        lambda z, a, c: where(z > 0, 1, where(z <= 0, 0, z)),
    ),
    ActivationCode.LEAKY_RELU: (
        lambda z, c: where(z > 0, z, c * z),
        lambda z, a, c: where(z > 0, 1, c),
    ),
    ActivationCode.EXP: (lambda z, c: exp(z), lambda z, a, c: a),
    ActivationCode.SELU: (
        lambda z, c: SELU_SCALE * where(z > 0, z, SELU_ALPHA * expm1(z)),
        lambda z, a, c: where(z > 0, SELU_SCALE, a + SELU_SCALE * SELU_ALPHA),
    ),
    ActivationCode.ELU: (
        lambda z, c: where(z > 0, z, c * expm1(z)),
        lambda z, a, c: where(z > 0, 1, a + c),
    ),
    ActivationCode.GELU: (
        lambda z, c: z * normal_distribution(z),
        lambda z, a, c: normal_distribution(z) + clipped(z, 1e3) * normal_density(z),
    ),
    ActivationCode.SILU: (lambda z, c: z * sigmoid(z), lambda z, a, c: _silu_slope(z)),
    ActivationCode.SOFTPLUS: (lambda z, c: _softplus(z), lambda z, a, c: sigmoid(z)),
    ActivationCode.MISH: (lambda z, c: _mish(z), lambda z, a, c: _mish_slope(z)),
    ActivationCode.SOFTSIGN: (
        lambda z, c: z / (1 + abs(z)),
        lambda z, a, c: (1 / (1 + abs(z))) * (1 / (1 + abs(z))),
    ),
    ActivationCode.HARD_SIGMOID: (
        lambda z, c: where(z >= 3, 1, (clipped(z, 3.0) + 3) * (1 / 6)),
        lambda z, a, c: where(abs(z) < 3, 1 / 6, 0),
    ),
    ActivationCode.HARD_TANH: (
        lambda z, c: clipped(z, 1.0),
        lambda z, a, c: where(abs(z) < 1, 1, 0),
    ),
}


def _pair(code: ActivationCode) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return the forward and backward kernel of an activation that works entry by entry."""
    value, slope = (formula(function) for function in _SCALARS[code])

    def forward(z, a, rows, columns, stride, constant, one):
        c, row = like(one, constant), stride * size_of(one)
        n = rows * columns if columns == stride else columns
        for i in range(1 if columns == stride else rows):
            source, target = vector(z + i * row, n, one), vector(a + i * row, n, one)
            for j in range(n):
                target[j] = value(source[j], c)

    def backward(z, a, da, dz, rows, columns, stride, constant, one):
        c, row = like(one, constant), stride * size_of(one)
        n = rows * columns if columns == stride else columns
        for i in range(1 if columns == stride else rows):
            source, output = vector(z + i * row, n, one), vector(a + i * row, n, one)
            given, target = vector(da + i * row, n, one), vector(dz + i * row, n, one)
            if (
                dz != da
            ):  # then work in place: a loop over arrays that may overlap is not vectorised
                for j in range(n):
                    target[j] = given[j]
            for j in range(n):
                target[j] *= slope(source[j], output[j], c)

    return _named(forward, code), _named(backward, code)


def _named(kernel: Callable[..., None], code: ActivationCode) -> Callable[..., None]:
    kernel.__name__ = kernel.__qualname__ = f"{code.name.lower()}_{kernel.__name__}"
    return kernel


_exp, _larger = formula(exp), formula(lambda x, y: where(x > y, x, y))


def softmax_forward(z, a, rows, columns, stride, constant, one):
    """A6. S_k = e^{z_k − m}/Σ_j e^{z_j − m}, m the row's largest: no exponential overflows."""
    row, n = columns * size_of(one), rows * columns
    for i in range(rows):
        source, target = vector(z + i * row, columns, one), vector(a + i * row, columns, one)
        top = source[0]
        for j in range(columns):
            top = _larger(source[j], top)
        for j in range(columns):
            target[j] = source[j] - top
    every = vector(a, n, one)
    for j in range(n):  # all rows in one loop, because rows are short
        every[j] = _exp(every[j])
    for i in range(rows):
        target, total = vector(a + i * row, columns, one), like(one, 0.0)
        for j in range(columns):
            total += target[j]
        part = one / total
        for j in range(columns):
            target[j] *= part


def softmax_backward(z, a, da, dz, rows, columns, stride, constant, one):
    """DZ = S ⊙ (dA − Σ_j S_j dA_j) in every row."""
    row, n = columns * size_of(one), rows * columns
    if dz != da:
        given, copied = vector(da, n, one), vector(dz, n, one)
        for j in range(n):
            copied[j] = given[j]
    for i in range(rows):
        output, target = vector(a + i * row, columns, one), vector(dz + i * row, columns, one)
        mean = like(one, 0.0)
        for j in range(columns):
            mean += output[j] * target[j]
        for j in range(columns):
            target[j] = output[j] * (target[j] - mean)


FORWARD: dict[int, Callable[..., None]] = {ActivationCode.SOFTMAX: softmax_forward}
BACKWARD: dict[int, Callable[..., None]] = {ActivationCode.SOFTMAX: softmax_backward}
for _code in _SCALARS:
    FORWARD[_code], BACKWARD[_code] = _pair(_code)
