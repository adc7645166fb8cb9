"""What to learn from a table, and from which of its rows."""

from __future__ import annotations

from dataclasses import dataclass, field

from deltarule.tables.encoding import Scaling
from deltarule.tables.record import Task
from deltarule.tables.split import Shares
from deltarule.tables.target_transform import TargetTransform
from deltarule.tables.understanding import ReadOptions

__all__ = ["DEV_SHARE", "Plan"]

DEV_SHARE = 0.1
"""The share of rows that one network holds out as dev rows, unless the user says another."""


@dataclass(frozen=True)
class Plan:
    """What to learn from a table, and from which of its rows.

    Attributes
    ----------
    target : str
        The column to predict.
    task : {"classification", "regression"}, optional
        The task; by default the target decides.
    ignore : tuple of str
        Columns to leave out; patterns such as ``id_*`` are allowed.
    shares : Shares or None
        The shares held out for dev and test; None for 60/20/20 up to 10⁴ rows and 98/1/1 above
        (of a table in its files, whose rows are not counted beforehand: 98/1/1).
    seed : int
        All other seeds derive from this one.
    reading : ReadOptions
        What the user says about the cells.
    time : str, optional
        A column of dates or numbers that orders the rows: the last are for test, those before them
        for dev. By default rows are drawn.
    ensemble : int or None
        How many networks are trained, each without another fold of the rows, its dev rows; 1 is one
        network with a dev part, None for what suits the table.
    one_network : bool
        Whether the user described one network, so that None is 1.
    scaling : {"standard", "quantiles"}, optional
        How columns of numbers are scaled; by default by quantiles for an ensemble.
    bins : int, optional
        Bins of the piecewise-linear encoding beside a number; by default 24 for an ensemble, and
        none for one network.
    target_transform : {"none", "sqrt", "log"}, optional
        What of a number that is the target is learned; by default what suits a skewed one for an
        ensemble, and the number itself for one network.
    shards : int, optional
        Cut every batch of one network into so many shards, as on a cluster; for a table that stays
        in its files.
    """

    target: str
    task: Task | None = None
    ignore: tuple[str, ...] = ()
    shares: Shares | None = field(default=Shares(DEV_SHARE, 0.0))
    seed: int = 0
    reading: ReadOptions = field(default_factory=ReadOptions)
    time: str | None = None
    ensemble: int | None = 1
    one_network: bool = False
    scaling: Scaling | None = None
    bins: int | None = None
    target_transform: TargetTransform | None = None
    shards: int | None = None
