"""Maps of single features: waves of a column, and a matrix for each group of columns (item B2).

A periodic embedding of a number x is (x, cos(2π(c x + φ)) V + v), with frequencies c, phases φ, V
and v learned for every column (Gorishniy, Rubachev & Babenko 2022, who pair sines and cosines;
phases and x itself: Holzmüller, Grinsztajn & Steinwart 2024). An embedding of a category is the
row of a matrix that its one-hot columns pick.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi

from deltarule.program.opcodes import Op
from deltarule.program.tape import Groups, Instruction
from deltarule.reference.maps import Map
from deltarule.utils.arrays import Array, Pullback, array_namespace, is_sparse

__all__ = [
    "MAPS",
    "blocks",
    "blocks_differential",
    "blocks_pullback_differential",
    "run_groups",
    "run_groups_back",
    "run_groups_tangent",
    "waves",
    "waves_differential",
    "waves_pullback_differential",
]


def waves(x: Array, c: Array, phi: Array) -> tuple[Array, Pullback]:
    """Return z_jm = cos 2π(c_jm x_j + φ_jm), and its reverse derivative.

    x (n, p), c (p, q), φ (p, q) -> z (n, p, q);  with s = −2π sin 2π(c x + φ) ⊙ dz:
    dx_j = Σ_m c_jm s_jm, dc_jm = Σ_rows x_j s_jm, dφ_jm = Σ_rows s_jm.
    """
    xp = array_namespace(c, phi)
    angle = 2 * pi * (x[:, :, None] * c[None, :, :] + phi[None, :, :])

    def pullback(dz: Array) -> tuple[Array, Array, Array]:
        s = -2 * pi * xp.sin(angle) * dz
        by_frequency = xp.sum(x[:, :, None] * s, axis=0)
        return xp.sum(c[None, :, :] * s, axis=2), by_frequency, xp.sum(s, axis=0)

    return xp.cos(angle), pullback


def waves_differential(x: Array, c: Array, phi: Array, dx: Array, dc: Array, dphi: Array) -> Array:
    """Return dz = −2π sin 2π(c x + φ) ⊙ (c dx + x dc + dφ)."""
    xp = array_namespace(c, phi)
    sine = xp.sin(2 * pi * (x[:, :, None] * c[None, :, :] + phi[None, :, :]))
    return -2 * pi * sine * _turned(x, c, dx, dc, dphi)


def waves_pullback_differential(
    primals: tuple[Array, Array, Array],
    tangents: tuple[Array, Array, Array],
    dz: Array,
    ddz: Array,
) -> tuple[Array, Array, Array]:
    """Return the differential of (dx, dc, dφ) of :func:`waves`.

    With u = c x + φ and s as there, ds = −2π sin 2πu ⊙ ddz − 4π² cos 2πu ⊙ du ⊙ dz.
    ``primals`` are (x, c, φ), ``tangents`` (dx, dc, dφ); dz and ddz are the cotangent and its
    tangent.
    """
    (x, c, phi), (dx, dc, dphi) = primals, tangents
    xp = array_namespace(c, phi)
    angle = 2 * pi * (x[:, :, None] * c[None, :, :] + phi[None, :, :])
    sine = -2 * pi * xp.sin(angle)
    s, du = sine * dz, _turned(x, c, dx, dc, dphi)
    ds = sine * ddz - 4 * pi**2 * xp.cos(angle) * du * dz
    by_x = xp.sum(dc[None, :, :] * s + c[None, :, :] * ds, axis=2)
    by_frequency = xp.sum(dx[:, :, None] * s + x[:, :, None] * ds, axis=0)
    return by_x, by_frequency, xp.sum(ds, axis=0)


def _turned(x: Array, c: Array, dx: Array, dc: Array, dphi: Array) -> Array:
    """Return du of u = c x + φ."""
    return dx[:, :, None] * c[None, :, :] + x[:, :, None] * dc[None, :, :] + dphi[None, :, :]


def blocks(x: Array, w: Array, b: Array | None, sizes: Sequence[int]) -> tuple[Array, Pullback]:
    """Return z_g = x_g w_g + b_g for groups of columns, side by side, and its reverse derivative.

    x (n, p) holds the groups' columns side by side, as many as ``sizes`` says; w (p, q) their rows,
    b (k, q) or None -> z (n, k q);
    dz -> dx_g = dz_g w_gᵀ, dw_g = x_gᵀ dz_g, db_g = Σ_rows dz_g.
    """
    xp, n, q = array_namespace(w), x.shape[0], w.shape[1]
    places = _places(sizes)
    z = xp.stack([x[:, rows] @ w[rows, :] for rows in places], axis=1)
    z = z if b is None else z + b[None, :, :]

    def pullback(dz: Array) -> tuple[Array, ...]:
        given = xp.reshape(dz, (n, len(places), q))
        pairs = [(rows, given[:, g, :]) for g, rows in enumerate(places)]
        dx = xp.concat([part @ w[rows, :].T for rows, part in pairs], axis=1)
        dw = xp.concat([x[:, rows].T @ part for rows, part in pairs], axis=0)
        return dx, dw, *(() if b is None else (xp.sum(given, axis=0),))

    return xp.reshape(z, (n, -1)), pullback


def blocks_differential(
    primals: tuple[Array, Array, Array | None],
    tangents: tuple[Array, Array, Array | None],
    sizes: Sequence[int],
) -> Array:
    """Return dz_g = dx_g w_g + x_g dw_g + db_g; ``primals`` are (x, w, b), ``tangents`` theirs."""
    (x, w, _), (dx, dw, db) = primals, tangents
    return blocks(dx, w, db, sizes)[0] + blocks(x, dw, None, sizes)[0]


def blocks_pullback_differential(
    primals: tuple[Array, Array, Array | None],
    tangents: tuple[Array, Array],
    dz: Array,
    ddz: Array,
    sizes: Sequence[int],
) -> tuple[Array, ...]:
    """Return the differential of (dx, dw, db) of :func:`blocks`, by the product rule.

    ``primals`` are (x, w, b), ``tangents`` (dx, dw); dz and ddz are the cotangent and its tangent.
    """
    (x, w, b), (dx, dw) = primals, tangents
    back, by_w, *by_b = blocks(x, w, b, sizes)[1](ddz)
    moved, _ = blocks(x, dw, None, sizes)[1](dz)
    _, moved_w = blocks(dx, w, None, sizes)[1](dz)
    return back + moved, by_w + moved_w, *by_b


def _places(sizes: Sequence[int]) -> list[slice]:
    ends = [sum(sizes[: g + 1]) for g in range(len(sizes))]
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]


# --- instructions ---------------------------------------------------------------------------------


def run_groups(
    instruction: Instruction, groups: Groups, source: Array, w: Array, b: Array | None
) -> tuple[Array, Pullback]:
    """Return the register that ``PERIODIC`` or ``BLOCKS`` writes, and its reverse derivative.

    ``PERIODIC`` puts the waves behind all columns; ``BLOCKS`` what it makes of its groups behind
    those in none. The pullback returns dx, dw and, if there is b, db.
    """
    x = source.toarray() if is_sparse(source) else source
    xp, n = array_namespace(w), x.shape[0]
    ahead, chosen = _ahead(instruction, groups), groups.columns
    if instruction.op == Op.PERIODIC:
        value, pull = waves(_columns(x, chosen), w, b)
        value = xp.reshape(value, (n, -1))
    else:
        value, pull = blocks(_columns(x, chosen), w, b, groups.sizes)

    def pullback(dz: Array) -> tuple[Array, ...]:
        arriving = dz[:, len(ahead) :]
        if instruction.op == Op.PERIODIC:
            arriving = xp.reshape(arriving, (n, *w.shape))
        inside, *slopes = pull(arriving)
        dx = _spread(dz[:, : len(ahead)], ahead, instruction.n_in)
        return dx + _spread(inside, chosen, instruction.n_in), *slopes

    return xp.concat([_columns(x, ahead), value], axis=1), pullback


def run_groups_tangent(
    instruction: Instruction,
    groups: Groups,
    primals: tuple[Array, Array, Array | None],
    tangents: tuple[Array | None, Array, Array | None],
) -> Array:
    """Return the tangent of what :func:`run_groups` gives; a tangent of None for x is zero."""
    (source, w, b), (dx, dw, db) = primals, tangents
    x = source.toarray() if is_sparse(source) else source
    xp, n = array_namespace(w), x.shape[0]
    dx = xp.zeros_like(x) if dx is None else dx
    inner, moved = _columns(x, groups.columns), _columns(dx, groups.columns)
    if instruction.op == Op.PERIODIC:
        assert b is not None
        assert db is not None
        tangent = xp.reshape(waves_differential(inner, w, b, moved, dw, db), (n, -1))
    else:
        tangent = blocks_differential((inner, w, b), (moved, dw, db), groups.sizes)
    return xp.concat([_columns(dx, _ahead(instruction, groups)), tangent], axis=1)


def run_groups_back(
    instruction: Instruction,
    groups: Groups,
    primals: tuple[Array, Array, Array | None],
    tangents: tuple[Array | None, Array, Array | None],
    bars: tuple[Array, Array],
) -> tuple[Array, ...]:
    """Return the tangents of (dx, dw, db) of :func:`run_groups`; ``bars``: dz and its tangent."""
    (source, w, b), (dx, dw, db), (bar, d_bar) = primals, tangents, bars
    x = source.toarray() if is_sparse(source) else source
    xp, n = array_namespace(w), x.shape[0]
    dx = xp.zeros_like(x) if dx is None else dx
    ahead, chosen = _ahead(instruction, groups), groups.columns
    inner, moved = _columns(x, chosen), _columns(dx, chosen)
    dz, ddz = bar[:, len(ahead) :], d_bar[:, len(ahead) :]
    if instruction.op == Op.PERIODIC:
        assert b is not None
        assert db is not None
        dz, ddz = (xp.reshape(part, (n, *w.shape)) for part in (dz, ddz))
        back, *slopes = waves_pullback_differential((inner, w, b), (moved, dw, db), dz, ddz)
    else:
        back, *slopes = blocks_pullback_differential(
            (inner, w, b), (moved, dw), dz, ddz, groups.sizes
        )
    whole = _spread(d_bar[:, : len(ahead)], ahead, instruction.n_in)
    return whole + _spread(back, chosen, instruction.n_in), *slopes


def _ahead(instruction: Instruction, groups: Groups) -> list[int]:
    """Return the columns of the source that the target begins with."""
    if instruction.op == Op.PERIODIC:
        return list(range(instruction.n_in))
    return groups.others(instruction.n_in)


def _columns(x: Array, columns: list[int]) -> Array:
    """Return some columns of x (n, p)."""
    xp = array_namespace(x)
    return xp.take(x, xp.asarray(columns, dtype=xp.int64), axis=1)


def _spread(x: Array, columns: list[int], width: int) -> Array:
    """Return (n, width) with the columns of x at these places, ascending, and zeros elsewhere."""
    xp = array_namespace(x)
    places = {column: place for place, column in enumerate(columns)}
    wider = xp.concat([x, xp.zeros((x.shape[0], 1), dtype=x.dtype)], axis=1)
    return _columns(wider, [places.get(column, len(columns)) for column in range(width)])


def _halves(p: int) -> list[int]:
    """Return the sizes of two groups of p columns, or of one."""
    return [p - p // 2, p // 2] if p > 1 else [p]


MAPS = (
    Map("waves", waves, waves_differential, ("n p", "p q", "p q")),
    Map(
        "blocks",
        lambda x, w: blocks(x, w, None, _halves(x.shape[1])),
        lambda x, w, dx, dw: blocks_differential((x, w, None), (dx, dw, None), _halves(x.shape[1])),
        ("n p", "p q"),
    ),
)
