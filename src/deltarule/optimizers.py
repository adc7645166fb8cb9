"""Which optimiser trains a network: frozen descriptions of its constants.

The steps themselves stand in ``deltarule.reference.optimizers``, one pure function each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from deltarule.checks import check_between
from deltarule.errors import SpecError

__all__ = ["SGD", "Adam", "MomentumAverage", "Optimizer"]


def _check_learning_rate(value: float) -> None:
    check_between("learning_rate", value, 0.0, float("inf"), open_low=True, open_high=True)


@dataclass(frozen=True)
class SGD:
    """Gradient descent, plain, with heavy-ball momentum or Nesterov's (items O1-O3).

    The velocity is v ← μ v − η g; the step is v, and μ v − η g with ``nesterov``
    (scikit-learn's form; Sutskever et al. 2013, eqs 3-4).

    Parameters
    ----------
    learning_rate : float, default=0.01
        η > 0.
    momentum : float, default=0.0
        μ in [0, 1].
    nesterov : bool, default=False
        Look ahead along the velocity.
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate)
        check_between("momentum", self.momentum, 0.0, 1.0)


@dataclass(frozen=True)
class MomentumAverage:
    """Momentum as an exponentially weighted average of gradients (item O3).

    V ← β V + (1 − β) g; the step is −η V. Equal to heavy ball with the step η(1 − β)
    (Matt R §7; Mebsout §6).

    Parameters
    ----------
    learning_rate : float, default=0.01
        η > 0.
    beta : float, default=0.9
        β in [0, 1).
    """

    learning_rate: float = 0.01
    beta: float = 0.9

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate)
        check_between("beta", self.beta, 0.0, 1.0, open_high=True)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015, Algorithm 1), ε after the bias correction (item O5).

    scikit-learn adds ε before the correction; the difference fades as t grows.

    Parameters
    ----------
    learning_rate : float, default=0.001
        η > 0.
    beta1, beta2 : float, default=0.9, 0.999
        Decay rates of the averages of g and g², in [0, 1).
    epsilon : float, default=1e-8
        ε > 0.
    """

    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _check_learning_rate(self.learning_rate)
        check_between("beta1", self.beta1, 0.0, 1.0, open_high=True)
        check_between("beta2", self.beta2, 0.0, 1.0, open_high=True)
        check_between("epsilon", self.epsilon, 0.0, float("inf"), open_low=True, open_high=True)


Optimizer: TypeAlias = SGD | MomentumAverage | Adam


def check_optimizer(optimizer: object) -> Optimizer:
    """Return the optimiser, or raise ``SpecError`` if it is none."""
    if not isinstance(optimizer, SGD | MomentumAverage | Adam):
        raise SpecError(
            f"optimizer must be an optimiser such as SGD(0.1) or Adam(); got {optimizer!r}."
        )
    return optimizer
