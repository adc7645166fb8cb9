"""ONNX export: a fitted network with its preprocessing as a graph for any ONNX runtime.

The graph is written node by node from the tape; batch norm is folded into the weights, and dropout
is omitted. Estimators and table models describe themselves as an :class:`Exportable`, so this
package depends on neither. The package `onnx` is optional, and is imported only for an export.
"""

from __future__ import annotations

from deltarule.onnx.columns import Categories, Number
from deltarule.onnx.dates import Date
from deltarule.onnx.heads import Labels, Numbers, Outputs
from deltarule.onnx.models import Exportable, average, columns_model, matrix_model
from deltarule.onnx.network import Scaling
from deltarule.onnx.writing import export, to_bytes

__all__ = [
    "Categories",
    "Date",
    "Exportable",
    "Labels",
    "Number",
    "Numbers",
    "Outputs",
    "Scaling",
    "average",
    "columns_model",
    "export",
    "matrix_model",
    "to_bytes",
]
