"""The rows that early stopping watches: the user's own, a part of the training set, or a fold."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.estimators.fit_data import HeldOut, RawRows, read_only
from deltarule.estimators.fitted_model import FittedModel
from deltarule.estimators.options import FitOptions
from deltarule.estimators.sklearn_compat import check_sample_weight
from deltarule.program import Block
from deltarule.training.splits import nearly_stratified
from deltarule.utils.checks import check_undated
from deltarule.utils.context import naming

__all__ = ["Validation", "given_validation_set", "split"]


class Validation(NamedTuple):
    """The validation arguments of ``fit``, each None by default."""

    X: Any = None
    y: Any = None
    weight: Any = None
    groups: Any = None


def given_validation_set(
    validation: Validation,
    options: FitOptions,
    model: FittedModel,
    validate: Callable[[Any, Any], Any],
) -> HeldOut | None:
    """Return the user's own validation set, checked like the training set; None without one.

    Parameters
    ----------
    validate : callable
        (X, dtype) -> X, checked by scikit-learn against what ``fit`` has seen.
    """
    X_val, y_val, weight, groups = validation
    if options.minimizes and any(part is not None for part in validation):
        raise SpecError(
            f"solver={options.given['solver']!r} minimises over the whole set and does not stop "
            "early: leave X_val, y_val, sample_weight_val and groups out, or set solver='adam' or "
            "'sgd'."
        )
    _check_groups(options, groups)
    if X_val is None and y_val is None:
        if weight is not None:
            raise ValueError("sample_weight_val goes with X_val and y_val: give them, too.")
        return None
    if X_val is None or y_val is None:
        raise ValueError("X_val and y_val go together: give both, or neither.")
    if not options.early_stopping:
        raise ValueError(
            "X_val and y_val are what early stopping watches: set early_stopping=True, or "
            "leave them out."
        )
    check_undated("X_val", X_val)
    with naming("X_val"):
        x = validate(X_val, model.dtype)
    with naming("y_val"):
        targets = model.targets.encode(y_val, name="y_val")
    if targets.shape[0] != x.shape[0]:
        raise ValueError(
            f"X_val and y_val must have the same number of rows; got {x.shape[0]} and "
            f"{targets.shape[0]}."
        )
    if weight is not None and np.count_nonzero(np.asarray(weight)) == 0:
        raise DataError(
            "sample_weight_val is 0 for every row. Give some row of X_val a weight above 0, or "
            "leave sample_weight_val out."
        )
    weight = check_sample_weight(weight, x, name="sample_weight_val")
    return HeldOut(model.as_block(x, targets, weight), RawRows(X_val, y_val, weight))


def _check_groups(options: FitOptions, groups: Any) -> None:
    """Refuse groups that would have no effect."""
    if groups is None:
        return
    if not options.early_stopping or not hasattr(options.validation_fraction, "split"):
        raise ValueError(
            "groups are for a splitter that holds rows out: set early_stopping=True and "
            "validation_fraction=GroupKFold() or another of its kind, or leave groups out."
        )


def split(
    block: Block,
    raw: RawRows,
    groups: Any,
    fraction: Any,
    *,
    strata: Any,
    random_state: np.random.RandomState,
) -> tuple[Any, Block, HeldOut]:
    """Hold rows out; return the numbers of the training rows, their block, and the rows held out.

    Parameters
    ----------
    fraction : float or a cross-validation splitter
        Size of the part held out, or what makes the first of several folds.
    strata : array of shape (n,) or None
        Labels that a random split is stratified by: exactly where scikit-learn can do it, else as
        nearly as whole rows allow.
    """
    if hasattr(fraction, "split"):
        training, held = _first_fold(fraction, raw, block.n_rows, groups)
    else:
        training, held = _draw(block.n_rows, fraction, strata, random_state)
    if len(held) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' "
            "or the size of your dataset."
        )
    if block.weight is not None:
        training, held = _weighted_parts(training, held, block.weight, random_state)
    return training, block.take(training), HeldOut(block.take(held), raw.take(held))


def _draw(
    n_rows: int, fraction: Any, strata: Any, random_state: np.random.RandomState
) -> tuple[Any, Any]:
    """Return the training rows and those held out, drawn at random.

    scikit-learn stratifies two classes, and refuses those that it cannot. With more classes it
    draws plainly; so a class with too few rows must not end a fit that scikit-learn completes.
    """
    if strata is not None:
        names, codes, counts = np.unique(strata, return_inverse=True, return_counts=True)
        held = ceil(fraction * n_rows)
        if len(names) == 2:
            _check_two_classes(names, counts)
        elif len(names) > 2 and (counts.min() < 2 or not len(names) <= held <= n_rows - len(names)):
            return nearly_stratified(codes, held, random_state.permutation(n_rows))
    from sklearn.model_selection import train_test_split

    rows: tuple[Any, Any] = train_test_split(
        np.arange(n_rows), random_state=random_state, test_size=fraction, stratify=strata
    )
    return rows


def _weighted_parts(
    training: Any, held: Any, weight: Any, random_state: np.random.RandomState
) -> tuple[Any, Any]:
    """Return both parts with a row of non-zero weight in each.

    Bagging gives many rows the weight 0, so that a small part may hold no other ones. Then a row
    of non-zero weight changes places with one of weight 0.
    """
    parts = [training, held]
    counts = [int(np.count_nonzero(weight[part])) for part in parts]
    if sum(counts) < 2:
        raise DataError(
            f"early_stopping=True needs a row of non-zero weight to train on and one to hold out; "
            f"sample_weight has {sum(counts)}. Give more rows a weight, or set "
            "early_stopping=False."
        )
    if min(counts):
        return training, held
    poor, rich = (0, 1) if counts[0] == 0 else (1, 0)
    taken = random_state.choice(np.flatnonzero(weight[parts[rich]]))
    given = random_state.randint(len(parts[poor]))
    training, held = parts = [part.copy() for part in parts]
    parts[rich][taken], parts[poor][given] = parts[poor][given], parts[rich][taken]
    return training, held


def _check_two_classes(names: Any, counts: Any) -> None:
    """Refuse a class with a single row, as scikit-learn does; the message names the class."""
    if counts.min() >= 2:
        return
    few = str([str(name) for name in names[counts < 2]])
    few = f"{[str(name == names[1]) for name in names[counts < 2]]}, that is {few}"
    raise ValueError(
        "The least populated classes in y have only 1 member, which is too few. The "
        "minimum number of groups for any class cannot be less than 2. Classes with "
        f"too few members are: {few}. Give each class at least 2 rows, pass X_val and "
        "y_val, or set early_stopping=False."
    )


def _first_fold(splitter: Any, raw: RawRows, n_rows: int, groups: Any) -> tuple[Any, Any]:
    """Return the training and test rows of a splitter's first fold; the others are not used."""
    if groups is not None and np.shape(groups) != (n_rows,):
        raise ShapeError(f"groups must have shape ({n_rows},), one for each row; got "
                         f"{np.shape(groups)}.")  # fmt: skip
    given = raw.read_only()
    folds = splitter.split(given.X, given.y, read_only(groups))
    training, held = next(iter(folds), (np.array([]),) * 2)
    training, held = np.asarray(training), np.asarray(held)
    if len(training) == 0:
        raise DataError(
            f"validation_fraction={splitter!r} leaves no rows to train on. Use another splitter."
        )
    return training, held
