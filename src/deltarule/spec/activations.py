"""Activations: their names and ranges, those with a parameter, and learned mixtures with z."""

from __future__ import annotations

from dataclasses import dataclass

from deltarule.errors import SpecError
from deltarule.utils.checks import check_between, check_name, shown

__all__ = ["ACTIVATIONS", "ELU", "LeakyReLU", "Parametric"]

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


@dataclass(frozen=True)
class Parametric:
    """Activation with a learned slope: z + α ⊙ (g(z) − z), one α for every unit.

    At α = 1, where it begins, it is g, and at α = 0 the identity: training decides how nonlinear
    each unit is (Holzmüller, Grinsztajn & Steinwart 2024). With g = ReLU it is PReLU, whose slope
    below 0 is 1 − α (He et al. 2015). Hidden layers of a network without members can have it; α
    has no penalties and does not decay.

    Parameters
    ----------
    activation : str, LeakyReLU or ELU, default="relu"
        g, any but "softmax".

    Raises
    ------
    SpecError
        For another activation.

    Examples
    --------
    >>> from deltarule import Dense, Network, Parametric
    >>> net = Network(3, [Dense(2, Parametric("silu")), Dense(1)])
    >>> net.parameters(net.initialize(0))["alpha1"]
    array([1., 1.])
    """

    activation: str | LeakyReLU | ELU = "relu"

    def __post_init__(self) -> None:
        if not isinstance(self.activation, LeakyReLU | ELU):
            check_name("activation", self.activation, ACTIVATIONS)
        if self.activation == "softmax":
            raise SpecError(
                f"activation must be of single numbers; got {shown(self.activation)}. Use another, "
                "such as 'relu'."
            )
