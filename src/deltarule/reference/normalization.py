"""Mean, variance, centring, normalisation and batch norm over the rows (items B2, N1, N2).

Moments are weighted: every row i has a share p_i ≥ 0 with Σ p_i = 1; without sample weights it is
1/n. Rows with share 0 do not affect the moments.
"""

from __future__ import annotations

from typing import NamedTuple

from deltarule.reference.maps import Map
from deltarule.utils.arrays import Array, Pullback, array_namespace

__all__ = [
    "MAPS",
    "Moments",
    "batch_norm",
    "batch_norm_differential",
    "batch_norm_pullback_differential",
    "center",
    "mean",
    "normalize",
    "variance",
]


def _shares(x: Array, share: Array | None) -> Array:
    """Return the shares p as a column (n, 1)."""
    if share is None:
        xp = array_namespace(x)
        share = xp.ones(x.shape[0], dtype=x.dtype) / x.shape[0]
    return share[:, None]


def _average(x: Array, share: Array | None) -> Array:
    return array_namespace(x).sum(_shares(x, share) * x, axis=0)


def mean(x: Array, share: Array | None = None) -> tuple[Array, Pullback]:
    """Return μ = Σ_i p_i x_i and its reverse derivative.

    x (n, q) -> (q,);  dμ (q,) -> dx_i = p_i dμ, that is dμ/n (Matt R §9.4).
    """

    def pullback(dmu: Array) -> Array:
        return _shares(x, share) * dmu

    return _average(x, share), pullback


def mean_differential(x: Array, dx: Array, share: Array | None = None) -> Array:
    """Return dμ = mean(dx)."""
    return _average(dx, share)


def variance(x: Array, share: Array | None = None) -> tuple[Array, Pullback]:
    """Return the biased variance σ² = Σ_i p_i (x_i − μ)² and its reverse derivative.

    x (n, q) -> (q,);  dσ² -> dx_i = 2 p_i (x_i − μ) ⊙ dσ² (Matt R §9.4).
    """
    centred = x - _average(x, share)

    def pullback(dvariance: Array) -> Array:
        return 2.0 * _shares(x, share) * centred * dvariance

    return _average(centred**2, share), pullback


def variance_differential(x: Array, dx: Array, share: Array | None = None) -> Array:
    """Return dσ² = 2 mean((x − μ) ⊙ dx); the term with dμ is zero because Σ p (x − μ) = 0."""
    return 2.0 * _average((x - _average(x, share)) * dx, share)


def center(x: Array, share: Array | None = None) -> tuple[Array, Pullback]:
    """Return x − μ; dz -> dz_i − p_i Σ_j dz_j, which is the map itself if all shares are equal."""
    xp = array_namespace(x)

    def pullback(dz: Array) -> Array:
        return dz - _shares(x, share) * xp.sum(dz, axis=0)

    return x - _average(x, share), pullback


def center_differential(x: Array, dx: Array, share: Array | None = None) -> Array:
    """Return dx − mean(dx)."""
    return dx - _average(dx, share)


def normalize(
    x: Array, epsilon: float = 1e-5, share: Array | None = None
) -> tuple[Array, Pullback]:
    """Return N(x) = (x − μ)/√(σ² + ε) and its reverse derivative, with all its terms.

    x (n, q) -> x̂ (n, q);  dz -> (dz − p (Σ dz) − p x̂ ⊙ Σ(dz ⊙ x̂)) / √(σ² + ε). With equal shares
    p = 1/n it equals the differential (Matt R §9.5, erratum E-t; Ioffe & Szegedy 2015).
    """
    xp = array_namespace(x)
    p = _shares(x, share)
    centred = x - _average(x, share)
    deviation = xp.sqrt(_average(centred**2, share) + epsilon)
    normal = centred / deviation

    def pullback(dz: Array) -> Array:
        along = normal * xp.sum(dz * normal, axis=0)
        return (dz - p * (xp.sum(dz, axis=0) + along)) / deviation

    return normal, pullback


def normalize_differential(
    x: Array, dx: Array, epsilon: float = 1e-5, share: Array | None = None
) -> Array:
    """Return dN by the quotient rule: d(x − μ)/s − (x − μ) ds/s², s = √(σ² + ε)."""
    xp = array_namespace(x, dx)
    centred = x - _average(x, share)
    deviation = xp.sqrt(_average(centred**2, share) + epsilon)
    d_deviation = variance_differential(x, dx, share) / (2.0 * deviation)
    return center_differential(x, dx, share) / deviation - centred * d_deviation / deviation**2


class Moments(NamedTuple):
    """Mean and variance of a batch."""

    mean: Array  # (q,)
    variance: Array  # (q,) biased


def batch_norm(
    x: Array, gamma: Array, beta: Array, epsilon: float = 1e-5, share: Array | None = None
) -> tuple[Array, Pullback]:
    """Return γ ⊙ N(x) + β and its reverse derivative: items N1 and N2.

    x (n, q), γ, β (q,) -> (n, q);  D -> dx = γ ⊙ rN(D), dγ = Σ D ⊙ x̂, dβ = Σ D, so that with equal
    shares dx = (γ/√(σ² + ε)) ⊙ (D − mean(D) − x̂ ⊙ mean(D ⊙ x̂)) (Matt R §9.2, §9.6).
    """
    xp = array_namespace(x, gamma, beta)
    normal, pull = normalize(x, epsilon, share)

    def pullback(d: Array) -> tuple[Array, Array, Array]:
        return pull(gamma * d), xp.sum(d * normal, axis=0), xp.sum(d, axis=0)

    return gamma * normal + beta, pullback


def batch_norm_differential(
    x: Array,
    gamma: Array,
    beta: Array,
    dx: Array,
    dgamma: Array,
    dbeta: Array,
    epsilon: float = 1e-5,
    share: Array | None = None,
) -> Array:
    """Return dγ ⊙ x̂ + γ ⊙ dN(dx) + dβ."""
    normal, _ = normalize(x, epsilon, share)
    return dgamma * normal + gamma * normalize_differential(x, dx, epsilon, share) + dbeta


def batch_norm_pullback_differential(
    primals: tuple[Array, Array], tangents: tuple[Array, Array], d: Array, dd: Array,
    epsilon: float, share: Array | None,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Return the differential of (dx, dγ, dβ) of :func:`batch_norm`, by the product rule.

    ``primals`` are (x, γ), and ``tangents`` (dx, dγ); d and dd are D and its differential. With
    G = γ ⊙ D, u = Σ G + x̂ ⊙ Σ(G ⊙ x̂) and s = √(σ² + ε): x̄ = (G − p u)/s, so that
    d(x̄) = (dG − p du)/s − x̄ ds/s.
    """
    (x, gamma), (dx, dgamma) = primals, tangents
    xp = array_namespace(x, gamma)
    p = _shares(x, share)
    normal, pull = normalize(x, epsilon, share)
    d_normal = normalize_differential(x, dx, epsilon, share)
    deviation = xp.sqrt(_average((x - _average(x, share)) ** 2, share) + epsilon)
    relative = variance_differential(x, dx, share) / (2.0 * deviation**2)  # ds/s
    g, dg = gamma * d, dgamma * d + gamma * dd
    inner = xp.sum(g * normal, axis=0)
    d_inner = xp.sum(dg * normal + g * d_normal, axis=0)
    du = xp.sum(dg, axis=0) + d_normal * inner + normal * d_inner
    back = (dg - p * du) / deviation - pull(g) * relative
    return back, xp.sum(dd * normal + d * d_normal, axis=0), xp.sum(dd, axis=0)


MAPS = (
    Map("mean", mean, mean_differential, ("n q",)),
    Map("variance", variance, variance_differential, ("n q",)),
    Map("center", center, center_differential, ("n q",)),
    Map("normalize", normalize, normalize_differential, ("n q",)),
    Map("batch_norm", batch_norm, batch_norm_differential, ("n q", "q", "q")),
)
