"""How the learning rate changes over a training run (item O7).

A schedule is a frozen description; the numbers it acts on, the current rate and what it
remembers, belong to the training run. It has three moments to speak: before every epoch it gives
a rate for each of the epoch's steps, after every epoch it hears the metric that stopping watches,
and on a plateau (when the stopping rule would end the run) it may ask to go on.

Epochs are counted by how many are finished: the first one is i = 0, as in
``torch.optim.lr_scheduler``. η₀ is the optimiser's ``learning_rate``.
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
