"""What weights mean: a row of weight 2 counts as two rows, and one of weight 0 as none.

A row's weight is that of its class times its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from deltarule.arrays import Array
from deltarule.errors import SpecError
from deltarule.program import Block, Interpreter, Order, State, Steps

__all__ = ["Repeating", "class_factors"]


def class_factors(class_weight: Any, classes: Any, codes: Any, weight: Any) -> Any:
    """Return the weight of every row's class (n,), as scikit-learn counts it.

    Parameters
    ----------
    class_weight : "balanced", dict or list of dict
        For several labels a list, a dict a label, whose factors multiply.
    classes : array of shape (k,)
        The labels that are meant.
    codes : array of shape (n,) or (n, k)
        The place of each row's class; with several labels, 0 or 1 for each.
    weight : array of shape (n,) or None
        Sample weights: "balanced" counts by them, so that a row without any is absent.
    """
    if codes.ndim == 1:
        if isinstance(class_weight, list):
            raise SpecError(
                "class_weight must be 'balanced' or a dict of classes; a list of dicts is for "
                f"several labels. Got {class_weight!r}."
            )
        return _column(class_weight, classes, codes, weight)
    columns = codes.shape[1]
    given = [class_weight] * columns if isinstance(class_weight, str) else class_weight
    if not isinstance(given, list) or len(given) != columns:
        raise SpecError(
            f"class_weight must be 'balanced', or a list of {columns} dicts of 0 and 1, one a "
            f"label; got {class_weight!r}."
        )
    factors = [_column(g, np.arange(2), c, weight) for g, c in zip(given, codes.T, strict=True)]
    return np.prod(factors, axis=0)


def _column(class_weight: Any, classes: Any, codes: Any, weight: Any) -> Any:
    present = codes if weight is None else codes[weight > 0]
    of_class = np.ones(len(classes))
    if isinstance(class_weight, str):
        seen = np.unique(present)
        counted = None if weight is None else weight[weight > 0]
        of_class[seen] = compute_class_weight(
            class_weight, classes=seen, y=present, sample_weight=counted
        )
    else:
        of_class[:] = _looked_up(class_weight, classes.tolist())
    if not (np.isfinite(of_class).all() and (of_class >= 0).all()):
        raise SpecError(
            f"class_weight must hold finite numbers of at least 0; got {class_weight!r}."
        )
    return of_class[codes]


def _looked_up(class_weight: dict[Any, float], labels: list[Any]) -> list[float]:
    """Return the weight of every label, 1 for those that are not named.

    As by scikit-learn, names that are no labels are borne if every label is named: a fold of a
    search may lack a class.
    """
    named = [label for label in labels if label in class_weight]
    if len(named) < min(len(labels), len(class_weight)):
        raise SpecError(
            f"class_weight names {list(class_weight)}, but the classes are {labels}. Name them as "
            "in y; those left out have weight 1."
        )
    return [float(class_weight.get(label, 1.0)) for label in labels]


class Repeating:
    """An interpreter under which, in full batch, weights are repetitions for batch norm as well.

    Statistics for prediction hold b/(b − 1) σ² with b the rows of the batch. Rows that stand for
    more than themselves, Σw > b, raise b to Σw; weights that are merely shares do not lower it,
    and those of classes do not count.

    Parameters
    ----------
    interpreter : Interpreter
        What takes the steps.
    sample_weight : array of shape (n,)
        Weights of the rows, without those of their classes.
    """

    def __init__(self, interpreter: Interpreter, sample_weight: Array) -> None:
        self._interpreter, self._sample_weight = interpreter, sample_weight

    def advance(self, state: State, block: Block, order: Order, steps: range) -> Steps:
        """Take the steps; correct what the epoch's only batch left behind."""
        seen = self._interpreter.advance(state, block, order, steps)
        if order.n_batches > 1 or seen.diverged:
            return seen
        present = np.asarray(block.weight) > 0
        rows = int(np.count_nonzero(present))
        meant = float(np.sum(self._sample_weight[present], dtype=np.float64))
        if meant > rows:
            factor = (meant / (meant - 1)) / (rows / (rows - 1))
            for name in state.buffers:
                if name.endswith(".variance"):
                    old = state.buffers[name]
                    state.buffers[name] = (factor * old).astype(old.dtype)
        return seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._interpreter, name)
