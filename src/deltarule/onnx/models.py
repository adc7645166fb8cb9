"""Complete models, with a matrix X or the named columns of a table as inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deltarule.onnx.columns import Column, append_columns
from deltarule.onnx.graph import Graph
from deltarule.onnx.heads import Head, Outputs, append_head
from deltarule.onnx.network import Scaling, append_network, standardize
from deltarule.program import State
from deltarule.spec import NetworkSpec

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["Exportable", "columns_model", "matrix_model"]


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
    """

    network: NetworkSpec
    state: State
    inputs: Scaling | None = None
    head: Head = field(default_factory=Outputs)
    name: str = "Network"
    description: str = "A multilayer perceptron."
    properties: dict[str, str] = field(default_factory=dict)


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
    append_head(g, z, output, exportable.head, exportable.network.members)
    return g.model(exportable.name, exportable.description, exportable.properties)
