"""Ranges of everything in a checkpoint, field by field, checked while it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, TypeAlias

import numpy as np

from deltarule.program import BatchSchedule, State, StepLog
from deltarule.program.optimizer_state import OPTIMIZER_STATES
from deltarule.schedules import PlateauMemory, Position
from deltarule.training.curve import Curve, Records
from deltarule.training.early_stopping import StoppingState
from deltarule.training.history import History
from deltarule.training.state import Epoch
from deltarule.utils.checks import is_count, is_number

__all__ = ["KINDS", "RANGES", "is_finite"]

Rule: TypeAlias = Callable[[Any], bool]

KINDS: tuple[type[Any], ...] = (
    *OPTIMIZER_STATES,
    *(State, BatchSchedule, StepLog, Epoch, History, PlateauMemory, Position, StoppingState),
)
"""The types of ours that every checkpoint may hold."""

_ENDINGS = ("", "epochs", "no improvement", "divergence", "interrupt", "callback")


def is_finite(value: Any) -> bool:
    """Whether a value is a number that is not infinite or NaN."""
    return is_number(value) and isfinite(value)


def _from(low: float) -> Rule:
    return lambda value: is_finite(value) and value >= low


def _optional(rule: Rule) -> Rule:
    return lambda value: value is None or rule(value)


def _is_a(*kinds: type[Any]) -> Rule:
    return lambda value: isinstance(value, kinds)


def _all(kind: type[Any], names: tuple[str, ...]) -> Rule:
    """Return the rule for a list or tuple of objects of a kind known by name."""
    return lambda value: isinstance(value, kind) and all(type(x).__name__ in names for x in value)


def _vector(dtype: type[Any], low: float = -np.inf) -> Rule:
    """Return the rule for a vector of finite numbers of at least ``low``."""

    def is_vector(value: Any) -> bool:
        return (
            isinstance(value, np.ndarray)
            and value.ndim == 1
            and value.dtype == dtype
            and bool((np.isfinite(value) & (value >= low)).all())
        )

    return is_vector


def _is_buffers(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(array, np.ndarray) for name, array in value.items()
    )


_SHARE = _optional(is_number)

RANGES: Mapping[str, Mapping[str, Rule]] = {
    "State": {
        "theta": _is_a(np.ndarray), "seed": lambda value: is_count(value, below=2**63),
        "step": is_count, "optimizer_state": _optional(_is_a(*OPTIMIZER_STATES)),
        "buffers": _is_buffers,
    },
    "BatchSchedule": {
        "rows": _vector(np.int64, 0), "bounds": _vector(np.int64, 0),
        "learning_rates": _vector(np.float64, 0),
    },
    "StepLog": {
        "rows": _vector(np.int64, 0), "weight": _vector(np.float64, 0),
        "loss": _vector(np.float64), "penalty": _vector(np.float64),
    },
    "Epoch": {
        "order": _is_a(BatchSchedule), "entered": _is_a(State), "done": is_count,
        "reports": _all(list, ("StepLog",)),
    },
    "History": {
        "loss": _is_a(Curve), "penalty": _is_a(Curve), "validation_loss": _is_a(Curve),
        "validation_score": _is_a(Curve), "learning_rate": _is_a(Curve), "health": _is_a(Records),
        "best_epoch": _optional(lambda value: is_count(value) and value >= 1),
        "stopped_by": lambda value: isinstance(value, str) and value in _ENDINGS,
        "message": _is_a(str), "converged": _optional(_is_a(bool)),
    },
    "PlateauMemory": {
        "best": lambda value: is_number(value) and value == value,  # infinite before the first
        "bad_epochs": is_count, "cooldown_left": is_count,
    },
    "StoppingState": {"best": _optional(is_finite), "stale": is_count},
    "Position": {
        "epochs": is_count, "steps": is_count, "examples": is_count,
        "planned_epochs": lambda value: is_count(value) and value >= 1,
        "learning_rate": _optional(_from(0)),
        "stopping_state": _optional(_is_a(StoppingState)),
        "order": _optional(_vector(np.int64, 0)),
    },
    "LayerHealth": {
        "layer": is_count, "activation_norm": is_number, "delta_norm": is_number,
        "gradient_norm": is_number, "weight_norm": is_number, "update_ratio": _SHARE,
        "dead": _SHARE, "saturated": _SHARE,
    },
}  # fmt: skip
"""By the name of a kind and of its field, whether a value is in range. Losses may be infinite or
NaN in a history, whose last epoch may have diverged; arrays of states are compared with θ later."""
