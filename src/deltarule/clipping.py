"""How a gradient is kept from exploding: frozen descriptions (item H4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from deltarule.checks import check_between

__all__ = ["ClipNorm", "ClipValue", "Clipping"]


@dataclass(frozen=True)
class ClipNorm:
    """Scale the gradient back onto ‖g‖ = limit if it is longer (Pascanu et al. 2013)."""

    limit: float

    def __post_init__(self) -> None:
        check_between("limit", self.limit, 0.0, open_low=True, open_high=True)


@dataclass(frozen=True)
class ClipValue:
    """Cut every entry of the gradient off at ±limit."""

    limit: float

    def __post_init__(self) -> None:
        check_between("limit", self.limit, 0.0, open_low=True, open_high=True)


Clipping: TypeAlias = ClipNorm | ClipValue
