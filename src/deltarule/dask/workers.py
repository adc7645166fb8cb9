"""What runs on a worker: pure functions of their arguments, so that any worker can run them again.

A *part* is one partition of the data, as the user has it; a *shard* is a group of parts, ready for
the network. Their results depend on nothing but their arguments, and have the same bits wherever
they are computed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from deltarule.dask.errors import part_error
from deltarule.engine import Engine
from deltarule.errors import DataError
from deltarule.estimators.fit_checkpoint import block_digests
from deltarule.estimators.fitted_model import FittedModel
from deltarule.estimators.partition_sums import (
    Moments,
    ScoreSums,
    block_moments,
    class_totals,
    score_sums,
    weighted,
)
from deltarule.program import Block, GradientSums, State
from deltarule.program.shards import tree_sum
from deltarule.program.tape import Tape
from deltarule.training.partitions import BatchCut, held_out_rows, permutation
from deltarule.training.shards import added, no_rows
from deltarule.training.streams import joined_blocks
from deltarule.utils.arrays import is_sparse

__all__ = [
    "Description",
    "HoldOut",
    "Part",
    "Roots",
    "Shard",
    "Step",
    "computing",
    "describe",
    "engine_of",
    "gradient_roots",
    "held_digests",
    "identity",
    "make_part",
    "make_shard",
    "part_digests",
    "part_moments",
    "part_rows",
    "part_totals",
    "shard_scores",
]

_MOST_ENGINES = 4
_engines: OrderedDict[str, Engine] = OrderedDict()
_lock = threading.Lock()
"""One computation at a time in a worker process, on all of its threads."""


class Part(NamedTuple):
    """One partition, checked: X (n, d), y as the user has it, weights, names of the columns."""

    x: Any
    y: Any
    weight: Any
    names: tuple[str, ...] | None


class Description(NamedTuple):
    """What a coordinator needs to know of a part."""

    n_rows: int
    n_features: int
    dtype: str
    sparse: bool
    names: tuple[str, ...] | None
    y_shape: tuple[int, ...]  # without the rows
    labels: Any  # the distinct labels; None for numbers
    head: Any  # a few rows: (x, y)


class HoldOut(NamedTuple):
    """Which rows of every part are held out: by a seed and a share."""

    seed: int
    fraction: float


class Shard:
    """The rows of a shard, as the network takes them, in partitions.

    Attributes
    ----------
    token : str
        Of the fit, by which a worker finds its engine.
    model : FittedModel
        The network, and what its targets mean; its state's θ is not used.
    blocks : list of (int, Block)
        The number of every partition of the group, and its training rows.
    held : list of Block
        Their rows that are held out.
    """

    def __init__(
        self, token: str, model: FittedModel, blocks: list[tuple[int, Block]], held: list[Block]
    ) -> None:
        self.token, self.model, self.blocks, self.held = token, model, blocks, held
        self._orders: tuple[Any, list[Any]] | None = None
        self._whole: Block | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what travels to another worker: not the orders, which it draws itself."""
        return vars(self) | {"_orders": None, "_whole": None}

    def rows_of(self, seed: int | None, epoch: int, cut: BatchCut) -> Block | None:
        """Return the shard's rows of a batch; None if it has none. ``seed`` None: unshuffled."""
        if self._orders is None or self._orders[0] != (seed, epoch):
            drawn = [
                np.arange(block.n_rows)
                if seed is None
                else permutation(seed, epoch, place, block.n_rows)
                for place, block in self.blocks
            ]
            self._orders = ((seed, epoch), drawn)
        orders = self._orders[1]
        taken = []
        for (place, block), order in zip(self.blocks, orders, strict=True):
            rows = order[cut.of(place, len(order))]
            if len(rows):
                taken.append(block.take(rows))
        return joined_blocks(taken)

    def whole(self) -> Block | None:
        """Return all training rows; None if there are none."""
        if self._whole is None:
            self._whole = joined_blocks([block for _, block in self.blocks if block.n_rows])
            if self._whole is not None:  # the parts become views of it
                at = 0
                for i, (place, block) in enumerate(self.blocks):
                    self.blocks[i] = (place, self._whole.take(slice(at, at + block.n_rows)))
                    at += block.n_rows
        return self._whole


@dataclass(frozen=True)  # no tuple, in which Dask would look for futures
class Step:
    """What is asked of every worker: sums at θ over a batch, or over all rows."""

    theta: Any
    seed: int  # of dropout's masks
    step: int
    order_seed: int | None  # None: no shuffling
    epoch: int
    cut: BatchCut | None  # None: all rows


class Roots(NamedTuple):
    """Sums over subtrees of shards: (first shard, shards, sums); None stands for no rows."""

    sums: list[tuple[int, int, GradientSums | None]]
    seconds: float  # that it took to compute them


# --- parts ----------------------------------------------------------------------------------------


def make_part(x: Any, y: Any, weight: Any, place: int, dtypes: Any, numeric: bool) -> Part:
    """Return a part of the user's data, checked.

    Raises
    ------
    DataError, ShapeError
        That name the partition.
    """
    from sklearn.utils import check_array

    with part_error(place):
        names = tuple(map(str, x.columns)) if hasattr(x, "columns") else None
        x = check_array(
            x, accept_sparse=["csr"], dtype=list(dtypes), ensure_min_samples=0, input_name="X",
            ensure_min_features=0,
        )  # fmt: skip
        y = y.to_numpy() if hasattr(y, "to_numpy") else np.asarray(y)
        if numeric or y.ndim == 2:
            y = check_array(
                y, ensure_2d=False, dtype="numeric", ensure_min_samples=0, input_name="y",
                ensure_min_features=0,
            )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if weight is not None:
            weight = check_array(
                np.asarray(weight), ensure_2d=False, dtype=x.dtype, ensure_min_samples=0,
                input_name="sample_weight",
            )  # fmt: skip
            if weight.ndim != 1 or (weight < 0).any():
                raise DataError("sample_weight must hold one number of at least 0 for each row.")
        counts = {"X": x.shape[0], "y": y.shape[0]}
        counts |= {} if weight is None else {"sample_weight": weight.shape[0]}
        if len(set(counts.values())) > 1:
            raise DataError(
                f"its chunks have different numbers of rows: {counts}. Rechunk y and sample_weight "
                "like X, for example y.rechunk(X.chunks[0])."
            )
    return Part(x, y, weight, names)


def describe(part: Part, numeric: bool) -> Description:
    """Return what the coordinator needs to know of a part."""
    labels = None
    if not numeric and part.y.ndim == 1:
        labels = np.unique(part.y)
    return Description(
        part.x.shape[0], part.x.shape[1], str(part.x.dtype), is_sparse(part.x), part.names,
        part.y.shape[1:], labels, (part.x[:8], part.y[:8]),
    )  # fmt: skip


def _blocks_of(
    model: FittedModel, part: Part, place: int, hold_out: HoldOut | None
) -> tuple[Block, Block]:
    """Return the training rows of a part and those held out, in the user's units."""
    if part.x.shape[0] == 0:
        targets: Any = np.zeros((0, model.n_outputs))
    else:
        targets = model.targets.encode(part.y, validated=True)
    block = model.as_block(part.x, targets, part.weight)
    if hold_out is None:
        return block, block.take(slice(0, 0))
    mask = held_out_rows(hold_out.seed, place, block.n_rows, hold_out.fraction)
    return block.take(np.flatnonzero(~mask)), block.take(np.flatnonzero(mask))


class Counted(NamedTuple):
    """How many rows of a part are trained on and held out, and what is learned from them."""

    training: int
    held: int
    weight: float  # of the training rows
    moments: tuple[Moments, Moments] | None


def part_moments(
    part: Part, model: FittedModel, place: int, hold_out: HoldOut | None, standardize: bool
) -> Counted:
    """Return the counts and, with ``standardize``, the moments of a part's training rows."""
    with _lock, part_error(place):
        block, held = _blocks_of(model, part, place, hold_out)
        moments = block_moments(block) if standardize else None
    weight = block.n_rows if block.weight is None else np.sum(block.weight, dtype=np.float64)
    return Counted(block.n_rows, held.n_rows, float(weight), moments)


def part_totals(part: Part, model: FittedModel, place: int, hold_out: HoldOut | None) -> Any:
    """Return the class totals of a part's training rows."""
    return class_totals(model.targets, _blocks_of(model, part, place, hold_out)[0])


def part_rows(part: Part, model: FittedModel, place: int, hold_out: HoldOut | None) -> Block:
    """Return a part's training rows in the user's units, as callbacks see them."""
    block, _ = _blocks_of(model, part, place, hold_out)
    rows = None
    if hold_out is not None:
        mask = held_out_rows(hold_out.seed, place, part.x.shape[0], hold_out.fraction)
        rows = np.flatnonzero(~mask)
    return Block(block.x, model.targets.callback_targets(part.y, block.y, rows), block.weight)


def part_digests(part: Part, model: FittedModel, place: int) -> dict[str, str]:
    """Return the fingerprints of a part's rows, by which checkpoints are compared."""
    return block_digests(_blocks_of(model, part, place, None)[0])


def held_digests(shard: Shard) -> list[dict[str, str]]:
    """Return the fingerprints of the rows held out, partition by partition."""
    return [block_digests(block) for block in shard.held]


def make_shard(
    token: str,
    model: FittedModel,
    factors: Any,
    hold_out: HoldOut | None,
    places: list[int],
    *parts: Part,
) -> Shard:
    """Return a group of parts as the network takes them."""
    blocks, held = [], []
    with _lock:
        for place, part in zip(places, parts, strict=True):
            training, rest = _blocks_of(model, part, place, hold_out)
            blocks.append((place, weighted(model.targets, model.prepare(training), factors)))
            held.append(model.standardized(rest))
    return Shard(token, model, blocks, held)


# --- sums -----------------------------------------------------------------------------------------


def gradient_roots(step: Step, owned: list[tuple[int, int, list[int]]], *shards: Shard) -> Roots:
    """Return the sums over subtrees of shards.

    Parameters
    ----------
    step : Step
    owned : list of (int, int, list of int)
        The subtrees: the first shard, how many, and the place in the batch of each one's first row.
    *shards : Shard
        Those of all subtrees, in order.
    """
    given = iter(shards)
    roots: list[tuple[int, int, GradientSums | None]] = []
    with _lock:
        begin = perf_counter()
        for first, count, places in owned:

            def parts(count: int = count, places: list[int] = places) -> Iterator[Any]:
                for i in range(count):
                    yield _shard_sums(step, next(given), places[i])

            roots.append((first, count, tree_sum(parts(), added_or_none(step.theta))))
        seconds = perf_counter() - begin
    return Roots(roots, seconds)


def _shard_sums(step: Step, shard: Shard, place: int) -> GradientSums | None:
    """Return the sums over one shard; None if it has no rows."""
    cut = step.cut
    block = shard.whole() if cut is None else shard.rows_of(step.order_seed, step.epoch, cut)
    if block is None:
        return None
    state = State(step.theta, seed=step.seed, step=step.step)
    return _engine(shard).gradient(state, block, first=place)


def added_or_none(theta: Any) -> Callable[[Any, Any], Any]:
    """Return the sum of neighbours in the tree, either of which may be None: as zeros are added."""
    zeros: list[GradientSums] = []

    def add(a: GradientSums | None, b: GradientSums | None) -> GradientSums | None:
        if a is None and b is None:
            return None
        if not zeros:
            zeros.append(no_rows(State(theta)))
        return added(zeros[0] if a is None else a, zeros[0] if b is None else b)

    return add


def shard_scores(theta: Any, places: list[int], *shards: Shard) -> list[tuple[int, ScoreSums]]:
    """Return the sums of loss and score over the rows held out, by partition."""
    found = []
    with _lock:
        for shard in shards:
            state = State(theta)
            for (place, _), block in zip(shard.blocks, shard.held, strict=True):
                sums = score_sums(shard.model.targets, _engine(shard), state, block)
                found.append((place, sums))
    return found


def identity() -> dict[str, str]:
    """Return what decides the bits of a worker: releases, processor, settings."""
    from deltarule.engine.compiler import code_identity
    from deltarule.version import __version__

    return {"deltarule": __version__, **code_identity()}


def _engine(shard: Shard) -> Engine:
    """Return the engine that sums over the shards of a fit."""
    return engine_of(shard.token, shard.model.network.tape, n_shards=1)


def engine_of(
    name: str, tape: Tape, optimizer: Any = None, clipping: Any = None, *, n_shards: int = 0
) -> Engine:
    """Return the engine of a name, on as many threads as the worker has."""
    engine = _engines.get(name)
    if engine is None:
        if len(_engines) >= _MOST_ENGINES:
            _engines.popitem(last=False)
        engine = Engine(tape, optimizer, clipping, n_threads=_threads(), n_shards=n_shards)
        _engines[name] = engine
    return engine


def computing() -> AbstractContextManager[Any]:
    """Return a context for one computation at a time, on all threads of the worker."""
    return _lock


def _threads() -> int | None:
    """Return the worker's threads; its environment allows one (``OMP_NUM_THREADS``)."""
    from distributed import get_worker

    try:
        return int(get_worker().state.nthreads)
    except ValueError:  # not on a worker
        return None
