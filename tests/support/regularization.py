"""What the tests of regularisation, normalisation and curvature share: networks of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from deltarule import ELU, L1, L2, BatchNorm, Dense, Dropout, Huber, LeakyReLU, Network, Quantile
from deltarule.program import BatchSchedule, Block, State
from deltarule.program.opcodes import Op
from deltarule.reference import Reference
from deltarule.reference.activations import ELEMENTWISE
from deltarule.reference.losses import LOSSES as LOSS_RULES
from deltarule.spec import ACTIVATIONS
from support.networks import HEADS, least_outputs, random_data, random_state

HIDDEN = (*ACTIVATIONS, LeakyReLU(0.3), ELU(0.7))
"""Activations of hidden layers, softmax among them."""


@st.composite
def regularised_networks(draw: st.DrawFn, max_hidden: int = 3) -> Network:
    """Draw a network with any mixture of batch norm, dropout, penalties, activations, losses."""
    name, output = draw(st.sampled_from(HEADS))
    layers: list[Any] = []
    for _ in range(draw(st.integers(0, max_hidden))):
        layers += draw(st.sampled_from([[], [], [Dropout(0.3)]]))
        norm = draw(
            st.none()
            | st.builds(BatchNorm, position=st.sampled_from(["pre_activation", "post_activation"]))
        )
        layers.append(
            Dense(draw(st.integers(1, 4)), draw(st.sampled_from(HIDDEN)), batch_norm=norm)
        )
    k = draw(st.integers(least_outputs(name, output), 3))
    loss: Any = name
    if name == "quantile" and k > 1 and draw(st.booleans()):
        loss = Quantile(tuple(np.linspace(0.2, 0.8, k)))
    if name == "huber" and draw(st.booleans()):
        loss = Huber(0.4)
    penalties = draw(
        st.lists(st.sampled_from([L2(0.3), L1(0.2), L2(0.5, normalization="batch")]), max_size=2)
    )
    return Network(draw(st.integers(1, 4)), [*layers, Dense(k, output)], loss, penalties)


def random_case(net: Network, n: int, seed: int) -> tuple[State, Block]:
    """Return a state of moderate size and weighted rows, in the loss's domain."""
    state, data = random_state(net, seed), random_data(net, n, seed)
    state.theta *= 0.5
    levels = net.n_outputs // net.n_targets  # of a quantile loss: outputs for each target
    return state, Block(data.x, np.repeat(data.y, levels, axis=1), data.weight)


def is_moderate(net: Network, state: State, block: Block) -> bool:
    """Whether no number on the way exceeds 100: else differences have nothing to hold on to."""
    reference = Reference(net.tape)
    contents = reference.trace(state, block.x, reference.training_pass(state, block)).contents
    return all(float(np.abs(content).max()) < 100 for content in contents)


def smooth_pieces(net: Network, state: State, block: Block) -> list[Any]:
    """Return on which side of every kink the network is: activations, residuals, weights.

    Two states with the same answer, and all between them, lie on one smooth piece of the cost.
    """
    reference = Reference(net.tape)
    contents = reference.trace(state, block.x, reference.training_pass(state, block)).contents
    sides: list[Any] = []
    for line in net.tape.instructions:
        if line.op == Op.ACTIVATE and line.code in ELEMENTWISE:
            sides += [contents[line.source] > kink for kink in ELEMENTWISE[line.code].kinks]
    kinks = LOSS_RULES[net.tape.loss.code].residual_kinks(net.tape.loss_constants)
    if kinks:
        sides += [contents[net.tape.loss.source] - block.y > kink for kink in kinks]
    if any(isinstance(penalty, L1) for penalty in net.penalties):
        sides.append(state.theta > 0)
    return sides


def moved(state: State, change: Any) -> State:
    """Return the state with θ moved, all else as it is."""
    other = state.copy()
    other.theta += change
    return other


def cost_gradient(net: Network, state: State, block: Block) -> Any:
    """Return the gradient of the cost, penalties included, by backpropagation."""
    reference = Reference(net.tape)
    return reference.cost(state, reference.gradient(state, block))[2]


def order_of(bounds: Any, rate: float = 0.1, rows: Any = None) -> BatchSchedule:
    """Return an order of the rows as they stand, cut at the given bounds."""
    cut = np.asarray(bounds, dtype=np.int64)
    taken = np.arange(cut[-1]) if rows is None else np.asarray(rows)
    return BatchSchedule(taken, cut, np.full(len(cut) - 1, rate))
