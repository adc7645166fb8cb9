"""Optimisers: frozen descriptions of their constants.

There are two kinds. Most optimisers take one step per mini-batch;
``deltarule.reference.optimizers`` defines their state and their step, one pure function each.
``LineSearch`` and ``LBFGS`` minimise the cost of the whole training set and evaluate it as often
as they need to (``deltarule.training.line_search``, ``deltarule.training.lbfgs``).

If a source does not give a constant, the default is PyTorch's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from deltarule.errors import SpecError
from deltarule.utils.checks import (
    check_between,
    check_flag,
    check_name,
    check_positive_integer,
    shown,
)

__all__ = [
    "LBFGS",
    "OPTIMIZERS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "EMAMomentum",
    "LineSearch",
    "Minimizer",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "Rprop",
    "resolve_optimizer",
]


def _check_positive(name: str, value: float) -> None:
    check_between(name, value, 0.0, float("inf"), open_low=True, open_high=True)


def _check_decay_rate(name: str, value: float) -> None:
    check_between(name, value, 0.0, 1.0, open_high=True)


@dataclass(frozen=True)
class SGD:
    """Gradient descent, optionally with heavy-ball or Nesterov momentum (items O1-O3).

    The velocity is v ← μ v − η g; the step is v, and μ v − η g with ``nesterov``
    (scikit-learn's form; Sutskever et al. 2013, eqs 3-4).

    Parameters
    ----------
    learning_rate : float, default=0.01
        η > 0.
    momentum : float, default=0.0
        μ in [0, 1].
    nesterov : bool, default=False
        Whether the step uses Nesterov momentum.
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        _check_positive("learning_rate", self.learning_rate)
        check_between("momentum", self.momentum, 0.0, 1.0)
        check_flag("nesterov", self.nesterov)


@dataclass(frozen=True)
class EMAMomentum:
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
        _check_positive("learning_rate", self.learning_rate)
        _check_decay_rate("beta", self.beta)


@dataclass(frozen=True)
class RMSprop:
    """RMSprop (Tieleman & Hinton 2012, lecture 6e; Mebsout §6; item O4).

    S ← β S + (1 − β) g²; the step is −η g/(√S + ε), ε outside the root (erratum E-n). There is no
    centring and no momentum. β is 0.9 as in the lecture; PyTorch's default ``alpha`` is 0.99.

    Parameters
    ----------
    learning_rate : float, default=0.01
        η > 0.
    beta : float, default=0.9
        β in [0, 1).
    epsilon : float, default=1e-8
        ε > 0.
    """

    learning_rate: float = 0.01
    beta: float = 0.9
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _check_positive("learning_rate", self.learning_rate)
        _check_decay_rate("beta", self.beta)
        _check_positive("epsilon", self.epsilon)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015, Algorithm 1), ε after the bias correction (item O5).

    scikit-learn adds ε before the correction; the difference vanishes as t grows.

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
        _check_positive("learning_rate", self.learning_rate)
        _check_decay_rate("beta1", self.beta1)
        _check_decay_rate("beta2", self.beta2)
        _check_positive("epsilon", self.epsilon)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, Algorithm 2; item O5).

    In addition to Adam's step, every weight is multiplied by 1 − ηλ. η is the current learning
    rate, as in PyTorch (the paper uses only the factor of the schedule). Biases and the γ and β of
    batch normalisation do not decay.

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon
        See ``Adam``.
    weight_decay : float, default=0.01
        λ ≥ 0.
    """

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        check_between("weight_decay", self.weight_decay, 0.0, float("inf"), open_high=True)


@dataclass(frozen=True)
class Nadam:
    """Adam with Nesterov's momentum (Dozat 2016; PyTorch's ``NAdam``; item O5).

    The momentum grows with the step t: μ_t = β₁ (1 − ½ 0.96^(tψ)).

    Parameters
    ----------
    learning_rate : float, default=0.002
        η > 0.
    beta1, beta2 : float, default=0.9, 0.999
        Decay rates of the averages of g and g², in [0, 1).
    epsilon : float, default=1e-8
        ε > 0.
    momentum_decay : float, default=0.004
        ψ ≥ 0: how fast μ_t approaches β₁.
    """

    learning_rate: float = 0.002
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    momentum_decay: float = 0.004

    def __post_init__(self) -> None:
        _check_positive("learning_rate", self.learning_rate)
        _check_decay_rate("beta1", self.beta1)
        _check_decay_rate("beta2", self.beta2)
        _check_positive("epsilon", self.epsilon)
        check_between("momentum_decay", self.momentum_decay, 0.0, float("inf"), open_high=True)


@dataclass(frozen=True)
class Adagrad:
    """Diagonal Adagrad (Duchi, Hazan & Singer 2011; PyTorch's form).

    S ← S + g²; the step is −η g/(√S + ε), so steps shrink as squared gradients accumulate.

    Parameters
    ----------
    learning_rate : float, default=0.01
        η > 0.
    epsilon : float, default=1e-10
        ε > 0.
    """

    learning_rate: float = 0.01
    epsilon: float = 1e-10

    def __post_init__(self) -> None:
        _check_positive("learning_rate", self.learning_rate)
        _check_positive("epsilon", self.epsilon)


@dataclass(frozen=True)
class Adadelta:
    """Adadelta (Zeiler 2012, Algorithm 1) with a learning rate, as in PyTorch.

    Parameters
    ----------
    learning_rate : float, default=1.0
        η > 0. The paper has no learning rate, which is η = 1.
    rho : float, default=0.9
        ρ in [0, 1): decay rate of the averages of g² and of squared steps.
    epsilon : float, default=1e-6
        ε > 0, inside both roots.
    """

    learning_rate: float = 1.0
    rho: float = 0.9
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        _check_positive("learning_rate", self.learning_rate)
        _check_decay_rate("rho", self.rho)
        _check_positive("epsilon", self.epsilon)


@dataclass(frozen=True)
class Rprop:
    """Resilient backpropagation, iRprop− (Igel & Hüsken 2003), for the full batch only.

    Every coordinate has its own step size, which grows while its slope keeps its sign and
    shrinks when the sign changes. The size of the slope is not used, so noise in mini-batches
    would be followed as if it were signal. PyTorch's ``Rprop`` cites the original (Riedmiller &
    Braun 1993) but takes the same steps as this one: a coordinate whose slope changed its sign
    does not move for one step, and no step is taken back. The one difference: PyTorch clips a
    first step size outside [``min_step``, ``max_step``]; here it is an error.

    Parameters
    ----------
    learning_rate : float, default=0.01
        The first step size of every coordinate (the paper has 0.0125). The algorithm sets the
        later ones, and no schedule changes them.
    eta_minus, eta_plus : float, default=0.5, 1.2
        η⁻ in (0, 1), by which a step size shrinks, and η⁺ > 1, by which it grows.
    min_step, max_step : float, default=1e-6, 50.0
        Bounds on the step sizes (the paper has 0 and 50).
    """

    learning_rate: float = 0.01
    eta_minus: float = 0.5
    eta_plus: float = 1.2
    min_step: float = 1e-6
    max_step: float = 50.0

    def __post_init__(self) -> None:
        check_between("eta_minus", self.eta_minus, 0.0, 1.0, open_low=True, open_high=True)
        check_between("eta_plus", self.eta_plus, 1.0, float("inf"), open_low=True, open_high=True)
        check_between("min_step", self.min_step, 0.0, float("inf"), open_high=True)
        check_between("max_step", self.max_step, 0.0, float("inf"), open_low=True)
        if self.min_step >= self.max_step:
            raise SpecError(
                f"min_step must be below max_step; got {self.min_step!r} and {self.max_step!r}."
            )
        _check_positive("learning_rate", self.learning_rate)
        if not self.min_step <= self.learning_rate <= self.max_step:
            raise SpecError(
                f"learning_rate must be in [min_step, max_step] = [{self.min_step:g}, "
                f"{self.max_step:g}]; got {self.learning_rate!r}. It is the first step size: "
                "change it, or change the bounds."
            )


@dataclass(frozen=True)
class LineSearch:
    """Steepest descent with an exact line search over the full batch (item O6).

    α_k = argmin_t C(θ_k − t ∇C(θ_k)) (Mebsout §6; erratum E-ac).

    Parameters
    ----------
    max_step : float, default=1e6
        Largest t that is tried. If C keeps falling along −∇C, this step is taken.
    tol : float, default=1e-4
        The cost counts as minimal when no entry of the gradient is larger than this.
    max_evaluations : int, default=15000
        Largest number of evaluations of cost and gradient.
    """

    max_step: float = 1e6
    tol: float = 1e-4
    max_evaluations: int = 15_000

    def __post_init__(self) -> None:
        _check_positive("max_step", self.max_step)
        check_between("tol", self.tol, 0.0)
        check_positive_integer("max_evaluations", self.max_evaluations)


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS over the full batch (Liu & Nocedal 1989; SciPy's L-BFGS-B).

    Parameters
    ----------
    memory : int, default=10
        Number of the last steps that the estimate of the inverse Hessian uses.
    tol : float, default=1e-4
        The cost counts as minimal when no entry of the gradient is larger than this.
    max_evaluations : int, default=15000
        The most evaluations of cost and gradient.
    ftol : float, optional
        The relative fall of the cost in an iteration below which it ends too. By default that is
        1e-15 (rounding) in ``train``, and 2.2e-9 in the estimators, as in scikit-learn.
    """

    memory: int = 10
    tol: float = 1e-4
    max_evaluations: int = 15_000
    ftol: float | None = None

    def __post_init__(self) -> None:
        check_positive_integer("memory", self.memory)
        check_between("tol", self.tol, 0.0)
        check_positive_integer("max_evaluations", self.max_evaluations)
        if self.ftol is not None:
            check_between("ftol", self.ftol, 0.0)


Optimizer: TypeAlias = (
    SGD | EMAMomentum | RMSprop | Adam | AdamW | Nadam | Adagrad | Adadelta | Rprop
)
"""An optimiser that takes one step per mini-batch."""

Minimizer: TypeAlias = LineSearch | LBFGS
"""An optimiser that minimises the cost of the whole training set."""


OPTIMIZERS: dict[str, type[Optimizer | Minimizer]] = {
    "lbfgs": LBFGS,
    "line_search": LineSearch,
    "sgd": SGD,
    "ema_momentum": EMAMomentum,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": Nadam,
    "adadelta": Adadelta,
    "adagrad": Adagrad,
    "rmsprop": RMSprop,
    "rprop": Rprop,
}
"""Every optimiser by name: what ``train`` and the estimators take."""


def resolve_optimizer(given: object) -> Optimizer | Minimizer:
    """Return the optimiser that an argument ``optimizer`` means: a name, or an optimiser.

    A name stands for the optimiser with its default constants.

    Raises
    ------
    SpecError
        For an unknown name, or an object that is not an optimiser.
    """
    if isinstance(given, str):
        check_name("optimizer", given, OPTIMIZERS)
        return OPTIMIZERS[given]()
    if not isinstance(given, Optimizer | Minimizer):
        raise SpecError(
            "optimizer must be a name such as 'adam', or an optimiser such as SGD(0.1), Adam() or "
            f"LBFGS(); got {shown(given)}."
        )
    return given
