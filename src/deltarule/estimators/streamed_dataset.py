"""Training rows that are read again in every epoch, and are never all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from deltarule.estimators.fitted_model import FittedModel
from deltarule.program import Block
from deltarule.training.data import StreamedBlock

__all__ = ["StreamedDataset"]


class StreamedDataset(NamedTuple):
    """The training rows of a table that is read part by part.

    Attributes
    ----------
    n_rows : int
        How many training rows there are.
    of_epoch : callable
        epoch -> the parts (X, y) of that epoch, in an order that depends only on the number;
        together they are all rows, each once.
    identity : callable
        () -> digests of what decides the rows, by name, which checkpoints are compared by.
    X, y : arrays
        A few rows; y has every class, or numbers.
    """

    n_rows: int
    of_epoch: Callable[[int], Iterator[tuple[Any, Any]]]
    identity: Callable[[], dict[str, str]]
    X: Any
    y: Any

    def stream(self, model: FittedModel, head: Block) -> Any:
        """Return the stream of all rows, prepared for a model's network, to use instead of a block.

        ``head`` is a few of them, prepared.
        """

        def blocks(epoch: int) -> Iterator[Block]:
            for X, y in self.of_epoch(epoch):
                yield model.prepare(model.as_block(X, np.asarray(model.targets.encode(y)), None))

        return StreamedBlock(self.n_rows, blocks, head)
