"""What the tests of ONNX share: ONNX Runtime, and models by what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def run(model: Any, inputs: Any) -> dict[str, Any]:
    """Return the outputs of a model, by name, for a matrix X or for columns by name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    if not isinstance(inputs, dict):
        dtype = np.float32 if "float" in session.get_inputs()[0].type else np.float64
        inputs = {"X": np.asarray(inputs, dtype=dtype)}
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def operators(model: Any) -> list[str]:
    """Return the operators of a model's nodes, in order."""
    return [node.op_type for node in model.graph.node]


def assert_close(found: Any, expected: Any, tolerance: float) -> None:
    """The numbers agree to a tolerance, absolute below 1 and relative above."""
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
