"""A builder of ONNX graphs: named values, constants, nodes, inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import SpecError
from deltarule.onnx.library import (
    IR_VERSION,
    IR_VERSION_TEXT,
    OPSET,
    OPSET_ML,
    OPSET_TEXT,
    library,
)
from deltarule.utils.checks import check_name

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["BATCH", "ML", "Graph"]

ML = "ai.onnx.ml"
BATCH = "batch"
"""The name of the first dimension, the number of rows, which may have any length."""

_MOST_BYTES = (
    2**31 - 2**20
)  # protobuf's limit for a message, minus space for everything except numbers


class Graph:
    """An ONNX graph with numbers of one type, built node by node.

    Methods return the name of the value that they create: names are the edges of an ONNX graph.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        The type of all numbers.
    outputs : tuple of str
        Names reserved for outputs; inputs with these names get other names.
    """

    def __init__(self, dtype: str, outputs: tuple[str, ...]) -> None:
        self.dtype = np.dtype(check_name("dtype", dtype, ("float32", "float64")))
        self._onnx = library()
        self._kept = set(outputs)
        self._taken = set(outputs)
        self._place: list[str] = []
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._shared: dict[float, str] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._bytes = 0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Prefix the names of nodes and constants with a part of the model, in this context."""
        self._place.append(name)
        yield
        self._place.pop()

    # --- parts of the graph --------------------------------------------------------------------

    def input(self, name: str, width: int, description: str, kind: Any = None) -> str:
        """Declare an input (batch, width), of the graph's type or another NumPy type."""
        given = self._unique(name)
        self._inputs.append(self._value(given, kind or self.dtype, (BATCH, width), description))
        return given

    def output(
        self, name: str, value: str, shape: tuple[str | int, ...], description: str, kind: Any
    ) -> None:
        """Declare a value to be an output, and rename it to the output's name."""
        if name not in self._kept:
            raise ValueError(f"name must be one of the outputs given to the graph; got {name!r}.")
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [name if known == value else known for known in names]
        self._outputs.append(self._value(name, kind, shape, description))

    def number(self, value: float) -> str:
        """Return a scalar constant; equal numbers share one constant."""
        if value not in self._shared:
            array = self._finite("the activations' constants", value)
            self._shared[value] = self._add(self._unique(f"{value:.9g}"), array)
        return self._shared[value]

    def numbers(self, name: str, values: Any) -> str:
        """Return a constant array of the graph's numbers.

        Raises
        ------
        SpecError
            If a value is not a finite number of the graph's type.
        """
        return self._add(self._named(name), self._finite(name, values))

    def divisors(self, name: str, values: Any) -> str:
        """Return a constant array for a division; no entry may be zero in the graph's type."""
        exact = np.asarray(values, dtype=np.float64)
        small = np.abs(exact) < np.finfo(self.dtype).tiny
        if small.any():
            raise SpecError(
                f"{name} must not be zero in {self.dtype} to be exported; got {exact[small][0]:g}. "
                "Export with dtype='float64', or fit on X in another unit."
            )
        return self.numbers(name, exact)

    def integers(self, name: str, values: Any) -> str:
        """Return a constant array of int64."""
        return self._add(self._named(name), np.asarray(values, dtype=np.int64))

    def table(self, name: str, values: NDArray[Any]) -> str:
        """Return a constant array of the type of the values; objects become strings."""
        if values.dtype.kind != "O":
            return self._add(self._named(name), values)
        encoded = [encode(name, text) for text in values.tolist()]
        given = self._named(name)
        string = self._onnx.TensorProto.STRING
        tensor = self._onnx.helper.make_tensor(given, string, values.shape, encoded)
        self._constants.append(tensor)
        return given

    def node(
        self, operator: str, *inputs: str, domain: str = "", results: int = 1, **attributes: Any
    ) -> str:
        """Append a node and return its first result."""
        names = [self._named(operator) for _ in range(results)]
        self._nodes.append(
            self._onnx.helper.make_node(
                operator, inputs, names, name=names[0], domain=domain, **attributes
            )
        )
        return names[0]

    def cast(self, value: str, kind: Any) -> str:
        """Append a conversion to a NumPy type."""
        return self.node("Cast", value, to=self._code(kind))

    # --- the model -----------------------------------------------------------------------------

    def model(self, name: str, description: str, properties: dict[str, str]) -> ModelProto:
        """Return the checked model.

        Raises
        ------
        SpecError
            If the model is too large for an ONNX file.
        """
        from deltarule.version import __version__

        if self._bytes > _MOST_BYTES:
            raise SpecError(
                f"the model's parameters take {self._bytes:,} bytes as {self.dtype}; an ONNX file "
                f"can hold at most {_MOST_BYTES:,}. Use dtype='float32' or a smaller network."
            )
        helper = self._onnx.helper
        graph = helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, self._constants, description
        )
        texts = any(node.op_type == "RegexFullMatch" for node in self._nodes)
        opset, ir_version = (OPSET_TEXT, IR_VERSION_TEXT) if texts else (OPSET, IR_VERSION)
        opsets = [helper.make_opsetid("", opset)]
        if any(node.domain == ML for node in self._nodes):
            opsets.append(helper.make_opsetid(ML, OPSET_ML))
        model: ModelProto = helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=ir_version,
            producer_name="deltarule",
            producer_version=__version__,
            doc_string=description,
        )
        helper.set_model_props(model, properties)
        self._onnx.checker.check_model(model, full_check=True)
        return model

    def _finite(self, name: str, values: Any) -> NDArray[Any]:
        exact = np.asarray(values, dtype=np.float64)
        with np.errstate(over="ignore"):
            array = exact.astype(self.dtype)
        wrong = exact[~np.isfinite(array)]
        if wrong.size:
            large = np.isfinite(wrong[0])
            raise SpecError(
                f"{name} must hold finite {self.dtype} numbers to be exported; got {wrong[0]:g}. "
                + ("Export with dtype='float64'." if large else "Train the model again.")
            )
        return array

    def _add(self, name: str, array: NDArray[Any]) -> str:
        self._bytes += array.nbytes
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def _value(self, name: str, kind: Any, shape: tuple[str | int, ...], description: str) -> Any:
        return self._onnx.helper.make_tensor_value_info(name, self._code(kind), shape, description)

    def _code(self, kind: Any) -> int:
        """Return ONNX's code of a NumPy type; objects are strings."""
        dtype = np.dtype(kind)
        if dtype.kind == "O":
            return int(self._onnx.TensorProto.STRING)
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(dtype))

    def _named(self, name: str) -> str:
        return self._unique("/".join([*self._place, name]))

    def _unique(self, name: str) -> str:
        given, number = name, 1
        while given in self._taken:
            number += 1
            given = f"{name}_{number}"
        self._taken.add(given)
        return given


def encode(name: str, text: Any) -> bytes:
    """Return a string as UTF-8 bytes, which ONNX stores."""
    try:
        return str(text).encode()
    except UnicodeEncodeError:
        raise SpecError(
            f"{name} must contain strings that UTF-8 can encode to be exported; got {text!r}. "
            "Replace the lone surrogate in it, and fit again."
        ) from None
