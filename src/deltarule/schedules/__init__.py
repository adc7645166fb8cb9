"""Learning-rate schedules (item O7).

A schedule is a frozen description. The numbers that it reads and changes, the current rate and
what it remembers, are part of the training's ``Position``. The training loop calls a schedule at
three points: before every epoch, for the rate of each of the epoch's steps; after every epoch,
with the metric that early stopping watches; and on a plateau (when early stopping would end the
training), where it may return a new rate to continue with.

The first epoch is i = 0, as in ``torch.optim.lr_scheduler``. η₀ is the optimiser's
``learning_rate``.
"""

from deltarule.errors import SpecError
from deltarule.schedules.decay import (
    Exponential,
    InverseScaling,
    InverseSquareRoot,
    InverseTime,
    PiecewiseConstant,
    StepDecay,
)
from deltarule.schedules.interface import Constant, EpochSchedule, Rates, Schedule
from deltarule.schedules.plateau import Adaptive, PlateauMemory, ReduceOnPlateau
from deltarule.schedules.position import Position
from deltarule.schedules.stepwise import Cosine, CosineLog, FlatCosine, OneCycle, WarmUp
from deltarule.utils.checks import check_name, shown

__all__ = [
    "SCHEDULES",
    "Adaptive",
    "Constant",
    "Cosine",
    "CosineLog",
    "EpochSchedule",
    "Exponential",
    "FlatCosine",
    "InverseScaling",
    "InverseSquareRoot",
    "InverseTime",
    "OneCycle",
    "PiecewiseConstant",
    "PlateauMemory",
    "Position",
    "Rates",
    "ReduceOnPlateau",
    "Schedule",
    "StepDecay",
    "WarmUp",
    "resolve_schedule",
]

SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "invscaling": InverseScaling,
    "adaptive": Adaptive,
    "cosine": Cosine,
    "cosine_log": CosineLog,
    "exponential": Exponential,
    "flat_cosine": FlatCosine,
    "inverse_square_root": InverseSquareRoot,
    "inverse_time": InverseTime,
    "one_cycle": OneCycle,
    "reduce_on_plateau": ReduceOnPlateau,
    "step_decay": StepDecay,
    "warm_up": WarmUp,
}
"""Schedules by name, with their default constants: for ``train`` and the estimators."""


def resolve_schedule(given: object) -> Schedule:
    """Return the schedule that an argument ``schedule`` means: a name, a schedule, or None.

    Parameters
    ----------
    given : str, Schedule or None
        A name in ``SCHEDULES``, or a schedule. None is ``Constant()``.

    Raises
    ------
    SpecError
        For an unknown name, or an object that is not a schedule.
    """
    if given is None:
        return Constant()
    if isinstance(given, str):
        check_name("schedule", given, SCHEDULES)
        return SCHEDULES[given]()
    if isinstance(given, type) or not all(
        callable(getattr(given, name, None)) for name in ("rates", "observe", "on_plateau")
    ):
        raise SpecError(
            "schedule must be a name such as 'cosine', a schedule such as Cosine(), or None; got "
            f"{shown(given)}."
        )
    return given  # type: ignore[return-value]
