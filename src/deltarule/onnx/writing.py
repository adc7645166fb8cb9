"""ONNX files: written whole or not at all, and never over another file unasked."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["export", "to_bytes"]


def export(
    make: Callable[[], ModelProto], path: str | os.PathLike[str] | None, *, overwrite: bool
) -> ModelProto:
    """Return the model that ``make`` makes, written to a file if a path is given.

    Raises
    ------
    OutputError
        If the file cannot be written, or exists and ``overwrite`` is false. Nothing is made then.
    """
    from deltarule.storage import check_writable, write_atomically

    if path is None:
        return make()
    check_writable(path, overwrite=overwrite)
    model = make()
    write_atomically(path, to_bytes(model), overwrite=overwrite)
    return model


def to_bytes(model: ModelProto) -> bytes:
    """Return what the file of a model holds; the same for the same model."""
    return model.SerializeToString(deterministic=True)
