"""The rows that early stopping watches: the user's own, a part of the training set, or a fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import validate_data

from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.estimators.fit_data import Given, HeldOut, in_one_piece
from deltarule.estimators.sklearn_compat import check_sample_weight
from deltarule.estimators.solver_options import minimizes
from deltarule.program import Block

if TYPE_CHECKING:
    from deltarule.estimators.base import BaseMLP

__all__ = ["Validation", "own_validation_set", "split"]


class Validation(NamedTuple):
    """What the user gave ``fit`` to validate with, each or None."""

    X: Any = None
    y: Any = None
    weight: Any = None
    groups: Any = None


def own_validation_set(estimator: BaseMLP, validation: Validation) -> HeldOut | None:
    """Return the user's own validation set, checked like the training set."""
    X_val, y_val, weight, groups = validation
    if minimizes(estimator.solver) and any(part is not None for part in validation):
        raise SpecError(
            f"solver={estimator.solver!r} minimises over the whole set and does not stop early: "
            "leave X_val, y_val, sample_weight_val and groups out, or set solver='adam' or 'sgd'."
        )
    _check_groups(estimator, groups)
    if X_val is None and y_val is None:
        if weight is not None:
            raise ValueError("sample_weight_val goes with X_val and y_val: give them, too.")
        return None
    if X_val is None or y_val is None:
        raise ValueError("X_val and y_val go together: give both, or neither.")
    if not estimator.early_stopping:
        raise ValueError(
            "X_val and y_val are what early stopping watches: set early_stopping=True, or "
            "leave them out."
        )
    dtype = estimator._state.theta.dtype
    x = validate_data(estimator, X_val, accept_sparse=["csr", "csc"], dtype=dtype, reset=False)
    targets = estimator._encode_targets(y_val)
    if targets.shape[0] != x.shape[0]:
        raise ValueError(
            f"X_val and y_val must have the same number of rows; got {x.shape[0]} and "
            f"{targets.shape[0]}."
        )
    weight = check_sample_weight(weight, x)
    block = Block(in_one_piece(x, dtype), in_one_piece(targets, dtype), weight)
    return HeldOut(block, Given(X_val, y_val, weight))


def _check_groups(estimator: BaseMLP, groups: Any) -> None:
    """Refuse groups that nothing would look at."""
    if groups is None:
        return
    if not estimator.early_stopping or not hasattr(estimator.validation_fraction, "split"):
        raise ValueError(
            "groups are for a splitter that holds rows out: set early_stopping=True and "
            "validation_fraction=GroupKFold() or another of its kind, or leave groups out."
        )


def split(
    estimator: BaseMLP, block: Block, given: Given, groups: Any
) -> tuple[Any, Block, HeldOut]:
    """Hold rows out; return the numbers of the rows kept, their block, and the rows held out."""
    if hasattr(estimator.validation_fraction, "split"):
        kept, held = _first_fold(estimator, given, block.n_rows, groups)
    else:
        kept, held = _by_chance(estimator, block)
    if len(held) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' "
            "or the size of your dataset."
        )
    return kept, block.take(kept), HeldOut(block.take(held), given.take(held))


def _by_chance(estimator: BaseMLP, block: Block) -> tuple[Any, Any]:
    """Hold ``validation_fraction`` of the rows out, stratified by class."""
    strata = estimator._strata(block.y)
    if strata is not None:
        names, counts = np.unique(strata, return_counts=True)
        if counts.min() < 2:
            few = str([str(name) for name in names[counts < 2]])
            if len(names) == 2:  # scikit-learn names the indicator of the second class
                few = f"{[str(name == names[1]) for name in names[counts < 2]]}, that is {few}"
            raise ValueError(
                "The least populated classes in y have only 1 member, which is too few. The "
                "minimum number of groups for any class cannot be less than 2. Classes with "
                f"too few members are: {few}. Give each class at least 2 rows, pass X_val and "
                "y_val, or set early_stopping=False."
            )
    kept, held = train_test_split(
        np.arange(block.n_rows),
        random_state=estimator._random_state,
        test_size=estimator.validation_fraction,
        stratify=strata,
    )
    return kept, held


def _first_fold(estimator: BaseMLP, given: Given, n_rows: int, groups: Any) -> tuple[Any, Any]:
    """Return the training and test rows of a splitter's first fold; others are not used."""
    splitter = estimator.validation_fraction
    if groups is not None and np.shape(groups) != (n_rows,):
        raise ShapeError(f"groups must have shape ({n_rows},), a group a row; got "
                         f"{np.shape(groups)}.")  # fmt: skip
    kept, held = next(iter(splitter.split(given.X, given.y, groups)), (np.array([]),) * 2)
    kept, held = np.asarray(kept), np.asarray(held)
    if len(kept) == 0:
        raise DataError(
            f"validation_fraction={splitter!r} leaves no rows to train on. Use another splitter."
        )
    return kept, held
