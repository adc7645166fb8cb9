"""The rows of a fit: as the network takes them, and as the user gave them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deltarule.program import Block
from deltarule.utils.arrays import is_sparse

if TYPE_CHECKING:
    from deltarule.spec import Shards
    from deltarule.training import Augmenter

__all__ = ["FitData", "HeldOut", "RawRows", "as_stored", "is_frame", "read_only", "take_rows"]


class RawRows(NamedTuple):
    """Rows in the user's own form, for scorers and splitters."""

    X: Any
    y: Any
    weight: Any = None  # sample weights, without those of classes

    def take(self, rows: Any) -> RawRows:
        """Return some of the rows."""
        weight = None if self.weight is None else self.weight[rows]
        return RawRows(take_rows(self.X, rows), take_rows(self.y, rows), weight)

    def read_only(self) -> RawRows:
        """Return the rows for a user's function, which cannot change them in place."""
        return RawRows(read_only(self.X), read_only(self.y), read_only(self.weight))


class HeldOut(NamedTuple):
    """The rows that early stopping watches."""

    block: Block
    raw: RawRows
    score: Callable[[], float] | None = None  # the user's, of the estimator as it stands


class FitData(NamedTuple):
    """The rows that a fit works on."""

    block: Block
    callback_data: Block  # X and y in the user's units, sample weights without those of classes
    held_out: HeldOut | None = None
    augment: Augmenter | None = None  # (x, rows, epoch) -> x of that epoch
    shards: Shards | None = None  # of the training rows
    held_parts: list[Block] | None = None  # the rows held out, by partition


def is_frame(X: Any) -> bool:
    """Whether X is a table with column names, which a scorer must not lose."""
    return hasattr(X, "columns")


def read_only(given: Any) -> Any:
    """Return a read-only view of an array, a table or a sparse matrix; others as they are."""
    if isinstance(given, np.ndarray):
        view = given.view()
        view.flags.writeable = False
        return view
    if isinstance(given, list):
        return list(given)
    if hasattr(given, "iloc"):  # pandas has no read-only tables
        return given.copy()
    if is_sparse(given) and given.format in ("csr", "csc"):
        parts = tuple(map(read_only, (given.data, given.indices, given.indptr)))
        return type(given)(parts, shape=given.shape)
    return given


def take_rows(array: Any, rows: Any) -> Any:
    """Return some rows (all for None) of anything that scikit-learn can index."""
    if rows is None:
        return array
    from deltarule.estimators.sklearn_compat import safe_indexing

    return safe_indexing(array, rows)


def as_stored(array: Any, dtype: Any) -> Any:
    """Return an array as interpreters read it: of θ's type, CSR or C-contiguous."""
    if not isinstance(array, np.ndarray) and is_sparse(array):
        return array.tocsr().astype(dtype, copy=False)
    return np.ascontiguousarray(array, dtype=dtype)
