"""Mean, variance, centring and normalisation over the rows of a batch (items B2, N1, N2)."""

from __future__ import annotations

from deltarule.arrays import Array, Pullback, array_namespace
from deltarule.reference.maps import Map

__all__ = ["MAPS", "center", "mean", "normalize", "variance"]


def mean(x: Array) -> tuple[Array, Pullback]:
    """Return μ = (1/n) Σ_rows x and its reverse derivative.

    x (n, q) -> (q,);  dμ (q,) -> dx = dμ / n on every row (Matt R §9.4).
    """
    xp = array_namespace(x)
    n = x.shape[0]

    def pullback(dmu: Array) -> Array:
        return xp.broadcast_to(dmu / n, x.shape)

    return xp.mean(x, axis=0), pullback


def mean_differential(x: Array, dx: Array) -> Array:
    """Return dμ = mean(dx)."""
    return array_namespace(dx).mean(dx, axis=0)


def variance(x: Array) -> tuple[Array, Pullback]:
    """Return the biased variance σ² = mean((x − μ)²) and its reverse derivative.

    x (n, q) -> (q,);  dσ² -> dx = (2/n) (x − μ) ⊙ dσ² (Matt R §9.4).
    """
    xp = array_namespace(x)
    centred = x - xp.mean(x, axis=0)

    def pullback(dvariance: Array) -> Array:
        return 2.0 / x.shape[0] * centred * dvariance

    return xp.mean(centred**2, axis=0), pullback


def variance_differential(x: Array, dx: Array) -> Array:
    """Return dσ² = 2 mean((x − μ) ⊙ dx); the term with dμ is zero, since Σ(x − μ) = 0."""
    xp = array_namespace(x, dx)
    return 2.0 * xp.mean((x - xp.mean(x, axis=0)) * dx, axis=0)


def center(x: Array) -> tuple[Array, Pullback]:
    """Return x − μ; the map is linear, symmetric and its own reverse derivative."""
    xp = array_namespace(x)

    def pullback(dz: Array) -> Array:
        return dz - xp.mean(dz, axis=0)

    return x - xp.mean(x, axis=0), pullback


def center_differential(x: Array, dx: Array) -> Array:
    """Return dx − mean(dx)."""
    return dx - array_namespace(dx).mean(dx, axis=0)


def normalize(x: Array, epsilon: float = 1e-5) -> tuple[Array, Pullback]:
    """Return N(x) = (x − μ)/√(σ² + ε), and its reverse derivative, which equals its differential.

    x (n, q) -> x̂ (n, q);  dz -> (dz − mean(dz) − x̂ ⊙ mean(dz ⊙ x̂)) / √(σ² + ε), every term
    (Matt R §9.5, erratum E-t; Ioffe & Szegedy 2015).
    """
    xp = array_namespace(x)
    centred = x - xp.mean(x, axis=0)
    deviation = xp.sqrt(xp.mean(centred**2, axis=0) + epsilon)
    normal = centred / deviation

    def pullback(dz: Array) -> Array:
        along = normal * xp.mean(dz * normal, axis=0)
        return (dz - xp.mean(dz, axis=0) - along) / deviation

    return normal, pullback


def normalize_differential(x: Array, dx: Array, epsilon: float = 1e-5) -> Array:
    """Return dN by the quotient rule: d(x − μ)/s − (x − μ) ds/s², s = √(σ² + ε)."""
    xp = array_namespace(x, dx)
    centred = x - xp.mean(x, axis=0)
    deviation = xp.sqrt(xp.mean(centred**2, axis=0) + epsilon)
    d_deviation = variance_differential(x, dx) / (2.0 * deviation)
    return center_differential(x, dx) / deviation - centred * d_deviation / deviation**2


MAPS = (
    Map("mean", mean, mean_differential, ("n q",)),
    Map("variance", variance, variance_differential, ("n q",)),
    Map("center", center, center_differential, ("n q",)),
    Map("normalize", normalize, normalize_differential, ("n q",)),
)
