"""The optional package onnx, and the versions of the format that we write."""

from __future__ import annotations

from typing import Any

from deltarule.utils.context import needing

__all__ = ["IR_VERSION", "OPSET", "OPSET_ML", "library"]

OPSET = 13
"""Version of the standard operators: the oldest with softmax along one axis and with today's
meaning of all operators that we write. Every runtime that reads a newer opset reads this one."""

OPSET_ML = 2
"""Version of ai.onnx.ml, used for categories: the first with LabelEncoder from text to int64."""

IR_VERSION = 7
"""Version of the file format; it was introduced with opset 13, in ONNX 1.8 (November 2020)."""


def library() -> Any:
    """Return the package onnx.

    Raises
    ------
    MissingDependencyError
        If it is not installed; the message names the command.
    """
    with needing("onnx", "exporting to ONNX needs the package onnx"):
        import onnx
    return onnx
