"""What runs: the tape that a network is lowered to, its state, and the interpreters' protocol."""

from deltarule.program.interface import (
    BatchSchedule,
    Block,
    EpochOrders,
    EpochRun,
    GradientSums,
    Interpreter,
    ShardedSchedule,
    StepLog,
)
from deltarule.program.state import State

__all__ = [
    "BatchSchedule",
    "Block",
    "EpochOrders",
    "EpochRun",
    "GradientSums",
    "Interpreter",
    "ShardedSchedule",
    "State",
    "StepLog",
]
