"""Activations as maps: a scalar function of every entry, or softmax of every row (A1-A7).

:func:`broadcast` turns a scalar function g into the map G with the reverse derivative
dz = g'(z) ⊙ da (Matt R §3.3); ``scalar_functions`` defines these functions. Softmax has a full
Jacobian and is a map of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from deltarule.program.opcodes import ActivationCode
from deltarule.reference import scalar_functions as s
from deltarule.reference.maps import Map
from deltarule.utils.arrays import Array, Pullback, array_namespace, of_numbers

__all__ = [
    "ELEMENTWISE",
    "MAPS",
    "Elementwise",
    "activate",
    "log_softmax",
    "parametric",
    "parametric_differential",
    "parametric_pullback_differential",
    "softmax",
]


class Elementwise(NamedTuple):
    """A scalar function with its first and second derivative; each takes (z, parameter)."""

    value: Callable[[Array, float], Array]
    derivative: Callable[[Array, float], Array]
    second: Callable[[Array, float], Array]
    kinks: tuple[float, ...] = ()  # where the first or the second derivative jumps


_A = ActivationCode

ELEMENTWISE: dict[int, Elementwise] = {
    _A.IDENTITY: Elementwise(s.identity, s.identity_derivative, s.zero),
    _A.SIGMOID: Elementwise(s.sigmoid, s.sigmoid_derivative, s.sigmoid_second),
    _A.TANH: Elementwise(s.tanh, s.tanh_derivative, s.tanh_second),
    _A.RELU: Elementwise(s.relu, s.relu_derivative, s.zero, (0.0,)),
    _A.LEAKY_RELU: Elementwise(s.leaky_relu, s.leaky_relu_derivative, s.zero, (0.0,)),
    _A.EXP: Elementwise(s.exp, s.exp, s.exp),
    _A.SELU: Elementwise(s.selu, s.selu_derivative, s.selu_second, (0.0,)),
    _A.ELU: Elementwise(s.elu, s.elu_derivative, s.elu_second, (0.0,)),
    _A.GELU: Elementwise(s.gelu, s.gelu_derivative, s.gelu_second),
    _A.SILU: Elementwise(s.silu, s.silu_derivative, s.silu_second),
    _A.SOFTPLUS: Elementwise(s.softplus, s.sigmoid, s.sigmoid_derivative),
    _A.MISH: Elementwise(s.mish, s.mish_derivative, s.mish_second),
    _A.SOFTSIGN: Elementwise(s.softsign, s.softsign_derivative, s.softsign_second, (0.0,)),
    _A.HARD_SIGMOID: Elementwise(s.hard_sigmoid, s.hard_sigmoid_derivative, s.zero, (-3.0, 3.0)),
    _A.HARD_TANH: Elementwise(s.hard_tanh, s.hard_tanh_derivative, s.zero, (-1.0, 1.0)),
}


def broadcast(g: Elementwise, z: Array, constant: float = 0.0) -> tuple[Array, Pullback]:
    """Return G(z), the function g of every entry of z, and its pullback dz = g'(z) ⊙ da."""

    def pullback(da: Array) -> Array:
        return g.derivative(z, constant) * da

    return g.value(z, constant), pullback


def activate(g: Elementwise | None, z: Array, constant: float = 0.0) -> tuple[Array, Pullback]:
    """Return a = g(z) and its reverse derivative, the factor ⊙ g'(z) of BP1 and BP2.

    ``g`` is None for softmax, as `elementwise` returns it.
    """
    return softmax(z) if g is None else broadcast(g, z, constant)


def activate_differential(
    g: Elementwise | None, z: Array, dz: Array, constant: float = 0.0
) -> Array:
    """Return da = g'(z) ⊙ dz, or the softmax Jacobian times dz."""
    return softmax_differential(z, dz) if g is None else g.derivative(z, constant) * dz


def activate_pullback_differential(
    g: Elementwise | None, z: Array, dz: Array, a_bar: Array, da_bar: Array, constant: float = 0.0
) -> Array:
    """Return the differential of z̄ = g'(z) ⊙ ā, which is g''(z) dz ⊙ ā + g'(z) ⊙ dā."""
    if g is None:
        return softmax_pullback_differential(z, dz, a_bar, da_bar)
    return g.second(z, constant) * dz * a_bar + g.derivative(z, constant) * da_bar


def parametric(
    g: Elementwise, z: Array, alpha: Array, constant: float = 0.0
) -> tuple[Array, Pullback]:
    """Return y = z + α ⊙ (g(z) − z), with one α for every unit, and its reverse derivative.

    z (n, q), α (q,) -> (n, q);  dy -> dz = (1 + α(g'(z) − 1)) ⊙ dy, dα = Σ_rows (g(z) − z) ⊙ dy.
    """
    xp = array_namespace(z, alpha)
    bend = g.value(z, constant) - z

    def pullback(dy: Array) -> tuple[Array, Array]:
        slope = 1 + alpha * (g.derivative(z, constant) - 1)
        return slope * dy, xp.sum(bend * dy, axis=0)

    return z + alpha * bend, pullback


def parametric_differential(
    g: Elementwise, z: Array, alpha: Array, dz: Array, dalpha: Array, constant: float = 0.0
) -> Array:
    """Return dy = (1 + α(g'(z) − 1)) ⊙ dz + dα ⊙ (g(z) − z)."""
    slope = 1 + alpha * (g.derivative(z, constant) - 1)
    return slope * dz + dalpha * (g.value(z, constant) - z)


def parametric_pullback_differential(
    g: Elementwise,
    primals: tuple[Array, Array],
    tangents: tuple[Array, Array],
    bars: tuple[Array, Array],
    constant: float = 0.0,
) -> tuple[Array, Array]:
    """Return the differential of (dz, dα) of :func:`parametric`.

    It is ((dα(g' − 1) + α g'' dz) ⊙ ȳ + (1 + α(g' − 1)) ⊙ dȳ, Σ_rows (g' − 1) dz ⊙ ȳ + (g − z) ⊙
    dȳ). ``primals`` are (z, α), ``tangents`` theirs, ``bars`` ȳ and its tangent.
    """
    (z, alpha), (dz, dalpha), (bar, d_bar) = primals, tangents, bars
    xp = array_namespace(z, alpha)
    bend, tilt = g.value(z, constant) - z, g.derivative(z, constant) - 1
    moved = dalpha * tilt + alpha * g.second(z, constant) * dz
    return moved * bar + (1 + alpha * tilt) * d_bar, xp.sum(tilt * dz * bar + bend * d_bar, axis=0)


def shifted(z: Array) -> Array:
    """Return z − max_k z_k, cut off at minus the largest number, where it would overflow."""
    xp = array_namespace(z)
    half = z / 2 - xp.max(z, axis=1, keepdims=True) / 2
    floor = xp.asarray(-xp.finfo(z.dtype).max / 2, dtype=z.dtype)
    return 2 * xp.maximum(half, floor)


@of_numbers()
def softmax(z: Array) -> tuple[Array, Pullback]:
    """A6. Return S_k = e^{z_k}/Σ_j e^{z_j} of every row, and its reverse derivative.

    z (n, k) -> s (n, k);  ds -> dz = s ⊙ (ds − Σ_j s_j ds_j), since the Jacobian S_i(δ_ij − S_j) is
    symmetric (Matt R §2.2.4). The largest logit is subtracted first, so no exponential overflows.
    """
    xp = array_namespace(z)
    e = xp.exp(shifted(z))
    probability = e / xp.sum(e, axis=1, keepdims=True)

    def pullback(ds: Array) -> Array:
        return probability * (ds - xp.sum(probability * ds, axis=1, keepdims=True))

    return probability, pullback


@of_numbers(2)
def softmax_differential(z: Array, dz: Array) -> Array:
    """Return dS = J dz with the explicit Jacobian J_ij = S_i(δ_ij − S_j)."""
    xp = array_namespace(z, dz)
    p, _ = softmax(z)
    diagonal = xp.eye(z.shape[1], dtype=z.dtype)[None, :, :] * p[:, :, None]
    jacobian = diagonal - p[:, :, None] * p[:, None, :]
    return xp.sum(jacobian * dz[:, None, :], axis=2)


@of_numbers(4)
def softmax_pullback_differential(z: Array, dz: Array, s_bar: Array, ds_bar: Array) -> Array:
    """Return the differential of z̄ = s ⊙ (s̄ − Σ_j s_j s̄_j), by the product rule."""
    xp = array_namespace(z, dz)
    p, pull = softmax(z)
    dp = softmax_differential(z, dz)
    inner = xp.sum(p * s_bar, axis=1, keepdims=True)
    d_inner = xp.sum(dp * s_bar, axis=1, keepdims=True)
    return pull(ds_bar) + dp * (s_bar - inner) - p * d_inner


@of_numbers()
def log_softmax(z: Array) -> Array:
    """Return log S from the logits as z − m − log Σ e^{z − m}, not as the log of a rounded S."""
    xp = array_namespace(z)
    below = shifted(z)
    return below - xp.log(xp.sum(xp.exp(below), axis=1, keepdims=True))


def _map(code: ActivationCode, constant: float = 0.0) -> Map:
    g = ELEMENTWISE[code]
    return Map(
        code.name.lower(),
        lambda z: broadcast(g, z, constant),
        lambda z, dz: g.derivative(z, constant) * dz,
        ("n q",),
    )


_CONSTANTS = {_A.LEAKY_RELU: 0.01, _A.ELU: 1.0}

MAPS = (
    *(
        _map(ActivationCode(code), _CONSTANTS.get(ActivationCode(code), 0.0))
        for code in ELEMENTWISE
    ),
    Map("softmax", softmax, softmax_differential, ("n q",)),
    Map(
        "parametric",
        lambda z, alpha: parametric(ELEMENTWISE[_A.SILU], z, alpha),
        lambda z, alpha, dz, dalpha: parametric_differential(
            ELEMENTWISE[_A.SILU], z, alpha, dz, dalpha
        ),
        ("n q", "q"),
    ),
)
