"""Losses: their names and domains, and those that have constants."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TypeAlias

from deltarule.errors import SpecError
from deltarule.spec.custom import CustomLoss, Function
from deltarule.utils.checks import check_between, check_name, check_sequence

__all__ = [
    "LOSSES",
    "BinaryCrossEntropy",
    "CategoricalCrossEntropy",
    "Huber",
    "Loss",
    "Quantile",
    "loss_name",
]

LOSSES: dict[str, tuple[str, ...]] = {
    "squared_error": ("real", "positive", "unit", "simplex"),
    "absolute_error": ("real", "positive", "unit", "simplex"),
    "huber": ("real", "positive", "unit", "simplex"),
    "quantile": ("real", "positive", "unit", "simplex"),
    "poisson": ("positive", "unit", "simplex"),
    "binary_cross_entropy": ("unit", "simplex"),
    "categorical_cross_entropy": ("simplex",),
}
"""Name of every loss and the ranges of outputs that lie in its domain (see ``ACTIVATIONS``)."""


@dataclass(frozen=True)
class Huber:
    """Huber's loss: squared for residuals within ±delta, linear beyond (Huber 1964).

    Parameters
    ----------
    delta : float, default=1.0
        > 0.
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        check_between("delta", self.delta, 0.0, open_low=True, open_high=True)


@dataclass(frozen=True)
class Quantile:
    """Pinball loss for one quantile or several (Koenker & Bassett 1978).

    Parameters
    ----------
    levels : float or tuple of float, default=0.5
        Quantiles, each in (0, 1). The output layer has one unit per level for each target.
    """

    levels: tuple[float, ...] = (0.5,)

    def __post_init__(self) -> None:
        one = isinstance(self.levels, Real | str) or self.levels is None
        given = (
            (self.levels,) if one else check_sequence("levels", self.levels, "a number or a tuple")
        )
        if not given:
            raise SpecError("levels must hold at least one quantile in (0, 1); got none.")
        checked = tuple(
            check_between(f"levels[{i}]", q, 0.0, 1.0, open_low=True, open_high=True)
            for i, q in enumerate(given)
        )
        object.__setattr__(self, "levels", checked)


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Binary cross-entropy with label smoothing s: y becomes (1 − s) y + s/2.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        s, in [0, 1).
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_between("label_smoothing", self.label_smoothing, 0.0, 1.0, open_high=True)


@dataclass(frozen=True)
class CategoricalCrossEntropy:
    """Categorical cross-entropy with label smoothing s over K classes: y becomes (1 − s) y + s/K.

    (Szegedy et al. 2016, §7.)

    Parameters
    ----------
    label_smoothing : float, default=0.0
        s, in [0, 1).
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_between("label_smoothing", self.label_smoothing, 0.0, 1.0, open_high=True)


Loss: TypeAlias = (
    str | Huber | Quantile | BinaryCrossEntropy | CategoricalCrossEntropy | CustomLoss | Function
)
"""A name of ``LOSSES``, a loss with its constants, or a function of the user."""


def loss_name(loss: Loss) -> str:
    """Return the name of a loss, or raise ``SpecError`` if it is unknown."""
    match loss:
        case Huber():
            return "huber"
        case Quantile():
            return "quantile"
        case BinaryCrossEntropy():
            return "binary_cross_entropy"
        case CategoricalCrossEntropy():
            return "categorical_cross_entropy"
        case CustomLoss():
            return f"function {loss.name}"
    return check_name("loss", loss, LOSSES)
