"""Writing of ONNX files, atomically, and over an existing file only if that is allowed."""

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
    """Return the model that ``make`` builds, and write it to a file if a path is given.

    Raises
    ------
    OutputError
        If the file cannot be written, or exists and ``overwrite`` is false. This is checked before
        the model is built.
    """
    from deltarule.storage import check_writable, write_atomically

    if path is None:
        return make()
    check_writable(path, overwrite=overwrite)
    model = make()
    write_atomically(path, to_bytes(model), overwrite=overwrite)
    return model


def to_bytes(model: ModelProto) -> bytes:
    """Return the bytes of a model's file. Equal models give equal bytes."""
    return model.SerializeToString(deterministic=True)
