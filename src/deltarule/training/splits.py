"""Train, dev and test: a shuffled split, stratified for classes (item D1)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deltarule.errors import DataError

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
        Classes: every part has them in the same proportions.
    seed : int, default=0
        The same seed gives the same split.

    Raises
    ------
    DataError
        If the fractions do not add up, or a class is too small to be split.
    """
    from sklearn.model_selection import train_test_split

    parts = default_fractions(n_rows) if fractions is None else fractions
    if min(parts) < 0 or abs(sum(parts) - 1) > 1e-9 or parts[0] <= 0:
        raise DataError(
            f"fractions must be non-negative, with a train part, and sum to 1; got {parts}."
        )
    rows = np.arange(n_rows, dtype=np.int64)
    stratum = None if labels is None else np.asarray(labels)
    none = np.empty(0, dtype=np.int64)

    def cut(
        pool: npt.NDArray[np.int64], size: float
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        count = round(size * n_rows)
        if count == 0:
            return pool, none
        strata = None if stratum is None else stratum[pool]
        try:
            kept, taken = train_test_split(
                pool, test_size=count, stratify=strata, random_state=seed
            )
        except ValueError as error:
            raise DataError(
                f"{n_rows} rows cannot be split into parts of {parts}: {error} Give more rows, "
                "merge rare classes, or change the fractions."
            ) from error
        return kept, taken

    rest, test = cut(rows, parts[2])
    train, dev = cut(rest, parts[1])
    return train, dev, test


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
    limits = members - 1 if held <= len(codes) - len(members) else members
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
