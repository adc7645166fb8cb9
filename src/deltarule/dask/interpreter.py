"""The interpreter of a cluster: workers sum over shards, and this process takes the steps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from deltarule.dask.crew import Crew
from deltarule.dask.workers import Roots, Step, added_or_none, gradient_roots
from deltarule.errors import SlowClusterWarning
from deltarule.program import BatchSchedule, Block, GradientSums, State, StepLog
from deltarule.program.shards import tree_sum
from deltarule.training.data import EpochView
from deltarule.training.partitions import PartitionedData, PartitionLayout
from deltarule.training.shards import StepRecord

__all__ = ["ClusterData", "ClusterEpoch", "ClusterInterpreter", "joined_roots", "subtrees"]

_WATCHED = 30  # steps, before a warning
_SLOWER = 1.5  # times as long as one worker
_PATIENCE = 0.1  # seconds after which ``train_steps`` returns to its caller
_INLINE = 2**16  # bytes of θ up to which every task carries a copy of it


class ClusterData(PartitionedData):
    """The rows of a cluster, which never come here.

    Parameters
    ----------
    head : Block
        A few rows, as the network takes them.
    layout : PartitionLayout
    shards : list of futures
        Each a ``Shard``.
    """

    def __init__(self, head: Block, layout: PartitionLayout, shards: list[Any]) -> None:
        super().__init__(head, layout)
        self.shards = shards

    def of_epoch(self, epoch: int) -> EpochView:
        """Return a view of an epoch."""
        return ClusterEpoch(self, epoch)


class ClusterEpoch(EpochView):
    """An epoch of the rows of a cluster."""

    def __init__(self, data: ClusterData, epoch: int) -> None:
        self.data, self.epoch = data, epoch

    def at(self, order: BatchSchedule, step: int) -> tuple[Any, BatchSchedule, int]:
        """Return the view itself, and all batches."""
        return self, order, step


class ClusterInterpreter:
    """Interpreter whose sums are computed by the workers of a cluster.

    Parameters
    ----------
    crew : Crew
    interpreter : Interpreter
        What takes the steps: an engine made for as many shards.
    count : int
        S.
    """

    sums_epochs = True  # a minimiser may sum over data that are not here

    def __init__(self, crew: Crew, interpreter: Any, count: int) -> None:
        self._crew, self._interpreter, self.count = crew, interpreter, count
        self._owned: list[tuple[str | None, list[tuple[int, int]]]] = []
        self._watch: _Watch | None = _Watch()

    def gradient(
        self, state: State, block: Any, rows: Any = None, *, first: int = 0
    ) -> GradientSums:
        """Return the sums over all rows of a ``ClusterData``."""
        if not self._owned:
            self._divide(block)
        cuts = block.layout.row_cuts.tolist()
        return self._sums(block, Step(state.theta, state.seed, state.step, None, 0, None), cuts)

    def train_steps(
        self, state: State, block: ClusterEpoch, order: BatchSchedule, steps: range
    ) -> StepLog:
        """Take one step per batch, each of which is a task on every worker."""
        self._interpreter.check(state)
        data, plan = block.data, block.data.plan
        record = StepRecord(order)
        order_seed = data.seed if data.shuffle else None
        for k in steps:
            if record.is_late(_PATIENCE):
                break
            if k == 0 or not self._owned:
                self._divide(data)
            step = Step(state.theta, state.seed, state.step, order_seed, block.epoch, plan.cut(k))
            sums = self._sums(data, step, plan.shards[k].tolist())
            if sums.weight == 0.0:
                record.add(k, 0.0, 0.0, 0.0)
            elif record.step(self._interpreter, state, sums, k):
                break
        return record.log()

    def _divide(self, data: ClusterData) -> None:
        """Divide the shards among the workers that hold them, as subtrees."""
        holders = self._crew.holders(data.shards)
        found: dict[str | None, list[int]] = {}
        for shard, holder in enumerate(holders):
            found.setdefault(holder, []).append(shard)
        self._owned = [(worker, subtrees(owned)) for worker, owned in found.items()]

    def _sums(self, data: ClusterData, step: Step, places: list[int]) -> GradientSums:
        """Return the sums over a batch: each worker's subtrees, added in the order of the tree."""
        step = replace(step, theta=np.array(step.theta))

        def tasks() -> list[Any]:
            shown: Any = step
            if step.theta.nbytes > _INLINE and len(self._owned) > 1:
                shown = self._crew.submit("theta", _itself, step)
            made = []
            for worker, owned in self._owned:
                asked, futures = [], []
                for first, count in owned:
                    asked.append((first, count, places[first : first + count]))
                    futures += data.shards[first : first + count]
                given = (shown, asked, *futures)
                made.append(self._crew.submit("sums", gradient_roots, *given, worker=worker))
            return made

        begin = perf_counter()
        answers: list[Roots] = self._crew.ask(tasks)
        if self._watch is not None:
            seconds = perf_counter() - begin
            self._watch = self._watch.after(seconds, [a.seconds for a in answers], step, data)
        roots = {first: (count, sums) for answer in answers for first, count, sums in answer.sums}
        total: GradientSums = joined_roots(roots, 0, self.count, added_or_none(step.theta))
        return total

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._interpreter, name)


class _Watch:
    """Compares what steps take with what workers compute, and warns once if it is not worth it."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, float, float]] = []

    def after(
        self, wall: float, parts: list[float], step: Step, data: ClusterData
    ) -> _Watch | None:
        """Take note of a step; return what watches the next one: nothing once it is clear."""
        if len(parts) < 2 or step.cut is None:
            return self
        self._seen.append((wall, sum(parts), max(parts)))
        if len(self._seen) < _WATCHED:
            return self
        wall, alone, longest = np.median(self._seen[1:], axis=0).tolist()
        if wall > _SLOWER * alone:
            workers, rows = len(parts), float(np.median(np.diff(data.plan.bounds)))
            pays = (wall - longest) * workers / ((workers - 1) * alone) * rows
            least = float(f"{pays:.1g}")
            warnings.warn(
                f"steps of {rows:.0f} rows take {1e3 * wall:.3g} ms on this cluster, and would "
                f"take {1e3 * alone:.3g} ms on one of its workers. More workers pay for batches of "
                f"about {least:.0f} rows or more, for solver='lbfgs', and for rows that do not fit "
                "into one machine.",
                SlowClusterWarning,
                stacklevel=2,
            )
        return None


def subtrees(shards: list[int]) -> list[tuple[int, int]]:
    """Return the largest subtrees that hold these shards only: (first shard, how many).

    Examples
    --------
    >>> subtrees([0, 1, 2, 3, 4, 6])
    [(0, 4), (4, 1), (6, 1)]
    """
    given, found, at = set(shards), [], 0
    while at <= max(shards):
        size = 0
        width = 1
        while at % width == 0 and all(s in given for s in range(at, at + width)):
            size, width = width, 2 * width
        if size:
            found.append((at, size))
        at += max(size, 1)
    return found


def joined_roots(roots: dict[int, Any], first: int, count: int, add: Callable[..., Any]) -> Any:
    """Return the sum over a subtree, of the roots of smaller ones: {first: (count, sum)}."""
    if first in roots and roots[first][0] == count:
        return roots[first][1]
    half = count // 2
    halves = ((first, half), (first + half, half))
    return tree_sum((joined_roots(roots, *part, add) for part in halves), add)


def _itself(step: Step) -> Step:
    return step
