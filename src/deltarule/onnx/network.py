"""The layers of a network as a graph, up to the logits, and scaling of inputs and outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from deltarule.onnx.features import append_groups
from deltarule.onnx.graph import Graph
from deltarule.onnx.operators import activate
from deltarule.program import State
from deltarule.program.folding import fold_batch_norm
from deltarule.program.lowering import lower
from deltarule.program.opcodes import Op
from deltarule.program.tape import Instruction, Tape
from deltarule.spec import NetworkSpec
from deltarule.utils.arrays import to_numpy

__all__ = ["Scaling", "append_network", "standardize", "unstandardize"]


class Scaling(NamedTuple):
    """The means and scales of columns, for (x − mean)/scale and its inverse."""

    mean: Any  # (d,)
    scale: Any  # (d,), above 0


def append_network(g: Graph, x: str, spec: NetworkSpec, state: State) -> tuple[str, Instruction]:
    """Append all layers up to the logits; return them and the output activation's instruction.

    The logits of k members are (k, batch, width).
    Dropout is omitted, and batch norm is folded into the weights, in float64 for every type.
    """
    bare = replace(spec, layers=spec.predicting_layers, penalties=(), constraints=())
    exact = State(
        to_numpy(state.theta).astype(np.float64),
        buffers={name: to_numpy(array) for name, array in state.buffers.items()},
    )
    folded, moved = fold_batch_norm(bare, exact)
    tape = lower(folded)
    parameters = {p.start: (p.name, view) for p, view in tape.views(moved.theta)}
    layer = 0
    for line in tape.instructions[: tape.logits]:  # instruction i writes register i + 1
        layer += line.op in (Op.AFFINE, Op.EXPAND, Op.HEADS)
        with g.part(f"layer{layer}"):
            if tape.members > 1:
                x = _append_members(g, x, tape, line, parameters)
            elif line.op == Op.AFFINE:
                w, b = (g.numbers(*parameters[start]) for start in (line.weights, line.bias))
                x = g.node("Gemm", x, w, b)
            elif line.op in (Op.PERIODIC, Op.BLOCKS):
                x = append_groups(g, x, line, tape.groups[line.code], parameters)
            elif line.op == Op.SCALE:
                x = g.node("Mul", x, g.numbers(*parameters[line.weights]))
            elif line.weights >= 0:
                bend = g.node("Sub", activate(g, line.code, x, line.constant), x)
                x = g.node("Add", x, g.node("Mul", bend, g.numbers(*parameters[line.weights])))
            else:
                x = activate(g, line.code, x, line.constant)
    return x, tape.output_activation


def _append_members(
    g: Graph, x: str, tape: Tape, line: Instruction, parameters: dict[int, tuple[str, Any]]
) -> str:
    """Append an instruction of members, on values (members, batch, width).

    ``Softmax`` and the other activations then work on the last axis, of every member.
    """

    def factors(start: int) -> str:
        name, values = parameters[start]
        return g.numbers(name, values[:, None, :])  # (k, 1, width), for every row

    match line.op:
        case Op.REPEAT:
            return g.node("Unsqueeze", x, g.integers("axis", [0]))
        case Op.EXPAND:
            repeated = g.node("Unsqueeze", x, g.integers("axis", [0]))
            scaled = g.node("Mul", repeated, factors(line.bias))
            return g.node("MatMul", scaled, g.numbers(*parameters[line.weights]))
        case Op.SCALE:
            x = g.node("Mul", x, factors(line.weights))
            return x if line.bias < 0 else g.node("Add", x, factors(line.bias))
        case Op.AFFINE:
            return g.node("MatMul", x, g.numbers(*parameters[line.weights]))
        case Op.HEADS:
            z = g.node("MatMul", x, g.numbers(*parameters[line.weights]))
            return g.node("Add", z, factors(line.bias))
    return activate(g, line.code, x, line.constant)


def standardize(g: Graph, x: str, scaling: Scaling) -> str:
    """Append (x − mean)/scale, and return its value.

    In float32, the mean is subtracted in two parts. Otherwise, the rounding error of the mean would
    matter for large numbers with a small spread, such as years.
    """
    mean = np.asarray(scaling.mean, dtype=np.float64)
    rounded = mean.astype(g.dtype).astype(np.float64)
    if mean.any():
        x = g.node("Sub", x, g.numbers("mean", mean))
        if (mean != rounded).any() and np.isfinite(rounded).all():
            x = g.node("Sub", x, g.numbers("mean_remainder", mean - rounded))
    return g.node("Div", x, g.divisors("scale", scaling.scale))


def unstandardize(g: Graph, z: str, scaling: Scaling) -> str:
    """Append z · scale + mean, and return its value."""
    return g.node(
        "Add",
        g.node("Mul", z, g.numbers("scale", scaling.scale)),
        g.numbers("mean", scaling.mean),
    )
