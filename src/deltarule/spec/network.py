"""The specification of a whole network, checked when it is created."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from deltarule.errors import SpecError
from deltarule.spec.activations import ACTIVATIONS
from deltarule.spec.custom import CustomLoss
from deltarule.spec.feature_layers import Embedding, Periodic, check_place
from deltarule.spec.layers import Dense, Dropout, Scale
from deltarule.spec.losses import (
    LOSSES,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Huber,
    Loss,
    Quantile,
    loss_name,
)
from deltarule.spec.regularization import L1, L2, MaxNorm
from deltarule.utils.checks import (
    check_call,
    check_name,
    check_positive_integer,
    check_sequence,
    shown,
)

__all__ = ["NetworkSpec", "check_network"]

Layer: TypeAlias = Dense | Dropout | Scale | Periodic | Embedding
Penalty: TypeAlias = L1 | L2

_MOST_WEIGHTS = 2**48  # 2 PiB


def check_network(net: Any) -> None:
    """Raise ``SpecError`` unless it is a network."""
    if not isinstance(net, NetworkSpec):
        raise SpecError(f"net must be a Network(n_inputs, layers, loss); got {shown(net)}.")


@dataclass(frozen=True)
class NetworkSpec:
    """Specification of a feed-forward network: layers in order, a loss, penalties and a dtype.

    Parameters
    ----------
    n_inputs : int
        Number d of features, ≥ 1.
    layers : sequence of Dense, Dropout, Scale, Periodic and Embedding
        At least one Dense; the last layer is the output layer. A Dropout in the first position
        drops inputs. Periodic and Embedding come before the first Dense.
    loss : str, Huber, Quantile, BinaryCrossEntropy, CategoricalCrossEntropy, CustomLoss or callable
        A name of ``deltarule.spec.LOSSES``, or a loss with its constants. Its domain must contain
        the range of the output activation. A function of your own becomes ``CustomLoss(f)``.
    penalties : sequence of L2 and L1, default=()
        Terms that are added to the mean loss.
    constraints : sequence of MaxNorm, default=()
        Constraints that the weights are projected onto after every step.
    dtype : {"float64", "float32"}, default="float64"
        Type of θ and of every number computed from it.
    members : int, default=1
        k, the number of members of the network. Hidden layers of k > 1 members share W, and each
        member has factors r_i and s_i and a bias: y_i = g(((x_i ⊙ r_i) W) ⊙ s_i + b_i). Output
        layers share nothing. Training minimises the mean of the members' losses; prediction is
        the mean of their outputs (TabM; Gorishniy et al. 2025).

    Raises
    ------
    SpecError
        For a network that cannot be built; the message names the argument and the remedy.
    """

    n_inputs: int
    layers: Sequence[Layer]
    loss: Loss = "squared_error"
    penalties: Sequence[Penalty] = ()
    constraints: Sequence[MaxNorm] = ()
    dtype: str = "float64"
    members: int = 1

    def __post_init__(self) -> None:
        check_positive_integer("n_inputs", self.n_inputs)
        for name, example in (
            ("layers", "Dense(10, 'relu')"),
            ("penalties", "L2(1e-4)"),
            ("constraints", "MaxNorm(3.0)"),
        ):
            what = f"a list of {name} such as {example}"
            items = check_sequence(name, getattr(self, name), what)
            object.__setattr__(self, name, items)
        check_name("dtype", self.dtype, ("float32", "float64"))
        check_positive_integer("members", self.members)
        self._check_layers()
        for i, penalty in enumerate(self.penalties):
            if not isinstance(penalty, L1 | L2):
                raise SpecError(f"penalties[{i}] must be L2(s) or L1(s); got {shown(penalty)}.")
        for i, constraint in enumerate(self.constraints):
            if not isinstance(constraint, MaxNorm):
                raise SpecError(
                    f"constraints[{i}] must be MaxNorm(limit); got {shown(constraint)}."
                )
        self._check_loss()

    def _check_layers(self) -> None:
        if not self.layers:
            raise SpecError("layers must hold at least one layer, the output layer; got none.")
        for i, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise SpecError(
                    f"layers[{i}] must be a Dense, Dropout, Scale, Periodic or Embedding layer; "
                    f"got {shown(layer)}."
                )
            if self.members > 1 and isinstance(layer, Dense) and layer.batch_norm is not None:
                raise SpecError(
                    f"batch_norm={layer.batch_norm!r} of layers[{i}] does not go with "
                    f"members={self.members}: the factors of a member already scale every unit. "
                    "Set batch_norm=None, or members=1."
                )
        features = self.n_inputs
        for i, layer in enumerate(self.layers):
            if isinstance(layer, Periodic | Embedding):
                before = any(isinstance(one, Dense) for one in self.layers[:i])
                features = check_place(layer, i, features, self.members, follows_dense=before)
        widths = [features, *(layer.units for layer in self.dense_layers)]
        if self.members * sum(a * b for a, b in pairwise(widths)) >= _MOST_WEIGHTS:
            raise SpecError(
                "n_inputs and the units of the layers must give fewer than 2**48 weights; got "
                f"widths {shown(widths)}. Use narrower layers."
            )
        output = self.layers[-1]
        if not isinstance(output, Dense):
            raise SpecError(
                f"layers must end with a Dense output layer; got {output!r}. Put the "
                f"{type(output).__name__} before the output layer."
            )
        if output.is_parametric:
            raise SpecError(
                f"the output layer cannot have a parametric activation; got {output!r}. Use "
                f"{output.activation_name!r}, whose range the loss knows."
            )
        if self.members > 1 and any(layer.is_parametric for layer in self.dense_layers):
            raise SpecError(
                f"parametric activations do not go with members={self.members}, which have factors "
                "of their own. Set members=1, or take the plain activation."
            )
        if output.batch_norm is not None:
            raise SpecError(
                "the output layer cannot have batch normalisation (item N1); got "
                f"batch_norm={output.batch_norm!r}. Set batch_norm=None."
            )

    def _check_loss(self) -> None:
        if callable(self.loss) and not isinstance(self.loss, type):
            check_call("loss", self.loss, "f(a, y)", 2)
            object.__setattr__(self, "loss", CustomLoss(self.loss))
        name = loss_name(self.loss)
        if isinstance(self.loss, CustomLoss):
            return  # its domain is the user's
        activation = self.output.activation_name
        domain = LOSSES[name]
        if self.output.activation_range not in domain:
            fits = [a for a, values in ACTIVATIONS.items() if values in domain]
            raise SpecError(
                f"loss={name!r} needs {' or '.join(domain)} outputs, so the last layer must have "
                f"one of the activations {', '.join(map(repr, fits))}; got {activation!r}. Change "
                "the activation, or choose another loss."
            )
        if activation == "softmax" and name.endswith("cross_entropy") and self.n_outputs < 2:
            raise SpecError(
                "a softmax output layer needs at least 2 units, one per class; got 1. Use "
                "Dense(1, 'sigmoid') with loss='binary_cross_entropy' for two classes."
            )
        if isinstance(self.loss, Quantile) and self.n_outputs % len(self.loss.levels):
            raise SpecError(
                f"loss={self.loss!r} needs {len(self.loss.levels)} output units for each target; "
                f"the output layer has {self.n_outputs}. Change its width to a multiple of that."
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
    def predicting_layers(self) -> tuple[Layer, ...]:
        """The layers that act in prediction: all but dropout."""
        return tuple(layer for layer in self.layers if not isinstance(layer, Dropout))

    @property
    def n_outputs(self) -> int:
        """Width of the output layer."""
        return self.output.units

    @property
    def n_targets(self) -> int:
        """Width of a row of targets: that of the outputs, divided by the number of quantiles."""
        levels = len(self.loss.levels) if isinstance(self.loss, Quantile) else 1
        return self.n_outputs // levels

    @property
    def label_smoothing(self) -> float:
        """Label smoothing of the loss; 0 for losses without classes."""
        if isinstance(self.loss, BinaryCrossEntropy | CategoricalCrossEntropy):
            return self.loss.label_smoothing
        return 0.0

    @property
    def loss_constants(self) -> tuple[float, ...]:
        """Huber's delta, or the quantile of every output unit; empty for other losses."""
        if isinstance(self.loss, Huber) or self.loss == "huber":
            return (self.loss.delta if isinstance(self.loss, Huber) else Huber().delta,)
        if isinstance(self.loss, Quantile) or self.loss == "quantile":
            levels = self.loss.levels if isinstance(self.loss, Quantile) else Quantile().levels
            return levels * (self.n_outputs // len(levels))
        return ()
