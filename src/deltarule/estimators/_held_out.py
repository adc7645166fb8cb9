"""The rows that early stopping watches: the user's own, or a part of the training set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import validate_data

from deltarule.estimators._sklearn import check_sample_weight
from deltarule.program import Block

if TYPE_CHECKING:
    from deltarule.estimators._base import BaseMLP

__all__ = ["Validation", "own_validation_set", "split"]

Validation = tuple[Any, Any, Any]
"""``X_val``, ``y_val`` and ``sample_weight_val`` as the user gave them, or None."""


def own_validation_set(estimator: BaseMLP, validation: Validation) -> Block | None:
    """Return the user's own validation set, checked like the training set."""
    X_val, y_val, weight = validation
    if X_val is None and y_val is None:
        return None
    if X_val is None or y_val is None:
        raise ValueError("X_val and y_val go together: give both, or neither.")
    if not estimator.early_stopping:
        raise ValueError(
            "X_val and y_val are what early stopping watches: set early_stopping=True, or "
            "leave them out."
        )
    X_val = validate_data(
        estimator, X_val, accept_sparse="csr", dtype=estimator._state.theta.dtype, reset=False
    )
    targets = estimator._encode_targets(y_val)
    if targets.shape[0] != X_val.shape[0]:
        raise ValueError(
            f"X_val and y_val must have the same number of rows; got {X_val.shape[0]} and "
            f"{targets.shape[0]}."
        )
    return Block(X_val, targets, check_sample_weight(weight, X_val))


def split(estimator: BaseMLP, block: Block) -> tuple[Block, Block]:
    """Hold out ``validation_fraction`` of the rows, stratified by class."""
    rows = np.arange(block.n_rows)
    strata = estimator._strata(block.y)
    if strata is not None:
        names, counts = np.unique(strata, return_counts=True)
        if counts.min() < 2:
            few = [str(name) for name in names[counts < 2]]
            raise ValueError(
                "The least populated classes in y have only 1 member, which is too few. The "
                "minimum number of groups for any class cannot be less than 2. Classes with "
                f"too few members are: {few}. Give each class at least 2 rows, pass X_val and "
                "y_val, or set early_stopping=False."
            )
    kept, held = train_test_split(
        rows,
        random_state=estimator._random_state,
        test_size=estimator.validation_fraction,
        stratify=strata,
    )
    if len(held) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' "
            "or the size of your dataset."
        )
    return block.take(kept), block.take(held)
