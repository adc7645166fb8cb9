"""Complete models, with a matrix X or the named columns of a table as inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from deltarule.onnx.columns import Column, append_columns
from deltarule.onnx.graph import Graph
from deltarule.onnx.heads import Head, Outputs, append_average, append_head
from deltarule.onnx.network import Scaling, append_network, standardize
from deltarule.program import State
from deltarule.spec import NetworkSpec

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["Exportable", "average", "columns_model", "matrix_model"]


@dataclass(frozen=True)
class Exportable:
    """The description of a fitted model from which its graph is written.

    Attributes
    ----------
    network : NetworkSpec
        The network.
    state : State
        Its parameters and statistics.
    inputs : Scaling, optional
        The means and scales that standardise the inputs.
    head : Labels, Numbers or Outputs
        The kind of the model's outputs.
    name : str
        The name of the graph.
    description : str
        One sentence for readers.
    properties : dict of str to str
        Stored in the model's metadata.
    others : tuple of Exportable
        Further networks with the same inputs and head, whose outputs are averaged with this one's.
    temperature : float
        The averaged probabilities p become p^(1/T), divided by their sum.
    """

    network: NetworkSpec
    state: State
    inputs: Scaling | None = None
    head: Head = field(default_factory=Outputs)
    name: str = "Network"
    description: str = "A multilayer perceptron."
    properties: dict[str, str] = field(default_factory=dict)
    others: tuple[Exportable, ...] = ()
    temperature: float = 1.0


def average(every: Sequence[Exportable], temperature: float = 1.0) -> Exportable:
    """Return several models as one whose outputs are their mean.

    Parameters
    ----------
    every : sequence of Exportable
        Networks with the same inputs and outputs, not standardised.
    temperature : float, default=1.0
        T: the averaged probabilities p become p^(1/T), divided by their sum.
    """
    first, *others = every
    description = f"The average of {len(every)} multilayer perceptrons. {first.description}"
    return replace(first, description=description, others=tuple(others), temperature=temperature)


def matrix_model(exportable: Exportable, dtype: str = "float32") -> ModelProto:
    """Return the model with one input, ``X`` (batch, d)."""
    g = Graph(dtype, exportable.head.names)
    x = g.input("X", exportable.network.n_inputs, "The features, one row per example.")
    return _model(g, x, exportable)


def columns_model(
    exportable: Exportable, columns: Sequence[Column], dtype: str = "float32"
) -> ModelProto:
    """Return the model with an input (batch, 1) for each column of a table, named after it.

    If a column has the name of an output, ``_2`` is appended; the description has the true name.
    """
    g = Graph(dtype, exportable.head.names)
    return _model(g, append_columns(g, columns), exportable)


def _model(g: Graph, x: str, exportable: Exportable) -> ModelProto:
    if exportable.inputs is not None:
        with g.part("standardize"):
            x = standardize(g, x, exportable.inputs)
    z, output = append_network(g, x, exportable.network, exportable.state)
    if exportable.others:
        logits = [z]
        for number, other in enumerate(exportable.others, 2):
            with g.part(f"network{number}"):
                logits.append(append_network(g, x, other.network, other.state)[0])
        append_average(g, logits, output, exportable.head, exportable.temperature)
    else:
        append_head(g, z, output, exportable.head, exportable.network.members)
    return g.model(exportable.name, exportable.description, exportable.properties)
