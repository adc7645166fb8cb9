"""Learning-rate schedules (item O7).

A schedule is a frozen description. The current rate and the schedule's memory belong to the
training run, which calls the schedule at three points: before every epoch it asks for the rate of
each step of the epoch, after every epoch it reports the metric that early stopping watches, and on
a plateau, when early stopping would end the run, it asks whether to continue at another rate.

The first epoch is i = 0, as in ``torch.optim.lr_scheduler``. η₀ is the optimiser's
``learning_rate``.
"""

from deltarule.schedules.base import Clock, Constant, EpochSchedule, Rates, Schedule
from deltarule.schedules.decay import (
    Exponential,
    InverseScaling,
    InverseSquareRoot,
    InverseTime,
    PiecewiseConstant,
    StepDecay,
)
from deltarule.schedules.plateau import Adaptive, PlateauMemory, ReduceOnPlateau
from deltarule.schedules.stepwise import Cosine, OneCycle, WarmUp

__all__ = [
    "Adaptive",
    "Clock",
    "Constant",
    "Cosine",
    "EpochSchedule",
    "Exponential",
    "InverseScaling",
    "InverseSquareRoot",
    "InverseTime",
    "OneCycle",
    "PiecewiseConstant",
    "PlateauMemory",
    "Rates",
    "ReduceOnPlateau",
    "Schedule",
    "StepDecay",
    "WarmUp",
]
