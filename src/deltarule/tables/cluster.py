"""Passes over a table by the workers of a Dask cluster. Needs the extra "dask".

Every worker reads files of its own; what it learns is added here in the order of the rows, with the
bits of a pass by one process. The table's files have to be where this process finds them, on a disk
that all workers share.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from multiprocessing import resource_tracker
from typing import Any

from deltarule.dask import crew as _crew
from deltarule.dask.crew import Crew
from deltarule.dask.streaming import ClusterStreams
from deltarule.errors import ClusterError, SpecError, TableError
from deltarule.estimators import StreamedDataset
from deltarule.tables.batches import ExampleReader
from deltarule.tables.evidence import ColumnEvidence
from deltarule.tables.passes import (
    Learned,
    Passes,
    Streams,
    gather,
    learn_pieces,
    stream_examples,
)
from deltarule.tables.sources.dataset import Dataset, Place
from deltarule.tables.split import Split
from deltarule.tables.table import Chunk, Piece, Source
from deltarule.tables.understanding import ReadOptions

__all__ = ["ClusterPasses", "connected"]

_TASK_BYTES = 2**25
"""A task of the second pass reads chunks of about so many bytes."""
_AHEAD = 4
"""Tasks a worker that wait, or whose results do."""


class ClusterPasses(Passes):
    """Passes over a dataset by the workers of a cluster.

    Parameters
    ----------
    crew : Crew
    """

    def __init__(self, crew: Crew) -> None:
        self._crew = crew

    def understand(self, source: Source, every: list[ColumnEvidence], options: ReadOptions) -> None:
        """Gather evidence of every column: a task for each file, or for each row group."""
        dataset = _dataset(source)
        shared = self._crew.submit("table", _itself, (dataset, deepcopy(every), options))
        places: list[Place] = []
        rows = 0
        jobs = [(number, chunk) for number, chunk in dataset.parts()]
        for (number, _), (found, evidence) in self._in_order(
            "understand", _understand, jobs, shared
        ):
            for chunk, count in found:
                places.append(Place(dataset.file(number), chunk, rows))
                rows += count
            for mine, theirs in zip(every, evidence, strict=True):
                mine.merge(theirs)
        if rows == 0:
            raise TableError(f"{source.path} has a header but no rows; add data below the header")
        dataset.places, dataset.rows = places, rows

    def learn(
        self, source: Source, split: Split, missing: tuple[str, ...], learned: Learned
    ) -> None:
        """Learn from the training rows: a task for neighbouring chunks."""
        dataset = _dataset(source)
        template = deepcopy(learned)
        template.keep_pieces()
        shared = self._crew.submit("table", _itself, (dataset, split, missing, template))
        for _, found in self._in_order("learn", _learn, list(_runs(dataset.places)), shared):
            learned.merge(found)

    def dataset(
        self, reader: ExampleReader, width: int, rows: int, batch: int, streams: Streams | None
    ) -> StreamedDataset:
        """Return the training rows, which the workers read again in every epoch."""
        if streams is None:
            raise SpecError("a cluster trains on shards; give a number of them (--shards)")
        local = super().dataset(reader, width, rows, batch, streams)
        parts = self._crew.submit("reader", _Parts, reader, streams, width, batch)
        return ClusterStreams(*local).on(self._crew, parts)

    def _in_order(
        self, name: str, function: Callable[..., Any], jobs: list[Any], *shared: Any
    ) -> Iterator[tuple[Any, Any]]:
        """Yield each job and its result in order, of which a few wait at a time."""
        crew, waiting = self._crew, deque[tuple[Any, Any]]()
        most = _AHEAD * max(len(crew.workers()), 1)
        rest = iter(jobs)
        try:
            while True:
                for job in rest:
                    waiting.append((job, crew.submit(name, function, job, *shared)))
                    if len(waiting) >= most:
                        break
                if not waiting:
                    return
                job, future = waiting.popleft()
                yield job, crew.results([future])[0]
        finally:
            for _, future in waiting:
                future.cancel()


class _Parts:
    """The parts (X, y) of a stream in an epoch, as a worker reads them."""

    def __init__(self, reader: ExampleReader, streams: Streams, width: int, batch: int) -> None:
        self._given = reader, streams, width, batch

    def __call__(self, epoch: int, number: int) -> Iterator[tuple[Any, Any]]:
        reader, streams, width, batch = self._given
        _check_files(reader.source)
        return stream_examples(reader, streams, width, batch, epoch, number)


def _itself(given: Any) -> Any:
    return given


def _dataset(source: Source) -> Dataset:
    if not isinstance(source, Dataset):
        raise SpecError("a cluster reads tables in their files; use open_source")
    return source


def _check_files(source: Source) -> None:
    """Refuse a table whose files this worker does not see."""
    for path in _dataset(source).paths:
        if not os.path.exists(path):
            raise TableError(
                f"a worker finds no file {path}; every worker needs the table under the same path, "
                "as on a disk that all share"
            )


def _understand(
    job: tuple[int, Chunk | None], shared: tuple[Dataset, list[ColumnEvidence], ReadOptions]
) -> tuple[list[tuple[Chunk, int]], list[ColumnEvidence]]:
    """Return the chunks of a file and their rows, and the evidence of its columns."""
    dataset, template, options = shared
    _check_files(dataset)
    found: list[tuple[Chunk, int]] = []
    evidence = deepcopy(template)
    for chunk, tables in dataset.pieces_of(*job):
        count = 0
        for table in tables:
            gather(table, evidence, options, whole=False, path=dataset.path)
            count += table.rows
        found.append((chunk, count))
    return found, evidence


def _learn(job: range, shared: tuple[Dataset, Split, tuple[str, ...], Learned]) -> Learned:
    """Return what is learned of some chunks."""
    dataset, split, missing, template = shared
    _check_files(dataset)
    learned = deepcopy(template)

    def pieces() -> Iterator[Piece]:
        for k in job:
            yield from dataset.read(dataset.places[k])

    learn_pieces(pieces(), False, split, missing, learned)
    return learned


def _runs(places: Iterable[Place]) -> Iterator[range]:
    """Yield neighbouring chunks that take about so many bytes together."""
    begin, size, end = 0, 0, 0
    for end, place in enumerate(places, start=1):
        size += place.chunk.size
        if size >= _TASK_BYTES:
            yield range(begin, end)
            begin, size = end, 0
    if end > begin:
        yield range(begin, end)


@contextmanager
def connected(address: str) -> Iterator[Crew]:
    """Connect to a cluster, or start one on this machine; at the end its processes are ended.

    Parameters
    ----------
    address : str
        "local:N" for N worker processes on this machine, or the address of a scheduler, such as
        "tcp://10.0.0.1:8786".

    Raises
    ------
    ClusterError
        If nothing answers there, or the workers differ from this process.
    """
    from contextlib import ExitStack

    import distributed

    start: Any = distributed.LocalCluster
    connect: Any = distributed.Client

    with ExitStack() as stack:
        if address.startswith("local:"):
            count = _workers(address)
            with _without_ctrl_c():
                given: Any = start(
                    n_workers=count, host="127.0.0.1", dashboard_address=":0", silence_logs=50
                )
            stack.enter_context(given)
        else:
            given = address
        try:
            client = stack.enter_context(connect(given, timeout="10s"))
        except (OSError, TimeoutError, ValueError, KeyError) as error:
            raise ClusterError(
                f"no Dask scheduler answers at {address}: {error}; start one with `dask "
                "scheduler`, or use --dask local:N for N workers on this machine"
            ) from error
        made = Crew(_crew.client_of(client))
        made.check(exact=True)
        yield made


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Start processes inside this context that Ctrl-C on the terminal does not reach.

    It is for this process, which ends them. A signal that comes meanwhile is handled afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which would let signals through as it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _workers(address: str) -> int:
    count = address.removeprefix("local:")
    if not (count.isdecimal() and 1 <= int(count) <= 1024):
        raise ClusterError(
            f"{address!r} does not name a number of workers; give local:N, such as local:4, or the "
            "address of a scheduler, such as tcp://10.0.0.1:8786"
        )
    return int(count)
