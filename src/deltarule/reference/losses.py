"""Losses L_i of every row with their gradients (items L1-L4, and others that users expect).

A loss takes outputs a or logits z, as the tape says, and targets y. It returns the losses of the
rows (n,) and the pullback dL (n,) -> (n, k). Only this file fuses maps: a loss of logits includes
the output activation and is computed as a sum of non-negative terms, so that nothing overflows or
cancels, and the gradient of the canonical pairs is a − y. All other pairs of loss and activation
use the activation's own Jacobian.

The cost is the weighted mean over rows; the sum over output units is part of L_i. Next to each loss
is its ``_curvature``, the differential of its gradient, for Hessian-vector products. ``c`` holds
the constants of a loss: Huber's delta, or the quantile of every output unit. Integers and other
numbers next to a floating array take its type, and are float64 alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from deltarule.program.opcodes import LossCode
from deltarule.reference.activations import shifted, softmax, softmax_differential
from deltarule.reference.maps import Map
from deltarule.reference.scalar_functions import sigmoid, sigmoid_derivative, softplus
from deltarule.utils.arrays import Array, Pullback, array_namespace, of_numbers

__all__ = ["LOSSES", "MAPS", "Loss"]

Constants: TypeAlias = tuple[float, ...]


class Loss(NamedTuple):
    """A loss: its value with its pullback, its curvature and its kinks."""

    value: Callable[[Array, Array, Constants], tuple[Array, Pullback]]
    curvature: Callable[[Array, Array, Constants, Array], Array]
    residual_kinks: Callable[[Constants], tuple[float, ...]] = lambda c: ()  # values of a − y


# --- of the outputs -----------------------------------------------------------------------------


@of_numbers(2)
def squared_error(a: Array, y: Array, c: Constants = ()) -> tuple[Array, Pullback]:
    """L3. L_i = ½ Σ_k (a_ik − y_ik)², dL/da = a − y (Khabar §4.3; Schönhuth eq. 8).

    a (n, k) outputs, y (n, k) real targets -> (n,) losses.
    """
    xp = array_namespace(a, y)
    residual = a - y
    return xp.sum(residual**2, axis=1) / 2, _pull(residual)


@of_numbers(2)
def squared_error_curvature(a: Array, y: Array, c: Constants, da: Array) -> Array:
    """Return d(a − y) = da."""
    return da


@of_numbers(2)
def absolute_error(a: Array, y: Array, c: Constants = ()) -> tuple[Array, Pullback]:
    """L_i = Σ_k |a_ik − y_ik|, dL/da = sgn(a − y), 0 at the kink a = y; the median minimises it."""
    xp = array_namespace(a, y)
    residual = a - y
    return xp.sum(xp.abs(residual), axis=1), _pull(xp.sign(residual))


@of_numbers(2)
def no_curvature(a: Array, y: Array, c: Constants, da: Array) -> Array:
    """Return 0: the gradient is piecewise constant."""
    return array_namespace(da).zeros_like(da)


@of_numbers(2)
def huber(a: Array, y: Array, c: Constants = (1.0,)) -> tuple[Array, Pullback]:
    """Huber's loss of the residual r: ½r² for |r| ≤ δ, δ(|r| − ½δ) beyond (Huber 1964).

    L_i = Σ_k h(a_ik − y_ik), dL/da = min(max(r, −δ), δ).
    """
    xp = array_namespace(a, y)
    delta = xp.asarray(c[0], dtype=a.dtype)
    residual = a - y
    inner = xp.minimum(xp.maximum(residual, -delta), delta)
    return xp.sum(inner * (residual - inner / 2), axis=1), _pull(inner)


@of_numbers(2)
def huber_curvature(a: Array, y: Array, c: Constants, da: Array) -> Array:
    """Return da for |r| < δ, and 0 beyond."""
    xp = array_namespace(a, y)
    return xp.where(xp.abs(a - y) < c[0], da, xp.zeros_like(da))


@of_numbers(2)
def quantile(a: Array, y: Array, c: Constants = (0.5,)) -> tuple[Array, Pullback]:
    """Pinball loss of the quantiles q_k, one per output unit (Koenker & Bassett 1978).

    L_i = Σ_k q_k max(y − a, 0) + (1 − q_k) max(a − y, 0);  dL/da = (1 − q_k) above y, −q_k below, 0
    at the kink.  c holds one q_k per unit, or one for all units.
    """
    xp = array_namespace(a, y)
    q = xp.asarray(c, dtype=a.dtype)[None, :]
    residual = a - y
    slope = xp.where(residual > 0, 1 - q, xp.where(residual < 0, -q, xp.zeros_like(residual)))
    return xp.sum(slope * residual, axis=1), _pull(slope)


@of_numbers(2)
def poisson(a: Array, y: Array, c: Constants = ()) -> tuple[Array, Pullback]:
    """Half the Poisson deviance of a rate a > 0 (McCullagh & Nelder 1989, §2.3).

    L_i = Σ_k a − y − y log(a/y), or a if y = 0;  dL/da = 1 − y/a. Near its zero a = y it is
    computed as y (x − log(1 + x)) with x = (a − y)/y.
    """
    xp = array_namespace(a, y)
    positive = y > 0
    safe = xp.where(positive, y, xp.ones_like(y))
    alike = positive & (a / 1e10 < safe) & (a > safe / 1e10)  # their ratio does not overflow
    rate = xp.where(alike, a, safe)
    x = (rate - safe) / safe
    logarithm = xp.where(alike, xp.log(rate / safe), xp.log(a) - xp.log(safe))
    near = alike & (xp.abs(x) < 0.5)
    small = xp.where(near, x, xp.zeros_like(x))
    far = a - y - y * logarithm
    return xp.sum(xp.where(near, safe * _line_above_log(small), far), axis=1), _pull((a - y) / a)


@of_numbers(2)
def poisson_curvature(a: Array, y: Array, c: Constants, da: Array) -> Array:
    """Return y/a² ⊙ da."""
    return y / a / a * da


# --- of the logits ------------------------------------------------------------------------------


@of_numbers(2)
def sigmoid_cross_entropy(z: Array, y: Array, c: Constants = ()) -> tuple[Array, Pullback]:
    """L1, L4. Binary cross-entropy of σ(z), one term per output unit (Khabar §4.1; Schönhuth 21).

    L_i = Σ_k y_ik log(1 + e^{−z_ik}) + (1 − y_ik) log(1 + e^{z_ik});  dL/dz = σ(z) − y, computed
    as (1 − y) σ(z) − y σ(−z), which is accurate even if σ(z) rounds to y.

    z (n, k) logits, y (n, k) in [0, 1] -> (n,) losses, in nats.
    """
    xp = array_namespace(z, y)
    terms = y * softplus(-z) + (1 - y) * softplus(z)
    return xp.sum(terms, axis=1), _pull((1 - y) * sigmoid(z) - y * sigmoid(-z))


@of_numbers(2)
def sigmoid_cross_entropy_curvature(z: Array, y: Array, c: Constants, dz: Array) -> Array:
    """Return σ'(z) ⊙ dz."""
    return sigmoid_derivative(z) * dz


@of_numbers(2)
def softmax_cross_entropy(z: Array, y: Array, c: Constants = ()) -> tuple[Array, Pullback]:
    """L2. Cross-entropy of softmax(z) (Khabar §4.2; Ayrapetyan eq. 3).

    L_i = Σ_k y_ik (m_i − z_ik) + log1p(Σ_{k≠argmax} e^{z_ik − m_i}), m_i = max_k z_ik: every term
    is ≥ 0;  dL/dz = softmax(z) − y.

    z (n, k) logits, y (n, k) rows that are non-negative and sum to 1 -> (n,) losses, in nats.
    """
    xp = array_namespace(z, y)
    below = shifted(z)
    top = xp.argmax(z, axis=1)[:, None] == xp.arange(z.shape[1])[None, :]
    others = xp.sum(xp.where(top, xp.zeros_like(z), xp.exp(below)), axis=1)
    losses = xp.sum(y * -below, axis=1) + xp.log1p(others)
    probability, _ = softmax(z)
    return losses, _pull(probability - y)


@of_numbers(2)
def softmax_cross_entropy_curvature(z: Array, y: Array, c: Constants, dz: Array) -> Array:
    """Return the softmax Jacobian times dz."""
    return softmax_differential(z, dz)


@of_numbers(2)
def softmax_binary_cross_entropy(z: Array, y: Array, c: Constants = ()) -> tuple[Array, Pullback]:
    """Binary cross-entropy of every softmax output, computed from the logits.

    With ℓ_k = log Σ_{j≠k} e^{z_j} and the margin v_k = z_k − ℓ_k, S_k = σ(v_k), so that
    L_i = Σ_k y_k softplus(−v_k) + (1 − y_k) softplus(v_k). With r_k = (1 − y_k) S_k − y_k (1 − S_k)
    and Q_kj = e^{z_j − ℓ_k}, the softmax over the others: dL/dz_j = r_j − Σ_{k≠j} r_k Q_kj.
    """
    xp = array_namespace(z, y)
    margins, q = _against_others(z)
    terms = y * softplus(-margins) + (1 - y) * softplus(margins)
    r = (1 - y) * sigmoid(margins) - y * sigmoid(-margins)
    return xp.sum(terms, axis=1), _pull(r - xp.sum(r[:, :, None] * q, axis=1))


@of_numbers(2)
def softmax_binary_cross_entropy_curvature(z: Array, y: Array, c: Constants, dz: Array) -> Array:
    """Return d(r_j − Σ_k r_k Q_kj), by dr_k = σ'(margin_k) dmargin_k and dQ = Q ⊙ (dz_j − dℓ_k)."""
    xp = array_namespace(z, y)
    margins, q = _against_others(z)
    r = (1 - y) * sigmoid(margins) - y * sigmoid(-margins)
    d_level = xp.sum(q * dz[:, None, :], axis=2)
    dr = sigmoid_derivative(margins) * (dz - d_level)
    dq = q * (dz[:, None, :] - d_level[:, :, None])
    return dr - xp.sum(dr[:, :, None] * q + r[:, :, None] * dq, axis=1)


@of_numbers(2)
def exp_poisson(z: Array, y: Array, c: Constants = ()) -> tuple[Array, Pullback]:
    """Half the Poisson deviance of the rate e^z (McCullagh & Nelder 1989, §2.3).

    L_i = Σ_k e^{z} − y + y (log y − z), = y (e^u − 1 − u) with u = z − log y where y > 0 and e^z
    where y = 0: every term is ≥ 0, and 0 at e^z = y;  dL/dz = e^z − y.

    z (n, k) log-rates, y (n, k) ≥ 0 -> (n,) losses.
    """
    xp = array_namespace(z, y)
    positive = y > 0
    safe = xp.where(positive, y, xp.ones_like(y))
    u = z - xp.log(safe)
    near = positive & (xp.abs(u) < 1)  # here e^u − 1 would cancel
    small = xp.where(near, u, xp.zeros_like(u))
    rate = xp.exp(z)
    terms = xp.where(near, safe * _exp_above_line(small), rate - y - y * u)
    slope = xp.where(near, safe * xp.expm1(small), rate - y)
    return xp.sum(terms, axis=1), _pull(slope)


@of_numbers(2)
def exp_poisson_curvature(z: Array, y: Array, c: Constants, dz: Array) -> Array:
    """Return e^z ⊙ dz."""
    return array_namespace(z).exp(z) * dz


def _exp_above_line(u: Array) -> Array:
    """Return e^u − 1 − u for |u| ≤ 1 as ½u²(1 + u/3 (1 + u/4 (1 + …))), without cancellation."""
    series = array_namespace(u).ones_like(u)
    for k in range(20, 2, -1):
        series = 1 + u / k * series
    return u * u / 2 * series


def _line_above_log(x: Array) -> Array:
    """Return x − log(1 + x) for |x| ≤ ½, without cancellation.

    With t = x/(2 + x): log(1 + x) = 2 artanh t = 2t + 2t³/3 + 2t⁵/5 + …, and x − 2t = x t.
    """
    t = x / (2 + x)
    series = array_namespace(x).zeros_like(x)
    for k in range(29, 1, -2):
        series = 1 / k + t * t * series
    return t * (x - 2 * t * t * series)


def _against_others(z: Array) -> tuple[Array, Array]:
    """Return z_k − ℓ_k, ℓ_k = log Σ_{j≠k} e^{z_j}, and Q_kj = e^{z_j − ℓ_k} with Q_kk = 0."""
    xp = array_namespace(z)
    k = z.shape[1]
    largest = xp.asarray(xp.finfo(z.dtype).max, dtype=z.dtype)
    same = xp.eye(k, dtype=z.dtype)[None, :, :] > 0
    others = xp.where(same, -largest, xp.broadcast_to(z[:, None, :], (z.shape[0], k, k)))
    top = xp.max(others, axis=2, keepdims=True)
    below = 2 * xp.maximum(others / 2 - top / 2, -largest / 2)  # the difference could overflow
    e = xp.where(same, xp.zeros_like(others), xp.exp(below))
    total = xp.sum(e, axis=2, keepdims=True)
    half = z / 2 - top[:, :, 0] / 2 - xp.log(total[:, :, 0]) / 2
    return 2 * xp.minimum(xp.maximum(half, -largest / 2), largest / 2), e / total


def _pull(gradient: Array) -> Pullback:
    """Return the pullback of row losses with the given gradient."""

    def pullback(dloss: Array) -> Array:
        return dloss[:, None] * gradient

    return pullback


LOSSES: dict[int, Loss] = {
    LossCode.SQUARED_ERROR: Loss(squared_error, squared_error_curvature),
    LossCode.ABSOLUTE_ERROR: Loss(absolute_error, no_curvature, lambda c: (0.0,)),
    LossCode.HUBER: Loss(huber, huber_curvature, lambda c: (-c[0], c[0])),
    LossCode.QUANTILE: Loss(quantile, no_curvature, lambda c: (0.0,)),
    LossCode.POISSON: Loss(poisson, poisson_curvature),
    LossCode.SIGMOID_CROSS_ENTROPY: Loss(sigmoid_cross_entropy, sigmoid_cross_entropy_curvature),
    LossCode.SOFTMAX_CROSS_ENTROPY: Loss(softmax_cross_entropy, softmax_cross_entropy_curvature),
    LossCode.SOFTMAX_BINARY_CROSS_ENTROPY: Loss(
        softmax_binary_cross_entropy, softmax_binary_cross_entropy_curvature
    ),
    LossCode.EXP_POISSON: Loss(exp_poisson, exp_poisson_curvature),
}


def _map(value: Callable[..., tuple[Array, Pullback]], targets: str, domain: str = "real") -> Map:
    def differential(given: Array, y: Array, d: Array) -> Array:
        xp = array_namespace(given, y)
        _, pull = value(given, y)
        return xp.sum(pull(xp.ones(given.shape[0], dtype=given.dtype)) * d, axis=1)

    return Map(value.__name__, value, differential, ("n q",), domain, targets)  # type: ignore[arg-type]


MAPS = (
    _map(squared_error, "real"),
    _map(absolute_error, "real"),
    _map(huber, "real"),
    _map(quantile, "real"),
    _map(poisson, "counts", "positive"),
    _map(sigmoid_cross_entropy, "binary"),
    _map(softmax_cross_entropy, "simplex"),
    _map(softmax_binary_cross_entropy, "simplex"),
    _map(exp_poisson, "counts"),
)
