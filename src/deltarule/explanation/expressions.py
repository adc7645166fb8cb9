"""Expressions of numbers as computational graphs, with the derivative at every node (item B3)."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deltarule.errors import SpecError
from deltarule.functions import ACTIVATIONS, Activation
from deltarule.utils.checks import shown

__all__ = ["Node", "evaluate"]

_DEPTH = 200


@dataclass(eq=False)
class Node:
    """A node of a computational graph: a variable, a number, or an operation on other nodes.

    Attributes
    ----------
    label : str
        The variable's name, the number, or the operation.
    value : float
        What it evaluates to.
    parents : tuple of Node
        The operation's arguments, in order.
    slopes : tuple of float
        The operation's derivative in each argument.
    gradient : float
        The derivative of the whole expression in this node: the sum over all paths.
    """

    label: str
    value: float
    parents: tuple[Node, ...] = ()
    slopes: tuple[float, ...] = ()
    gradient: float = field(default=0.0)

    @property
    def is_variable(self) -> bool:
        """Whether it is a variable."""
        return not self.parents and self.label.isidentifier()


_UNARY: dict[type[ast.unaryop], tuple[str, Callable[[float], tuple[float, float]]]] = {
    ast.USub: ("−", lambda a: (-a, -1.0)),
    ast.UAdd: ("+", lambda a: (a, 1.0)),
}

_Binary = Callable[[float, float], tuple[float, float, float]]


def _power(a: float, b: float) -> tuple[float, float, float]:
    value = a**b
    if isinstance(value, complex):
        raise ValueError(f"{a:g} to the power {b:g} is no real number")
    in_a = 0.0 if b == 0 else b * a ** (b - 1)
    return value, in_a, value * math.log(a) if a > 0 else math.nan


_BINARY: dict[type[ast.operator], tuple[str, _Binary]] = {
    ast.Add: ("+", lambda a, b: (a + b, 1.0, 1.0)),
    ast.Sub: ("−", lambda a, b: (a - b, 1.0, -1.0)),
    ast.Mult: ("×", lambda a, b: (a * b, b, a)),
    ast.Div: ("/", lambda a, b: (a / b, 1 / b, -a / b / b)),
    ast.Pow: ("^", _power),
}

_FUNCTIONS: dict[str, Callable[[float], tuple[float, float]]] = {
    "sin": lambda a: (math.sin(a), math.cos(a)),
    "cos": lambda a: (math.cos(a), -math.sin(a)),
    "log": lambda a: (math.log(a), 1 / a),
    "sqrt": lambda a: (math.sqrt(a), 0.5 / math.sqrt(a) if a > 0 else math.inf),
    "abs": lambda a: (abs(a), math.copysign(1.0, a) if a else 0.0),
}


def _activation(function: Activation) -> Callable[[float], tuple[float, float]]:
    return lambda a: (function(a), function.derivative(a))


_FUNCTIONS |= {n: _activation(f) for n, f in ACTIVATIONS.items() if isinstance(f, Activation)}


class _Builder:
    """Evaluates a parsed expression, one node for each variable and each operation."""

    def __init__(self, text: str, values: Mapping[str, Any]) -> None:
        self.text, self.values = text, values
        self.nodes: list[Node] = []
        self.variables: dict[str, Node] = {}

    def add(self, *args: Any) -> Node:
        self.nodes.append(Node(*args))
        return self.nodes[-1]

    def visit(self, tree: ast.expr, depth: int = 0) -> Node:
        if depth > _DEPTH:
            raise SpecError(f"the expression is nested more than {_DEPTH} deep; split it up.")
        match tree:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return self.add(f"{value:g}", float(value))
            case ast.Name(id=name):
                return self._variable(name)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                label, rule = _UNARY[type(op)]
                return self._apply(label, rule, self.visit(operand, depth + 1))
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _BINARY:
                sign, both = _BINARY[type(operator)]
                first, second = self.visit(left, depth + 1), self.visit(right, depth + 1)
                return self._apply(sign, both, first, second)
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]):
                if name in _FUNCTIONS:
                    return self._apply(name, _FUNCTIONS[name], self.visit(argument, depth + 1))
                raise SpecError(
                    f"the function {name!r} is not known in an expression; known are "
                    f"{', '.join(sorted(_FUNCTIONS))}."
                )
        raise SpecError(
            f"{ast.unparse(tree)!r} cannot be part of an expression: write numbers, variables, "
            "+ - * / **, parentheses, and functions of one argument such as exp(x)."
        )

    def _variable(self, name: str) -> Node:
        if name not in self.values:
            raise SpecError(
                f"the expression needs a value for {name!r}: graph({self.text!r}, {name}=1.0)."
            )
        if name not in self.variables:
            given = self.values[name]
            try:
                value = float(given)
            except (TypeError, ValueError, OverflowError):
                raise SpecError(f"{name} must be a number; got {shown(given)}.") from None
            self.variables[name] = self.add(name, value)
        return self.variables[name]

    def _apply(self, label: str, rule: Callable[..., tuple[float, ...]], *args: Node) -> Node:
        values = [node.value for node in args]
        try:
            value, *slopes = rule(*values)
        except (ZeroDivisionError, OverflowError, ValueError) as error:
            shown = ", ".join(f"{value:g}" for value in values)
            reason = str(error.args[-1]).lower()
            raise SpecError(f"{label} of {shown} is not defined: {reason}.") from None
        return self.add(label, value, tuple(args), tuple(slopes))


def evaluate(text: str, values: Mapping[str, Any]) -> list[Node]:
    """Return the nodes of an expression, in order of computation, the result last.

    The gradient of each is the sum, over the operations that read it, of the operation's gradient
    times its slope (Mebsout §4).
    """
    if not isinstance(text, str):
        raise SpecError(f"expression must be a text such as '(x + y) * z'; got {text!r}.")
    try:
        tree = ast.parse(text.replace("^", "**").strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", "") or type(error).__name__
        raise SpecError(
            f"{text!r} is not an expression ({reason}); write one such as '(x + y) * z'."
        ) from None
    builder = _Builder(text, values)
    builder.visit(tree)
    unused = [name for name in values if name not in builder.variables]
    if unused:
        raise SpecError(f"the expression {text!r} does not use {', '.join(unused)}.")
    builder.nodes[-1].gradient = 1.0
    for node in reversed(builder.nodes):
        for parent, slope in zip(node.parents, node.slopes, strict=True):
            parent.gradient += node.gradient * slope
    return builder.nodes
