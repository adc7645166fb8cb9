"""Gradient clipping, by norm or by value (item H4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from deltarule.utils.checks import check_between

__all__ = ["ClipNorm", "ClipValue", "Clipping"]


@dataclass(frozen=True)
class ClipNorm:
    """Gradient clipping by norm: a gradient with ‖g‖ > limit is scaled to ‖g‖ = limit.

    (Pascanu et al. 2013.)

    Parameters
    ----------
    limit : float
        Largest norm, > 0.
    """

    limit: float

    def __post_init__(self) -> None:
        check_between("limit", self.limit, 0.0, open_low=True, open_high=True)


@dataclass(frozen=True)
class ClipValue:
    """Gradient clipping by value: every entry of the gradient is clipped to [−limit, limit].

    Parameters
    ----------
    limit : float
        Largest absolute value, > 0.
    """

    limit: float

    def __post_init__(self) -> None:
        check_between("limit", self.limit, 0.0, open_low=True, open_high=True)


Clipping: TypeAlias = ClipNorm | ClipValue
