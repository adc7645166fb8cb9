"""An estimator's hidden layers and regularisation, and the network that they make."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from deltarule.errors import SpecError
from deltarule.network import Network
from deltarule.spec import (
    ACTIVATIONS,
    ELU,
    L1,
    L2,
    BatchNorm,
    Dense,
    Dropout,
    LeakyReLU,
    Loss,
    MaxNorm,
)
from deltarule.spec.optimizers import Minimizer, Optimizer, Rprop
from deltarule.utils.checks import check_name, shown

__all__ = [
    "Activation",
    "HiddenLayers",
    "Regularization",
    "build_network",
    "read_layers",
    "read_regularization",
]

Activation: TypeAlias = str | LeakyReLU | ELU

_OURS = {"logistic": "sigmoid"}
"""scikit-learn's names of activations, where they differ from the field's."""


class HiddenLayers(NamedTuple):
    """The hidden layers that an estimator's arguments ask for."""

    activations: tuple[Activation, ...]  # one for each layer
    sizes: tuple[int, ...]  # units of each layer
    dropout: tuple[float, ...]  # the rate after each layer
    batch_norm: bool
    input_dropout: float = 0.0
    last: Activation = "relu"  # what scikit-learn initialises the output layer for

    @property
    def drops(self) -> bool:
        """Whether training draws dropout masks."""
        return self.input_dropout > 0 or any(rate > 0 for rate in self.dropout)

    @property
    def normalizes(self) -> bool:
        """Whether a layer is normalised over the mini-batch."""
        return self.batch_norm and bool(self.sizes)


class Regularization(NamedTuple):
    """Penalties and constraints on the weights."""

    alpha: float
    l1: float = 0.0
    proximal: bool = True  # whether ``l1`` sets small weights to exactly zero
    max_norm: float | None = None


def read_layers(
    activation: Any,
    hidden_layer_sizes: Any,
    dropout: Any,
    batch_norm: Any,
    input_dropout: Any = 0.0,
) -> HiddenLayers:
    """Return the hidden layers, checked; the arguments are the estimators'."""
    sizes = _read_sizes(hidden_layer_sizes)
    activations = _read_activations(activation, len(sizes))
    single = isinstance(activation, Activation)
    return HiddenLayers(
        activations,
        sizes,
        _read_rates(dropout, len(sizes)),
        bool(batch_norm),
        _read_rates([input_dropout], 1)[0],
        activation if single else (activations[-1] if activations else "relu"),
    )


def read_regularization(given: Mapping[str, Any], solver: Optimizer | Minimizer) -> Regularization:
    """Return what ``alpha``, ``l1`` and ``max_norm`` ask for.

    Rprop has no learning rate, so that its steps cannot end in a proximal step.
    """
    limit = given["max_norm"]
    return Regularization(
        float(given["alpha"]),
        float(given["l1"]),
        not isinstance(solver, Rprop),
        None if limit is None else float(limit),
    )


def _read_sizes(given: Any) -> tuple[int, ...]:
    sizes = list(given) if hasattr(given, "__iter__") else [given]
    if not all(isinstance(size, Integral) for size in sizes):
        raise ValueError(f"hidden_layer_sizes must hold integers; got {sizes}.")
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return tuple(int(size) for size in sizes)


def _read_activations(given: Any, n_hidden: int) -> tuple[Activation, ...]:
    if isinstance(given, Activation):
        found = [given] * n_hidden
    else:
        found = given.tolist() if isinstance(given, np.ndarray) else list(given)
    if len(found) != n_hidden:
        raise SpecError(
            "activation must be one for all hidden layers, or a list with one for each of the "
            f"{n_hidden}; got {found}."
        )
    for name in found:
        if callable(name):
            raise SpecError(
                f"activation holds the function {shown(name)}; estimators take names, which model "
                "files can hold. Use a Network with Dense(units, f) and deltarule.train for a "
                "function of your own."
            )
        if not isinstance(name, LeakyReLU | ELU):
            check_name("activation", name, {*ACTIVATIONS, *_OURS})
    return tuple(found)


def _read_rates(given: Any, n_hidden: int) -> tuple[float, ...]:
    given = given.tolist() if isinstance(given, np.ndarray) else given
    rates = list(given) if hasattr(given, "__iter__") else [given] * n_hidden
    if len(rates) != n_hidden:
        raise SpecError(
            f"dropout must be one rate for all hidden layers, or a list with one for each of the "
            f"{n_hidden}; got {rates}."
        )
    for rate in rates:
        if not isinstance(rate, Real) or isinstance(rate, bool) or not 0 <= float(rate) < 1:
            raise SpecError(
                f"dropout must hold rates in [0, 1), the share of units dropped; got {rates}."
            )
    return tuple(float(rate) for rate in rates)


def build_network(
    hidden: HiddenLayers,
    output: tuple[str, Loss],
    regularization: Regularization,
    *,
    n_inputs: int,
    n_outputs: int,
    dtype: str,
) -> Network:
    """Return the network; ``output`` is the output layer's activation and the loss."""
    norm = BatchNorm() if hidden.batch_norm else None
    layers: list[Dense | Dropout] = []
    if hidden.input_dropout > 0:
        layers.append(Dropout(keep=1 - hidden.input_dropout))
    for size, given, rate in zip(hidden.sizes, hidden.activations, hidden.dropout, strict=True):
        activation = _OURS.get(given, given) if isinstance(given, str) else given
        layers.append(Dense(size, activation, batch_norm=norm))
        if rate > 0:
            layers.append(Dropout(keep=1 - rate))
    penalties: list[L1 | L2] = [L2(regularization.alpha, normalization="batch")]
    if regularization.l1 > 0:
        penalties.append(
            L1(regularization.l1, normalization="batch", proximal=regularization.proximal)
        )
    limit = regularization.max_norm
    return Network(
        n_inputs,
        [*layers, Dense(n_outputs, output[0])],
        loss=output[1],
        penalties=penalties,
        constraints=[] if limit is None else [MaxNorm(limit, per="unit")],
        dtype=dtype,
    )
