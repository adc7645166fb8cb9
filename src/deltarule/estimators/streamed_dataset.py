"""Fitting an estimator to rows that are read anew in every epoch, and never all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np

from deltarule.estimators.base import BaseMLP
from deltarule.estimators.fit_data import in_one_piece
from deltarule.estimators.sklearn_compat import with_callbacks
from deltarule.estimators.validation_split import Validation
from deltarule.program import Block
from deltarule.training.streams import Stream

__all__ = ["Pieces", "fit_stream"]

Estimator = TypeVar("Estimator", bound=BaseMLP)


class Pieces(NamedTuple):
    """The training rows of a table that is read piece by piece.

    Attributes
    ----------
    n_rows : int
        How many training rows there are.
    of_epoch : callable
        epoch -> the pieces (X, y) of that epoch in an order that the number alone decides; all of
        them together are the rows, each once.
    identity : callable
        () -> digests of what decides the rows, by name, for checkpoints to be compared with.
    X, y : arrays
        A few rows; y has every class, or numbers.
    """

    n_rows: int
    of_epoch: Callable[[int], Iterator[tuple[Any, Any]]]
    identity: Callable[[], dict[str, str]]
    X: Any
    y: Any

    def stream(self, estimator: BaseMLP, head: Block) -> Any:
        """Return the rows as an estimator's network takes them; ``head`` is a few of them."""

        def blocks(epoch: int) -> Iterator[Block]:
            dtype = estimator._state.theta.dtype
            for X, y in self.of_epoch(epoch):
                targets = in_one_piece(np.asarray(estimator._encode_targets(y)), dtype)
                yield estimator._to_network(Block(in_one_piece(X, dtype), targets))

        return Stream(self.n_rows, blocks, head)


@with_callbacks
def fit_stream(estimator: Estimator, pieces: Pieces, X_val: Any, y_val: Any) -> Estimator:
    """Fit an estimator with ``early_stopping`` to pieces, as its ``fit`` does to a whole set.

    It must have ``shuffle=False``, since whoever makes the pieces shuffles, and leave what needs
    the whole set to the maker of the pieces: ``standardize``, ``class_weight``, ``augment``.

    Raises
    ------
    As ``fit``, and whatever the pieces raise.
    """
    estimator._fit(pieces.X, pieces.y, None, Validation(X_val, y_val), pieces=pieces)
    return estimator
