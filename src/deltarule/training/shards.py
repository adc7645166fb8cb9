"""Steps along sums over the shards of a batch, with any interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.program import BatchSchedule, Block, GradientSums, Interpreter, State, StepLog
from deltarule.program.shards import batch_cuts, even_cuts, shard_weights, tree_sum
from deltarule.utils.arrays import array_namespace, to_numpy
from deltarule.utils.blas import one_blas_thread

__all__ = ["Sharded", "StepRecord", "added", "no_rows", "step_along"]

_PATIENCE = 0.1  # seconds after which ``train_steps`` returns to its caller


class Sharded:
    """Interpreter whose gradients are sums over the shards of a batch, added in a balanced tree.

    The compiled engine does all of it in one call where it can; otherwise each shard is a call of
    ``gradient``. The bits are the same.

    Parameters
    ----------
    interpreter : Interpreter
        What computes the sums and takes the steps. An ``Engine`` must have been made for as many
        shards.
    count : int
        S, a power of two.
    groups : array of shape (S + 1,), optional
        Where the rows of a whole set are cut, for minimisers; by default evenly.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        count: int,
        groups: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self._interpreter, self.count, self._groups = interpreter, count, groups

    @one_blas_thread()
    def gradient(
        self,
        state: State,
        block: Block,
        rows: npt.NDArray[np.int64] | slice | None = None,
        *,
        first: int = 0,
    ) -> GradientSums:
        """Return the sums over the rows (default: all of them), as a tree of shards."""
        part = block if rows is None else block.take(rows)
        cuts = self._groups
        if rows is not None or cuts is None:
            cuts = even_cuts(part.n_rows, self.count)
        return self._tree(state, part, np.arange(part.n_rows), cuts, first)

    def train_steps(
        self, state: State, block: Block, order: BatchSchedule, steps: range
    ) -> StepLog:
        """Take one step per batch, as the protocol says."""
        inner: Any = self._interpreter
        takes = getattr(inner, "takes_shards", None)
        largest = np.diff(order.shards, axis=1).max() if order.shards is not None else (
            -(-int(np.diff(order.bounds).max()) // self.count)
        )  # fmt: skip
        if takes is not None and takes(int(largest)):
            log: StepLog = inner.train_steps(state, block, order, steps)
            return log
        inner.check(state)
        cuts = batch_cuts(order.bounds, self.count) if order.shards is None else order.shards
        record = StepRecord(order)
        for k in steps:
            if record.is_late(_PATIENCE):
                break
            weight = None if block.weight is None else to_numpy(block.weight)
            if weight is not None and shard_weights(weight, order.batch(k), cuts[k]) == 0.0:
                record.add(k, 0.0, 0.0, 0.0)
                continue
            sums = self._tree(state, block, order.batch(k), cuts[k], 0)
            if record.step(inner, state, sums, k):
                break
        return record.log()

    def _tree(self, state: State, block: Block, rows: Any, cuts: Any, first: int) -> GradientSums:
        """Return the sums over a batch, a tree of those over its shards."""

        def parts() -> Iterator[GradientSums]:
            for low, high in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
                if low == high:
                    yield no_rows(state)
                    continue
                shard = rows[low:high]
                in_order = len(rows) == block.n_rows and shard[-1] - shard[0] == high - low - 1
                given = slice(int(shard[0]), int(shard[-1]) + 1) if in_order and (
                    np.diff(shard) == 1
                ).all() else shard  # fmt: skip
                yield self._interpreter.gradient(state, block, given, first=first + low)

        return tree_sum(parts(), added)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._interpreter, name)


class StepRecord:
    """The losses of the steps of a call, one by one.

    Parameters
    ----------
    order : BatchSchedule
        The batches of the call.
    """

    def __init__(self, order: BatchSchedule) -> None:
        self._order = order
        self._largest = int(np.diff(order.bounds).max())
        self._seen: list[tuple[int, float, float, float]] = []
        self._begin = monotonic()

    def is_late(self, patience: float) -> bool:
        """Return whether steps have been taken, for longer than so many seconds."""
        return bool(self._seen) and monotonic() - self._begin > patience

    def add(self, k: int, weight: float, loss: float, penalty: float) -> None:
        """Record the step of batch k."""
        rows = int(self._order.bounds[k + 1] - self._order.bounds[k])
        self._seen.append((rows, weight, loss, penalty))

    def step(self, interpreter: Any, state: State, sums: GradientSums, k: int) -> bool:
        """Take and record the step of batch k; return whether its loss is not finite."""
        rate = float(self._order.learning_rates[k])
        if k == 0:
            state.restart_population_statistics()
        loss, penalty = step_along(interpreter, state, sums, rate, self._largest)
        self.add(k, sums.weight, loss, penalty)
        return not isfinite(loss + penalty)

    def log(self) -> StepLog:
        """Return the record of all steps."""
        columns = np.array(self._seen, dtype=np.float64).reshape(-1, 4).T
        return StepLog(columns[0].astype(np.int64), *columns[1:])


def step_along(
    interpreter: Any, state: State, sums: GradientSums, rate: float, rows: int
) -> tuple[float, float]:
    """Take a step along sums unless their loss is not finite; return mean loss and penalty.

    ``rows`` is the size of the largest batch, by which the engine cuts its work.
    """
    own = getattr(interpreter, "step_along", None)
    if own is not None:
        result: tuple[float, float] = own(state, sums, rate, rows)
        return result
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        loss, penalty, _ = interpreter.cost(state, sums)
    if isfinite(loss + penalty):
        interpreter.apply_gradient(state, sums, rate)
    return loss, penalty


def added(a: GradientSums, b: GradientSums) -> GradientSums:
    """Return the sums of two neighbours in the tree."""
    with np.errstate(over="ignore", invalid="ignore"):
        return a + b


def no_rows(state: State) -> GradientSums:
    """Return the sums over a shard without rows."""
    return GradientSums(0.0, 0.0, array_namespace(state.theta).zeros_like(state.theta))
