"""States of the optimisers: one NamedTuple per kind, the same for both interpreters."""

from __future__ import annotations

from typing import Any, NamedTuple

from deltarule.utils.arrays import Array

__all__ = [
    "OPTIMIZER_STATES",
    "AdadeltaState",
    "AdamState",
    "AveragedState",
    "NadamState",
    "RpropState",
    "SquareState",
    "VelocityState",
]


class VelocityState(NamedTuple):
    """State of gradient descent with momentum."""

    v: Array  # (p,) velocity, or mean gradient


class SquareState(NamedTuple):
    """State of RMSprop and Adagrad."""

    s: Array  # (p,) running mean, or sum, of g²


class AdamState(NamedTuple):
    """State of Adam."""

    t: int  # steps taken
    m: Array  # (p,) running mean of g
    v: Array  # (p,) running mean of g²


class NadamState(NamedTuple):
    """State of Nadam."""

    t: int  # steps taken
    product: float  # Π_{i≤t} μ_i
    m: Array  # (p,) running mean of g
    v: Array  # (p,) running mean of g²


class AdadeltaState(NamedTuple):
    """State of Adadelta."""

    v: Array  # (p,) running mean of g²
    u: Array  # (p,) running mean of squared steps


class RpropState(NamedTuple):
    """State of Rprop."""

    t: int  # steps taken
    sign: Array  # (p,) sign of the last slope; 0 where it has just changed
    size: Array  # (p,) step sizes


class AveragedState(NamedTuple):
    """State of local steps: of the shards' optimiser, and of the outer step."""

    inner: Any  # mean of the shards' states; None for an optimiser without one
    u: Array  # (p,) velocity of the outer step


OPTIMIZER_STATES: tuple[type[Any], ...] = (
    AdadeltaState,
    AdamState,
    AveragedState,
    NadamState,
    RpropState,
    SquareState,
    VelocityState,
)
"""All states of optimisers."""
