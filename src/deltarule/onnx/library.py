"""The optional package onnx, and the versions of the format that we write."""

from __future__ import annotations

from typing import Any

from deltarule.utils.context import needing

__all__ = ["IR_VERSION", "IR_VERSION_TEXT", "OPSET", "OPSET_ML", "OPSET_TEXT", "library"]

OPSET = 13
"""Version of the standard operators: the oldest with softmax along one axis and with today's
meaning of all operators that we write. Every runtime that reads a newer opset reads this one."""

OPSET_TEXT = 20
"""Version of the standard operators in graphs with categories: the first that can compare a text
with a regular expression, which is how blanks around it are ignored."""

OPSET_ML = 1
"""Version of ai.onnx.ml, used for categories: the first, which has OneHotEncoder."""

IR_VERSION = 7
"""Version of the file format; it was introduced with opset 13, in ONNX 1.8 (November 2020)."""

IR_VERSION_TEXT = 9
"""Version of the file format of graphs with categories, which was introduced with opset 20, in ONNX
1.15 (October 2023)."""


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
