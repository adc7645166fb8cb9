"""Blocks drawn afresh for every epoch (item D4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from deltarule.arrays import Array
from deltarule.errors import DataError, ShapeError
from deltarule.program import Block

__all__ = ["Augmenter", "augmented_blocks"]

Augmenter: TypeAlias = Callable[[Any, Any, int], Any]
"""``augment(x, rows, epoch) -> x'``: label-preserving, drawn afresh each epoch."""


def augmented_blocks(
    block: Block, augment: Augmenter, then: Callable[[Array], Array] | None = None
) -> Callable[[int], Block]:
    """Return the maker of every epoch's block: T(x) drawn afresh, the same targets.

    ``then`` is done to what ``augment`` returned, such as scaling.

    Raises
    ------
    ShapeError, DataError
        When an epoch's rows have another shape, or are not finite.
    """
    rows = np.arange(block.n_rows)

    def of_epoch(epoch: int) -> Block:
        x = np.asarray(augment(block.x, rows, epoch), dtype=block.x.dtype)
        if x.shape != tuple(block.x.shape):
            raise ShapeError(
                f"augment must return rows of the shape it was given, {tuple(block.x.shape)}; got "
                f"{x.shape}."
            )
        if not np.isfinite(x).all():
            raise DataError("augment returned NaN or infinity: look at its parameters.")
        return block._replace(x=x if then is None else then(x))

    return of_epoch
