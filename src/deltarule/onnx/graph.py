"""A graph under construction: values with names, constants, nodes, inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deltarule.checks import check_name
from deltarule.errors import SpecError
from deltarule.onnx.library import IR_VERSION, OPSET, OPSET_ML, library

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["BATCH", "ML", "Graph"]

ML = "ai.onnx.ml"
BATCH = "batch"
"""The name of the dimension that rows are counted by; any number of them."""

_MOST_BYTES = 2**31 - 2**20  # protobuf's limit for a message, less room for all but the numbers


class Graph:
    """An ONNX graph of numbers of one type, written node by node.

    Every method returns the name of the value it makes: names are the edges of an ONNX graph.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        The type of every number.
    outputs : tuple of str
        Names to be kept for outputs: inputs of these names are given others.
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
        """Name nodes and constants after the part of the model that they belong to."""
        self._place.append(name)
        yield
        self._place.pop()

    # --- what the graph is made of -------------------------------------------------------------

    def input(self, name: str, width: int, description: str, kind: Any = None) -> str:
        """Declare an input (batch, width), of the graph's numbers or of another numpy kind."""
        given = self._unique(name)
        self._inputs.append(self._value(given, kind or self.dtype, (BATCH, width), description))
        return given

    def output(
        self, name: str, value: str, shape: tuple[str | int, ...], description: str, kind: Any
    ) -> None:
        """Declare that a value is an output, and let it have the output's name."""
        if name not in self._kept:
            raise ValueError(f"{name!r} is not among the outputs that names were kept for.")
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [name if known == value else known for known in names]
        self._outputs.append(self._value(name, kind, shape, description))

    def number(self, value: float) -> str:
        """Return a scalar constant; equal ones are the same."""
        if value not in self._shared:
            array = self._finite("the activations' constants", value)
            self._shared[value] = self._add(self._unique(f"{value:.9g}"), array)
        return self._shared[value]

    def numbers(self, name: str, values: Any) -> str:
        """Return a constant array of the graph's numbers.

        Raises
        ------
        SpecError
            If a value is no finite number of this type.
        """
        return self._add(self._named(name), self._finite(name, values))

    def divisors(self, name: str, values: Any) -> str:
        """Return a constant array that is divided by: no entry may vanish in the graph's type."""
        exact = np.asarray(values, dtype=np.float64)
        small = np.abs(exact) < np.finfo(self.dtype).tiny
        if small.any():
            raise SpecError(
                f"{name} must not vanish in {self.dtype} to be exported; got {exact[small][0]:g}. "
                "Export with dtype='float64', or fit on X in another unit."
            )
        return self.numbers(name, exact)

    def integers(self, name: str, values: Any) -> str:
        """Return a constant array of int64."""
        return self._add(self._named(name), np.asarray(values, dtype=np.int64))

    def table(self, name: str, values: NDArray[Any]) -> str:
        """Return a constant array of whatever type the values have; objects are texts."""
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
        """Append a conversion to a numpy type."""
        return self.node("Cast", value, to=self._code(kind))

    # --- the whole -----------------------------------------------------------------------------

    def model(self, name: str, description: str, properties: dict[str, str]) -> ModelProto:
        """Return the checked model.

        Raises
        ------
        SpecError
            If the model is larger than one ONNX file may be.
        """
        from deltarule.version import __version__

        if self._bytes > _MOST_BYTES:
            raise SpecError(
                f"the model's parameters take {self._bytes:,} bytes as {self.dtype}; an ONNX file "
                f"holds at most {_MOST_BYTES:,}. Use dtype='float32' or a smaller network."
            )
        helper = self._onnx.helper
        graph = helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, self._constants, description
        )
        opsets = [helper.make_opsetid("", OPSET)]
        if any(node.domain == ML for node in self._nodes):
            opsets.append(helper.make_opsetid(ML, OPSET_ML))
        model: ModelProto = helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=IR_VERSION,
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
        """Return ONNX's number of a numpy type; objects are texts."""
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
    """Return a text as the bytes that ONNX holds."""
    try:
        return str(text).encode()
    except UnicodeEncodeError:
        raise SpecError(
            f"{name} must hold texts that UTF-8 can write to be exported; got {text!r}. Replace "
            "the lone surrogate in it, and fit again."
        ) from None
