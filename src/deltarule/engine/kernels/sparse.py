"""The first affine map on CSR inputs, with the dropouts that may stand before it (item B1)."""

from __future__ import annotations

from deltarule.engine.kernels.dropout import word_of
from deltarule.engine.kernels.memory import fast, like, size_of, vector

__all__ = ["sparse_forward", "sparse_gradient"]


@fast
def kept_share(dropouts, n_dropouts, row, column, seed, step):
    """Return ∏ mask/keep of an input entry under the dropouts before the first layer."""
    factor = 1.0
    table = vector(dropouts, 2 * n_dropouts, 1.0)
    for i in range(n_dropouts):
        keep, number = table[2 * i], int(table[2 * i + 1])
        kept = word_of(column, row, step, number, seed) < keep * 4294967296.0
        factor = factor / keep if kept else 0.0
    return factor


def sparse_forward(
    indptr, indices, data, rows, start, low, high, weights, z, n_in, n_out, left, right,
    dropouts, n_dropouts, first, seed, step, one,
):  # fmt: skip
    """Z[low:high, left:right] ← X W over the stored entries of the batch's rows."""
    size, columns = size_of(one), right - left
    for i in range(low, high):
        row = vector(rows + 8 * (start + i), 1, 0)[0] if rows != 0 else start + i
        target = vector(z + (i * n_out + left) * size, columns, one)
        for j in range(columns):
            target[j] = one - one
        ends = vector(indptr + 8 * row, 2, 0)
        for e in range(ends[0], ends[1]):
            column = vector(indices + 8 * e, 1, 0)[0]
            value = vector(data + e * size, 1, one)[0]
            if n_dropouts > 0:
                share = kept_share(dropouts, n_dropouts, first + i, column, seed, step)
                value *= like(one, share)
            w = vector(weights + (column * n_out + left) * size, columns, one)
            for j in range(columns):
                target[j] += value * w[j]


def sparse_gradient(
    indptr, indices, data, rows, start, n, delta, g, n_in, n_out, feature_from, feature_to,
    dropouts, n_dropouts, first, seed, step, one,
):  # fmt: skip
    """G[feature_from:feature_to] ← (Xᵀ D) of these features; g is where the first of them stands.

    The columns of every row are in ascending order.
    """
    size = size_of(one)
    whole = vector(g, (feature_to - feature_from) * n_out, one)
    for j in range(len(whole)):
        whole[j] = one - one
    for i in range(n):
        row = vector(rows + 8 * (start + i), 1, 0)[0] if rows != 0 else start + i
        d = vector(delta + i * n_out * size, n_out, one)
        ends = vector(indptr + 8 * row, 2, 0)
        low, high = ends[0], ends[1]
        while low < high:  # the first entry at or after feature_from
            middle = (low + high) // 2
            if vector(indices + 8 * middle, 1, 0)[0] < feature_from:
                low = middle + 1
            else:
                high = middle
        for e in range(low, ends[1]):
            column = vector(indices + 8 * e, 1, 0)[0]
            if column >= feature_to:
                break
            value = vector(data + e * size, 1, one)[0]
            if n_dropouts > 0:
                share = kept_share(dropouts, n_dropouts, first + i, column, seed, step)
                value *= like(one, share)
            target = vector(g + (column - feature_from) * n_out * size, n_out, one)
            for j in range(n_out):
                target[j] += value * d[j]
