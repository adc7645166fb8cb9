"""Fits whose rows the workers read from files again in every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from deltarule.dask.crew import Crew
from deltarule.dask.fitting import ClusterJob, cluster_steps, owners_of
from deltarule.dask.interpreter import ClusterData
from deltarule.estimators.fitted_model import FittedModel
from deltarule.estimators.fitting import FitJob
from deltarule.estimators.streamed_dataset import StreamedDataset, prepared_blocks
from deltarule.program import Block
from deltarule.spec.shards import Shards
from deltarule.training.partitions import BatchCut, PartitionLayout
from deltarule.training.streams import StreamRows, joined_blocks

__all__ = ["ClusterStreams", "StreamedShard"]

Parts = Callable[[int, int], Iterator[tuple[Any, Any]]]
"""(epoch, stream) -> the parts (X, y) of a stream."""


class StreamedShard:
    """The streams of a shard, which a worker reads.

    How far it has read is no part of it: a copy on another worker reads its epoch again.

    Attributes
    ----------
    token : str
        Of the fit, by which a worker finds its engine.
    model : FittedModel
        The network.
    """

    def __init__(
        self, token: str, model: FittedModel, parts: Parts, lengths: dict[int, int]
    ) -> None:
        self.token, self.model, self._parts, self._lengths = token, model, parts, lengths
        self._open()

    def _open(self) -> None:
        self._rows = {place: StreamRows(self._reader(place)) for place in self._lengths}
        self._last: tuple[Any, Block | None] = (None, None)

    def _reader(self, place: int) -> Callable[[int], Iterator[Block]]:
        return lambda epoch: prepared_blocks(self.model, self._parts(epoch, place))

    def rows_of(self, seed: int | None, epoch: int, cut: BatchCut) -> Block | None:
        """Return the shard's rows of a batch; None if it has none. The streams are in order."""
        if self._last[0] != (epoch, cut):
            taken = [
                rows.take(epoch, cut.of(place, self._lengths[place]))
                for place, rows in self._rows.items()
            ]
            block = joined_blocks([part for part in taken if part is not None])
            self._last = ((epoch, cut), block)  # for a task that is asked for again
        return self._last[1]

    def __getstate__(self) -> dict[str, Any]:
        """Return what travels to another worker."""
        return {k: v for k, v in vars(self).items() if k not in ("_rows", "_last")}

    def __setstate__(self, held: dict[str, Any]) -> None:
        """Become a copy that has read nothing yet."""
        vars(self).update(held)
        self._open()


class ClusterStreams(StreamedDataset):
    """The training rows of a table that the workers of a cluster read; see `StreamedDataset`.

    Attributes
    ----------
    crew : Crew
    parts : future of a callable
        (epoch, stream) -> the parts of a stream; every worker gets it once.
    """

    crew: Crew
    parts: Any

    def on(self, crew: Crew, parts: Any) -> ClusterStreams:
        """Return the same rows, read by a crew."""
        made = ClusterStreams(*self)
        made.crew, made.parts = crew, parts
        return made

    def stream(self, model: FittedModel, head: Block, shards: Shards | None) -> Any:
        """Return what stands for all rows, which never come here."""
        assert shards is not None
        layout, crew = PartitionLayout.of(shards), self.crew
        owners = owners_of(crew.workers(), layout)
        futures = []
        for group, owner in enumerate(owners):
            lengths = {p: layout.lengths[p] for p in layout.members(group)}
            futures.append(
                crew.submit("shard", _shard, crew.token, model, self.parts, lengths, worker=owner)
            )
        return ClusterData(head, layout, futures)

    def job(self, job: FitJob) -> FitJob:
        """Return the fit, with its sums as tasks of the cluster."""
        steps = cluster_steps(self.crew, job.interpreters, job.model, job.options)
        return ClusterJob(**vars(job), steps=steps)


def _shard(token: str, model: FittedModel, parts: Parts, lengths: dict[int, int]) -> StreamedShard:
    return StreamedShard(token, model, parts, lengths)
