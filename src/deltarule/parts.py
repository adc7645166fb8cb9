"""The parts that a network is described by: layers, losses, penalties, constraints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from deltarule.checks import check_between, check_name, check_positive_integer
from deltarule.errors import SpecError

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "INITIALIZERS",
    "L1",
    "L2",
    "LOSSES",
    "BatchNorm",
    "BinaryCrossEntropy",
    "CategoricalCrossEntropy",
    "Dense",
    "Dropout",
    "Huber",
    "Initializer",
    "LeakyReLU",
    "Loss",
    "MaxNorm",
    "Normal",
    "Quantile",
    "Uniform",
]

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
"""Every activation with the narrowest set that its values lie in: all real numbers, positive
ones, the open unit interval, or rows of probabilities."""

LOSSES: dict[str, tuple[str, ...]] = {
    "squared_error": ("real", "positive", "unit", "simplex"),
    "absolute_error": ("real", "positive", "unit", "simplex"),
    "huber": ("real", "positive", "unit", "simplex"),
    "quantile": ("real", "positive", "unit", "simplex"),
    "poisson": ("positive", "unit", "simplex"),
    "binary_cross_entropy": ("unit", "simplex"),
    "categorical_cross_entropy": ("simplex",),
}
"""Every loss with the sets of outputs that lie in its domain."""

INITIALIZERS = (
    "zeros",
    "orthogonal",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
)


# --- activations with a parameter ---------------------------------------------------------------


@dataclass(frozen=True)
class LeakyReLU:
    """Leaky rectifier max(βz, z) with its slope (item A5).

    Parameters
    ----------
    slope : float, default=0.01
        β, in [0, 1] (erratum E-af: above 1 the formula would be a different function).
    """

    slope: float = 0.01

    def __post_init__(self) -> None:
        check_between("slope", self.slope, 0.0, 1.0)


@dataclass(frozen=True)
class ELU:
    """Exponential linear unit: z above 0, α(e^z − 1) below (Clevert et al. 2016).

    Parameters
    ----------
    alpha : float, default=1.0
        α > 0.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_between("alpha", self.alpha, 0.0, open_low=True, open_high=True)


# --- initial weights ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Normal:
    """Initial weights drawn from N(0, scale²) (item I2)."""

    scale: float = 0.01

    def __post_init__(self) -> None:
        check_between("scale", self.scale, 0.0, open_high=True)


@dataclass(frozen=True)
class Uniform:
    """Initial weights drawn from U(-scale, scale) (item I2)."""

    scale: float = 0.01

    def __post_init__(self) -> None:
        check_between("scale", self.scale, 0.0, open_high=True)


@dataclass(frozen=True)
class ConstantInitializer:
    """Initial weights that are all the same number."""

    value: float = 0.0

    def __post_init__(self) -> None:
        check_between("value", self.value, open_low=True, open_high=True)


Initializer: TypeAlias = str | Normal | Uniform | ConstantInitializer | Callable[..., Any]
"""A name from ``INITIALIZERS``, a law, or ``f(rng, fan_in, fan_out) -> (fan_in, fan_out)``."""


# --- layers -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BatchNorm:
    """Normalisation over the batch, per unit (items N1-N3; Ioffe & Szegedy 2015).

    Parameters
    ----------
    position : {"pre_activation", "post_activation"}, default="pre_activation"
        Whether the batch is normalised before the activation or after it. Before the activation
        the layer has no bias of its own: β replaces it.
    inference_statistics : {"population", "running"}, default="population"
        The statistics that prediction normalises with: ``"population"`` is the mean over the last
        epoch's batches (of μ, and of the unbiased σ²), ``"running"`` exponential running averages.
    epsilon : float, default=1e-5
        ε > 0 under the root.
    momentum : float, default=0.1
        Share of the newest batch in a running average, in (0, 1].
    """

    position: Literal["pre_activation", "post_activation"] = "pre_activation"
    inference_statistics: Literal["population", "running"] = "population"
    epsilon: float = 1e-5
    momentum: float = 0.1

    def __post_init__(self) -> None:
        check_name("position", self.position, ("pre_activation", "post_activation"))
        check_name("inference_statistics", self.inference_statistics, ("population", "running"))
        check_between("epsilon", self.epsilon, 0.0, open_low=True, open_high=True)
        check_between("momentum", self.momentum, 0.0, 1.0, open_low=True)


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: A_l = g(A_{l-1} W_l + b_l).

    Parameters
    ----------
    units : int
        Width d_l of the layer.
    activation : str, LeakyReLU or ELU, default="identity"
        g, by name: one of ``deltarule.parts.ACTIVATIONS``.
    initializer : str, Normal, Uniform, ConstantInitializer or callable, optional
        How W_l is drawn. By default what fits the activation: He for rectifiers, Glorot for
        tanh, sigmoid and softmax, LeCun otherwise. Biases start at zero (item I1).
    batch_norm : BatchNorm, optional
        Normalise this layer over the batch; not for the output layer.

    Raises
    ------
    SpecError
        For a width below 1 or a name that does not exist.
    """

    units: int
    activation: str | LeakyReLU | ELU = "identity"
    initializer: Initializer | None = None
    batch_norm: BatchNorm | None = None

    def __post_init__(self) -> None:
        check_positive_integer("units", self.units)
        if not isinstance(self.activation, LeakyReLU | ELU):
            check_name("activation", self.activation, ACTIVATIONS)
        if isinstance(self.initializer, str):
            check_name("initializer", self.initializer, INITIALIZERS)
        elif not (
            self.initializer is None
            or isinstance(self.initializer, Normal | Uniform | ConstantInitializer)
            or callable(self.initializer)
        ):
            raise SpecError(
                "initializer must be a name, Normal(scale), Uniform(scale), "
                "ConstantInitializer(value) or a callable f(rng, fan_in, fan_out); got "
                f"{self.initializer!r}."
            )
        if not (self.batch_norm is None or isinstance(self.batch_norm, BatchNorm)):
            raise SpecError(f"batch_norm must be BatchNorm() or None; got {self.batch_norm!r}.")

    @property
    def activation_name(self) -> str:
        """The activation's name, whatever its parameters."""
        if isinstance(self.activation, LeakyReLU):
            return "leaky_relu"
        return "elu" if isinstance(self.activation, ELU) else self.activation

    @property
    def activation_constant(self) -> float:
        """The activation's parameter, 0 where it has none."""
        name = self.activation_name
        if name == "leaky_relu":
            given = self.activation
            return (given if isinstance(given, LeakyReLU) else LeakyReLU()).slope
        if name == "elu":
            return (self.activation if isinstance(self.activation, ELU) else ELU()).alpha
        return 0.0


@dataclass(frozen=True, init=False)
class Dropout:
    """Dropout layer: drops units in training and scales the others by 1/keep (item R3).

    ``Dropout(0.2)`` drops 20 % of the units, as in PyTorch and Keras. As the first layer of a
    network it drops inputs. At prediction no unit is dropped ("inverted dropout").

    Parameters
    ----------
    rate : float
        Probability in [0, 1) that a unit is dropped.
    keep : float
        Probability p in (0, 1] that a unit is kept, by keyword only and instead of ``rate``: the
        p of the equations (erratum E-q). ``Dropout(rate)`` sets it to 1 − rate.

    Raises
    ------
    SpecError
        For a probability outside its interval, or if both or neither are given.

    Examples
    --------
    >>> Dropout(0.2)
    Dropout(keep=0.8)
    """

    keep: float

    def __init__(self, rate: float | None = None, *, keep: float | None = None) -> None:
        if (rate is None) == (keep is None):
            raise SpecError(
                "Dropout takes one argument, rate or keep, such as Dropout(0.2) or "
                f"Dropout(keep=0.8); got rate={rate!r} and keep={keep!r}."
            )
        if rate is not None:
            keep = 1.0 - check_between("rate", rate, 0.0, 1.0, open_high=True)
        check_between("keep", keep, 0.0, 1.0, open_low=True)
        object.__setattr__(self, "keep", keep)


# --- losses with constants ----------------------------------------------------------------------


@dataclass(frozen=True)
class Huber:
    """Huber's loss with its corner: squared within ±delta, linear beyond (Huber 1964)."""

    delta: float = 1.0

    def __post_init__(self) -> None:
        check_between("delta", self.delta, 0.0, open_low=True, open_high=True)


@dataclass(frozen=True)
class Quantile:
    """Pinball loss for one quantile or several (Koenker & Bassett 1978).

    Parameters
    ----------
    levels : float or tuple of float, default=0.5
        Each in (0, 1). The output layer has one unit a level for each target.
    """

    levels: tuple[float, ...] = (0.5,)

    def __post_init__(self) -> None:
        given = self.levels if isinstance(self.levels, tuple | list) else (self.levels,)
        if not given:
            raise SpecError("levels must hold at least one quantile in (0, 1); got none.")
        checked = tuple(
            check_between(f"levels[{i}]", q, 0.0, 1.0, open_low=True, open_high=True)
            for i, q in enumerate(given)
        )
        object.__setattr__(self, "levels", checked)


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Binary cross-entropy with smoothed labels: y becomes (1 − s) y + s/2."""

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_between("label_smoothing", self.label_smoothing, 0.0, 1.0, open_high=True)


@dataclass(frozen=True)
class CategoricalCrossEntropy:
    """Categorical cross-entropy with smoothed labels: y becomes (1 − s) y + s/K.

    (Szegedy et al. 2016, §7.)
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_between("label_smoothing", self.label_smoothing, 0.0, 1.0, open_high=True)


Loss: TypeAlias = str | Huber | Quantile | BinaryCrossEntropy | CategoricalCrossEntropy


def loss_name(loss: Loss) -> str:
    """Return the loss's name, or raise ``SpecError`` if there is none such."""
    match loss:
        case Huber():
            return "huber"
        case Quantile():
            return "quantile"
        case BinaryCrossEntropy():
            return "binary_cross_entropy"
        case CategoricalCrossEntropy():
            return "categorical_cross_entropy"
    return check_name("loss", loss, LOSSES)


# --- penalties and constraints ------------------------------------------------------------------


def _check_strength(strength: float, normalization: str) -> None:
    check_between("strength", strength, 0.0, open_high=True)
    check_name("normalization", normalization, ("mean", "batch"))


@dataclass(frozen=True)
class L2:
    """The penalty ½ s Σ‖W_l‖² on the mean loss; weights only, never biases or γ, β (item R1).

    Parameters
    ----------
    strength : float
        s, with the sources' λ = s · n (n examples in the training set).
    normalization : {"mean", "batch"}, default="mean"
        ``"mean"``: the penalty is added to the mean loss with the strength s. ``"batch"``: s is
        divided by the weight of the batch at each step, which is scikit-learn's ``alpha``
        (erratum E-l).
    """

    strength: float
    normalization: Literal["mean", "batch"] = "mean"

    def __post_init__(self) -> None:
        _check_strength(self.strength, self.normalization)


@dataclass(frozen=True)
class L1:
    """The penalty s Σ|W_l| on the mean loss; weights only (item R2).

    Parameters
    ----------
    strength : float
        s, with the sources' λ = s · n.
    normalization : {"mean", "batch"}, default="mean"
        See :class:`L2`.
    proximal : bool, default=False
        Instead of following the gradient s sgn(w), shrink every weight by η s after the step, to
        exactly zero if it is smaller (η the step of that coordinate under Adam's kind).
    """

    strength: float
    normalization: Literal["mean", "batch"] = "mean"
    proximal: bool = False

    def __post_init__(self) -> None:
        _check_strength(self.strength, self.normalization)


@dataclass(frozen=True)
class MaxNorm:
    """The constraint ‖w‖ ≤ limit, by projection after every step (item R5).

    Parameters
    ----------
    limit : float
        The largest Euclidean norm, above 0.
    per : {"unit", "network"}, default="unit"
        Of the weights into every unit, or of all weights together.
    """

    limit: float
    per: Literal["unit", "network"] = "unit"

    def __post_init__(self) -> None:
        check_between("limit", self.limit, 0.0, open_low=True, open_high=True)
        check_name("per", self.per, ("unit", "network"))
