"""Parametric activations, compiled: y = z + α ⊙ (g(z) − z) around the kernels of g (item B2).

The activation's own kernels compute g(z), which the instruction keeps in ``extra``, and g'(z) ⊙ dy.
Each function works on a tile of ``rows`` rows with ``columns`` entries each, ``stride`` apart,
which begins at ``corner`` of every register; its first column is ``left``.
"""

from __future__ import annotations

from deltarule.engine.kernels.intrinsics import fast, size_of, vector

__all__ = ["add_straight", "mix", "sum_bends"]


@fast
def mix(z, a, y, alpha, corner, left, rows, columns, stride, one):
    """Write y = z + α ⊙ (a − z); y is the address of the tile itself."""
    size = size_of(one)
    share = vector(alpha + left * size, columns, one)
    for r in range(rows):
        place = r * stride * size
        here = corner + place
        source, bent = vector(z + here, columns, one), vector(a + here, columns, one)
        target = vector(y + place, columns, one)
        for j in range(columns):
            target[j] = source[j] + share[j] * (bent[j] - source[j])


@fast
def sum_bends(z, a, dy, kept, sums, corner, left, rows, columns, stride, one):
    """Write Σ_rows (a − z) ⊙ dy, α's gradient, and keep dy, which g's own kernel overwrites."""
    size = size_of(one)
    total = vector(sums + left * size, columns, one)
    for j in range(columns):
        total[j] = one - one
    for r in range(rows):
        place = corner + r * stride * size
        source, bent = vector(z + place, columns, one), vector(a + place, columns, one)
        given, copy = vector(dy + place, columns, one), vector(kept + place, columns, one)
        for j in range(columns):
            copy[j] = given[j]
            total[j] += (bent[j] - source[j]) * given[j]


@fast
def add_straight(kept, dz, alpha, corner, left, rows, columns, stride, one):
    """Write dz ← α ⊙ dz + (1 − α) ⊙ dy, from what was kept; dz is the tile's own address."""
    size = size_of(one)
    share = vector(alpha + left * size, columns, one)
    for r in range(rows):
        place = r * stride * size
        given = vector(kept + corner + place, columns, one)
        target = vector(dz + place, columns, one)
        for j in range(columns):
            target[j] = share[j] * target[j] + (one - share[j]) * given[j]
