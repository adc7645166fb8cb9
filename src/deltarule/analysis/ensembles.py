"""Dropout as an average of thinned networks: exact over all masks, or by sampling (item R3)."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np

from deltarule.errors import SpecError
from deltarule.network import Network
from deltarule.network.data import check_inputs
from deltarule.program import State
from deltarule.program.opcodes import Op
from deltarule.program.state_checks import check_theta
from deltarule.program.tape import Instruction
from deltarule.reference.dropout import mask
from deltarule.reference.interpreter import Reference
from deltarule.spec import check_network
from deltarule.utils.arrays import Array
from deltarule.utils.blas import one_blas_thread
from deltarule.utils.checks import check_positive_integer, check_seed

__all__ = ["DropoutAverage", "exact_dropout_mean", "monte_carlo_dropout"]

_MOST_UNITS = 16


class DropoutAverage(NamedTuple):
    """The mean and standard deviation of the outputs of the networks that dropout leaves."""

    mean: Any  # (n, k) mean output
    deviation: Any  # (n, k) standard deviation of the outputs


@one_blas_thread()
def exact_dropout_mean(net: Network, state: State, X: Array) -> DropoutAverage:
    """Return the mean and deviation over all 2^m masks of m units, weighted by probability.

    Prediction without dropout approximates this mean. It is equal to it if all layers after the
    dropout are affine, and differs if a nonlinearity follows (Ayrapetyan §4.2).

    Parameters
    ----------
    net : Network
        The network.
    state : State
        Its parameters, for example after :func:`deltarule.train`.
    X : (n, d) array
        Inputs.

    Raises
    ------
    SpecError
        If the network has no dropout, or more than 16 units that can be dropped: then use
        :func:`monte_carlo_dropout`.
    """
    check_network(net)
    check_theta(state, net.tape)
    lines = _dropouts(net)
    units = sum(line.n_in for line in lines)
    if units > _MOST_UNITS:
        raise SpecError(
            f"net must have at most {_MOST_UNITS} units that can be dropped; got {units}, "
            f"which have 2^{units} masks. Use monte_carlo_dropout, which samples masks."
        )
    x = check_inputs(net, X)
    total, square = 0.0, 0.0
    for bits in product((False, True), repeat=units):
        masks, probability, used = [], 1.0, 0
        for line in lines:
            kept = np.array(bits[used : used + line.n_in])
            used += line.n_in
            count = int(kept.sum())
            probability *= line.constant**count * (1 - line.constant) ** (line.n_in - count)
            masks.append(np.broadcast_to(kept, (x.shape[0], line.n_in)))
        if probability == 0:
            continue
        outputs = _masked_outputs(net, state, x, masks)
        total = total + probability * outputs
        square = square + probability * outputs**2
    return DropoutAverage(total, np.sqrt(np.maximum(square - np.asarray(total) ** 2, 0.0)))


@one_blas_thread()
def monte_carlo_dropout(
    net: Network, state: State, X: Array, *, n_draws: int = 100, seed: int = 0
) -> DropoutAverage:
    """Return the mean and deviation over masks that are drawn with ``seed`` for every row.

    The standard error of the mean is the deviation divided by √n_draws. The deviation is the
    uncertainty of Monte Carlo dropout (Gal & Ghahramani 2016).

    Parameters
    ----------
    net : Network
        The network.
    state : State
        Its parameters, for example after :func:`deltarule.train`.
    X : (n, d) array
        Inputs.
    n_draws : int, default=100
        The number of masks for each row.
    seed : int, default=0
        Of the masks.
    """
    check_network(net)
    check_positive_integer("n_draws", n_draws)
    seed = check_seed("seed", seed)
    check_theta(state, net.tape)
    lines, x = _dropouts(net), check_inputs(net, X)
    outputs = []
    for draw in range(n_draws):
        masks = [
            mask(line.constant, x.shape[0], line.n_in, seed=seed, step=draw, number=line.code)
            for line in lines
        ]
        outputs.append(_masked_outputs(net, state, x, masks))
    stacked = np.stack(outputs)
    return DropoutAverage(stacked.mean(axis=0), stacked.std(axis=0, ddof=min(1, n_draws - 1)))


def _dropouts(net: Network) -> list[Instruction]:
    lines = [line for line in net.tape.instructions if line.op == Op.DROPOUT]
    if not lines:
        raise SpecError("net must have a Dropout layer; it has none. Add Dropout to its layers.")
    return lines


def _masked_outputs(net: Network, state: State, x: Array, masks: list[Any]) -> Any:
    """Return the outputs of the network that the masks leave, with batch norm as at prediction."""
    reference = Reference(net.tape)
    return reference.trace(state, x, None, masks).contents[net.tape.output]
