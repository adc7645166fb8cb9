"""Models on disk: one file per model, no code in it, every changed bit noticed (docs/format.md).

The file is a safetensors file (see `deltarule.storage.safetensors_file`). Its metadata holds

``format``
    ``"deltarule"``.
``version``
    The version of this layout, ``"1"``.
``record``
    A strict JSON text: what kind of model it is and all of it that is not an array.
``sha256``
    The digest of the whole file.

Here a file becomes a record and arrays, and back. What they mean is known to those who make them:
`deltarule.estimators`, `deltarule.tables` and `deltarule.persistence`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from deltarule.errors import ModelFileError, UnreadFileError
from deltarule.storage import strict_json
from deltarule.storage.atomic_write import StrPath, write_atomically
from deltarule.storage.file_signatures import describe
from deltarule.storage.safetensors_file import (
    InvalidFileError,
    Tensors,
    check_head,
    pack,
    unpack,
)

__all__ = [
    "Kind",
    "ModelRecord",
    "blaming",
    "encode",
    "first_fault",
    "read_model_record",
    "write_model_record",
]

FORMAT = "deltarule"
VERSION = "1"
MAX_FILE_BYTES = 8 * 2**30
_REMEDY = "take an undamaged copy, or train and save the model again"

Kind = Literal["estimator", "table", "pipeline", "checkpoint"]


class ModelRecord(NamedTuple):
    """What a file holds: the kind of model, or a checkpoint; its record and its arrays."""

    kind: Kind
    record: dict[str, Any]
    tensors: Tensors


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    kind: Kind
    model: dict[str, Any]


@contextmanager
def blaming(path: StrPath) -> Iterator[None]:
    """Put the file's name before what is wrong with the record read from it."""
    try:
        yield
    except ModelFileError as error:
        reason = " ".join(str(error).split())  # texts of the file may have brought line breaks
        raise ModelFileError(f"{path} is not a usable model file: {reason}") from error


def write_model_record(record: ModelRecord, path: StrPath, *, overwrite: bool = False) -> Path:
    """Write a model file, durably, whole or not at all."""
    return write_atomically(path, encode(record), overwrite=overwrite)


def encode(model: ModelRecord) -> bytes:
    """Return the bytes of a model file; equal records give equal bytes."""
    envelope = {"kind": model.kind, "model": model.record}
    record = strict_json.dumps(envelope)
    metadata = {"format": FORMAT, "version": VERSION, "record": record}
    return pack(model.tensors, metadata)


def read_model_record(path: StrPath) -> ModelRecord:
    """Read a model file and check everything that can be checked without building the model.

    Raises
    ------
    ModelFileError
        If the file is damaged, or was not written by deltarule.
    UnreadFileError
        If it is missing, cannot be read, is too large, or has a layout of another release.
    """
    try:
        metadata, tensors = unpack(_read(path))
        _check_format(path, metadata)
        envelope = _envelope(metadata)
    except InvalidFileError as error:
        raise ModelFileError(f"{path} is not a usable model file: {error}; {_REMEDY}") from None
    except MemoryError:
        raise UnreadFileError(
            f"{path} does not fit into memory; free some, and try again"
        ) from None
    return ModelRecord(envelope.kind, envelope.model, tensors)


def _read(path: StrPath) -> bytes:
    """Return a file's bytes, after its size and its first bytes have been found plausible."""
    try:
        size = _size(path)
        with open(path, "rb") as file:
            head = file.read(9)
            foreign = describe(head)
            if foreign is not None:
                raise ModelFileError(
                    f"{path} is no deltarule model but {foreign}; it was not opened: "
                    "name a file written by deltarule.save or `deltarule train`"
                )
            check_head(head, size)
            return head + file.read()
    except FileNotFoundError:
        raise UnreadFileError(f"there is no model file {path}; check the path") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UnreadFileError(f"cannot read the model file {path}: {reason}") from error


def _size(path: StrPath) -> int:
    try:
        status = os.stat(path)
    except ValueError as error:  # a NUL in the name
        raise UnreadFileError(f"{str(path)!r} names no file: {error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise UnreadFileError(f"{path} is not a regular file; name a model file")
    if status.st_size > MAX_FILE_BYTES:
        raise UnreadFileError(f"{path} is larger than any model file: {status.st_size} bytes")
    return status.st_size


def _check_format(path: StrPath, metadata: dict[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise InvalidFileError("it was not written by deltarule")
    if metadata.get("version") != VERSION:
        version = metadata.get("version", "unknown")[:20]
        raise UnreadFileError(
            f"{path}: its layout has version {version!r}, this deltarule reads {VERSION!r}; use "
            "the release that wrote it, or a newer one"
        )


def _envelope(metadata: dict[str, str]) -> _Envelope:
    if set(metadata) != {"format", "version", "record"}:
        raise InvalidFileError("its metadata has other entries than format, version and record")
    try:
        return _Envelope.model_validate(strict_json.loads(metadata["record"]))
    except ValidationError as error:
        raise InvalidFileError(f"its record is malformed ({first_fault(error)})") from None
    except ValueError as error:
        raise InvalidFileError(f"its record is not strict JSON ({error})") from None


def first_fault(error: ValidationError) -> str:
    """Return the first fault that pydantic found, on one line, without quoting the input."""
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part)[:40] for part in fault["loc"]) or "record"
    return f"{place}: {fault['msg']}"
