"""Shards: into how many parts a batch is cut, whose sums are added in a fixed tree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from deltarule.errors import SpecError

__all__ = ["Shards", "resolve_shards"]

_MOST = 1024


@dataclass(frozen=True)
class Shards:
    """The shards of a training, and the partitions that its rows lie in.

    A batch's rows are cut into ``count`` shards, and the sums over the shards are added in a
    balanced binary tree. So a step has the same bits on one machine and on any number of workers
    of a cluster (``deltarule.dask``).

    Parameters
    ----------
    count : int, default=8
        S, a power of two up to 1024.
    partitions : tuple of int, optional
        How many rows each partition of the data has, as on a cluster. Every epoch then visits the
        rows in a new order within their partitions, and every batch takes its share of each
        partition; shard s holds those of the s-th group of partitions. By default the rows are
        shuffled all together, and batches are cut evenly.
    every : int or "epoch", optional
        Approximate: each shard takes so many steps by itself, along its own rows of every batch,
        before their θ are averaged (``deltarule.training.averaging``). By default the gradients of
        every step are summed, which is exact. For optimisers that take steps, except Rprop, and
        without max-norm.

    Raises
    ------
    SpecError
        If ``count`` is no power of two, ``partitions`` are not counts of rows, or ``every`` is not
        a number of steps.

    Examples
    --------
    >>> Shards(4)
    Shards(count=4, partitions=None, every=None)
    >>> Shards(8, [100, 100, 37]).partitions
    (100, 100, 37)
    """

    count: int = 8
    partitions: tuple[int, ...] | None = None
    every: int | str | None = None

    def __post_init__(self) -> None:
        count = self.count
        is_power = (
            isinstance(count, Integral)
            and not isinstance(count, bool)
            and 1 <= count <= _MOST
            and int(count).bit_count() == 1
        )
        if not is_power:
            raise SpecError(
                f"shards must be a power of two from 1 to {_MOST}, such as 8; got {count!r:.40}."
            )
        object.__setattr__(self, "count", int(count))
        if self.partitions is not None:
            object.__setattr__(self, "partitions", _lengths(self.partitions))
        every = self.every
        if isinstance(every, Integral) and not isinstance(every, bool) and int(every) >= 1:
            object.__setattr__(self, "every", int(every))
        elif not (every is None or (isinstance(every, str) and every == "epoch")):
            raise SpecError(
                "every of Shards must be a number of steps, such as 100, 'epoch', or None for "
                f"exact steps; got {every!r:.40}."
            )


def resolve_shards(given: Any) -> Shards | None:
    """Return the shards of an argument: None, a number of them, or ``Shards``."""
    return given if given is None or isinstance(given, Shards) else Shards(given)


def _lengths(given: Any) -> tuple[int, ...]:
    listed = isinstance(given, Iterable) and not isinstance(given, str)
    lengths = tuple(given) if listed and getattr(given, "ndim", 1) > 0 else ()
    whole = all(
        isinstance(n, Integral) and not isinstance(n, bool) and int(n) >= 0 for n in lengths
    )
    if not whole or not sum(lengths):
        raise SpecError(
            "partitions of Shards must be numbers of rows, such as (1000, 1000, 37); got "
            f"{given!r:.60}."
        )
    return tuple(int(n) for n in lengths)
