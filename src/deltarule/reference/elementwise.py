"""Scaling, Hadamard product and power, the elementwise maps other than the activations (B2)."""

from __future__ import annotations

from deltarule.reference.maps import Map
from deltarule.utils.arrays import Array, Pullback, array_namespace
from deltarule.utils.checks import check_shape

__all__ = [
    "MAPS",
    "hadamard",
    "power",
    "scale",
    "scale_differential",
    "scale_pullback_differential",
]


def scale(gamma: Array, x: Array) -> tuple[Array, Pullback]:
    """Return Γ(γ, x) = γ ⊙ x, with the same γ for every row, and its reverse derivative.

    γ (q,), x (n, q) -> (n, q);  dz -> dγ = Σ_rows x ⊙ dz, dx = γ ⊙ dz (Matt R §9.4).
    """
    check_shape("gamma", gamma, (x.shape[1],))
    xp = array_namespace(gamma, x)

    def pullback(dz: Array) -> tuple[Array, Array]:
        return xp.sum(x * dz, axis=0), gamma * dz

    return gamma * x, pullback


def scale_differential(gamma: Array, x: Array, dgamma: Array, dx: Array) -> Array:
    """Return dΓ = dγ ⊙ x + γ ⊙ dx."""
    return dgamma * x + gamma * dx


def scale_pullback_differential(
    primals: tuple[Array, Array], tangents: tuple[Array, Array], dz: Array, ddz: Array
) -> tuple[Array, Array]:
    """Return the differential of (dγ, dx) of :func:`scale`, by the product rule.

    ``primals`` are (γ, x), ``tangents`` (dγ, dx); dz and ddz are the cotangent and its tangent.
    """
    (gamma, x), (dgamma, dx) = primals, tangents
    xp = array_namespace(gamma, x)
    return xp.sum(dx * dz + x * ddz, axis=0), dgamma * dz + gamma * ddz


def hadamard(x: Array, y: Array) -> tuple[Array, Pullback]:
    """Return x ⊙ y and its reverse derivative: dz -> y ⊙ dz, x ⊙ dz."""
    check_shape("y", y, x.shape)

    def pullback(dz: Array) -> tuple[Array, Array]:
        return y * dz, x * dz

    return x * y, pullback


def hadamard_differential(x: Array, y: Array, dx: Array, dy: Array) -> Array:
    """Return d(x ⊙ y) = dx ⊙ y + x ⊙ dy."""
    return dx * y + x * dy


def power(x: Array, exponent: float = -0.5) -> tuple[Array, Pullback]:
    """Return the Hadamard power x^∘p of a positive x: dz -> p x^∘(p−1) ⊙ dz (Matt R §9.4)."""
    slope = exponent * x ** (exponent - 1)

    def pullback(dz: Array) -> Array:
        return slope * dz

    return x**exponent, pullback


def power_differential(x: Array, dx: Array, exponent: float = -0.5) -> Array:
    """Return d(x^∘p) = p x^∘(p−1) ⊙ dx."""
    return exponent * x ** (exponent - 1) * dx


MAPS = (
    Map("scale", scale, scale_differential, ("q", "n q")),
    Map("hadamard", hadamard, hadamard_differential, ("n q", "n q")),
    Map("power", power, power_differential, ("n q",), domain="positive"),
)
