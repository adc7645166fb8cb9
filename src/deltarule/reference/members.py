"""Maps of k members with one W: copies, the first product, heads, and the average (item B2).

The hidden layer of member i is y_i = ((x_i ⊙ r_i) w) ⊙ s_i + b_i, with one w for all members
(Wen, Tran & Ba 2020; Gorishniy et al. 2025). Its scalings are ``elementwise.scale``, and its
product is ``affine.product`` on n k rows. The maps here are the others. Arrays of all members are
(n, k, width).
"""

from __future__ import annotations

from collections.abc import Callable

from deltarule.reference.maps import Map
from deltarule.utils.arrays import Array, Pullback, array_namespace

__all__ = [
    "MAPS",
    "average",
    "expand",
    "expand_differential",
    "expand_pullback_differential",
    "heads",
    "heads_differential",
    "heads_pullback_differential",
    "loss_of_members",
    "of_members",
    "repeat",
]


def repeat(x: Array, members: int) -> tuple[Array, Pullback]:
    """Return z_i = x for every member i, and its reverse derivative.

    x (n, p) -> z (n, k, p);  dz -> dx = Σ_i dz_i.
    """
    xp = array_namespace(x)

    def pullback(dz: Array) -> Array:
        return xp.sum(dz, axis=1)

    return xp.broadcast_to(x[:, None, :], (x.shape[0], members, x.shape[1])), pullback


def expand(x: Array, w: Array, r: Array, *, x_is_data: bool = False) -> tuple[Array, Pullback]:
    """Return z_i = (x ⊙ r_i) w for every member i, and its reverse derivative.

    x (n, p), w (p, q), r (k, p) -> z (n, k, q);  with G_i = xᵀ dz_i:  dw = Σ_i r_i ⊙ G_i (by
    rows), dr_i = Σ_columns w ⊙ G_i, dx = Σ_i r_i ⊙ (dz_i wᵀ). So no product is larger than that of
    dw alone. With ``x_is_data`` x is a constant, which may be a CSR matrix, and dx is None.
    """
    (p, q), k = w.shape, r.shape[0]
    xp = array_namespace(w, r)
    wide = xp.reshape(xp.permute_dims(r[:, :, None] * w[None, :, :], (1, 0, 2)), (p, k * q))

    def pullback(dz: Array) -> tuple[Array | None, Array, Array]:
        flat = xp.reshape(dz, (x.shape[0], k * q))
        g = _by_member(x.T @ flat, k)
        dx = None if x_is_data else flat @ wide.T
        return dx, xp.sum(r[:, :, None] * g, axis=0), xp.sum(w[None, :, :] * g, axis=2)

    return xp.reshape(x @ wide, (x.shape[0], k, q)), pullback


def expand_differential(x: Array, w: Array, r: Array, dx: Array, dw: Array, dr: Array) -> Array:
    """Return dz_i = (dx ⊙ r_i) w + (x ⊙ dr_i) w + (x ⊙ r_i) dw."""
    return expand(dx, w, r)[0] + expand(x, w, dr)[0] + expand(x, dw, r)[0]


def expand_pullback_differential(
    primals: tuple[Array, Array, Array], tangents: tuple[Array, Array], dz: Array, ddz: Array
) -> tuple[Array, Array]:
    """Return the differential of (dw, dr) of :func:`expand` for constant x, by the product rule.

    ``primals`` are (x, w, r), ``tangents`` (dw, dr); dz and ddz are the cotangent and its tangent.
    """
    (x, w, r), (dw, dr) = primals, tangents
    _, by_w, by_r = expand(x, w, r, x_is_data=True)[1](ddz)
    _, moved_w, _ = expand(x, w, dr, x_is_data=True)[1](dz)
    _, _, moved_r = expand(x, dw, r, x_is_data=True)[1](dz)
    return by_w + moved_w, by_r + moved_r


def heads(x: Array, w: Array, b: Array) -> tuple[Array, Pullback]:
    """Return z_i = x_i w_i + b_i: an affine map for every member i, and its reverse derivative.

    x (n, k, p), w (k, p, q), b (k, q) -> z (n, k, q);
    dz -> dx_i = dz_i w_iᵀ, dw_i = x_iᵀ dz_i, db_i = Σ_rows dz_i.
    """
    xp = array_namespace(x, w, b)

    def pullback(dz: Array) -> tuple[Array, Array, Array]:
        dx = _swapped(_swapped(dz) @ xp.permute_dims(w, (0, 2, 1)))
        dw = xp.permute_dims(x, (1, 2, 0)) @ _swapped(dz)
        return dx, dw, xp.sum(dz, axis=0)

    return _swapped(_swapped(x) @ w) + b[None, :, :], pullback


def heads_differential(x: Array, w: Array, b: Array, dx: Array, dw: Array, db: Array) -> Array:
    """Return dz_i = dx_i w_i + x_i dw_i + db_i."""
    return heads(dx, w, db)[0] + heads(x, dw, 0 * b)[0]


def heads_pullback_differential(
    primals: tuple[Array, Array, Array], tangents: tuple[Array, Array], dz: Array, ddz: Array
) -> tuple[Array, Array, Array]:
    """Return the differential of (dx, dw, db) of :func:`heads`, by the product rule.

    ``primals`` are (x, w, b), ``tangents`` (dx, dw); dz and ddz are the cotangent and its tangent.
    """
    (x, w, b), (dx, dw) = primals, tangents
    back, by_w, by_b = heads(x, w, b)[1](ddz)
    moved, _, _ = heads(x, dw, b)[1](dz)
    _, moved_w, _ = heads(dx, w, b)[1](dz)
    return back + moved, by_w + moved_w, by_b


def average(x: Array) -> tuple[Array, Pullback]:
    """Return z = 1/k Σ_i x_i, the mean over members, and its reverse derivative.

    x (n, k, q) -> z (n, q);  dz -> dx_i = dz/k.
    """
    xp = array_namespace(x)
    k = x.shape[1]

    def pullback(dz: Array) -> Array:
        return xp.broadcast_to(dz[:, None, :] / k, x.shape)

    return xp.sum(x, axis=1) / k, pullback


def loss_of_members(
    loss: Callable[[Array, Array], tuple[Array, Pullback]], z: Array, y: Array, members: int
) -> tuple[Array, Pullback]:
    """Return the mean of the members' losses of every row, and its reverse derivative.

    z (n, k q) outputs or logits, y (n, q) targets of every member -> (n,) losses: it is
    :func:`average` of the losses of n k rows, not the loss of an average.
    """
    xp = array_namespace(z, y)
    n = z.shape[0]
    losses, pull_losses = loss(xp.reshape(z, (n * members, -1)), of_members(y, members))
    value, pull_average = average(xp.reshape(losses, (n, members, 1)))

    def pullback(dloss: Array) -> Array:
        by_member = xp.reshape(pull_average(dloss[:, None]), (-1,))
        return xp.reshape(pull_losses(by_member), z.shape)

    return value[:, 0], pullback


def of_members(y: Array, members: int) -> Array:
    """Return every row of y (n, q) k times, one after the other: (n k, q)."""
    return array_namespace(y).reshape(repeat(y, members)[0], (-1, y.shape[1]))


def _by_member(wide: Array, members: int) -> Array:
    """Return (k, p, q) of (p, k q)."""
    xp = array_namespace(wide)
    return xp.permute_dims(xp.reshape(wide, (wide.shape[0], members, -1)), (1, 0, 2))


def _swapped(x: Array) -> Array:
    """Return (k, n, p) of (n, k, p), and the reverse."""
    return array_namespace(x).permute_dims(x, (1, 0, 2))


MAPS = (
    Map("repeat", lambda x: repeat(x, 3), lambda x, dx: repeat(dx, 3)[0], ("n p",)),
    Map("expand", expand, expand_differential, ("n p", "p q", "k p")),
    Map("heads", heads, heads_differential, ("n k p", "k p q", "k q")),
    Map("average", average, lambda x, dx: average(dx)[0], ("n k q",)),
)
