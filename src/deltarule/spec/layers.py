"""Layers: dense layers, batch normalisation, dropout and scaling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deltarule.errors import SpecError
from deltarule.spec.activations import ACTIVATIONS, ELU, LeakyReLU, Parametric
from deltarule.spec.custom import CustomActivation, Function
from deltarule.spec.initializers import (
    INITIALIZERS,
    ConstantInitializer,
    Initializer,
    Normal,
    Uniform,
)
from deltarule.utils.checks import (
    check_between,
    check_call,
    check_name,
    check_positive_integer,
    shown,
)

__all__ = ["BatchNorm", "Dense", "Dropout", "Scale"]


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation of a dense layer, per unit (items N1-N3; Ioffe & Szegedy 2015).

    Parameters
    ----------
    position : {"pre_activation", "post_activation"}, default="pre_activation"
        Whether the batch is normalised before the activation or after it. Before the activation
        the layer has no bias of its own: β replaces it.
    inference_statistics : {"population", "running"}, default="population"
        The statistics that prediction normalises with: ``"population"`` is the mean over the last
        epoch's batches (of μ, and of the unbiased σ²), ``"running"`` exponential running averages.
    epsilon : float, default=1e-5
        ε > 0, added to the variance under the root.
    momentum : float, default=0.1
        Weight of the newest batch in a running average, in (0, 1].
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
    """Fully connected layer: A_l = g(A_{l-1} W_l + b_l).

    Parameters
    ----------
    units : int
        Width d_l of the layer, ≥ 1.
    activation : str, LeakyReLU, ELU, Parametric, CustomActivation or callable, default="identity"
        The activation g, or its name in ``deltarule.spec.ACTIVATIONS``. A function of your own
        becomes ``CustomActivation(f)``, and the network runs in the reference engine.
    initializer : str, Normal, Uniform, ConstantInitializer or callable, optional
        How W_l is drawn. The default depends on the activation: He for ReLU and its variants,
        Glorot for tanh, sigmoid and softmax, LeCun otherwise. Biases start at zero (item I1).
    batch_norm : BatchNorm, optional
        Batch normalisation of this layer. The output layer cannot have one.

    Raises
    ------
    SpecError
        For a width below 1 or an unknown name.
    """

    units: int
    activation: str | LeakyReLU | ELU | Parametric | CustomActivation | Function = "identity"
    initializer: Initializer | None = None
    batch_norm: BatchNorm | None = None

    def __post_init__(self) -> None:
        check_positive_integer("units", self.units)
        if callable(self.activation) and not isinstance(self.activation, type):
            check_call("activation", self.activation, "f(z)", 1)
            object.__setattr__(self, "activation", CustomActivation(self.activation))
        elif not isinstance(self.activation, LeakyReLU | ELU | Parametric | CustomActivation):
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
                f"{shown(self.initializer)}."
            )
        if not (self.batch_norm is None or isinstance(self.batch_norm, BatchNorm)):
            raise SpecError(
                f"batch_norm must be BatchNorm() or None; got {shown(self.batch_norm)}."
            )

    @property
    def is_parametric(self) -> bool:
        """Whether its activation has a learned slope for every unit."""
        return isinstance(self.activation, Parametric)

    @property
    def plain_activation(self) -> str | LeakyReLU | ELU | CustomActivation | Function:
        """The activation g; of a parametric one, what it mixes with z."""
        given = self.activation
        return given.activation if isinstance(given, Parametric) else given

    @property
    def activation_name(self) -> str:
        """Name of the activation, without its parameter; "function f" for the user's f."""
        given = self.plain_activation
        match given:
            case LeakyReLU():
                return "leaky_relu"
            case ELU():
                return "elu"
            case CustomActivation():
                return f"function {given.name}"
        return str(given)

    @property
    def activation_range(self) -> str:
        """The set that contains the outputs (see ``ACTIVATIONS``)."""
        if isinstance(self.activation, CustomActivation):
            return self.activation.range
        return ACTIVATIONS[self.activation_name]

    @property
    def activation_constant(self) -> float:
        """Parameter of the activation; 0 if it has none."""
        name = self.activation_name
        if name == "leaky_relu":
            given = self.plain_activation
            return (given if isinstance(given, LeakyReLU) else LeakyReLU()).slope
        if name == "elu":
            given = self.plain_activation
            return (given if isinstance(given, ELU) else ELU()).alpha
        return 0.0


@dataclass(frozen=True, init=False)
class Dropout:
    """Dropout layer: drops units in training and scales the others by 1/keep (item R3).

    ``Dropout(0.2)`` drops 20 % of the units, as in PyTorch and Keras. As the first layer of a
    network it drops inputs. Prediction drops nothing ("inverted dropout").

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
                f"Dropout(keep=0.8); got rate={shown(rate)} and keep={shown(keep)}."
            )
        if rate is not None:
            keep = 1.0 - check_between("rate", rate, 0.0, 1.0, open_high=True)
        check_between("keep", keep, 0.0, 1.0, open_low=True)
        object.__setattr__(self, "keep", keep)


@dataclass(frozen=True)
class Scale:
    """Scaling layer: γ ⊙ A_{l-1}, with one learned factor for every unit, all 1 at first.

    As the first layer of a network it scales inputs, so that training can weigh features against
    each other (Holzmüller, Grinsztajn & Steinwart 2024). The factors have no penalties and do not
    decay.

    Examples
    --------
    >>> from deltarule import Dense, Network, Scale
    >>> net = Network(3, [Scale(), Dense(2, "relu"), Dense(1)])
    >>> net.parameters(net.initialize(0))["scale1"]
    array([1., 1., 1.])
    """
