"""Computational graphs: values forward, gradients backward, as text and as a drawing (item B3)."""

from __future__ import annotations

from typing import Any

from deltarule.explanation.expressions import Node, evaluate
from deltarule.utils.drawing import Box, Drawing

__all__ = ["ComputationalGraph", "graph"]


class ComputationalGraph:
    """An evaluated expression: ``value``, ``gradients`` and every node; drawn in a notebook.

    Attributes
    ----------
    expression : str
        What was evaluated.
    nodes : list of Node
        In order of computation, the result last; each has ``label``, ``value``, ``gradient``.
    value : float
        The value of the expression.
    gradients : dict of str to float
        Its derivative in every variable.
    """

    def __init__(self, expression: str, nodes: list[Node]) -> None:
        self.expression, self.nodes = expression, nodes
        self.value = nodes[-1].value
        self.gradients = {node.label: node.gradient for node in nodes if node.is_variable}

    def __repr__(self) -> str:
        """Return the value and the gradients."""
        slopes = ", ".join(f"∂/∂{name} = {slope:g}" for name, slope in self.gradients.items())
        return f"{self.expression} = {self.value:g}" + (f"; {slopes}" if slopes else "")

    def __str__(self) -> str:
        """Return a table of all nodes."""
        numbers = {id(node): number for number, node in enumerate(self.nodes, start=1)}
        rows = [("node", "operation", "value", "gradient")]
        for node in self.nodes:
            inputs = " ".join(f"#{numbers[id(parent)]}" for parent in node.parents)
            operation = f"{node.label} {inputs}".strip()
            rows.append((f"#{numbers[id(node)]}", operation, f"{node.value:g}", _slope(node)))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def svg(self) -> str:
        """Return the graph as an SVG picture: values above, gradients below in each node."""
        drawing, column = Drawing(), {id(self.nodes[-1]): 0}
        for node in reversed(self.nodes):  # each one column before the first that reads it
            for parent in node.parents:
                column[id(parent)] = min(column.get(id(parent), 0), column[id(node)] - 1)
        for node in self.nodes:
            lines = (node.label, f"{node.value:.4g}", f"∇ {_slope(node, '.4g')}")
            drawing.add(id(node), column[id(node)], Box(lines, variable=not node.parents))
        for node in self.nodes:
            for parent, slope in zip(node.parents, node.slopes, strict=True):
                drawing.connect(id(parent), id(node), "" if slope != slope else f"{slope:.4g}")
        return drawing.svg(f"Computational graph of {self.expression}")

    def _repr_html_(self) -> str:
        return self.svg()


def _slope(node: Node, form: str = "g") -> str:
    """Return a gradient; that of a constant exponent may not exist."""
    return "–" if node.gradient != node.gradient else format(node.gradient + 0.0, form)


def graph(expression: str, /, **values: Any) -> ComputationalGraph:
    """Return the computational graph of an expression, with values and gradients (item B3).

    Parameters
    ----------
    expression : str
        Numbers, variables, ``+ - * / **``, parentheses, and functions of one argument: exp, log,
        sqrt, sin, cos, abs and the activations of `deltarule.functions`.
    **values : float
        The value of every variable.

    Returns
    -------
    graph : ComputationalGraph
        Its ``value`` and ``gradients``; ``print(graph)`` lists the nodes, a notebook draws it, and
        ``svg()`` returns the drawing.

    Raises
    ------
    SpecError
        For what is not such an expression, a variable without a value, or an undefined operation.

    Examples
    --------
    >>> g = graph("(x + y) * z", x=-2, y=5, z=-4)              # Mebsout §4
    >>> g
    (x + y) * z = -12; ∂/∂x = -4, ∂/∂y = -4, ∂/∂z = 3
    >>> print(g)
    node  operation  value  gradient
    #1    x          -2     -4
    #2    y          5      -4
    #3    + #1 #2    3      -4
    #4    z          -4     3
    #5    × #3 #4    -12    1
    """
    return ComputationalGraph(expression, evaluate(expression, values))
