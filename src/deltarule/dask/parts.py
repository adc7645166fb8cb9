"""A user's data on a cluster as parts: X, y and weights of every partition, side by side."""

from __future__ import annotations

from typing import Any, NamedTuple

from deltarule.dask.crew import Crew
from deltarule.dask.workers import make_part
from deltarule.errors import DataError, SpecError

__all__ = ["Collections", "parts_of"]


class Collections(NamedTuple):
    """Collections of a fit, as the user gave them."""

    X: Any
    y: Any
    weight: Any = None


def parts_of(
    crew: Crew, given: Collections, dtypes: Any, *, numeric: bool, suffix: str = ""
) -> list[Any]:
    """Return a future of every partition: a ``Part``.

    Nothing is computed twice, and no row changes its partition. Dask knows how each part was made,
    so that it can make it again.

    Parameters
    ----------
    crew : Crew
    given : Collections
        Dask arrays or dataframes, or lists of futures, delayed objects or arrays.
    dtypes : sequence
        Types that X may have; any other becomes the first one.
    numeric : bool
        Whether y holds numbers, and not labels.
    suffix : str
        The end of the arguments' names in messages.

    Raises
    ------
    DataError, SpecError
        If the collections cannot be put side by side.
    """
    from dask.delayed import delayed

    names = [f"X{suffix}", f"y{suffix}", f"sample_weight{suffix}"]
    pieces = {
        name: _pieces(name, collection)
        for name, collection in zip(names, given, strict=True)
        if collection is not None
    }
    if names[1] not in pieces:
        raise SpecError(f"{names[1]} is missing: give the targets of {names[0]}.")
    counts = {name: len(parts) for name, parts in pieces.items()}
    if len(set(counts.values())) > 1:
        raise DataError(
            f"{' and '.join(counts)} must have the same partitions; they have {counts}. Rechunk y "
            "and sample_weight like X, for example y.rechunk(X.chunks[0])."
        )
    _check_lengths(names, given)
    n = counts[names[0]]
    weights = pieces.get(names[2], [None] * n)
    make = delayed(make_part, pure=False)
    parts = [
        make(x, y, weight, place, tuple(dtypes), numeric)
        for place, (x, y, weight) in enumerate(
            zip(pieces[names[0]], pieces[names[1]], weights, strict=True)
        )
    ]
    futures: list[Any] = crew.client.compute(parts)
    return futures


def _pieces(name: str, collection: Any) -> list[Any]:
    """Return the partitions of a collection as delayed objects, futures or arrays."""
    if isinstance(collection, list | tuple):
        if not collection:
            raise DataError(f"{name} is an empty list. Give a part or more.")
        return list(collection)
    if not hasattr(collection, "to_delayed"):
        raise SpecError(
            f"{name} must be a Dask array, a Dask dataframe or a list of parts; got "
            f"{type(collection).__name__}. Use dask.array.from_array({name}, chunks=…), or fit "
            "deltarule.MLPClassifier or MLPRegressor to rows in memory."
        )
    if hasattr(collection, "npartitions") and not hasattr(collection, "chunks"):
        _check_categories(name, collection)
        return list(collection.to_delayed())
    if name.startswith("X") and collection.ndim != 2:
        raise DataError(
            f"{name} must have two dimensions; got {collection.ndim}. Use {name}.reshape(-1, 1) "
            "for a single feature."
        )
    if collection.ndim == 2 and collection.numblocks[1] > 1:
        raise DataError(
            f"{name} is cut into {collection.numblocks[1]} chunks of columns; the network needs "
            f"whole rows. Use {name}.rechunk({{1: -1}})."
        )
    return list(collection.to_delayed().ravel())


def _check_categories(name: str, collection: Any) -> None:
    """Refuse columns whose categories are unknown, and categories as inputs."""
    series = collection.ndim == 1
    kinds = {collection.name: collection.dtype} if series else dict(collection.dtypes)
    for column, kind in kinds.items():
        if str(kind) != "category":
            continue
        values = collection if series else collection[column]
        if not values.cat.known:
            raise DataError(
                f"the categories of {column!r} in {name} are unknown, since Dask has not read all "
                f"partitions. Use {name}.categorize(), or .cat.as_known()."
            )
        if name.startswith("X"):
            raise DataError(
                f"column {column!r} of {name} holds categories, and a network takes numbers. "
                "Encode them first, for example with dask.dataframe.get_dummies."
            )


def _check_lengths(names: list[str], given: Collections) -> None:
    """Refuse arrays whose known chunks differ; unknown ones are compared on the workers."""
    known = {
        name: tuple(collection.chunks[0])
        for name, collection in zip(names, given, strict=True)
        if collection is not None and hasattr(collection, "chunks")
    }
    sound = {name: sizes for name, sizes in known.items() if all(n == n for n in sizes)}
    if len(set(sound.values())) > 1:
        first = next(iter(sound))
        other = next(name for name, sizes in sound.items() if sizes != sound[first])
        raise DataError(
            f"{first} and {other} have other chunks of rows: {_shown(sound[first])} and "
            f"{_shown(sound[other])}. Use {other}.rechunk({first}.chunks[0])."
        )


def _shown(sizes: tuple[int, ...]) -> str:
    return str(sizes) if len(sizes) < 6 else f"{str(sizes[:5])[:-1]}, …)"
