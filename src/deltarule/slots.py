"""What optimisers remember: one NamedTuple each, the same for both interpreters."""

from __future__ import annotations

from typing import Any, NamedTuple

from deltarule.arrays import Array

__all__ = [
    "SLOTS",
    "AdadeltaSlots",
    "AdamSlots",
    "NadamSlots",
    "RpropSlots",
    "SquareSlots",
    "VelocitySlots",
]


class VelocitySlots(NamedTuple):
    """What momentum remembers."""

    v: Array  # (p,) velocity, or mean gradient


class SquareSlots(NamedTuple):
    """What RMSprop and Adagrad remember."""

    s: Array  # (p,) running mean, or sum, of g²


class AdamSlots(NamedTuple):
    """What Adam remembers."""

    t: int  # steps taken
    m: Array  # (p,) running mean of g
    v: Array  # (p,) running mean of g²


class NadamSlots(NamedTuple):
    """What Nadam remembers."""

    t: int  # steps taken
    product: float  # Π_{i≤t} μ_i
    m: Array  # (p,) running mean of g
    v: Array  # (p,) running mean of g²


class AdadeltaSlots(NamedTuple):
    """What Adadelta remembers."""

    v: Array  # (p,) running mean of g²
    u: Array  # (p,) running mean of squared steps


class RpropSlots(NamedTuple):
    """What Rprop remembers."""

    t: int  # steps taken
    sign: Array  # (p,) of the last slope; 0 where it had just turned
    size: Array  # (p,) step sizes


SLOTS: tuple[type[Any], ...] = (
    *(AdadeltaSlots, AdamSlots, NadamSlots, RpropSlots, SquareSlots, VelocitySlots),
)
"""All of them."""
