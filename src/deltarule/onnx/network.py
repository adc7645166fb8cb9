"""The layers of a network as a graph, up to the logits, and scaling of inputs and outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from deltarule.onnx.graph import Graph
from deltarule.onnx.operators import activate
from deltarule.program import State
from deltarule.program.folding import fold_batch_norm
from deltarule.program.lowering import lower
from deltarule.program.opcodes import Op
from deltarule.program.tape import Instruction
from deltarule.spec import NetworkSpec
from deltarule.utils.arrays import to_numpy

__all__ = ["Scaling", "append_network", "standardize", "unstandardize"]


class Scaling(NamedTuple):
    """The means and scales of columns, for (x − mean)/scale and its inverse."""

    mean: Any  # (d,)
    scale: Any  # (d,), above 0


def append_network(g: Graph, x: str, spec: NetworkSpec, state: State) -> tuple[str, Instruction]:
    """Append all layers up to the logits; return them and the output activation's instruction.

    Dropout is omitted, and batch norm is folded into the weights, in float64 for every type.
    """
    bare = replace(spec, layers=spec.dense_layers, penalties=(), constraints=())
    exact = State(
        to_numpy(state.theta).astype(np.float64),
        buffers={name: to_numpy(array) for name, array in state.buffers.items()},
    )
    folded, moved = fold_batch_norm(bare, exact)
    tape = lower(folded)
    parameters = {p.start: (p.name, view) for p, view in tape.views(moved.theta)}
    *lines, output, _ = tape.instructions
    layer = 0
    for line in lines:
        layer += line.op == Op.AFFINE
        with g.part(f"layer{layer}"):
            if line.op == Op.AFFINE:
                w, b = (g.numbers(*parameters[start]) for start in (line.weights, line.bias))
                x = g.node("Gemm", x, w, b)
            else:
                x = activate(g, line.code, x, line.constant)
    return x, output


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
