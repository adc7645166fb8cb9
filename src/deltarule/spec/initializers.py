"""Initialisers: how the weights of a layer are drawn before training (items I1-I5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from deltarule.utils.checks import check_between

__all__ = ["INITIALIZERS", "ConstantInitializer", "Initializer", "Normal", "Uniform"]

INITIALIZERS = (
    "zeros",
    "orthogonal",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
)
"""Names of the initialisers without a parameter."""


_MOST = 1e300  # so that the width of an interval is finite


@dataclass(frozen=True)
class Normal:
    """Weights drawn from the normal distribution N(0, scale²) (item I2).

    Parameters
    ----------
    scale : float, default=0.01
        Standard deviation, in [0, 10³⁰⁰].
    """

    scale: float = 0.01

    def __post_init__(self) -> None:
        check_between("scale", self.scale, 0.0, open_high=True)
        check_between("scale", self.scale, 0.0, _MOST)


@dataclass(frozen=True)
class Uniform:
    """Weights drawn from the uniform distribution U(−scale, scale) (item I2).

    Parameters
    ----------
    scale : float, default=0.01
        Half the width of the interval, in [0, 10³⁰⁰].
    """

    scale: float = 0.01

    def __post_init__(self) -> None:
        check_between("scale", self.scale, 0.0, open_high=True)
        check_between("scale", self.scale, 0.0, _MOST)


@dataclass(frozen=True)
class ConstantInitializer:
    """Weights that all have the same value.

    Parameters
    ----------
    value : float, default=0.0
        The value, finite.
    """

    value: float = 0.0

    def __post_init__(self) -> None:
        check_between("value", self.value, open_low=True, open_high=True)


Initializer: TypeAlias = str | Normal | Uniform | ConstantInitializer | Callable[..., Any]
"""A name of ``INITIALIZERS``, a description, or f(rng, fan_in, fan_out) -> (fan_in, fan_out)."""
