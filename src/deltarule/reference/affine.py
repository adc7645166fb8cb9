"""The affine map z = x w + b, composed of a product and a shift (items B1, B2)."""

from __future__ import annotations

from deltarule.reference.maps import Map
from deltarule.utils.arrays import Array, Pullback, array_namespace
from deltarule.utils.checks import check_shape

__all__ = ["MAPS", "affine", "affine_differential", "product", "product_differential", "shift"]


def product(x: Array, w: Array, *, x_is_data: bool = False) -> tuple[Array, Pullback]:
    """Return φ(w, x) = x w and its reverse derivative (Matt R §3.3).

    x (n, p), w (p, q) -> z (n, q);  dz (n, q) -> dx = dz wᵀ, dw = xᵀ dz. With ``x_is_data`` x is a
    constant, which may be a CSR matrix, and dx is None.
    """
    check_shape("w", w, (x.shape[1], w.shape[1]))

    def pullback(dz: Array) -> tuple[Array | None, Array]:
        return None if x_is_data else dz @ w.T, x.T @ dz

    return x @ w, pullback


def product_differential(x: Array, w: Array, dx: Array, dw: Array) -> Array:
    """Return dφ = dx w + x dw."""
    return dx @ w + x @ dw


def shift(x: Array, b: Array) -> tuple[Array, Pullback]:
    """Return ψ(b, x) = x + b and its reverse derivative.

    x (n, q), b (q,) -> z (n, q);  dz -> dx = dz, db = Σ_rows dz.
    """
    check_shape("b", b, (x.shape[1],))
    xp = array_namespace(x, b)

    def pullback(dz: Array) -> tuple[Array, Array]:
        return dz, xp.sum(dz, axis=0)

    return x + b, pullback


def shift_differential(x: Array, b: Array, dx: Array, db: Array) -> Array:
    """Return dψ = dx + db."""
    return dx + db


def affine(x: Array, w: Array, b: Array, *, x_is_data: bool = False) -> tuple[Array, Pullback]:
    """Return z = x w + b and its reverse derivative: BP2 (its left factor), BP3 and BP4.

    x (n, p), w (p, q), b (q,) -> z (n, q);  dz (n, q) -> dx = dz wᵀ, dw = xᵀ dz, db = Σ_rows dz
    (Schönhuth BP1-BP4; Matt R §3.1).

    Parameters
    ----------
    x : (n, p) array
        With ``x_is_data`` also a SciPy CSR matrix.
    w, b : (p, q), (q,) arrays
        Weights and biases.
    x_is_data : bool, default=False
        Whether x is a constant, so that the pullback returns None for dx.

    Raises
    ------
    ShapeError
        If the shapes of x, w and b do not agree.
    """
    check_shape("w", w, (x.shape[1], b.shape[0]))
    xw, pull_product = product(x, w, x_is_data=x_is_data)
    z, pull_shift = shift(xw, b)

    def pullback(dz: Array) -> tuple[Array | None, Array, Array]:
        check_shape("dz", dz, z.shape)
        dxw, db = pull_shift(dz)
        dx, dw = pull_product(dxw)
        return dx, dw, db

    return z, pullback


def affine_differential(x: Array, w: Array, b: Array, dx: Array, dw: Array, db: Array) -> Array:
    """Return d(x w + b) = dx w + x dw + db."""
    return dx @ w + x @ dw + db


MAPS = (
    Map("product", product, product_differential, ("n p", "p q")),
    Map("shift", shift, shift_differential, ("n q", "q")),
    Map("affine", affine, affine_differential, ("n p", "p q", "q")),
)
