"""Activations of every layer, and Jacobians of the outputs with respect to the inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from deltarule.network.data import check_inputs
from deltarule.program import State
from deltarule.program.lowering import lower
from deltarule.program.opcodes import Op
from deltarule.program.state_checks import check_theta
from deltarule.program.tape import Instruction
from deltarule.reference import Reference
from deltarule.reference.interpreter import quiet
from deltarule.spec import NetworkSpec
from deltarule.utils.arrays import Array, array_namespace, to_numpy
from deltarule.utils.blas import one_blas_thread

__all__ = ["input_gradients", "layer_activations"]


@one_blas_thread()
def layer_activations(net: NetworkSpec, state: State, X: Array) -> list[Any]:
    """Return A_1 … A_L (n, d_l) at prediction, without dropout; A_L are the outputs.

    With k members they are (n, k d_l), the members side by side.

    Parameters
    ----------
    net : NetworkSpec
        The network.
    state : State
        Its parameters and statistics.
    X : (n, d) array or CSR matrix
        Inputs.

    Examples
    --------
    >>> from deltarule import Dense, Network
    >>> net = Network(2, [Dense(3, "relu"), Dense(1)])
    >>> [a.shape for a in layer_activations(net, net.initialize(0), [[1.0, 2.0]])]
    [(1, 3), (1, 1)]
    """
    tape = lower(net)
    check_theta(state, tape)
    with quiet():
        contents = Reference(tape).trace(state, check_inputs(net, X), None).contents
    lines = (line for line in tape.instructions if line.op == Op.ACTIVATE)
    return [to_numpy(contents[line.target]) for line in lines]


@one_blas_thread()
def input_gradients(net: NetworkSpec, state: State, X: Array) -> Any:
    """Return ∂a_k/∂x_j for every row: the Jacobian of the outputs in the inputs, (n, k, d).

    Each output takes one reverse pass through the network as it predicts (item B2), which gives
    Jᵀ e_k for every row. At a kink, such as that of a rectifier at 0, the derivative is the one
    that training uses.

    Parameters
    ----------
    net : NetworkSpec
        The network.
    state : State
        Its parameters and statistics.
    X : (n, d) array or CSR matrix
        Inputs.

    Examples
    --------
    >>> import numpy as np
    >>> from deltarule import Dense, Network
    >>> net = Network(2, [Dense(1)])
    >>> state = net.initialize(0)
    >>> J = input_gradients(net, state, np.zeros((5, 2)))
    >>> bool((J[:, 0] == net.parameters(state)["W1"][:, 0]).all())
    True
    """
    tape = lower(net)
    check_theta(state, tape)
    reference = Reference(tape)
    x = check_inputs(net, X)
    xp = array_namespace(state.theta)
    n, k = int(x.shape[0]), tape.n_outputs
    jacobian = np.empty((n, k, tape.n_inputs), dtype=net.dtype)
    with quiet():
        trace = reference.trace(state, x, None)
        for unit in range(k):
            adjoint = xp.zeros((n, k), dtype=state.theta.dtype)
            adjoint[:, unit] = 1
            backwards = zip(
                reversed(tape.instructions[:-1]), reversed(trace.pullbacks), strict=True
            )
            for line, pullback in backwards:
                if line.op in (Op.PERIODIC, Op.BLOCKS):
                    source = trace.contents[line.source]
                    adjoint = reference.of_groups(line, state, source)[1](adjoint)[0]
                elif line is tape.first_trained:
                    adjoint = _before_first(reference, line, state, adjoint)
                elif line.weights >= 0:
                    adjoint = pullback(adjoint)[0]
                else:
                    adjoint = pullback(adjoint)
            jacobian[:, unit] = to_numpy(adjoint)
    return jacobian


def _before_first(reference: Reference, line: Instruction, state: State, adjoint: Array) -> Array:
    """Return the adjoint of what the first trained instruction reads, which training needs not."""
    first, second = reference.parameters(line, state.theta)
    xp = array_namespace(first)
    if line.op == Op.SCALE:
        return xp.reshape(first, (-1,)) * adjoint
    if line.op == Op.AFFINE and reference.tape.members == 1:
        return adjoint @ first.T
    n = adjoint.shape[0]
    apart = xp.permute_dims(reference.apart(adjoint), (1, 0, 2))  # (k, n, q)
    if line.op == Op.EXPAND:
        assert second is not None
        return xp.sum(second[:, None, :] * (apart @ first.T), axis=0)
    back = apart @ xp.permute_dims(first, (0, 2, 1))
    return xp.reshape(xp.permute_dims(back, (1, 0, 2)), (n, -1))
