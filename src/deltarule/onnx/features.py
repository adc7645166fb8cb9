"""Waves and blocks of groups of columns as nodes of a graph (``deltarule.reference.features``)."""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np

from deltarule.onnx.graph import Graph
from deltarule.program.opcodes import Op
from deltarule.program.tape import Groups, Instruction

__all__ = ["append_groups"]

_Named = tuple[str, Any]


def append_groups(
    g: Graph, x: str, line: Instruction, groups: Groups, parameters: dict[int, _Named]
) -> str:
    """Append ``PERIODIC`` or ``BLOCKS``, and return its value."""
    first = parameters[line.weights]
    second = None if line.bias < 0 else parameters[line.bias]
    if line.op == Op.PERIODIC:
        assert second is not None
        return g.node("Concat", x, _waves(g, x, groups, first, second), axis=1)
    ahead = groups.others(line.n_in)
    made = _blocks(g, x, groups, first, second)
    return g.node("Concat", _columns(g, x, ahead), made, axis=1) if ahead else made


def _columns(g: Graph, x: str, columns: list[int]) -> str:
    return g.node("Gather", x, g.integers("columns", columns), axis=1)


def _waves(g: Graph, x: str, groups: Groups, c: _Named, phi: _Named) -> str:
    """Append cos 2π(c x + φ), (batch, waves of all columns)."""
    chosen = _columns(g, x, groups.columns)
    column = g.node("Unsqueeze", chosen, g.integers("axis", [2]))
    turns = g.node("Mul", column, g.numbers(*c))
    turns = g.node("Add", turns, g.numbers(*phi))
    waves = g.node("Cos", g.node("Mul", turns, g.number(2 * pi)))
    return g.node("Reshape", waves, g.integers("shape", [0, c[1].size]))


def _blocks(g: Graph, x: str, groups: Groups, w: _Named, b: _Named | None) -> str:
    """Append x_g w_g + b_g, (batch, all groups): one product if all groups are equally wide."""
    (name, rows), sizes, q = w, groups.sizes, w[1].shape[1]
    if len({*sizes}) > 1:
        ends = np.cumsum(sizes)
        parts = [
            g.node(
                "MatMul", _columns(g, x, list(range(start, stop))),
                g.numbers(f"{name}_{number}", rows[end - size : end]),
            )
            for number, ((start, stop), size, end) in enumerate(
                zip(groups.spans, sizes, ends.tolist(), strict=True), start=1
            )
        ]  # fmt: skip
        made = g.node("Concat", *parts, axis=1)
        return made if b is None else g.node("Add", made, g.numbers(b[0], b[1].reshape(1, -1)))
    count, size = len(sizes), sizes[0]
    inner = _columns(g, x, groups.columns)
    apart = g.node("Reshape", inner, g.integers("shape", [0, count, size]))
    by_group = g.node("Transpose", apart, perm=[1, 0, 2])
    z = g.node("MatMul", by_group, g.numbers(name, rows.reshape(count, size, q)))
    if b is not None:
        z = g.node("Add", z, g.numbers(b[0], b[1][:, None, :]))
    back = g.node("Transpose", z, perm=[1, 0, 2])
    return g.node("Reshape", back, g.integers("shape", [0, count * q]))
