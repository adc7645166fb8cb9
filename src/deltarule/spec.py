"""What a network is: frozen descriptions, with no numbers that are learned.

A :class:`NetworkSpec` is a row of :class:`Dense` layers, a loss and penalties. It is lowered
to a tape (``deltarule.tape``), and the tape is what interpreters run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from deltarule.checks import check_between, check_name, check_positive_integer
from deltarule.errors import SpecError

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "L2",
    "LOSSES",
    "Dense",
    "Initializer",
    "LeakyReLU",
    "NetworkSpec",
    "Normal",
    "Uniform",
]

ACTIVATIONS = ("identity", "sigmoid", "tanh", "relu", "leaky_relu", "softmax", "exp")

INITIALIZERS = (
    "zeros",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
)

LOSSES: dict[str, tuple[str, ...]] = {
    "squared_error": ACTIVATIONS,
    "binary_cross_entropy": ("sigmoid",),
    "categorical_cross_entropy": ("softmax",),
    "poisson": ("exp",),
}
"""Every loss, with the output activations whose range lies in its domain."""


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
class Normal:
    """Initial weights drawn from N(0, scale²) (item I2)."""

    scale: float = 0.01

    def __post_init__(self) -> None:
        check_between("scale", self.scale, 0.0)


@dataclass(frozen=True)
class Uniform:
    """Initial weights drawn from U(-scale, scale) (item I2)."""

    scale: float = 0.01

    def __post_init__(self) -> None:
        check_between("scale", self.scale, 0.0)


Initializer: TypeAlias = str | Normal | Uniform | Callable[..., Any]
"""A name from ``INITIALIZERS``, a scale, or ``f(rng, fan_in, fan_out) -> (fan_in, fan_out)``."""


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: A_l = g(A_{l-1} W_l + b_l).

    Parameters
    ----------
    units : int
        Width d_l of the layer.
    activation : str or LeakyReLU, default="identity"
        g, by name: one of ``deltarule.spec.ACTIVATIONS``.
    initializer : str, Normal, Uniform or callable, optional
        How W_l is drawn. By default what fits the activation: He for rectifiers, Glorot for
        tanh, sigmoid and softmax, LeCun otherwise. Biases start at zero (item I1).

    Raises
    ------
    SpecError
        For a width below 1 or a name that does not exist.
    """

    units: int
    activation: str | LeakyReLU = "identity"
    initializer: Initializer | None = None

    def __post_init__(self) -> None:
        check_positive_integer("units", self.units)
        if not isinstance(self.activation, LeakyReLU):
            check_name("activation", self.activation, ACTIVATIONS)
        if isinstance(self.initializer, str):
            check_name("initializer", self.initializer, INITIALIZERS)
        elif not (
            self.initializer is None
            or isinstance(self.initializer, Normal | Uniform)
            or callable(self.initializer)
        ):
            raise SpecError(
                "initializer must be a name, Normal(scale), Uniform(scale) or a callable "
                f"f(rng, fan_in, fan_out); got {self.initializer!r}."
            )

    @property
    def activation_name(self) -> str:
        """The activation's name, whatever its parameters."""
        return "leaky_relu" if isinstance(self.activation, LeakyReLU) else self.activation


@dataclass(frozen=True)
class L2:
    """The penalty ½ s Σ‖W_l‖² on the mean loss; weights only, never biases (item R1).

    Parameters
    ----------
    strength : float
        s, with the sources' λ = s · n (n examples in the training set).
    per : {"mean", "batch"}, default="mean"
        What the strength multiplies. ``"mean"``: s as written. ``"batch"``: s is divided by
        the weight of the batch at each step, which is scikit-learn's ``alpha`` (erratum E-l).
    """

    strength: float
    per: Literal["mean", "batch"] = "mean"

    def __post_init__(self) -> None:
        check_between("strength", self.strength, 0.0, open_high=True)
        check_name("per", self.per, ("mean", "batch"))


@dataclass(frozen=True)
class NetworkSpec:
    """A feed-forward network: layers in a row, a loss, penalties and a number type.

    Parameters
    ----------
    n_inputs : int
        d, the number of features.
    layers : sequence of Dense
        At least one; the last is the output layer.
    loss : str, default="squared_error"
        One of ``deltarule.spec.LOSSES``; it must fit the output layer's activation.
    penalties : sequence of L2, default=()
        What is added to the mean loss.
    dtype : {"float64", "float32"}, default="float64"
        The type of θ and of every number computed from it.

    Raises
    ------
    SpecError
        For a network that cannot be; the message names the argument and the remedy.
    """

    n_inputs: int
    layers: Sequence[Dense]
    loss: str = "squared_error"
    penalties: Sequence[L2] = ()
    dtype: str = "float64"

    def __post_init__(self) -> None:
        check_positive_integer("n_inputs", self.n_inputs)
        if not isinstance(self.layers, Sequence) or isinstance(self.layers, str):
            raise SpecError(
                f"layers must be a list of layers such as Dense(10, 'relu'); got {self.layers!r}."
            )
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "penalties", tuple(self.penalties))
        if not self.layers:
            raise SpecError("layers must hold at least one layer, the output layer; got none.")
        for i, layer in enumerate(self.layers):
            if not isinstance(layer, Dense):
                raise SpecError(f"layers[{i}] must be a Dense layer; got {layer!r}.")
        for i, penalty in enumerate(self.penalties):
            if not isinstance(penalty, L2):
                raise SpecError(f"penalties[{i}] must be L2(strength); got {penalty!r}.")
        check_name("loss", self.loss, LOSSES)
        check_name("dtype", self.dtype, ("float32", "float64"))
        output = self.layers[-1].activation_name
        if output not in LOSSES[self.loss]:
            fits = " or ".join(repr(name) for name in LOSSES[self.loss])
            raise SpecError(
                f"loss={self.loss!r} needs an output layer with activation {fits}; the last "
                f"layer has {output!r}. Change its activation, or choose another loss."
            )

    @property
    def n_outputs(self) -> int:
        """Width of the output layer."""
        return self.layers[-1].units
