"""Optimisers as pure functions: their initial state and their step (items O1-O5).

Each optimiser is a pair: ``begin(θ)`` returns the initial state (a NamedTuple), and
``step(state, g, η, θ)`` returns the change of θ, the next state, and the effective step size of
each coordinate. Nothing is mutated. t is the global step, counted from 1 (erratum E-m).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from deltarule.errors import SpecError
from deltarule.program.optimizer_state import (
    AdadeltaState,
    AdamState,
    NadamState,
    RpropState,
    SquareState,
    VelocityState,
)
from deltarule.spec.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    EMAMomentum,
    Nadam,
    Optimizer,
    RMSprop,
    Rprop,
)
from deltarule.utils.arrays import Array, array_namespace

__all__ = [
    "Rule",
    "Step",
    "adadelta",
    "adagrad",
    "adam",
    "adamw",
    "ema_momentum",
    "nadam",
    "rmsprop",
    "rprop",
    "rule_of",
    "sgd",
]


class Step(NamedTuple):
    """Result of an optimiser's step."""

    change: Array  # (p,) Δθ
    state: Any  # the next state
    size: Array
    """(p,) effective step size: how far a constant gradient of 1 moves each coordinate per step.

    A proximal step after Δθ uses it as its η, so that θ converges to a stationary point of
    C + s‖θ‖₁. For plain gradient descent it is η itself.
    """


class Rule(NamedTuple):
    """An optimiser: the functions that return its initial state and its step."""

    begin: Callable[[Array], Any]
    step: Callable[[Any, Array, float, Array], Step]


def sgd(momentum: float = 0.0, nesterov: bool = False) -> Rule:
    """Gradient descent with heavy-ball or Nesterov momentum (items O1-O3).

    v ← μ v − η g; Δθ = v, or μ v − η g with ``nesterov`` (Sutskever et al. 2013; scikit-learn's
    form, with η inside the velocity). With μ = 0: Δθ = −η g (Mebsout §6).

    The effective step size is η/(1 − μ), the sum of η μʲ. For μ = 1 that sum diverges, and the
    effective step size is defined as η.
    """

    def begin(theta: Array) -> VelocityState:
        return VelocityState(array_namespace(theta).zeros_like(theta))

    def step(state: VelocityState, g: Array, eta: float, theta: Array) -> Step:
        v = momentum * state.v - eta * g
        change = momentum * v - eta * g if nesterov else v
        size = eta / (1 - momentum) if momentum < 1 else eta
        return Step(change, VelocityState(v), array_namespace(g).full_like(g, size))

    return Rule(begin, step)


def ema_momentum(beta: float = 0.9) -> Rule:
    """Momentum as an exponentially weighted average: V ← βV + (1 − β) g; Δθ = −η V (item O3).

    (Matt R §7; Mebsout §6.) It equals heavy ball with the step η(1 − β). There is no bias
    correction.
    """

    def begin(theta: Array) -> VelocityState:
        return VelocityState(array_namespace(theta).zeros_like(theta))

    def step(state: VelocityState, g: Array, eta: float, theta: Array) -> Step:
        v = beta * state.v + (1 - beta) * g
        return Step(-eta * v, VelocityState(v), array_namespace(g).full_like(g, eta))

    return Rule(begin, step)


def rmsprop(beta: float = 0.9, epsilon: float = 1e-8) -> Rule:
    """RMSprop (Tieleman & Hinton 2012, lecture 6e; Mebsout §6; item O4).

    S ← βS + (1 − β) g²; Δθ = −η g/(√S + ε), ε outside the root (erratum E-n). S starts at 0,
    and there is no bias correction.
    """

    def begin(theta: Array) -> SquareState:
        return SquareState(array_namespace(theta).zeros_like(theta))

    def step(state: SquareState, g: Array, eta: float, theta: Array) -> Step:
        s = beta * state.s + (1 - beta) * g * g
        size = eta / (array_namespace(g).sqrt(s) + epsilon)
        return Step(-size * g, SquareState(s), size)

    return Rule(begin, step)


def adam(beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Rule:
    """Adam (Kingma & Ba 2015, Algorithm 1; item O5).

    m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ), t the global
    step;  Δθ = −η m̂/(√v̂ + ε). The state holds the uncorrected averages (erratum E-m), and ε is
    outside the root (E-n). Khabar's eq. 13, which multiplies by g², is a different rule (E-o).
    """

    def begin(theta: Array) -> AdamState:
        zeros = array_namespace(theta).zeros_like(theta)
        return AdamState(0, zeros, zeros)

    def step(state: AdamState, g: Array, eta: float, theta: Array) -> Step:
        t = state.t + 1
        m = beta1 * state.m + (1 - beta1) * g
        v = beta2 * state.v + (1 - beta2) * g * g
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        denominator = array_namespace(g).sqrt(v_hat) + epsilon
        return Step(-eta * m_hat / denominator, AdamState(t, m, v), eta / denominator)

    return Rule(begin, step)


def adamw(
    decayed: Sequence[slice],
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.01,
) -> Rule:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, Algorithm 2).

    Δθ = −ηλθ on the decayed coordinates is added to Adam's step, which uses the gradient g without
    the decay. λ is multiplied by the current η, as in PyTorch.

    Parameters
    ----------
    decayed : sequence of slices
        Positions of the weights in θ; biases, γ and β do not decay.
    beta1, beta2, epsilon : float
        See :func:`adam`.
    weight_decay : float
        λ.
    """
    plain = adam(beta1, beta2, epsilon)

    def step(state: AdamState, g: Array, eta: float, theta: Array) -> Step:
        taken = plain.step(state, g, eta, theta)
        decay = array_namespace(theta).zeros_like(theta)
        for part in decayed:
            decay[part] = eta * weight_decay * theta[part]
        return taken._replace(change=taken.change - decay)

    return Rule(plain.begin, step)


def nadam(
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    momentum_decay: float = 0.004,
) -> Rule:
    """Adam with Nesterov's momentum (Dozat 2016; PyTorch's ``NAdam``).

    m, v as Adam's; μ_t = β₁(1 − ½ 0.96^(tψ)), Π_t = μ_1 ⋯ μ_t;
    m̂ = μ_{t+1} m/(1 − Π_{t+1}) + (1 − μ_t) g/(1 − Π_t), v̂ = v/(1 − β₂ᵗ);  Δθ = −η m̂/(√v̂ + ε).
    As in PyTorch, the average m uses the fixed β₁; in the paper it would use μ_t.
    """

    def momentum(t: int) -> float:
        return float(beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay)))

    def begin(theta: Array) -> NadamState:
        zeros = array_namespace(theta).zeros_like(theta)
        return NadamState(0, 1.0, zeros, zeros)

    def step(state: NadamState, g: Array, eta: float, theta: Array) -> Step:
        t = state.t + 1
        mu, ahead = momentum(t), momentum(t + 1)
        product = state.product * mu
        m = beta1 * state.m + (1 - beta1) * g
        v = beta2 * state.v + (1 - beta2) * g * g
        m_hat = ahead / (1 - product * ahead) * m + (1 - mu) / (1 - product) * g
        denominator = array_namespace(g).sqrt(v / (1 - beta2**t)) + epsilon
        return Step(-eta * m_hat / denominator, NadamState(t, product, m, v), eta / denominator)

    return Rule(begin, step)


def adagrad(epsilon: float = 1e-10) -> Rule:
    """Adagrad, diagonal (Duchi, Hazan & Singer 2011; PyTorch's form).

    S ← S + g²; Δθ = −η g/(√S + ε).
    """

    def begin(theta: Array) -> SquareState:
        return SquareState(array_namespace(theta).zeros_like(theta))

    def step(state: SquareState, g: Array, eta: float, theta: Array) -> Step:
        s = state.s + g * g
        size = eta / (array_namespace(g).sqrt(s) + epsilon)
        return Step(-size * g, SquareState(s), size)

    return Rule(begin, step)


def adadelta(rho: float = 0.9, epsilon: float = 1e-6) -> Rule:
    """Adadelta (Zeiler 2012, Algorithm 1; PyTorch's form, with η before the step).

    v ← ρv + (1 − ρ)g²;  d = √(u + ε)/√(v + ε) · g;  u ← ρu + (1 − ρ)d²;  Δθ = −η d. Both ε
    are inside the roots, as in the paper.
    """

    def begin(theta: Array) -> AdadeltaState:
        zeros = array_namespace(theta).zeros_like(theta)
        return AdadeltaState(zeros, zeros)

    def step(state: AdadeltaState, g: Array, eta: float, theta: Array) -> Step:
        xp = array_namespace(g)
        v = rho * state.v + (1 - rho) * g * g
        ratio = xp.sqrt(state.u + epsilon) / xp.sqrt(v + epsilon)
        d = ratio * g
        u = rho * state.u + (1 - rho) * d * d
        return Step(-eta * d, AdadeltaState(v, u), eta * ratio)

    return Rule(begin, step)


def rprop(
    eta_minus: float = 0.5, eta_plus: float = 1.2, min_step: float = 1e-6, max_step: float = 50.0
) -> Rule:
    """Resilient backpropagation, iRprop− (Igel & Hüsken 2003), for the full batch.

    With g' the last slope, for every coordinate:
    g'g > 0: size ← min(η⁺ size, max_step);  g'g < 0: size ← max(η⁻ size, min_step) and g ← 0;
    Δθ = −sgn(g) size. The first size is the first η; later values of η are ignored.

    After a change of sign the original Rprop (Riedmiller & Braun 1993) takes back the last step;
    this rule, like PyTorch's ``Rprop``, only skips a step. Only the sign of a slope matters,
    so the size of a step does not depend on the slope, and no proximal step can follow it.
    """

    def begin(theta: Array) -> RpropState:
        zeros = array_namespace(theta).zeros_like(theta)
        return RpropState(0, zeros, zeros)

    def step(state: RpropState, g: Array, eta: float, theta: Array) -> Step:
        xp = array_namespace(g)
        size = state.size if state.t > 0 else xp.full_like(g, eta)
        sign = xp.sign(g)
        same = sign * state.sign
        size = xp.where(same > 0, xp.clip(eta_plus * size, max=max_step), size)
        size = xp.where(same < 0, xp.clip(eta_minus * size, min=min_step), size)
        sign = xp.where(same < 0, xp.zeros_like(sign), sign)
        return Step(-sign * size, RpropState(state.t + 1, sign, size), size)

    return Rule(begin, step)


def rule_of(optimizer: Optimizer, decayed: Sequence[slice] | None = None) -> Rule:
    """Return the rule of a description.

    Parameters
    ----------
    optimizer : Optimizer
        The description.
    decayed : sequence of slices, optional
        Positions of the weights in θ; ``AdamW`` needs them.
    """
    match optimizer:
        case SGD(momentum=momentum, nesterov=nesterov):
            return sgd(momentum, nesterov)
        case EMAMomentum(beta=beta):
            return ema_momentum(beta)
        case RMSprop(beta=beta, epsilon=epsilon):
            return rmsprop(beta, epsilon)
        case AdamW(beta1=beta1, beta2=beta2, epsilon=epsilon, weight_decay=weight_decay):
            if decayed is None:
                raise SpecError(
                    "decayed must hold the positions of the weights in θ for AdamW; got None."
                )
            return adamw(decayed, beta1, beta2, epsilon, weight_decay)
        case Adam(beta1=beta1, beta2=beta2, epsilon=epsilon):
            return adam(beta1, beta2, epsilon)
        case Nadam(beta1=beta1, beta2=beta2, epsilon=epsilon, momentum_decay=psi):
            return nadam(beta1, beta2, epsilon, psi)
        case Adagrad(epsilon=epsilon):
            return adagrad(epsilon)
        case Adadelta(rho=rho, epsilon=epsilon):
            return adadelta(rho, epsilon)
        case Rprop(eta_minus=minus, eta_plus=plus, min_step=low, max_step=high):
            return rprop(minus, plus, low, high)
    raise SpecError(f"optimizer must take one step per mini-batch, such as SGD; got {optimizer!r}.")
