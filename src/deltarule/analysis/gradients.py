"""The gradient check for a network and data of the user (item B4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from deltarule.network import Network
from deltarule.network.data import make_block
from deltarule.program import Block, State
from deltarule.program.state_checks import check_theta
from deltarule.reference.gradient_check import GradientCheck, check_tape
from deltarule.spec import check_network
from deltarule.utils.arrays import Array, is_array, to_numpy

__all__ = ["as_double", "check_gradients"]


def as_double(
    net: Network, state: State, X: Array, y: Any, sample_weight: Any = None
) -> tuple[Network, State, Block]:
    """Return the network, state and rows in float64, for exact analysis."""
    check_network(net)
    double = replace(net, dtype="float64")
    check_theta(state, net.tape)
    theta = np.array(to_numpy(state.theta), dtype=np.float64)
    rows = to_numpy(X) if is_array(X) else X
    block, _ = make_block(double, rows, y, sample_weight, smoothed=True)
    return double, replace(state, theta=theta, optimizer_state=None), block


def check_gradients(
    net: Network,
    state: State,
    X: Array,
    y: Any,
    *,
    sample_weight: Any = None,
    epsilon: float = 1e-6,
    tolerance: float = 1e-7,
    max_parameters: int = 2000,
    seed: int = 0,
) -> GradientCheck:
    """Return a comparison of backpropagation with central differences (item B4).

    The check runs in float64, whatever the network's type, and like a training step: batch norm
    uses the statistics of the batch, and dropout the fixed masks of the state's seed and step. For
    more than ``max_parameters`` parameters, a sample drawn with ``seed`` from every named array is
    compared.

    Parameters
    ----------
    net : Network
        The network.
    state : State
        Its parameters, for example after :func:`deltarule.train`.
    X : (n, d) array
        Inputs.
    y : (n,) or (n, k) array
        Targets, as in :func:`deltarule.train`.
    sample_weight : (n,) array, optional
        Weights of the rows.
    epsilon : float, default=1e-6
        The step of coordinate i is epsilon max(1, |θ_i|).
    tolerance : float, default=1e-7
        The relative error ‖g_num − g‖ / (‖g_num‖ + ‖g‖) up to which the gradient is right.
    max_parameters : int, default=2000
        The most parameters that are compared.
    seed : int, default=0
        Of the sample, if the network has more.

    Returns
    -------
    check : GradientCheck
        Its ``verdict`` is "right", "wrong" or "cannot tell"; ``str(check)`` explains it.

    Examples
    --------
    >>> import numpy as np
    >>> from deltarule import Dense, Network, check_gradients
    >>> net = Network(3, [Dense(4, "tanh"), Dense(2, "softmax")], "categorical_cross_entropy")
    >>> X = np.random.default_rng(0).normal(size=(5, 3))
    >>> check_gradients(net, net.initialize(0), X, np.array([0, 1, 0, 1, 1])).verdict
    'right'
    """
    double, at, block = as_double(net, state, X, y, sample_weight)
    return check_tape(
        double.tape,
        at,
        block,
        epsilon=epsilon,
        tolerance=tolerance,
        max_parameters=max_parameters,
        seed=seed,
    )
