"""The onnx package, which is optional, and the versions that we write."""

from __future__ import annotations

from typing import Any

from deltarule.errors import MissingDependencyError

__all__ = ["IR_VERSION", "OPSET", "OPSET_ML", "library"]

OPSET = 13
"""Of the standard operators. The oldest in which softmax runs along an axis and every operator
that we write has the meaning it has today: whatever reads a newer opset reads this one."""

OPSET_ML = 2
"""Of ai.onnx.ml, for category columns alone: the first with LabelEncoder from texts to integers."""

IR_VERSION = 7
"""Of the file; it came with opset 13, in ONNX 1.8 (November 2020)."""


def library() -> Any:
    """Return the onnx package.

    Raises
    ------
    MissingDependencyError
        If it is not installed; the message names the command.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingDependencyError(
            "exporting to ONNX needs the package onnx, which is not installed: "
            'pip install "deltarule[onnx]"'
        ) from error
    return onnx
