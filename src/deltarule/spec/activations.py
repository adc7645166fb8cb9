"""Activations: their names and ranges, and the two that have a parameter."""

from __future__ import annotations

from dataclasses import dataclass

from deltarule.utils.checks import check_between

__all__ = ["ACTIVATIONS", "ELU", "LeakyReLU"]

ACTIVATIONS = {
    "identity": "real",
    "sigmoid": "unit",
    "tanh": "real",
    "relu": "real",
    "leaky_relu": "real",
    "softmax": "simplex",
    "exp": "positive",
    "selu": "real",
    "elu": "real",
    "gelu": "real",
    "silu": "real",
    "softplus": "positive",
    "mish": "real",
    "softsign": "real",
    "hard_sigmoid": "real",
    "hard_tanh": "real",
}
"""Name of every activation and the set that contains its values: ``"real"`` numbers, ``"positive"``
numbers, the open ``"unit"`` interval, or the ``"simplex"`` (rows of probabilities)."""


@dataclass(frozen=True)
class LeakyReLU:
    """Leaky ReLU max(βz, z) (item A5).

    Parameters
    ----------
    slope : float, default=0.01
        β, in [0, 1]. Above 1 the formula would be a different function (erratum E-af).
    """

    slope: float = 0.01

    def __post_init__(self) -> None:
        check_between("slope", self.slope, 0.0, 1.0)


@dataclass(frozen=True)
class ELU:
    """Exponential linear unit: z for z > 0, α(e^z − 1) otherwise (Clevert et al. 2016).

    Parameters
    ----------
    alpha : float, default=1.0
        α > 0.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_between("alpha", self.alpha, 0.0, open_low=True, open_high=True)
