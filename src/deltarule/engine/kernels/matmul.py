"""The matrix products of an affine map: its output, its input's derivative, its gradient.

Two kernels compute all three, ``product`` and ``product_by_transpose``; ``product_of_shards`` is
the gradient as a sum over shards of a batch. Their compiled form is written in ``gemm``; the
functions of these names here are NumPy's, for when the compiler is off.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deltarule.engine.kernels.intrinsics import call, context_at, inlined, vector

__all__ = [
    "multiply",
    "multiply_by_transpose",
    "product",
    "product_by_transpose",
    "product_of_shards",
    "transpose_and_multiply",
]


@inlined
def multiply(context, x, ldx, w, ldw, bias, z, ldz, m, n, k, one):
    """Z (m, n) ← X (m, k) W (k, n), plus the bias (n,) in every row unless its address is 0."""
    c = context_at(context)
    if n == 1 and ldw == 1 and ldz == 1:  # zᵀ = wᵀ Xᵀ: a column alone would fill no vector
        call(c.product_by_transpose, (w, k, x, ldx, z, m, 1, m, k, one))
        if bias != 0:
            b, sums = vector(bias, 1, one), vector(z, m, one)
            for i in range(m):
                sums[i] += b[0]
    else:
        call(c.product, (x, ldx, 1, w, ldw, bias, z, ldz, m, n, k, one))


@inlined
def transpose_and_multiply(context, x, ldx, d, ldd, g, ldg, m, n, k, one):
    """G (m, n) ← Xᵀ D, X (k, m), D (k, n)."""
    c = context_at(context)
    if n == 1 and ldg == 1:  # gᵀ = dᵀ X
        call(c.product, (d, 1, ldd, x, ldx, 0, g, m, 1, m, k, one))
    else:
        call(c.product, (x, 1, ldx, d, ldd, 0, g, ldg, m, n, k, one))


@inlined
def multiply_by_transpose(context, d, ldd, w, ldw, x, ldx, m, n, k, one):
    """X (m, n) ← D (m, k) Wᵀ, W (n, k)."""
    c = context_at(context)
    if k == 1 and ldw == 1:  # its transpose is the same numbers
        call(c.product, (d, ldd, 1, w, n, 0, x, ldx, m, n, k, one))
    else:
        call(c.product_by_transpose, (d, ldd, w, ldw, x, ldx, m, n, k, one))


def product(a, down, along, b, ldb, bias, c, ldc, m, n, k, one):
    """C (m, n) ← A (m, k) B (k, n), plus the bias (n,) in every row unless its address is 0.

    A's entries are ``down`` apart in a column and ``along`` in a row: it may be a transpose.
    """
    target = _view(c, m, n, ldc, 1, one)
    target[...] = _view(a, m, k, down, along, one) @ _view(b, k, n, ldb, 1, one)
    if bias != 0:
        target += vector(bias, n, one)


def product_of_shards(a, along, b, ldb, c, ldc, m, n, bounds, count, one):
    """C (m, n) ← Σ Aᵀ B over shards of the rows of A and B, added in a balanced binary tree.

    Shard s has the rows [bounds[s], bounds[s + 1]); there are ``count`` of them, a power of two.
    """
    cuts, waiting = vector(bounds, count + 1, 0), []
    size = np.dtype(type(one)).itemsize
    for s in range(count):
        low, rows = int(cuts[s]), int(cuts[s + 1] - cuts[s])
        left = _view(a + low * along * size, rows, m, along, 1, one)
        waiting.append(left.T @ _view(b + low * ldb * size, rows, n, ldb, 1, one))
        while s % 2 == 1:
            upper = waiting.pop()
            waiting[-1] += upper
            s //= 2
    _view(c, m, n, ldc, 1, one)[...] = waiting[0]


def product_by_transpose(a, lda, b, ldb, c, ldc, m, n, k, one):
    """C (m, n) ← A (m, k) Bᵀ, B (n, k)."""
    right = _view(b, n, k, ldb, 1, one)
    _view(c, m, n, ldc, 1, one)[...] = _view(a, m, k, lda, 1, one) @ right.T


def _view(address: int, rows: int, columns: int, down: int, along: int, one: Any) -> Any:
    flat = vector(address, (rows - 1) * down + (columns - 1) * along + 1, one)
    steps = (flat.itemsize * down, flat.itemsize * along)
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), steps, writeable=True)
