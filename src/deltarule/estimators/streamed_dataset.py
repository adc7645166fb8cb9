"""Training rows that are read again in every epoch, and are never all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deltarule.estimators.fitted_model import FittedModel
from deltarule.program import Block
from deltarule.spec.shards import Shards
from deltarule.training.data import StreamedBlock
from deltarule.training.partitions import PartitionLayout
from deltarule.training.streams import StreamedPartitions, StreamRows

if TYPE_CHECKING:
    from deltarule.estimators.fitting import FitJob

__all__ = ["StreamedDataset", "prepared_blocks"]


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
    lengths : tuple of int, optional
        With ``shards``: the rows of every stream. The rows of a stream are a partition.
    of_stream : callable, optional
        (epoch, stream) -> the parts of a stream, likewise.
    """

    n_rows: int
    of_epoch: Callable[[int], Iterator[tuple[Any, Any]]]
    identity: Callable[[], dict[str, str]]
    X: Any
    y: Any
    lengths: tuple[int, ...] | None = None
    of_stream: Callable[[int, int], Iterator[tuple[Any, Any]]] | None = None

    def stream(self, model: FittedModel, head: Block, shards: Shards | None) -> Any:
        """Return the stream of all rows, prepared for a model's network, to use instead of a block.

        ``head`` is a few of them, prepared.
        """
        if shards is not None:
            of_stream, layout = self.of_stream, PartitionLayout.of(shards)
            assert of_stream is not None

            def reader(place: int) -> Callable[[int], Iterator[Block]]:
                return lambda epoch: prepared_blocks(model, of_stream(epoch, place))

            rows = [StreamRows(reader(place)) for place in range(len(layout.lengths))]
            return StreamedPartitions(head, layout, rows)

        def blocks(epoch: int) -> Iterator[Block]:
            return prepared_blocks(model, self.of_epoch(epoch))

        return StreamedBlock(self.n_rows, blocks, head)

    def partitioned(self, shards: Shards | None) -> Shards | None:
        """Return the shards of a training, with the rows of every stream."""
        return None if shards is None else replace(shards, partitions=self.lengths)

    def job(self, job: FitJob) -> FitJob:
        """Return the fit: by this process."""
        return job


def prepared_blocks(model: FittedModel, parts: Iterator[tuple[Any, Any]]) -> Iterator[Block]:
    """Yield rows as a model's network takes them."""
    for X, y in parts:
        yield model.prepare(model.as_block(X, np.asarray(model.targets.encode(y)), None))
