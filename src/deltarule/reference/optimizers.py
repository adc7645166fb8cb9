"""Optimisers as pure functions: what they remember, and the step they take (items O1-O3, O5).

Each is a pair: ``begin(θ)`` returns what is remembered (a NamedTuple), ``step(slots, g, η)``
returns the change of θ and what is remembered next. Nothing is mutated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from deltarule.arrays import Array, array_namespace
from deltarule.errors import SpecError
from deltarule.optimizers import SGD, Adam, MomentumAverage, Optimizer

__all__ = ["AdamSlots", "Rule", "VelocitySlots", "adam", "momentum_average", "rule_of", "sgd"]


class Rule(NamedTuple):
    """An optimiser: its beginning and its step."""

    begin: Callable[[Array], Any]
    step: Callable[[Any, Array, float], tuple[Array, Any]]


class VelocitySlots(NamedTuple):
    """What momentum remembers."""

    v: Array  # (p,) velocity, or mean gradient


class AdamSlots(NamedTuple):
    """What Adam remembers."""

    t: int  # steps taken
    m: Array  # (p,) running mean of g
    v: Array  # (p,) running mean of g²


def sgd(momentum: float = 0.0, nesterov: bool = False) -> Rule:
    """Gradient descent with heavy-ball or Nesterov momentum.

    v ← μ v − η g; Δθ = v, or μ v − η g with ``nesterov`` (Sutskever et al. 2013; scikit-learn's
    form, with η inside the velocity). With μ = 0: Δθ = −η g (Mebsout §6).
    """

    def begin(theta: Array) -> VelocitySlots:
        return VelocitySlots(array_namespace(theta).zeros_like(theta))

    def step(slots: VelocitySlots, g: Array, eta: float) -> tuple[Array, VelocitySlots]:
        v = momentum * slots.v - eta * g
        return (momentum * v - eta * g if nesterov else v), VelocitySlots(v)

    return Rule(begin, step)


def momentum_average(beta: float = 0.9) -> Rule:
    """Momentum as an exponentially weighted average: V ← βV + (1 − β) g; Δθ = −η V.

    (Matt R §7; Mebsout §6.) Equal to heavy ball with the step η(1 − β).
    """

    def begin(theta: Array) -> VelocitySlots:
        return VelocitySlots(array_namespace(theta).zeros_like(theta))

    def step(slots: VelocitySlots, g: Array, eta: float) -> tuple[Array, VelocitySlots]:
        v = beta * slots.v + (1 - beta) * g
        return -eta * v, VelocitySlots(v)

    return Rule(begin, step)


def adam(beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Rule:
    """Adam (Kingma & Ba 2015, Algorithm 1).

    m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ), t the global
    step;  Δθ = −η m̂/(√v̂ + ε). The averages are kept uncorrected (erratum E-m), and ε stands
    outside the root (E-n).
    """

    def begin(theta: Array) -> AdamSlots:
        zeros = array_namespace(theta).zeros_like(theta)
        return AdamSlots(0, zeros, zeros)

    def step(slots: AdamSlots, g: Array, eta: float) -> tuple[Array, AdamSlots]:
        xp = array_namespace(g)
        t = slots.t + 1
        m = beta1 * slots.m + (1 - beta1) * g
        v = beta2 * slots.v + (1 - beta2) * g * g
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        return -eta * m_hat / (xp.sqrt(v_hat) + epsilon), AdamSlots(t, m, v)

    return Rule(begin, step)


def rule_of(optimizer: Optimizer) -> Rule:
    """Return the rule that a description names."""
    match optimizer:
        case SGD(momentum=momentum, nesterov=nesterov):
            return sgd(momentum, nesterov)
        case MomentumAverage(beta=beta):
            return momentum_average(beta)
        case Adam(beta1=beta1, beta2=beta2, epsilon=epsilon):
            return adam(beta1, beta2, epsilon)
    raise SpecError(f"optimizer must be SGD, MomentumAverage or Adam; got {optimizer!r}.")
