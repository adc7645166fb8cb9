"""Local steps on a cluster: shards take steps where they lie, and their θ are averaged here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from deltarule.dask.crew import Crew
from deltarule.dask.interpreter import ClusterEpoch, ClusterInterpreter, joined_roots
from deltarule.dask.workers import Shard, computing, engine_of
from deltarule.program import BatchSchedule, State, StepLog
from deltarule.program.shards import tree_sum
from deltarule.training.averaging import (
    Averaged,
    Replicas,
    added_replicas,
    outer_step,
    replica_tape,
    round_end,
    take_round,
)
from deltarule.training.partitions import BatchCut
from deltarule.training.streams import joined_blocks

__all__ = ["ClusterRounds"]


@dataclass(frozen=True)  # no tuple, in which Dask would look for futures
class _Round:
    """What is asked of every worker: the steps of its shards, from a common state."""

    state: State
    order_seed: int | None  # None: no shuffling
    epoch: int
    cuts: list[BatchCut]
    rates: Any
    optimizer: Any
    clipping: Any
    count: int  # S


class ClusterRounds(ClusterInterpreter):
    """Interpreter whose steps are taken by the shards of a cluster; their θ are averaged.

    Parameters
    ----------
    crew : Crew
    interpreter : Averaged
        What computes the same on one machine.
    optimizer, clipping : object
        Whose steps the shards take.
    """

    def __init__(self, crew: Crew, interpreter: Averaged, optimizer: Any, clipping: Any) -> None:
        super().__init__(crew, interpreter, interpreter.count)
        self._optimizer, self._clipping = optimizer, clipping

    def train_steps(
        self, state: State, block: ClusterEpoch, order: BatchSchedule, steps: range
    ) -> StepLog:
        """Take the steps of a round, at most: a task on every worker."""
        self._interpreter.check(state)
        data, plan = block.data, block.data.plan
        if steps.start == 0 or not self._owned:
            self._divide(data)
        ks = range(steps.start, round_end(self._interpreter.every, steps))
        asked = _Round(
            State(state.theta, state.seed, state.step, state.optimizer_state).copy(),
            data.seed if data.shuffle else None,
            block.epoch,
            [plan.cut(k) for k in ks],
            order.learning_rates[ks.start : ks.stop].copy(),
            self._optimizer,
            self._clipping,
            self.count,
        )

        def tasks() -> list[Any]:
            shown: Any = asked
            if len(self._owned) > 1:
                shown = self._crew.submit("theta", _itself, asked)
            made = []
            for worker, owned in self._owned:
                futures: list[Any] = []
                for first, count in owned:
                    futures += data.shards[first : first + count]
                made.append(
                    self._crew.submit("round", _rounds, shown, owned, *futures, worker=worker)
                )
            return made

        roots: dict[int, tuple[int, Replicas]] = {}
        for answer in self._crew.ask(tasks):
            roots |= {first: (count, sums) for first, count, sums in answer}
        sums = joined_roots(roots, 0, self.count, added_replicas)
        return outer_step(state, sums, np.diff(order.bounds)[ks.start : ks.stop])


def _itself(asked: _Round) -> _Round:
    return asked


def _rounds(
    asked: _Round, owned: list[tuple[int, int]], *shards: Shard
) -> list[tuple[int, int, Replicas]]:
    """Return what the shards of these subtrees do in a round, summed over each subtree."""
    given = iter(shards)
    with computing():
        return [
            (first, count, tree_sum(_replicas(asked, given, first, count), added_replicas))
            for first, count in owned
        ]


def _replicas(asked: _Round, given: Iterator[Shard], first: int, count: int) -> Iterator[Replicas]:
    for number in range(first, first + count):
        shard = next(given)
        blocks = [shard.rows_of(asked.order_seed, asked.epoch, cut) for cut in asked.cuts]
        sizes = [0 if block is None else block.n_rows for block in blocks]
        bounds = np.append(0, np.cumsum(sizes)).astype(np.int64)
        rows = joined_blocks([block for block in blocks if block is not None])
        tape = replica_tape(shard.model.network.tape, asked.count)
        engine = engine_of(f"{shard.token} steps", tape, asked.optimizer, asked.clipping)
        yield take_round(engine, asked.state, rows, bounds, asked.rates, number)
        engine.release()
