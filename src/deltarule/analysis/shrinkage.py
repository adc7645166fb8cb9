"""The effect of regularisation at a minimum: the table of item R6 (Schönhuth eq. 29-38)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.analysis.curvature import hessian_matrix
from deltarule.errors import SpecError
from deltarule.network import Network
from deltarule.program import State
from deltarule.spec import check_network
from deltarule.utils.arrays import Array, to_numpy
from deltarule.utils.blas import one_blas_thread
from deltarule.utils.checks import check_between, check_positive_integer

__all__ = ["Shrinkage", "l1_shrinkage", "quadratic_shrinkage", "shrinkage_table"]

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shrinkage:
    """The effect of L2, L1 and early stopping on the weights w* of a minimum, as a table.

    Attributes
    ----------
    eigenvalues : (m,) array
        D in H_eff = H_ww − H_wb H_bb⁻¹ H_bw = Q D Qᵀ, in descending order: the curvature of the
        cost in the weights, if the other parameters adapt.
    l2_factors : (m,) array
        D/(D + s): the factor of L2 in each eigen-direction.
    stopping_factors : (m,) array
        1 − (1 − ηD)^τ: the factor of τ steps of gradient descent from 0.
    l2_weights, l1_weights : (m,) arrays
        The penalised weights: w̃ = Q (D + s)⁻¹ D Qᵀ w* and, for a diagonal H,
        w̃_i = sgn(w*_i) max(|w*_i| − s/H_ii, 0).
    zero_share : float
        The fraction of weights that L1 makes exactly zero.
    negative : int
        The number of negative eigenvalues. If there are any, θ is not a minimum, and their factors
        have no meaning.
    """

    eigenvalues: Vector
    l2_factors: Vector
    stopping_factors: Vector
    l2_weights: Vector
    l1_weights: Vector
    zero_share: float
    negative: int

    def __str__(self) -> str:
        """Return the table of the ten largest and smallest directions."""
        m = len(self.eigenvalues)
        shown = range(m) if m <= 20 else [*range(10), *range(m - 10, m)]
        lines = ["eigenvalue    L2 factor   stopping factor"]
        lines += [
            f"{self.eigenvalues[i]:<12.4g}  {self.l2_factors[i]:<10.4f}  "
            f"{self.stopping_factors[i]:.4f}"
            for i in shown
        ]
        lines.append(f"L1 sets {self.zero_share:.1%} of the weights to zero.")
        if self.negative:
            lines.append(
                f"Warning: {self.negative} eigenvalues are negative, so this is not a minimum; "
                "train longer before using the table."
            )
        return "\n".join(lines)


@one_blas_thread()
def quadratic_shrinkage(
    hessian: npt.ArrayLike, weights: npt.ArrayLike, strength: float, *,
    learning_rate: float, steps: int,
) -> Shrinkage:  # fmt: skip
    """Return the table for a quadratic cost ½ (w − w*)ᵀ H (w − w*), for which it is exact.

    Parameters
    ----------
    hessian : (m, m) array
        H, symmetric.
    weights : (m,) array
        w*.
    strength : float
        s = λ/n ≥ 0, for the mean loss.
    learning_rate, steps : float, int
        η and τ of early stopping.
    """
    s = check_between("strength", strength, 0.0, open_high=True)
    eta = check_between("learning_rate", learning_rate, 0.0, open_low=True, open_high=True)
    tau = check_positive_integer("steps", steps)
    h, w = np.asarray(hessian, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    d, q = np.linalg.eigh((h + h.T) / 2)
    d, q = d[::-1], q[:, ::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = np.where(d + s == 0, 0.0, d / (d + s))
    tiny = 1e-12 * max(1.0, float(np.abs(d).max(initial=0.0)))
    softened = l1_shrinkage(np.diag(h), w, s)
    return Shrinkage(
        eigenvalues=d,
        l2_factors=factors,
        stopping_factors=_stopping(eta, d, tau),
        l2_weights=q @ (factors * (q.T @ w)),
        l1_weights=softened,
        zero_share=float(np.mean(softened == 0)),
        negative=int(np.sum(d < -tiny)),
    )


def _stopping(eta: float, d: Vector, tau: int) -> Vector:
    with np.errstate(over="ignore"):  # descent with too large a rate diverges: ±∞
        factors: Vector = 1 - (1 - eta * d) ** tau
    return factors


def l1_shrinkage(diagonal: npt.ArrayLike, weights: npt.ArrayLike, strength: float) -> Vector:
    """Return sgn(w*) max(|w*| − s/H_ii, 0); if H_ii ≤ 0, any s > 0 makes the weight 0."""
    h, w = np.asarray(diagonal, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    threshold = np.full_like(w, np.inf if strength > 0 else 0.0)
    with np.errstate(over="ignore"):  # beyond every weight
        np.divide(strength, h, out=threshold, where=h > 0)
    kept: Vector = np.sign(w) * np.maximum(np.abs(w) - threshold, 0.0)
    return kept


@one_blas_thread()
def shrinkage_table(
    net: Network, state: State, X: Array, y: Any, strength: float, *,
    learning_rate: float = 0.1, steps: int = 100, sample_weight: Any = None,
    max_parameters: int = 2000,
) -> Shrinkage:  # fmt: skip
    """Return the effect of regularisation of strength s on a trained network (item R6).

    The full Hessian of the unpenalised cost at θ is computed, so the network must be small. Only
    the weights are penalised; biases and batch-norm parameters b adapt:
    H_eff = H_ww − H_wb H_bb⁻¹ H_bw.

    Parameters
    ----------
    net : Network
        The network.
    state : State
        Its parameters, for example after :func:`deltarule.train`.
    X : (n, d) array
        Inputs.
    y : (n,) or (n, k) array
        Targets, as in :func:`deltarule.train`.
    strength : float
        s ≥ 0, of L2 and of L1.
    learning_rate : float, default=0.1
        η of the steps that early stopping is compared with.
    steps : int, default=100
        τ, their number.
    sample_weight : (n,) array, optional
        Weights of the rows.
    max_parameters : int, default=2000
        The most parameters of a network whose Hessian is computed.

    Raises
    ------
    SpecError
        If the network has more than ``max_parameters`` parameters.
    """
    check_network(net)
    check_between("strength", strength, 0.0, open_high=True)
    check_positive_integer("max_parameters", max_parameters)
    p = net.tape.n_parameters
    if p > max_parameters:
        raise SpecError(
            f"net must have at most max_parameters={max_parameters} parameters for the full "
            f"Hessian; got {p}. Use a smaller network, or hessian_eigenvalues for the extreme "
            "eigenvalues."
        )
    plain = replace(net, penalties=())
    h = hessian_matrix(plain, state, X, y, sample_weight=sample_weight)
    is_weight = np.zeros(p, dtype=bool)
    for parameter in net.tape.parameters:
        if parameter.is_weights:
            is_weight[parameter.start : parameter.stop] = True
    hww, hwb, hbb = (
        h[np.ix_(is_weight, is_weight)],
        h[np.ix_(is_weight, ~is_weight)],
        h[np.ix_(~is_weight, ~is_weight)],
    )
    effective = hww - hwb @ np.linalg.pinv(hbb, hermitian=True) @ hwb.T
    weights = to_numpy(state.theta).astype(np.float64)[is_weight]
    return quadratic_shrinkage(
        effective, weights, strength, learning_rate=learning_rate, steps=steps
    )
