"""From an estimator's arguments to its network, and the state that the network begins with."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from deltarule.arrays import aligned
from deltarule.errors import DataError, SpecError
from deltarule.network import Network
from deltarule.parts import L2, BatchNorm, Dense, Dropout
from deltarule.program import Block, State
from deltarule.tape import Parameter

__all__ = [
    "Hidden",
    "begin_state",
    "build_network",
    "check_rows",
    "check_solver",
    "draw_seed",
    "kind_of",
    "read_hidden",
]

_OURS = {"logistic": "sigmoid"}
"""scikit-learn's names of activations, where they differ from the field's."""


class Hidden(NamedTuple):
    """The hidden layers that an estimator's arguments ask for."""

    activation: str  # scikit-learn's name
    sizes: tuple[int, ...]
    dropout: tuple[float, ...]  # the rate behind each layer
    batch_norm: bool

    @property
    def drops(self) -> bool:
        """Whether training draws masks."""
        return any(rate > 0 for rate in self.dropout)

    @property
    def normalizes(self) -> bool:
        """Whether there are statistics of batches."""
        return self.batch_norm and bool(self.sizes)


def read_hidden(activation: Any, hidden_layer_sizes: Any, dropout: Any, batch_norm: Any) -> Hidden:
    """Return the hidden layers, checked; the arguments are the estimators'."""
    sizes = _read_sizes(hidden_layer_sizes)
    return Hidden(str(activation), sizes, _read_rates(dropout, len(sizes)), bool(batch_norm))


def _read_sizes(given: Any) -> tuple[int, ...]:
    sizes = list(given) if hasattr(given, "__iter__") else [given]
    if not all(isinstance(size, Integral) for size in sizes):
        raise ValueError(f"hidden_layer_sizes must hold integers; got {sizes}.")
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return tuple(int(size) for size in sizes)


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


def check_solver(hidden: Hidden, solver: str) -> None:
    """Refuse layers that L-BFGS cannot train."""
    if solver != "lbfgs":
        return
    if hidden.drops:
        raise SpecError(
            f"dropout={list(hidden.dropout)} does not go with solver='lbfgs', whose line searches "
            "need a cost that random masks do not change. Set solver='adam' or 'sgd', or dropout=0."
        )
    if hidden.normalizes:
        raise SpecError(
            "batch_norm=True does not go with solver='lbfgs', which has no mini-batches to gather "
            "statistics over. Set solver='adam' or 'sgd', or batch_norm=False."
        )


def check_rows(hidden: Hidden, block: Block, batch_size: int | str) -> None:
    """Refuse what batch norm finds no variance in."""
    if not hidden.normalizes:
        return
    rows = block.n_rows if block.weight is None else int(np.count_nonzero(block.weight))
    if rows < 2:
        raise DataError(
            "batch_norm=True needs at least 2 samples of non-zero weight, since one sample has no "
            f"variance; got n_samples={rows}. Give more rows, or set batch_norm=False."
        )
    if batch_size == 1:
        raise SpecError(
            "batch_size must be at least 2 with batch_norm=True; got 1: one row has no variance."
        )


def build_network(
    hidden: Hidden,
    output: tuple[str, str],
    *,
    n_inputs: int,
    n_outputs: int,
    alpha: float,
    dtype: str,
) -> Network:
    """Return the network; ``output`` names the output layer's activation and the loss."""
    activation = _OURS.get(hidden.activation, hidden.activation)
    norm = BatchNorm() if hidden.batch_norm else None
    layers: list[Dense | Dropout] = []
    for size, rate in zip(hidden.sizes, hidden.dropout, strict=True):
        layers.append(Dense(size, activation, batch_norm=norm))
        if rate > 0:
            layers.append(Dropout(keep=1 - rate))
    return Network(
        n_inputs,
        [*layers, Dense(n_outputs, output[0])],
        loss=output[1],
        penalties=[L2(alpha, per="batch")],
        dtype=dtype,
    )


def begin_state(network: Network, hidden: Hidden, random_state: np.random.RandomState) -> State:
    """Draw θ as scikit-learn does: layer by layer, from Glorot's bounds, biases included.

    γ = 1 and β = 0 take no draw. The seed of dropout's masks is drawn last, and only if there are
    any, so that the parameters are those of the same network without dropout.
    """
    factor = 2.0 if hidden.activation == "logistic" else 6.0
    pieces, bound = [], 0.0
    for p in network.tape.parameters:
        kind = kind_of(p)
        if kind == "W":
            bound = np.sqrt(factor / sum(p.shape))  # of the layer's bias, too
        if kind in ("W", "b"):
            pieces.append(random_state.uniform(-bound, bound, p.shape).ravel())
        else:
            pieces.append(np.full(p.shape, 1.0 if kind == "gamma" else 0.0))
    theta = aligned(np.concatenate(pieces), network.dtype)
    return State(theta, seed=draw_seed(random_state) if hidden.drops else 0)


def draw_seed(random_state: np.random.RandomState) -> int:
    """Return the key of dropout's masks."""
    return int(random_state.randint(2**31))


def kind_of(parameter: Parameter) -> str:
    """Return "W", "b", "gamma" or "beta": a parameter's name without its layer's number."""
    return parameter.name.rstrip("0123456789")
