"""Local steps: shards take steps by themselves, and their θ are averaged. Approximate.

Synchronous steps ask every worker once a step. Here each shard takes H steps along its own rows of
every batch, from the same θ; then their θ are averaged, weighted by the rows that each has seen,
and the average of the moves is the gradient of an outer step with Nesterov's momentum:

    Δ = θ − Σ_s w_s θ_s / Σ_s w_s,   u ← μ u + Δ,   θ ← θ − η (Δ + μ u),   η = 0.7, μ = 0.9

(DiLoCo: Douillard et al. 2023). The running averages of the optimiser are averaged, too, so that a
round depends on nothing but a state: any worker can take it again. The sums over shards form the
balanced tree of ``deltarule.program.shards``, so the bits do not depend on who computes them; but
they are other numbers than those of synchronous steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError
from deltarule.program import BatchSchedule, Block, Interpreter, State, StepLog
from deltarule.program.optimizer_state import AveragedState
from deltarule.program.shards import batch_cuts, tree_sum
from deltarule.program.tape import Tape
from deltarule.spec.shards import Shards
from deltarule.utils.arrays import to_numpy

__all__ = [
    "Averaged",
    "Replicas",
    "added_replicas",
    "outer_step",
    "replica_tape",
    "round_end",
    "take_round",
]

OUTER_RATE, OUTER_MOMENTUM = 0.7, 0.9
_SEEDS = 0x9E3779B97F4A7C15  # apart between the dropout masks of two shards


class Replicas(NamedTuple):
    """What shards have done in a round: sums over them, weighted by the rows that each has seen.

    Attributes
    ----------
    weight : float
        Σ w.
    arrays : tuple of (p,) arrays
        Σ w θ, then Σ w a for each running average a of the optimiser; float64.
    counts : tuple
        The optimiser's other numbers, those of the shard that has taken the most steps.
    kind : type or None
        The optimiser's state.
    log : array of shape (3, H)
        For every batch Σ w of its rows, and Σ w (mean loss), Σ w (penalty).
    """

    weight: float
    arrays: tuple[npt.NDArray[np.float64], ...]
    counts: tuple[Any, ...]
    kind: type[Any] | None
    log: npt.NDArray[np.float64]


def replica_tape(tape: Tape, count: int) -> Tape:
    """Return the tape for one of ``count`` shards.

    A penalty per batch is divided by the rows of the batch, of which a shard has one S-th.
    """
    penalties = tuple(
        term._replace(strength=term.strength / count) if term.per_batch else term
        for term in tape.penalties
    )
    return replace(tape, penalties=penalties)


def take_round(
    interpreter: Interpreter,
    state: State,
    block: Block | None,
    bounds: npt.NDArray[np.int64],
    rates: npt.NDArray[np.float64],
    shard: int,
) -> Replicas:
    """Return what one shard does in a round; the state is not changed.

    Parameters
    ----------
    interpreter : Interpreter
        Of the tape for a shard.
    state : State
        The common state; its optimiser's state is an ``AveragedState`` or None.
    block : Block or None
        The shard's rows of all batches of the round, in order; None if there are none.
    bounds : array of shape (H + 1,)
        Where the batches begin and end in the block; a batch may be empty.
    rates : array of shape (H,)
        Learning rates.
    shard : int
        The number of the shard.
    """
    held = state.optimizer_state
    inner = None if held is None else held.inner
    mine = State(state.theta, (state.seed + shard * _SEEDS) % 2**63, state.step, inner).copy()
    log = np.zeros((3, len(rates)))
    full = np.flatnonzero(np.diff(bounds))
    if block is not None and len(full):
        kept = np.append(bounds[full], bounds[-1]).astype(np.int64)
        order = BatchSchedule(np.arange(block.n_rows, dtype=np.int64), kept, rates[full])
        reports: list[StepLog] = []
        done = 0
        while done < order.n_batches and not (reports and reports[-1].diverged):
            reports.append(interpreter.train_steps(mine, block, order, range(done, len(full))))
            done += len(reports[-1].loss)
        steps = StepLog.join(reports)
        with np.errstate(over="ignore", invalid="ignore"):
            log[:, full[:done]] = steps.weight * np.stack(
                [np.ones(done), steps.loss, steps.penalty]
            )
        if steps.diverged:
            log[1, full[done - 1]] = np.inf
    weight = float(log[0].sum())
    after = mine.optimizer_state
    parts: tuple[Any, ...] = () if after is None else tuple(after)
    arrays = (mine.theta, *(part for part in parts if hasattr(part, "shape")))
    with np.errstate(over="ignore", invalid="ignore"):
        sums = tuple(weight * to_numpy(array).astype(np.float64) for array in arrays)
    counts = tuple(part for part in parts if not hasattr(part, "shape"))
    return Replicas(weight, sums, counts, None if after is None else type(after), log)


def added_replicas(a: Replicas, b: Replicas) -> Replicas:
    """Return the sums over two neighbours in the tree; one without rows adds its log only."""
    log = a.log + b.log
    if b.weight == 0.0 or a.weight == 0.0:
        return (a if b.weight == 0.0 else b)._replace(log=log)
    with np.errstate(over="ignore", invalid="ignore"):
        arrays = tuple(x + y for x, y in zip(a.arrays, b.arrays, strict=True))
    counts = b.counts if b.counts and a.counts and b.counts[0] > a.counts[0] else a.counts
    return Replicas(a.weight + b.weight, arrays, counts, a.kind, log)


def outer_step(state: State, sums: Replicas, sizes: npt.NDArray[np.int64]) -> StepLog:
    """Move the state by the outer step, unless a loss is not finite; return the round's losses.

    ``sizes`` are the rows of the round's batches.
    """
    weight, loss, penalty = sums.log
    safe = np.where(weight > 0, weight, 1.0)
    loss, penalty = loss / safe, penalty / safe
    wrong = np.flatnonzero(~np.isfinite(loss + penalty))
    if len(wrong):
        end = int(wrong[0]) + 1
        return StepLog(sizes[:end], weight[:end], loss[:end], penalty[:end])
    log = StepLog(sizes, weight, loss, penalty)
    if sums.weight == 0.0:
        return log
    dtype = state.theta.dtype
    with np.errstate(over="ignore", invalid="ignore"):
        theta, *others = (array / sums.weight for array in sums.arrays)
        move = state.theta.astype(np.float64) - theta
        held = state.optimizer_state
        u = move if held is None else OUTER_MOMENTUM * held.u + move
        state.theta[...] = state.theta - OUTER_RATE * (move + OUTER_MOMENTUM * u)
        inner = None
        if sums.kind is not None:
            means, counts = iter(others), iter(sums.counts)
            inner = sums.kind(
                *(
                    next(counts) if name in ("t", "product") else next(means).astype(dtype)
                    for name in sums.kind._fields
                )
            )
        state.optimizer_state = AveragedState(inner, u.astype(dtype))
    state.step += len(sizes)
    return log


class Averaged:
    """Interpreter whose shards take steps by themselves; their θ are averaged every H steps.

    Parameters
    ----------
    interpreter : Interpreter
        Of the network, for all but steps.
    replica : Interpreter
        What takes the steps of a shard: of its tape (``replica_tape``).
    shards : Shards
        How many shards, and H.
    """

    def __init__(self, interpreter: Interpreter, replica: Interpreter, shards: Shards) -> None:
        self._interpreter, self._replica = interpreter, replica
        self.count, self.every = shards.count, shards.every

    def check(self, state: State) -> None:
        """Raise ``DataError`` unless ``train_steps`` can continue from the state."""
        held = state.optimizer_state
        if not (held is None or isinstance(held, AveragedState)):
            raise DataError(
                "state.optimizer_state must be AveragedState where shards take steps by "
                f"themselves; got {type(held).__name__}. Set it to None."
            )
        inner = None if held is None else held.inner
        self._replica.check(State(state.theta, state.seed, state.step, inner, state.buffers))

    def train_steps(
        self, state: State, block: Block, order: BatchSchedule, steps: range
    ) -> StepLog:
        """Take the steps of a round, at most; a round ends with its epoch, too."""
        end = round_end(self.every, steps)
        cuts = batch_cuts(order.bounds, self.count) if order.shards is None else order.shards
        ks = range(steps.start, end)

        def parts() -> Iterator[Replicas]:
            for s in range(self.count):
                rows = [order.batch(k)[cuts[k, s] : cuts[k, s + 1]] for k in ks]
                bounds = np.append(0, np.cumsum([len(part) for part in rows])).astype(np.int64)
                mine = block.take(np.concatenate(rows)) if bounds[-1] else None
                rates = order.learning_rates[steps.start : end]
                yield take_round(self._replica, state, mine, bounds, rates, s)

        sums = tree_sum(parts(), added_replicas)
        self.release()
        return outer_step(state, sums, np.diff(order.bounds)[steps.start : end])

    def release(self) -> None:
        """Forget the data of the last steps."""
        release: Callable[[], None] | None = getattr(self._replica, "release", None)
        if release is not None:
            release()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._interpreter, name)


def round_end(every: int | str | None, steps: range) -> int:
    """Return the end of the round that begins with the first of these steps."""
    if not isinstance(every, int):
        return steps.stop
    return min((steps.start // every + 1) * every, steps.stop)
