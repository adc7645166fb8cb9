"""Train, dev and test: a shuffled split, stratified for classes (item D1)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError, ShapeError
from deltarule.utils.checks import (
    check_between,
    check_positive_integer,
    check_seed,
    check_sequence,
    shown,
)

__all__ = ["default_fractions", "nearly_stratified", "quotas", "split_rows"]

Integers = npt.NDArray[np.int64]


def default_fractions(n_rows: int) -> tuple[float, float, float]:
    """Return train/dev/test by size: 60/20/20 up to 10⁴ examples, 98/1/1 above (Matt R §4)."""
    return (0.6, 0.2, 0.2) if n_rows <= 10_000 else (0.98, 0.01, 0.01)


def split_rows(
    n_rows: int,
    fractions: tuple[float, float, float] | None = None,
    *,
    labels: npt.ArrayLike | None = None,
    seed: int = 0,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the row numbers of train, dev and test, shuffled.

    Parameters
    ----------
    n_rows : int
        The number of examples.
    fractions : (train, dev, test), optional
        Non-negative, with sum 1; by default :func:`default_fractions`.
    labels : (n_rows,) array-like, optional
        Classes: every part has them in the same proportions, as nearly as whole rows allow. A class
        with too few rows for every part is for training first.
    seed : int, default=0
        The same seed gives the same split.

    Raises
    ------
    SpecError
        If ``n_rows`` or ``seed`` is no count.
    ShapeError
        If there is not one label for each row.
    DataError
        If the fractions do not add up, or leave no row to train on.
    """
    count = check_positive_integer("n_rows", n_rows)
    shares = default_fractions(count) if fractions is None else fractions
    parts = check_sequence("fractions", shares, "a sequence such as (0.6, 0.2, 0.2)")
    numbers = [check_between(f"fractions[{i}]", part) for i, part in enumerate(parts)]
    if len(parts) != 3 or min(numbers) < 0 or abs(sum(numbers) - 1) > 1e-9 or numbers[0] <= 0:
        raise DataError(
            "fractions must be non-negative, with a train part, and sum to 1; got "
            f"{shown(fractions)}."
        )
    codes = np.zeros(count, dtype=np.int64)
    if labels is not None:
        given = np.asarray(labels)
        if given.shape != (count,):
            raise ShapeError(
                f"labels must have shape ({count},), one for each row; got {given.shape}."
            )
        codes = np.unique(given, return_inverse=True)[1].astype(np.int64)
    held = [round(part * count) for part in numbers[1:]]
    if sum(held) >= count:
        raise DataError(
            f"fractions must leave a row to train on; got {shown(fractions)} of {count} rows. "
            "Give more rows, or hold out less."
        )
    rng = np.random.default_rng(check_seed("seed", seed))
    rest, none = rng.permutation(count), np.empty(0, dtype=np.int64)
    dev, test = none, none
    if held[1]:
        rest, test = nearly_stratified(codes, held[1], rest)
    if held[0]:
        kept, taken = nearly_stratified(codes[rest], held[0], rng.permutation(len(rest)))
        rest, dev = rest[kept], rest[taken]
    return rest, dev, test


def nearly_stratified(codes: Integers, held: int, order: Integers) -> tuple[Integers, Integers]:
    """Return the training rows and ``held`` rows held out, stratified as whole rows allow.

    At least one row of every class is for training, unless so many rows are held out that some
    classes must go without.

    Parameters
    ----------
    codes : (n,) array
        The number of each row's class.
    held : int
        From 1 to n − 1.
    order : (n,) array
        The rows in a random order, which decides everything.
    """
    members = np.bincount(codes)
    spare = np.maximum(members - 1, 0)
    limits = spare if held <= spare.sum() else members
    taken = quotas(held * members / len(codes), held, limits)
    by_class = order[np.argsort(codes[order], kind="stable")]
    places = np.arange(len(codes)) - np.repeat(np.cumsum(members) - members, members)
    is_held = np.zeros(len(codes), dtype=bool)
    is_held[by_class[places < np.repeat(taken, members)]] = True
    return order[~is_held[order]], order[is_held[order]]


def quotas(ideal: npt.NDArray[np.float64], size: int, limits: Integers) -> Integers:
    """Round the classes' ideal counts so that they sum to ``size`` and keep within the limits."""
    counts = np.minimum(np.floor(ideal).astype(np.int64), limits)
    while counts.sum() < size:
        lacking = np.where(counts < limits, ideal - counts, -np.inf)
        counts[int(np.argmax(lacking))] += 1
    return counts
