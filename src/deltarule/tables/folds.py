"""Folds of an ensemble: how many networks, and which rows each of them leaves out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.tables.plan import DEV_SHARE, Plan
from deltarule.tables.table import Source

__all__ = ["Folds", "choose_folds", "draw_folds"]

FEWEST_ROWS = 100
"""Smaller tables get one network."""
SIZES = ((20_000, 8), (100_000, 4))
"""Tables of fewer rows than the first number get so many networks; larger ones get one."""


class Folds(NamedTuple):
    """How many networks are trained, and why it is one if it is."""

    networks: int
    why_one: str = ""


def choose_folds(source: Source, plan: Plan) -> Folds:
    """Return the number of folds of a plan, by the table's size unless the plan says it.

    Raises
    ------
    TableError
        If the plan asks for folds that the table or its split does not allow.
    """
    dev = plan.shares is None or plan.shares.dev != DEV_SHARE
    obstacles = (
        (plan.time is not None, "the rows are split by time"),
        (dev, "a dev part was asked for"),
        (not source.in_memory, "the table stays in its files"),
    )
    reasons = [reason for holds, reason in obstacles if holds]
    count = plan.ensemble
    if count is not None and count > 1:
        if reasons:
            raise TableError(
                f"{source.path}: the networks of an ensemble stop by {count} random folds of a "
                f"table in memory, but {reasons[0]}; use --ensemble 1, or leave that out"
            )
        if 2 * count > source.rows:
            raise TableError(
                f"{source.path}: {source.rows} rows are too few for {count} folds; "
                "use --ensemble 1, or add rows"
            )
        return Folds(count)
    if count == 1:
        return Folds(1, "as asked for")
    if plan.one_network:
        reasons.append("options describe it; --ensemble 8 trains eight such")
    if source.rows < FEWEST_ROWS:
        reasons.append(f"the table has fewer than {FEWEST_ROWS} rows")
    if reasons:
        return Folds(1, reasons[0])
    for most, count in SIZES:
        if source.rows < most:
            return Folds(count)
    return Folds(1, f"the table has {SIZES[-1][0]} rows or more")


def draw_folds(
    rows: int, count: int, seed: int, codes: NDArray[np.integer[Any]] | None = None
) -> NDArray[np.intp]:
    """Return the fold of each row, drawn at random, of equal sizes but for one row.

    With the class of each row, every fold holds them in proportion, as closely as whole rows allow;
    the only row of a class is in no fold, -1, so that every network learns all classes.
    """
    order = np.random.default_rng(seed).permutation(rows)
    alone = np.zeros(rows, dtype=bool)
    if codes is not None:
        order = order[np.argsort(codes[order], kind="stable")]
        alone = np.bincount(codes)[codes] == 1
    fold = np.full(rows, -1, dtype=np.intp)
    held = order[~alone[order]]
    fold[held] = np.arange(len(held)) % count
    return fold
