"""The outputs of a model: labels with probabilities, numbers, or the network's own outputs.

Names and shapes are those of skl2onnx: ``label`` and ``probabilities``, or ``variable`` with one
column for each number.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import SpecError
from deltarule.onnx.graph import BATCH, Graph
from deltarule.onnx.network import Scaling, unstandardize
from deltarule.onnx.operators import activate, logistic
from deltarule.program.opcodes import ActivationCode
from deltarule.program.tape import Instruction

__all__ = ["Head", "Labels", "Numbers", "Outputs", "append_head"]


class Labels(NamedTuple):
    """The outputs ``label`` and ``probabilities`` of a classifier."""

    values: Any  # (k,) classes, in the order of the probabilities
    kind: Literal["binary", "multiclass", "multilabel"]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return ("label", "probabilities")


class Numbers(NamedTuple):
    """The output ``variable`` of a regressor: predicted numbers in the unit of the targets."""

    scalings: tuple[Scaling, ...] = ()  # inverted in this order
    ranks: tuple[int, ...] | None = None  # for quantiles: the rank of each among the sorted outputs
    sign: int = 0  # 1 if the numbers are never below 0, -1 if never above, 0 if they are any
    transform: Literal["none", "sqrt", "log"] = "none"  # what the numbers so far are of the targets
    offset: float = 0.0  # of the logarithm: log(y + offset)
    bounds: tuple[float, float] | None = None  # the least and the largest prediction

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return ("variable",)


class Outputs(NamedTuple):
    """The output ``outputs``: the outputs of the network itself."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return ("outputs",)


Head: TypeAlias = Labels | Numbers | Outputs


def append_head(g: Graph, z: str, output: Instruction, head: Head, members: int = 1) -> None:
    """Append the nodes that turn the logits (batch, k) into the model's outputs.

    The outputs of members, whose logits are (members, batch, k), are averaged.

    Raises
    ------
    SpecError
        For a classifier's or regressor's outputs from members.
    """
    if members > 1:
        if not isinstance(head, Outputs):
            raise SpecError("members have no labels in ONNX. Export the network's own outputs.")
        with g.part("outputs"):
            value = _output_activation(g, z, output)
            value = g.node("ReduceMean", value, axes=[0], keepdims=0)
            shape = (BATCH, output.n_out // members)
            g.output("outputs", value, shape, "The mean of the members' outputs.", g.dtype)
        return
    match head:
        case Labels():
            with g.part("classes"):
                _labels(g, z, head)
        case Numbers():
            with g.part("numbers"):
                _numbers(g, z, output, head)
        case Outputs():
            with g.part("outputs"):
                value = _output_activation(g, z, output)
                shape = (BATCH, output.n_out)
                g.output("outputs", value, shape, "The network's outputs.", g.dtype)


def append_average(
    g: Graph, logits: list[str], output: Instruction, head: Head, temperature: float
) -> None:
    """Append the model's outputs from the mean of several networks' probabilities or numbers."""
    if isinstance(head, Labels):
        with g.part("average"):
            p = _mean(g, [g.node("Softmax", _two(g, z, head), axis=1) for z in logits])
            z = g.node("Div", g.node("Log", p), g.number(temperature))
        append_head(g, z, output, head._replace(kind="multiclass"))
        return
    with g.part("average"):
        mean = _mean(g, logits)
    append_head(g, mean, output, head)


def _mean(g: Graph, values: list[str]) -> str:
    """Return the mean of several values; runtimes have the operator ``Mean`` for float32 only."""
    return g.node("Div", g.node("Sum", *values), g.number(len(values)))


def _two(g: Graph, z: str, head: Labels) -> str:
    """Return logits (batch, classes): of two classes (−z/2, z/2).

    The softmax of both is (σ(−z), σ(z)) at full precision; that of a single class is 1.
    """
    if head.kind == "binary" and len(head.values) == 2:
        return g.node("Mul", z, g.numbers("halves", [[-0.5, 0.5]]))
    return z


def _output_activation(g: Graph, z: str, output: Instruction) -> str:
    if output.code == ActivationCode.SIGMOID:
        return logistic(g, z)
    return activate(g, output.code, z, output.constant)


def _labels(g: Graph, z: str, head: Labels) -> None:
    classes = label_values(head.values)
    if head.kind == "multilabel":
        p = logistic(g, z)
        label = g.cast(g.node("Greater", p, g.number(0.5)), np.int64)
        shown = "1 for every label that applies, else 0."
        g.output("label", label, (BATCH, len(classes)), shown, np.int64)
        shown = "The probability of every label."
    else:
        p = g.node("Softmax", _two(g, z, head), axis=1)
        label = g.node("ArgMax", p, axis=1, keepdims=0)
        if classes.dtype != np.int64 or not np.array_equal(classes, np.arange(len(classes))):
            label = g.node("Gather", g.table("classes", classes), label, axis=0)
        g.output("label", label, (BATCH,), "The most probable class.", classes.dtype)
        shown = "The probability of every class, in the order of the property 'classes'."
    g.output("probabilities", p, (BATCH, len(classes)), shown, g.dtype)


def _numbers(g: Graph, z: str, output: Instruction, head: Numbers) -> None:
    value = _output_activation(g, z, output)
    width = output.n_out
    for scaling in head.scalings:
        value = unstandardize(g, value, scaling)
    if head.transform == "sqrt":
        root = g.node("Max", value, g.number(0.0))
        value = g.node("Mul", root, root)
    elif head.transform == "log":
        value = g.node("Sub", g.node("Exp", value), g.number(head.offset))
    if head.bounds is not None:
        value = g.node("Max", value, g.number(head.bounds[0]))
        value = g.node("Min", value, g.number(head.bounds[1]))
    if head.sign:
        value = g.node("Max" if head.sign > 0 else "Min", value, g.number(0.0))
    if head.ranks is not None:
        value = g.node(
            "TopK", value, g.integers("width", [width]), axis=1, largest=0, sorted=1, results=2
        )
        if head.ranks != tuple(range(width)):
            value = g.node("Gather", value, g.integers("ranks", head.ranks), axis=1)
    shown = "The predicted numbers" + (", one per quantile." if head.ranks is not None else ".")
    g.output("variable", value, (BATCH, width), shown, g.dtype)


def label_values(classes: Any) -> NDArray[Any]:
    """Return classes in a type that ONNX supports: strings, int64, booleans or floats.

    Raises
    ------
    SpecError
        If the classes have another type.
    """
    given = np.asarray(classes)
    kind = given.dtype.kind
    if kind in "UT" or (kind == "O" and all(isinstance(label, str) for label in given)):
        return given.astype(object)
    if kind in "iu" and (kind == "i" or int(given.max()) < 2**63):
        return given.astype(np.int64)
    if kind == "b" or given.dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        return given
    raise SpecError(
        f"classes must be strings, integers below 2⁶³, floats or booleans to be exported; got "
        f"{given.dtype} {given.tolist()[:5]!r}. Fit on y.astype(str)."
    )
