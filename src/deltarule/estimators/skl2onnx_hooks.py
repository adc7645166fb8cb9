"""The methods by which skl2onnx converts an estimator, as part of a pipeline or alone.

skl2onnx looks for them on estimators that it does not know, so that nothing has to be registered.
The nodes are those of ``to_onnx``, under names that are unique in the pipeline's graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from deltarule.errors import SpecError

if TYPE_CHECKING:
    from deltarule.onnx import Exportable

__all__ = ["Skl2onnxHooks"]


class Skl2onnxHooks:
    """Mixin for a fitted estimator that skl2onnx can convert."""

    to_exportable: Callable[[], Exportable]

    def onnx_parser(self) -> Callable[..., list[str]]:
        """Return the function by which skl2onnx learns the names of the outputs."""
        return lambda scope=None, inputs=None: list(self.to_exportable().head.names)

    def onnx_shape_calculator(self) -> Callable[[Any], None]:
        """Return the function by which skl2onnx learns the types and shapes of the outputs."""
        return lambda operator: _set_shapes(self.to_exportable(), operator)

    def onnx_converter(self) -> Callable[[Any, Any, Any], None]:
        """Return the function by which skl2onnx gets the nodes."""
        return lambda scope, operator, container: _append(
            self.to_exportable(), scope, operator, container
        )


def _set_shapes(exportable: Exportable, operator: Any) -> None:
    from skl2onnx.common import data_types as types

    from deltarule.onnx.heads import Labels, label_values

    given = operator.inputs[0].type
    rows, number = given.shape[0], _number_type(given)
    width = exportable.network.dense_layers[-1].units
    head = exportable.head
    if not isinstance(head, Labels):
        operator.outputs[0].type = number([rows, width])
        return
    label, probabilities = operator.outputs
    several, count = head.kind == "multilabel", len(head.values)
    kind = "i" if several else label_values(head.values).dtype
    of = {
        "i": types.Int64TensorType,
        np.dtype(object): types.StringTensorType,
        np.dtype(np.int64): types.Int64TensorType,
        np.dtype(bool): types.BooleanTensorType,
        np.dtype(np.float32): types.FloatTensorType,
        np.dtype(np.float64): types.DoubleTensorType,
    }[kind]
    label.type = of([rows, count] if several else [rows])
    probabilities.type = number([rows, count])


def _number_type(given: Any) -> Any:
    """Return the type of all numbers: double for double inputs, and float for any others."""
    from skl2onnx.common import data_types as types

    double = isinstance(given, types.DoubleTensorType)
    return types.DoubleTensorType if double else types.FloatTensorType


def _append(exportable: Exportable, scope: Any, operator: Any, container: Any) -> None:
    """Append the graph of an estimator to that of a pipeline."""
    from onnx import TensorProto, helper

    from deltarule.onnx import matrix_model
    from deltarule.onnx.library import OPSET

    if container.target_opset < OPSET:
        raise SpecError(
            f"target_opset must be at least {OPSET} to convert {exportable.name}; got "
            f"{container.target_opset}. Leave it out, or set target_opset={OPSET}."
        )
    given = operator.inputs[0]
    double = _number_type(given.type).__name__ == "DoubleTensorType"
    graph = matrix_model(exportable, "float64" if double else "float32").graph
    x = scope.get_unique_variable_name("features")
    code = TensorProto.DOUBLE if double else TensorProto.FLOAT
    container.add_node(
        "Cast", [given.full_name], [x], name=scope.get_unique_operator_name("Cast"), to=code
    )
    names = {graph.input[0].name: x}
    names |= {o.name: v.full_name for o, v in zip(graph.output, operator.outputs, strict=True)}

    def renamed(name: str) -> str:
        if name and name not in names:
            names[name] = scope.get_unique_variable_name(name)
        return names.get(name, name)

    for constant in graph.initializer:
        own = TensorProto()
        own.CopyFrom(constant)
        own.name = renamed(constant.name)
        container.initializers.append(own)
    for node in graph.node:
        container.add_node(
            node.op_type,
            [renamed(name) for name in node.input],
            [renamed(name) for name in node.output],
            op_domain=node.domain,
            op_version=OPSET,
            name=scope.get_unique_operator_name(node.name),
            **{a.name: helper.get_attribute_value(a) for a in node.attribute},
        )
