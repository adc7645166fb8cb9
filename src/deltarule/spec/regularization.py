"""Penalties on the weights, and constraints on their norms (items R1, R2, R5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deltarule.utils.checks import check_between, check_flag, check_name

__all__ = ["L1", "L2", "MaxNorm"]


def _check_penalty(strength: float, normalization: str) -> None:
    check_between("strength", strength, 0.0, open_high=True)
    check_name("normalization", normalization, ("mean", "batch"))


@dataclass(frozen=True)
class L2:
    """Penalty ½ s Σ‖W_l‖² on the weights, but not on biases or γ, β (item R1).

    Parameters
    ----------
    strength : float
        s ≥ 0. The sources write λ = s · n, with n examples in the training set.
    normalization : {"mean", "batch"}, default="mean"
        ``"mean"``: the penalty is added to the mean loss with the strength s. ``"batch"``: s is
        divided by the weight of the batch at each step, which is scikit-learn's ``alpha``
        (erratum E-l).
    """

    strength: float
    normalization: Literal["mean", "batch"] = "mean"

    def __post_init__(self) -> None:
        _check_penalty(self.strength, self.normalization)


@dataclass(frozen=True)
class L1:
    """Penalty s Σ|W_l| on the weights, but not on biases or γ, β (item R2).

    Parameters
    ----------
    strength : float
        s ≥ 0. The sources write λ = s · n.
    normalization : {"mean", "batch"}, default="mean"
        See :class:`L2`.
    proximal : bool, default=False
        After each step, shrink every weight by η s towards zero, and set weights that are smaller
        than that to exactly zero, instead of adding s sgn(w) to the gradient. η is the step size
        of that weight, which differs from weight to weight under Adam and similar optimisers.
    """

    strength: float
    normalization: Literal["mean", "batch"] = "mean"
    proximal: bool = False

    def __post_init__(self) -> None:
        _check_penalty(self.strength, self.normalization)
        check_flag("proximal", self.proximal)


@dataclass(frozen=True)
class MaxNorm:
    """Constraint ‖w‖ ≤ limit on the weights, by projection after every step (item R5).

    Parameters
    ----------
    limit : float
        Largest Euclidean norm, > 0.
    per : {"unit", "network"}, default="unit"
        Whether the norm is that of the weights into each unit, or that of all weights together.
    """

    limit: float
    per: Literal["unit", "network"] = "unit"

    def __post_init__(self) -> None:
        check_between("limit", self.limit, 0.0, open_low=True, open_high=True)
        check_name("per", self.per, ("unit", "network"))
