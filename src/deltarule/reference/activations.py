"""Activation functions g, entry by entry, and softmax, row by row (items A1-A6).

An entry-wise activation is two formulas, g(z) and g'(z), written so that neither overflows nor
cancels for any finite z; :func:`broadcast` makes the map G of them, whose reverse derivative is
dz = g'(z) ⊙ da (Matt R §3.3). Softmax has a full Jacobian and is a map of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from deltarule.arrays import Array, Pullback, array_namespace
from deltarule.opcodes import ActivationCode
from deltarule.reference.maps import Map

__all__ = ["ELEMENTWISE", "MAPS", "Elementwise", "activate", "log_softmax", "softmax", "softplus"]


class Elementwise(NamedTuple):
    """A scalar function and its derivative; ``c`` is the activation's parameter."""

    value: Callable[[Array, float], Array]
    derivative: Callable[[Array, float], Array]
    kinks: bool = False  # the derivative jumps at z = 0


def identity(z: Array, c: float = 0.0) -> Array:
    """A1. g(z) = z."""
    return z


def identity_derivative(z: Array, c: float = 0.0) -> Array:
    """g'(z) = 1."""
    return array_namespace(z).ones_like(z)


def sigmoid(z: Array, c: float = 0.0) -> Array:
    """A2. σ(z) = 1/(1 + e^{−z}), as e^z/(1 + e^z) for z < 0: the exponential never overflows."""
    xp = array_namespace(z)
    e = xp.exp(-xp.abs(z))
    return xp.where(z >= 0, xp.ones_like(e), e) / (1 + e)


def sigmoid_derivative(z: Array, c: float = 0.0) -> Array:
    """σ' = σ(1 − σ) = e/(1 + e)², e = e^{−|z|}: nothing cancels in the tails."""
    xp = array_namespace(z)
    e = xp.exp(-xp.abs(z))
    return e / (1 + e) ** 2


def tanh(z: Array, c: float = 0.0) -> Array:
    """A3. The hyperbolic tangent."""
    return array_namespace(z).tanh(z)


def tanh_derivative(z: Array, c: float = 0.0) -> Array:
    """1 − tanh² = 4e/(1 + e)², e = e^{−2|z|}: nothing cancels in the tails."""
    xp = array_namespace(z)
    e = xp.exp(-2 * xp.minimum(xp.abs(z), xp.asarray(1e3, dtype=z.dtype)))
    return 4 * e / (1 + e) ** 2


def relu(z: Array, c: float = 0.0) -> Array:
    """A4. max(z, 0)."""
    xp = array_namespace(z)
    return xp.where(z > 0, z, xp.zeros_like(z))


def relu_derivative(z: Array, c: float = 0.0) -> Array:
    """1 on (0, ∞), 0 at 0 and below (erratum E-a)."""
    xp = array_namespace(z)
    return xp.astype(z > 0, z.dtype)


def leaky_relu(z: Array, c: float) -> Array:
    """A5. max(βz, z), 0 ≤ β ≤ 1."""
    xp = array_namespace(z)
    return xp.where(z > 0, z, c * z)


def leaky_relu_derivative(z: Array, c: float) -> Array:
    """1 on (0, ∞), β at 0 and below."""
    xp = array_namespace(z)
    return xp.where(z > 0, xp.ones_like(z), c * xp.ones_like(z))


def exp(z: Array, c: float = 0.0) -> Array:
    """e^z, the inverse of the log link: rates of a Poisson model."""
    return array_namespace(z).exp(z)


ELEMENTWISE: dict[int, Elementwise] = {
    ActivationCode.IDENTITY: Elementwise(identity, identity_derivative),
    ActivationCode.SIGMOID: Elementwise(sigmoid, sigmoid_derivative),
    ActivationCode.TANH: Elementwise(tanh, tanh_derivative),
    ActivationCode.RELU: Elementwise(relu, relu_derivative, kinks=True),
    ActivationCode.LEAKY_RELU: Elementwise(leaky_relu, leaky_relu_derivative, kinks=True),
    ActivationCode.EXP: Elementwise(exp, exp),
}


def softplus(z: Array) -> Array:
    """log(1 + e^z) = max(z, 0) + log1p(e^{−|z|}), for any finite z."""
    xp = array_namespace(z)
    return relu(z) + xp.log1p(xp.exp(-xp.abs(z)))


def _shifted(z: Array) -> Array:
    """Return z − max_k z_k, at or above minus the largest number: the difference may not fit."""
    xp = array_namespace(z)
    half = z / 2 - xp.max(z, axis=1, keepdims=True) / 2
    floor = xp.asarray(-xp.finfo(z.dtype).max / 2, dtype=z.dtype)
    return 2 * xp.maximum(half, floor)


def softmax(z: Array, c: float = 0.0) -> tuple[Array, Pullback]:
    """A6. S_k = e^{z_k}/Σ_j e^{z_j} of every row, and its reverse derivative (Matt R §2.2.4).

    z (n, k) -> s (n, k);  ds -> dz = s ⊙ (ds − Σ_j s_j ds_j): the Jacobian S_i(δ_ij − S_j) is
    symmetric. The largest logit is subtracted first: no exponential overflows.
    """
    xp = array_namespace(z)
    e = xp.exp(_shifted(z))
    s = e / xp.sum(e, axis=1, keepdims=True)

    def pullback(ds: Array) -> Array:
        return s * (ds - xp.sum(s * ds, axis=1, keepdims=True))

    return s, pullback


def softmax_differential(z: Array, dz: Array) -> Array:
    """Return dS = J dz, with the Jacobian written out: J_ij = S_i(δ_ij − S_j)."""
    xp = array_namespace(z, dz)
    s, _ = softmax(z)
    diagonal = xp.eye(z.shape[1], dtype=z.dtype)[None, :, :] * s[:, :, None]
    jacobian = diagonal - s[:, :, None] * s[:, None, :]
    return xp.sum(jacobian * dz[:, None, :], axis=2)


def log_softmax(z: Array) -> Array:
    """Log S from the logits: z − m − log Σ e^{z − m}, never the logarithm of a rounded S."""
    xp = array_namespace(z)
    shifted = _shifted(z)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))


def activate(code: int, z: Array, constant: float = 0.0) -> tuple[Array, Pullback]:
    """Return a = g(z) and its reverse derivative: equation BP1/BP2's factor ⊙ g'(z)."""
    if code == ActivationCode.SOFTMAX:
        return softmax(z)
    return broadcast(ELEMENTWISE[code], z, constant)


def broadcast(g: Elementwise, z: Array, constant: float = 0.0) -> tuple[Array, Pullback]:
    """Return the map G of a scalar g, entry by entry, and dz = g'(z) ⊙ da."""

    def pullback(da: Array) -> Array:
        return g.derivative(z, constant) * da

    return g.value(z, constant), pullback


def _map(code: ActivationCode, constant: float = 0.0) -> Map:
    g = ELEMENTWISE[code]
    return Map(
        code.name.lower(),
        lambda z: broadcast(g, z, constant),
        lambda z, dz: g.derivative(z, constant) * dz,
        ("n q",),
    )


MAPS = (
    _map(ActivationCode.IDENTITY),
    _map(ActivationCode.SIGMOID),
    _map(ActivationCode.TANH),
    _map(ActivationCode.RELU),
    _map(ActivationCode.LEAKY_RELU, 0.01),
    _map(ActivationCode.EXP),
    Map("softmax", softmax, softmax_differential, ("n q",)),
)
