"""Batch norm folded into the neighbouring layers, for prediction (item N3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from deltarule.errors import SpecError
from deltarule.program import State
from deltarule.program.lowering import lower
from deltarule.program.opcodes import Op
from deltarule.program.state_checks import check_theta
from deltarule.program.tape import Instruction
from deltarule.spec import Dense, NetworkSpec, check_network
from deltarule.utils.arrays import Array, array_namespace

__all__ = ["fold_batch_norm"]

Spec = TypeVar("Spec", bound=NetworkSpec)


def fold_batch_norm(net: Spec, state: State) -> tuple[Spec, State]:
    """Return a network without batch norm, and its state, that predict the same.

    At prediction, each normalisation is the affine map x ↦ a x + c, a = γ/√(σ² + ε), c = β − a μ.
    A normalisation before the activation is folded into its own layer: W a and b a + c. One after
    the activation is folded into the next layer: diag(a) W and b + c W (Matt R §9; Ioffe &
    Szegedy 2015).

    A Scale layer between them stays: γ ⊙ (a x + c) = a γ ⊙ x + γ ⊙ c.

    Parameters
    ----------
    net : Network
        The network.
    state : State
        Its parameters and its statistics.

    Raises
    ------
    SpecError
        If a dropout follows a normalisation that comes after its activation.
    """
    check_network(net)
    tape = lower(net)
    check_theta(state, tape)
    layers = tuple(
        replace(layer, batch_norm=None) if isinstance(layer, Dense) else layer
        for layer in net.layers
    )
    folded = replace(net, layers=layers)
    if net.members > 1:  # these have no batch norm
        return folded, State(state.theta, seed=state.seed)
    folded_tape = lower(folded)
    xp = array_namespace(state.theta)
    theta = xp.zeros(folded_tape.n_parameters, dtype=state.theta.dtype)
    places = {p.name: slice(p.start, p.stop) for p in folded_tape.parameters}
    given_places = {p.start: (p.name, slice(p.start, p.stop)) for p in tape.parameters}
    after: tuple[Array, Array] | None = None  # the map to fold into the next layer
    number = scales = 0
    lines = tape.instructions
    for here, line in enumerate(lines):
        if line.op == Op.DROPOUT and after is not None:
            raise SpecError(
                "net has a dropout between a normalisation that follows its activation and the "
                "next layer, which cannot be folded. Move the dropout, or normalise before the "
                "activation."
            )
        if line.op == Op.SCALE:
            gamma, _ = _parameters(line, state.theta)
            scales += 1
            theta[places[f"scale{scales}"]] = gamma
            after = None if after is None else (after[0], gamma * after[1])
        if line.op in (Op.PERIODIC, Op.BLOCKS, Op.ACTIVATE):
            for start in (line.weights, line.bias):
                if start >= 0:
                    name, given = given_places[start]
                    theta[places[name]] = state.theta[given]
        if line.op != Op.AFFINE:
            continue
        number += 1
        w, b = _parameters(line, state.theta)
        b = xp.zeros(line.n_out, dtype=w.dtype) if b is None else b
        if after is not None:
            a, c = after
            b, w, after = b + xp.sum(c[:, None] * w, axis=0), a[:, None] * w, None
        follower = lines[here + 1]
        if follower.op == Op.NORMALIZE:
            a, c = _affine_of(follower, state)
            w, b = w * a, b * a + c
        elif here + 2 < len(lines) and lines[here + 2].op == Op.NORMALIZE:
            after = _affine_of(lines[here + 2], state)
        for name, value in ((f"W{number}", w), (f"b{number}", b)):
            theta[places[name]] = xp.reshape(value, (-1,))
    return folded, State(theta, seed=state.seed)


def _affine_of(line: Instruction, state: State) -> tuple[Array, Array]:
    """Return (a, c) of a normalisation at prediction: its values at x = 1 and x = 0."""
    gamma, beta = _parameters(line, state.theta)
    mu = state.buffers.get(f"{line.code}.mean", 0 * gamma)
    sigma2 = state.buffers.get(f"{line.code}.variance", 0 * gamma + 1)
    a = gamma / array_namespace(gamma).sqrt(sigma2 + line.constant)
    return a, beta - a * mu


def _parameters(line: Instruction, theta: Array) -> tuple[Array, Array | None]:
    """Return an instruction's (W, b) or (γ, β); b may be absent."""
    xp = array_namespace(theta)
    shape = (line.n_in, line.n_out) if line.op == Op.AFFINE else (line.n_out,)
    size = line.n_in * line.n_out if line.op == Op.AFFINE else line.n_out
    first = xp.reshape(theta[line.weights : line.weights + size], shape)
    return first, None if line.bias < 0 else theta[line.bias : line.bias + line.n_out]
