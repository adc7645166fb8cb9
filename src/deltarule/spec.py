"""What a network is: frozen descriptions, with no numbers that are learned.

A :class:`NetworkSpec` is a row of layers, a loss, penalties and constraints. It is lowered to a
tape (``deltarule.tape``), and the tape is what interpreters run. The parts stand in
``deltarule.parts``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from deltarule.checks import check_name, check_positive_integer
from deltarule.errors import SpecError
from deltarule.parts import (
    ACTIVATIONS,
    L1,
    L2,
    LOSSES,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Dense,
    Dropout,
    Huber,
    Loss,
    MaxNorm,
    Quantile,
    loss_name,
)

__all__ = ["NetworkSpec"]

Layer: TypeAlias = Dense | Dropout
Penalty: TypeAlias = L1 | L2


@dataclass(frozen=True)
class NetworkSpec:
    """A feed-forward network: layers in a row, a loss, penalties and a number type.

    Parameters
    ----------
    n_inputs : int
        d, the number of features.
    layers : sequence of Dense and Dropout
        At least one Dense; the last layer is the output layer. A Dropout that comes first drops
        inputs.
    loss : str, Huber, Quantile, BinaryCrossEntropy or CategoricalCrossEntropy
        A name from ``deltarule.parts.LOSSES``, or a loss with its constants; its domain must hold
        the range of the output activation.
    penalties : sequence of L2 and L1, default=()
        What is added to the mean loss.
    constraints : sequence of MaxNorm, default=()
        What the weights are projected onto after every step.
    dtype : {"float64", "float32"}, default="float64"
        The type of θ and of every number computed from it.

    Raises
    ------
    SpecError
        For a network that cannot be; the message names the argument and the remedy.
    """

    n_inputs: int
    layers: Sequence[Layer]
    loss: Loss = "squared_error"
    penalties: Sequence[Penalty] = ()
    constraints: Sequence[MaxNorm] = ()
    dtype: str = "float64"

    def __post_init__(self) -> None:
        check_positive_integer("n_inputs", self.n_inputs)
        if not isinstance(self.layers, Sequence) or isinstance(self.layers, str):
            raise SpecError(
                f"layers must be a list of layers such as Dense(10, 'relu'); got {self.layers!r}."
            )
        for name in ("layers", "penalties", "constraints"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_name("dtype", self.dtype, ("float32", "float64"))
        self._check_layers()
        for i, penalty in enumerate(self.penalties):
            if not isinstance(penalty, L1 | L2):
                raise SpecError(f"penalties[{i}] must be L2(s) or L1(s); got {penalty!r}.")
        for i, constraint in enumerate(self.constraints):
            if not isinstance(constraint, MaxNorm):
                raise SpecError(f"constraints[{i}] must be MaxNorm(limit); got {constraint!r}.")
        self._check_loss()

    def _check_layers(self) -> None:
        if not self.layers:
            raise SpecError("layers must hold at least one layer, the output layer; got none.")
        for i, layer in enumerate(self.layers):
            if not isinstance(layer, Dense | Dropout):
                raise SpecError(f"layers[{i}] must be a Dense or Dropout layer; got {layer!r}.")
        output = self.layers[-1]
        if not isinstance(output, Dense):
            raise SpecError(
                f"layers must end with a Dense output layer; got {output!r}. Drop units before it."
            )
        if output.batch_norm is not None:
            raise SpecError(
                "the output layer cannot be batch-normalised (item N1): set its batch_norm=None."
            )

    def _check_loss(self) -> None:
        name = loss_name(self.loss)
        activation = self.output.activation_name
        domain = LOSSES[name]
        if ACTIVATIONS[activation] not in domain:
            fits = [a for a, values in ACTIVATIONS.items() if values in domain]
            raise SpecError(
                f"loss={name!r} needs outputs that are {' or '.join(domain)} numbers, so an output "
                f"layer with activation {', '.join(map(repr, fits))}; the last layer has "
                f"{activation!r}. Change its activation, or choose another loss."
            )
        if activation == "softmax" and name.endswith("cross_entropy") and self.n_outputs < 2:
            raise SpecError(
                "a softmax output layer needs at least 2 units, one a class; got 1. Use "
                "Dense(1, 'sigmoid') with loss='binary_cross_entropy' for two classes."
            )
        if isinstance(self.loss, Quantile) and self.n_outputs % len(self.loss.levels):
            raise SpecError(
                f"loss={self.loss!r} needs {len(self.loss.levels)} output units for each target; "
                f"the output layer has {self.n_outputs}."
            )

    @property
    def output(self) -> Dense:
        """The output layer."""
        layer = self.layers[-1]
        assert isinstance(layer, Dense)
        return layer

    @property
    def dense_layers(self) -> tuple[Dense, ...]:
        """The layers that have weights, in order."""
        return tuple(layer for layer in self.layers if isinstance(layer, Dense))

    @property
    def n_outputs(self) -> int:
        """Width of the output layer."""
        return self.output.units

    @property
    def n_targets(self) -> int:
        """Numbers in a row of targets: outputs, divided by the levels of a quantile loss."""
        levels = len(self.loss.levels) if isinstance(self.loss, Quantile) else 1
        return self.n_outputs // levels

    @property
    def label_smoothing(self) -> float:
        """By how much class targets are smoothed; 0 for losses without classes."""
        if isinstance(self.loss, BinaryCrossEntropy | CategoricalCrossEntropy):
            return self.loss.label_smoothing
        return 0.0

    @property
    def loss_constants(self) -> tuple[float, ...]:
        """Huber's corner, or the quantile of every output unit; else empty."""
        if isinstance(self.loss, Huber) or self.loss == "huber":
            return (self.loss.delta if isinstance(self.loss, Huber) else Huber().delta,)
        if isinstance(self.loss, Quantile) or self.loss == "quantile":
            levels = self.loss.levels if isinstance(self.loss, Quantile) else Quantile().levels
            return levels * (self.n_outputs // len(levels))
        return ()
