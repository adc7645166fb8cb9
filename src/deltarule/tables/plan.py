"""What to learn from a table, and from which of its rows."""

from __future__ import annotations

from dataclasses import dataclass, field

from deltarule.tables.record import Task
from deltarule.tables.split import Shares
from deltarule.tables.understanding import ReadOptions

__all__ = ["Plan"]


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
    """

    target: str
    task: Task | None = None
    ignore: tuple[str, ...] = ()
    shares: Shares | None = field(default=Shares(0.1, 0.0))
    seed: int = 0
    reading: ReadOptions = field(default_factory=ReadOptions)
    time: str | None = None
