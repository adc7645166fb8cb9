"""The state that an estimator's network begins with."""

from __future__ import annotations

from typing import Any

import numpy as np

from deltarule.arrays import aligned
from deltarule.estimators.layer_options import Activation, Hidden
from deltarule.initializers import draw_weights
from deltarule.network import Network
from deltarule.parts import Initializer
from deltarule.program import State
from deltarule.tape import Parameter

__all__ = ["begin_state", "draw_seed", "kind_of"]


def begin_state(
    network: Network, hidden: Hidden, weight_init: Any, random_state: np.random.RandomState
) -> State:
    """Draw θ: as scikit-learn does for "auto", else by one of our initialisers.

    γ = 1 and β = 0 take no draw. The seed of dropout's masks is drawn last, and only if there are
    any, so that the parameters are those of the same network without dropout.
    """
    if isinstance(weight_init, str) and weight_init == "auto":
        pieces = _as_scikit_learn(network, hidden, random_state)
    else:
        rng = np.random.default_rng(draw_seed(random_state))
        pieces = [_drawn(p, weight_init, rng) for p in network.tape.parameters]
    theta = aligned(np.concatenate([piece.ravel() for piece in pieces]), network.dtype)
    return State(theta, seed=draw_seed(random_state) if hidden.drops else 0)


def _as_scikit_learn(
    network: Network, hidden: Hidden, random_state: np.random.RandomState
) -> list[Any]:
    """Draw layer by layer from Glorot's bounds, biases included, in scikit-learn's order."""
    activations = [*hidden.activations, hidden.last]
    pieces, bound = [], 0.0
    for p in network.tape.parameters:
        kind = kind_of(p)
        if kind == "W":
            factor = _glorot_factor(activations[p.layer - 1])
            bound = np.sqrt(factor / sum(p.shape))  # of the layer's bias, too
        if kind in ("W", "b"):
            pieces.append(random_state.uniform(-bound, bound, p.shape))
        else:
            pieces.append(_at_rest(p))
    return pieces


def _glorot_factor(activation: Activation) -> float:
    return 2.0 if activation in ("logistic", "sigmoid") else 6.0


def _drawn(p: Parameter, initializer: Initializer, rng: np.random.Generator) -> Any:
    if not p.is_weights:
        return _at_rest(p)
    return draw_weights(initializer, p.shape[0], p.shape[1], rng)


def _at_rest(p: Parameter) -> Any:
    """Return γ = 1, and 0 for every other vector (item I1)."""
    return np.full(p.shape, 1.0 if kind_of(p) == "gamma" else 0.0)


def draw_seed(random_state: np.random.RandomState) -> int:
    """Return a seed for a generator of its own: of weights, or of dropout's masks."""
    return int(random_state.randint(2**31))


def kind_of(parameter: Parameter) -> str:
    """Return "W", "b", "gamma" or "beta": a parameter's name without its layer's number."""
    return parameter.name.rstrip("0123456789")
