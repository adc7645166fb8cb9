"""ONNX: a fitted network and its preprocessing as a graph that any ONNX runtime computes.

The graph is written node by node from the tape: batch norm is folded into the weights, dropout
left out. Estimators and models of tables describe themselves as an :class:`Exportable`, and what
is written knows neither of them. `onnx` itself is an optional package; nothing imports it before
a model is exported.
"""

from __future__ import annotations

from deltarule.onnx.columns import Categories, Number
from deltarule.onnx.heads import Labels, Numbers, Outputs
from deltarule.onnx.models import Exportable, columns_model, matrix_model
from deltarule.onnx.network import Scaling
from deltarule.onnx.writing import export, to_bytes

__all__ = [
    "Categories",
    "Exportable",
    "Labels",
    "Number",
    "Numbers",
    "Outputs",
    "Scaling",
    "columns_model",
    "export",
    "matrix_model",
    "to_bytes",
]
