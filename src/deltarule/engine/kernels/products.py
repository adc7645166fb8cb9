"""Matrix products of row-major blocks, by BLAS, cut so that it need not pack where it need not.

BLAS is column-major: a row-major (m, n) array is its (n, m) one, so the factors change places.
Some BLAS have kernels that multiply small matrices where they lie, without the packing that
costs a third of the time at these shapes; ``small`` is the largest m n k that they take.
"""

from __future__ import annotations

from deltarule.engine.kernels.memory import fast, gemm, size_of

__all__ = ["multiply", "multiply_by_transpose", "transpose_and_multiply"]


@fast
def rows_at_once(m, n, k, small):
    """Return how many of m rows to hand over at a time."""
    fitting = small // (n * k)
    if fitting >= m or fitting < 4:
        return m
    return fitting - fitting % 4


@fast
def multiply(gemm_at, small, x, ldx, w, ldw, z, ldz, m, n, k, one):
    """Z (m, n) ← X (m, k) W (k, n)."""
    step = rows_at_once(m, n, k, small)
    size = size_of(one)
    for low in range(0, m, step):
        rows = min(step, m - low)
        gemm(gemm_at, 0, 0, n, rows, k, w, ldw, x + low * ldx * size, ldx, one - one,
             z + low * ldz * size, ldz)  # fmt: skip


@fast
def multiply_by_transpose(gemm_at, small, d, ldd, w, ldw, x, ldx, m, n, k, one):
    """X (m, n) ← D (m, k) Wᵀ, W (n, k)."""
    gemm(gemm_at, 1, 0, n, m, k, w, ldw, d, ldd, one - one, x, ldx)


@fast
def transpose_and_multiply(gemm_at, small, x, ldx, d, ldd, w, ldw, m, n, k, one):
    """W (m, n) ← Xᵀ D, X (k, m), D (k, n)."""
    step = rows_at_once(m, n, k, small)
    size = size_of(one)
    for low in range(0, m, step):
        rows = min(step, m - low)
        gemm(gemm_at, 0, 1, n, rows, k, d, ldd, x + low * size, ldx, one - one,
             w + low * ldw * size, ldw)  # fmt: skip
