"""Which trainings may end later than was planned when their checkpoints were kept."""

from __future__ import annotations

from typing import Any

from deltarule import schedules
from deltarule.schedules import Schedule

__all__ = ["check_end"]

_BLIND = tuple(
    getattr(schedules, name)
    for name in (
        *("Adaptive", "Constant", "Exponential", "InverseScaling", "InverseSquareRoot"),
        *("InverseTime", "ReduceOnPlateau", "StepDecay", "PiecewiseConstant", "WarmUp"),
    )
)
"""Schedules whose rates do not depend on how many epochs are planned."""


def check_end(name: str, epochs: int, schedule: Schedule) -> dict[str, Any]:
    """Return what a training's number of epochs adds to its arguments.

    Nothing, if it does not matter until the end: it may then be raised to go on. A schedule that
    looks ahead (``Cosine``, ``OneCycle``) makes it an argument as any other, and so does one of the
    user's own, be it a subclass of one that does not: nobody knows what it looks at.
    """
    kind = type(schedule)
    blind = issubclass(kind, _BLIND) and kind.__module__.startswith("deltarule.")
    return {} if blind else {name: epochs}
