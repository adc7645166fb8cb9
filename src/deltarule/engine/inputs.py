"""A block of data as kernels read it: contiguous arrays, checked before kernels read them.

Kernels check no index. This module refuses every row number, bound or column that would lead them
outside an array.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError, ShapeError
from deltarule.program import BatchSchedule, Block
from deltarule.utils.addresses import address_of
from deltarule.utils.arrays import is_sparse

__all__ = [
    "Inputs",
    "batch_weights",
    "check_batches",
    "check_moments",
    "check_targets",
    "inputs_of",
]


class Inputs(NamedTuple):
    """The inputs of a block: dense and row-major, or CSR with sorted columns in every row."""

    given: Any  # the block's own X
    sparse: bool
    values: npt.NDArray[Any]  # (n, d), or the stored entries
    indptr: npt.NDArray[np.int64] | None = None
    indices: npt.NDArray[np.int64] | None = None

    def write_addresses(self, context: Any) -> None:
        """Write the arrays' addresses into a context."""
        if self.indptr is None or self.indices is None:
            context.x = address_of(self.values)
            return
        context.x = 0
        context.data = address_of(self.values)
        context.indptr = address_of(self.indptr)
        context.indices = address_of(self.indices)


def inputs_of(x: Any, n_inputs: int, dtype: Any) -> Inputs:
    """Return inputs as kernels read them; they are copied only if their form differs."""
    if len(x.shape) != 2 or x.shape[1] != n_inputs:
        raise ShapeError(f"X must have shape (n, {n_inputs}); got {tuple(x.shape)}.")
    if isinstance(x, np.ndarray):
        return Inputs(x, False, np.ascontiguousarray(x, dtype=dtype))
    if not is_sparse(x):
        raise DataError(
            f"X must be a NumPy array or a SciPy CSR matrix; got {type(x).__name__}. Use "
            "engine='reference' for arrays of other libraries."
        )
    matrix = x.tocsr()
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    indptr = np.ascontiguousarray(matrix.indptr, dtype=np.int64)
    indices = np.ascontiguousarray(matrix.indices, dtype=np.int64)
    stored = len(matrix.data)
    fits = (
        len(indptr) == x.shape[0] + 1
        and indptr[0] == 0
        and indptr[-1] <= min(stored, len(indices))
        and (np.diff(indptr) >= 0).all()
        and (stored == 0 or (indices.min() >= 0 and indices.max() < n_inputs))
    )
    if not fits:
        raise DataError(
            "X is an invalid CSR matrix: indptr or indices point outside its arrays. Rebuild it, "
            "for example with scipy.sparse.csr_array(X.tocoo())."
        )
    values = np.ascontiguousarray(matrix.data, dtype=dtype)
    return Inputs(x, True, values, indptr, indices)


def check_targets(block: Block, n_outputs: int, dtype: Any) -> None:
    """Raise unless targets and weights are contiguous, of θ's type and of the rows' shape."""
    expected = (block.n_rows, n_outputs)
    for name, array, shape in (("y", block.y, expected), ("weight", block.weight, expected[:1])):
        if array is None and name == "weight":
            continue
        if not isinstance(array, np.ndarray) or array.shape != shape:
            raise ShapeError(
                f"block.{name} must be a NumPy array of shape {shape}; got "
                f"{getattr(array, 'shape', array)}."
            )
        if array.dtype != dtype or not array.flags.c_contiguous:
            raise DataError(
                f"block.{name} must be {dtype} in C order, as the network's numbers are; "
                f"got {array.dtype}. Convert it with np.ascontiguousarray(…, dtype)."
            )


def check_batches(
    order: BatchSchedule, begin: int, end: int, n_rows: int, least: int, weight: Any
) -> None:
    """Raise unless the steps' batches contain rows of the block, and enough of them."""
    bounds, rows = order.bounds, order.rows
    plain = all(
        isinstance(a, np.ndarray) and a.dtype == np.int64 and a.ndim == 1 and a.flags.c_contiguous
        for a in (bounds, rows)
    )
    if not plain:
        raise DataError("order.rows and order.bounds must be contiguous int64 arrays (n,).")
    if not 0 <= begin < end <= len(bounds) - 1 or len(order.learning_rates) < end:
        raise ShapeError(
            f"steps must lie in 0 … {len(bounds) - 1}, with a learning rate each; got "
            f"{begin} … {end}."
        )
    cut = bounds[begin : end + 1]
    if bounds[0] < 0 or bounds[-1] > len(rows) or (bounds[1:] <= bounds[:-1]).any():
        raise DataError(
            "order.bounds must increase from batch to batch, and stay within order.rows."
        )
    taken = rows[cut[0] : cut[-1]]
    if taken.min() < 0 or taken.max() >= n_rows:
        raise DataError(f"order.rows must be row numbers from 0 to {n_rows - 1}.")
    if least > 1:
        batches = (rows[low:high] for low, high in pairwise(cut))
        counts = (len(r) if weight is None else int(np.count_nonzero(weight[r])) for r in batches)
        few = next((count for count in counts if 0 < count < least), None)
        if few is not None:
            raise DataError(
                f"batch norm needs at least {least} rows of non-zero weight in a batch; got "
                f"{few}. Use a larger batch_size."
            )


def batch_weights(
    order: BatchSchedule, weight: Any, begin: int, end: int, *, in_order: bool = False
) -> npt.NDArray[np.float64]:
    """Return Σw of every batch up to ``end``; 0 for those before ``begin``."""
    totals = np.zeros(end)
    if weight is None:
        totals[begin:] = order.bounds[begin + 1 : end + 1] - order.bounds[begin:end]
        return totals
    low, high = int(order.bounds[begin]), int(order.bounds[end])
    rows = slice(low, high) if in_order else order.rows[low:high]
    given = np.asarray(weight[rows], dtype=np.float64)
    for k in range(begin, end):
        totals[k] = given[order.bounds[k] - low : order.bounds[k + 1] - low].sum()
    return totals


def check_moments(block: Block) -> None:
    """Raise unless a batch has enough rows for batch norm's moments."""
    b = block.n_rows if block.weight is None else int(np.count_nonzero(block.weight))
    if b < 2:
        raise DataError(
            f"batch norm needs at least 2 rows of non-zero weight in a batch; got {b}. Use a "
            "larger batch_size."
        )
