"""The rows of a fit: as the network takes them, and as the user gave them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from deltarule.arrays import is_sparse
from deltarule.estimators.sklearn_compat import safe_indexing
from deltarule.program import Block

__all__ = ["Given", "HeldOut", "Rows", "in_one_piece", "is_frame", "is_plain", "rows_of"]

_FEW = 4096
"""Numbers up to which looking through X costs next to nothing."""


class Given(NamedTuple):
    """Rows in the user's own form, for whoever scores the estimator."""

    X: Any
    y: Any
    weight: Any = None  # sample weights, without those of classes

    def take(self, rows: Any) -> Given:
        """Return some of the rows."""
        weight = None if self.weight is None else self.weight[rows]
        return Given(rows_of(self.X, rows), rows_of(self.y, rows), weight)


class HeldOut(NamedTuple):
    """What early stopping watches."""

    block: Block
    given: Given


class Rows(NamedTuple):
    """What a fit works on."""

    block: Block
    shown: Block  # the same for callbacks: in the user's units, weights without those of classes
    held_out: HeldOut | None = None
    block_of: Callable[[int], Block] | None = None  # of every epoch, where they differ


def is_frame(X: Any) -> bool:
    """Whether X is a table with names, which a scorer must not lose."""
    return hasattr(X, "columns")


def is_plain(estimator: Any, X: Any) -> bool:
    """Whether X is a few rows of numbers that scikit-learn's validation would not touch.

    It takes several times as long as a network needs for a row. It is asked wherever there is
    anything to say: about names, types, shapes, missing values, an estimator that is not fitted.
    """
    known = vars(estimator)
    return (
        type(X) is np.ndarray
        and X.ndim == 2
        and 0 < X.size <= _FEW
        and X.dtype.kind == "f"
        and X.dtype.itemsize in (4, 8)
        and "_state" in known
        and "feature_names_in_" not in known
        and X.shape[1] == estimator.n_features_in_
        and bool(np.isfinite(X).all())
    )


def rows_of(array: Any, rows: Any) -> Any:
    """Return some rows (all for None) of whatever scikit-learn can take rows of."""
    return array if rows is None else safe_indexing(array, rows)


def in_one_piece(array: Any, dtype: Any) -> Any:
    """Return an array as interpreters read it: of θ's type, CSR or C-contiguous."""
    if is_sparse(array):
        return array.tocsr().astype(dtype, copy=False)
    return np.ascontiguousarray(array, dtype=dtype)
