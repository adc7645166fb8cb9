"""A network drawn as a graph: units in columns, weights as arrows, values and deltas inside."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from deltarule.errors import SpecError
from deltarule.network.trace import FEATURE_NAMES, Trace
from deltarule.program.opcodes import Op
from deltarule.program.tape import Tape
from deltarule.spec import Dense, Embedding, NetworkSpec, Periodic, Scale
from deltarule.utils.arrays import is_sparse
from deltarule.utils.drawing import Box, Drawing

__all__ = ["NetworkGraph", "draw_network"]

MOST_UNITS = 8
"""The most units of a layer that are drawn; the last one is among them, an ellipsis between."""
MOST_LABELS = 40
"""The most arrows that have their weights written on them."""


class NetworkGraph(NamedTuple):
    """A drawing of a network, which a notebook shows."""

    title: str
    drawing: Drawing

    def svg(self) -> str:
        """Return the drawing as SVG, in the colours of the page around it."""
        return self.drawing.svg(self.title)

    def __repr__(self) -> str:
        """Return the title."""
        return f"<{self.title}; svg() returns the drawing>"

    def _repr_html_(self) -> str:
        return self.svg()


def draw_network(spec: NetworkSpec, tape: Tape, theta: Any, trace: Trace | None) -> NetworkGraph:
    """Return the drawing of a network.

    Parameters
    ----------
    spec : NetworkSpec
        The network.
    tape : Tape
        Its tape.
    theta : array (p,) or None
        Parameters, for the weights of the arrows.
    trace : Trace or None
        A pass, whose first row gives values and deltas.
    """
    if spec.members > 1:
        raise SpecError(
            f"a network with members={spec.members} has no graph: its members share weights, and "
            "have factors of their own. Draw one member: replace(net, members=1)."
        )
    first = next(line for line in tape.instructions if line.op == Op.AFFINE)
    widths = [first.n_in, *(layer.units for layer in spec.dense_layers)]
    begin = _name_before(tape)
    drawing, shown = Drawing(), [_shown(width) for width in widths]
    for layer, units in enumerate(shown):
        for unit in units:
            drawing.add((layer, unit), layer, _box(layer, unit, widths[layer], trace, begin))
    weights = {} if theta is None else _weights(spec, tape, theta)
    arrows = sum(len(a) * len(b) for a, b in pairwise(shown))
    for layer in range(1, len(widths)):
        matrix = weights.get(f"W{layer}")
        largest = 1.0 if matrix is None else float(np.max(np.abs(np.asarray(matrix)))) or 1.0
        for source in shown[layer - 1]:
            for target in shown[layer]:
                if source is None or target is None:
                    continue
                w = None if matrix is None else float(matrix[source, target])
                label = "" if w is None or arrows > MOST_LABELS else f"{w:.3g}"
                strength = None if w is None else w / largest
                drawing.connect((layer - 1, source), (layer, target), label, strength)
    return NetworkGraph("Network " + "-".join(map(str, widths)), drawing)


def _weights(spec: NetworkSpec, tape: Tape, theta: Any) -> dict[str, Any]:
    """Return W1, W2, … by name, multiplied by the factors of Scale layers before them."""
    views = {p.name: np.asarray(view) for p, view in tape.views(theta)}
    scales = number = 0
    factor: Any = 1.0
    for layer in spec.layers:
        if isinstance(layer, Scale):
            scales += 1
            factor = factor * views[f"scale{scales}"][:, None]
        elif isinstance(layer, Periodic | Embedding):
            factor = 1.0  # the drawing begins behind it
        elif isinstance(layer, Dense):
            number += 1
            views[f"W{number}"] = factor * views[f"W{number}"]
            factor = 1.0
    return views


def _name_before(tape: Tape) -> str:
    """Return the trace's name of what the drawing begins with: the inputs, or made of them."""
    names = {p.start: p.name for p in tape.parameters}
    made = [names[line.weights] for line in tape.instructions if line.op == Op.BLOCKS]
    if not made:
        return "A0"
    kind = made[-1].rstrip("0123456789")
    return FEATURE_NAMES[kind] + made[-1].removeprefix(kind)


def _shown(width: int) -> list[int | None]:
    """Return the numbers of the units that are drawn; None is the ellipsis."""
    if width <= MOST_UNITS:
        return list(range(width))
    return [*range(MOST_UNITS - 2), None, width - 1]


def _box(layer: int, unit: int | None, width: int, trace: Trace | None, begin: str) -> Box:
    if unit is None:
        return Box((f"… {width - MOST_UNITS + 1} more",), variable=layer == 0)
    first = f"x{unit + 1}" if begin == "A0" else f"{begin},{unit + 1}"
    name = first if layer == 0 else f"A{layer},{unit + 1}"
    lines = [name]
    if trace is not None:
        values = trace[begin if layer == 0 else f"A{layer}"]
        row = values[[0]].toarray()[0] if is_sparse(values) else np.asarray(values)[0]
        lines.append(f"{float(row[unit]) + 0.0:.4g}")
        deltas = trace.get(f"delta{layer}")
        if deltas is not None:
            lines.append(f"δ {float(np.asarray(deltas)[0, unit]) + 0.0:.4g}")
    return Box(tuple(lines), variable=layer == 0)
