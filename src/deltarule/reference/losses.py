"""Losses L_i of every row, with their gradients (items L1-L4, and Poisson).

A loss takes what the tape gives it, outputs a or logits z, and targets y, and returns the
losses of the rows (n,) and the pullback dL (n,) -> (n, k). This is the one file that fuses: for
the canonical pairs the activation is part of the loss, computed from the logits as a sum of
non-negative terms, so that nothing overflows or cancels; their gradient is a − y.

The cost is the weighted mean over rows; the sum over output units is inside L_i.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from deltarule.arrays import Array, Pullback, array_namespace
from deltarule.opcodes import LossCode
from deltarule.reference.activations import _shifted, sigmoid, softmax, softplus
from deltarule.reference.maps import Map

__all__ = [
    "LOSSES",
    "MAPS",
    "Loss",
    "exp_poisson",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "squared_error",
]

Loss: TypeAlias = Callable[[Array, Array], tuple[Array, Pullback]]


def squared_error(a: Array, y: Array) -> tuple[Array, Pullback]:
    """L3. L_i = ½ Σ_k (a_ik − y_ik)², dL/da = a − y (Khabar §4.3; Schönhuth eq. 8).

    a (n, k) outputs, y (n, k) real targets -> (n,) losses.
    """
    xp = array_namespace(a, y)
    residual = a - y
    return xp.sum(residual**2, axis=1) / 2, _pull(residual)


def squared_error_differential(a: Array, y: Array, da: Array) -> Array:
    """Return dL_i = Σ_k (a − y) da."""
    return array_namespace(a, y).sum((a - y) * da, axis=1)


def sigmoid_cross_entropy(z: Array, y: Array) -> tuple[Array, Pullback]:
    """L1, L4. Binary cross-entropy of σ(z), one term an output unit (Khabar §4.1; Schönhuth 21).

    L_i = Σ_k y_ik log(1 + e^{−z_ik}) + (1 − y_ik) log(1 + e^{z_ik});  dL/dz = σ(z) − y, computed
    as (1 − y) σ(z) − y σ(−z), which keeps its digits when σ(z) rounds to y.

    z (n, k) logits, y (n, k) in [0, 1] -> (n,) losses, in nats.
    """
    xp = array_namespace(z, y)
    terms = y * softplus(-z) + (1 - y) * softplus(z)
    return xp.sum(terms, axis=1), _pull((1 - y) * sigmoid(z) - y * sigmoid(-z))


def sigmoid_cross_entropy_differential(z: Array, y: Array, dz: Array) -> Array:
    """Return dL_i = Σ_k (σ(z) − y) dz."""
    return array_namespace(z, y).sum((sigmoid(z) - y) * dz, axis=1)


def softmax_cross_entropy(z: Array, y: Array) -> tuple[Array, Pullback]:
    """L2. Cross-entropy of softmax(z) (Khabar §4.2; Ayrapetyan eq. 3).

    L_i = Σ_k y_ik (m_i − z_ik) + log1p(Σ_{k≠argmax} e^{z_ik − m_i}), m_i = max_k z_ik: every term
    is ≥ 0;  dL/dz = softmax(z) − y.

    z (n, k) logits, y (n, k) rows that are non-negative and sum to 1 -> (n,) losses, in nats.
    """
    xp = array_namespace(z, y)
    shifted = _shifted(z)
    top = xp.argmax(z, axis=1)[:, None] == xp.arange(z.shape[1])[None, :]
    others = xp.sum(xp.where(top, xp.zeros_like(z), xp.exp(shifted)), axis=1)
    losses = xp.sum(y * -shifted, axis=1) + xp.log1p(others)
    probability, _ = softmax(z)
    return losses, _pull(probability - y)


def softmax_cross_entropy_differential(z: Array, y: Array, dz: Array) -> Array:
    """Return dL_i = Σ_k (softmax(z) − y) dz."""
    return array_namespace(z, y).sum((softmax(z)[0] - y) * dz, axis=1)


def exp_poisson(z: Array, y: Array) -> tuple[Array, Pullback]:
    """Half the Poisson deviance of the rate e^z (McCullagh & Nelder 1989, §2.3).

    L_i = Σ_k e^{z} − y + y (log y − z), = y (e^u − 1 − u) with u = z − log y where y > 0 and e^z
    where y = 0: every term is ≥ 0, and 0 at e^z = y;  dL/dz = e^z − y.

    z (n, k) log-rates, y (n, k) ≥ 0 -> (n,) losses.
    """
    xp = array_namespace(z, y)
    positive = y > 0
    safe = xp.where(positive, y, xp.ones_like(y))
    u = z - xp.log(safe)
    near = positive & (xp.abs(u) < 1)  # where e^u − 1 must not be taken as a difference
    small = xp.where(near, u, xp.zeros_like(u))
    rate = xp.exp(z)
    terms = xp.where(near, safe * (xp.expm1(small) - small), rate - y - y * u)
    slope = xp.where(near, safe * xp.expm1(small), rate - y)
    return xp.sum(terms, axis=1), _pull(slope)


def exp_poisson_differential(z: Array, y: Array, dz: Array) -> Array:
    """Return dL_i = Σ_k (e^z − y) dz."""
    xp = array_namespace(z, y)
    return xp.sum((xp.exp(z) - y) * dz, axis=1)


def _pull(gradient: Array) -> Pullback:
    """Return the pullback of per-row losses whose gradient in their row is given."""

    def pullback(dloss: Array) -> Array:
        return dloss[:, None] * gradient

    return pullback


LOSSES: dict[int, Loss] = {
    LossCode.SQUARED_ERROR: squared_error,
    LossCode.SIGMOID_CROSS_ENTROPY: sigmoid_cross_entropy,
    LossCode.SOFTMAX_CROSS_ENTROPY: softmax_cross_entropy,
    LossCode.EXP_POISSON: exp_poisson,
}

MAPS = (
    Map("squared_error", squared_error, squared_error_differential, ("n q",), targets="real"),
    Map(
        "sigmoid_cross_entropy",
        sigmoid_cross_entropy,
        sigmoid_cross_entropy_differential,
        ("n q",),
        targets="binary",
    ),
    Map(
        "softmax_cross_entropy",
        softmax_cross_entropy,
        softmax_cross_entropy_differential,
        ("n q",),
        targets="simplex",
    ),
    Map("exp_poisson", exp_poisson, exp_poisson_differential, ("n q",), targets="counts"),
)
