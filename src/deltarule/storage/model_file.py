"""Model files (docs/format.md): which record and arrays a file holds; it writes and reads them.

The file is a safetensors file (see `deltarule.storage.safetensors_file`). Its metadata contains

``format``
    ``"deltarule"``.
``version``
    The version of this layout, ``"1"``.
``record``
    A strict JSON text: the kind of model, and everything about it that is not an array.
``sha256``
    The digest of the whole file.

This module converts between a file and a record with arrays. The modules that write the records
define their meaning: `deltarule.estimators`, `deltarule.tables`, `deltarule.persistence` and
`deltarule.training.checkpoints`.
"""

from __future__ import annotations

import os
import stat
from contextlib import AbstractContextManager
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
    pack_parts,
    unpack,
)
from deltarule.utils.checks import check_path
from deltarule.utils.context import error_context, system_reason

__all__ = [
    "Kind",
    "ModelRecord",
    "encode",
    "first_fault",
    "read_model_record",
    "reading_model",
    "write_model_record",
]

FORMAT = "deltarule"
VERSION = "1"
MAX_FILE_BYTES = 8 * 2**30
_REMEDY = "take an undamaged copy, or train and save the model again"

Kind = Literal["estimator", "table", "pipeline", "checkpoint", "curves"]


class ModelRecord(NamedTuple):
    """The content of a file: the kind of model, or part of a training; a record, and arrays."""

    kind: Kind
    record: dict[str, Any]
    tensors: Tensors


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    kind: Kind
    model: dict[str, Any]


def reading_model(path: StrPath) -> AbstractContextManager[None]:
    """Return a context in which a ``ModelFileError`` about a record gets the file's name."""

    def named(error: ModelFileError) -> ModelFileError:
        reason = " ".join(str(error).split())  # texts from the file may contain line breaks
        return ModelFileError(f"{path} is not a usable model file: {reason}")

    return error_context((ModelFileError, named))


def write_model_record(record: ModelRecord, path: StrPath, *, overwrite: bool = False) -> Path:
    """Write a model file, atomically and durably, and return its path."""
    return write_atomically(path, _parts(record), overwrite=overwrite)


def encode(model: ModelRecord) -> bytes:
    """Return the bytes of a model file. Equal records give equal bytes."""
    return b"".join(_parts(model))


def _parts(model: ModelRecord) -> list[memoryview]:
    envelope = {"kind": model.kind, "model": model.record}
    record = strict_json.dumps(envelope)
    metadata = {"format": FORMAT, "version": VERSION, "record": record}
    return pack_parts(model.tensors, metadata)


def read_model_record(path: StrPath) -> ModelRecord:
    """Return the content of a model file, checked as far as possible without building the model.

    Raises
    ------
    ModelFileError
        If the file is damaged, or was not written by deltarule.
    UnreadFileError
        If the file is missing, cannot be read, is too large, or was written by a release with
        another file format.
    """

    def unusable(error: InvalidFileError) -> ModelFileError:
        return ModelFileError(f"{path} is not a usable model file: {error}; {_REMEDY}")

    def too_large(_: MemoryError) -> UnreadFileError:
        return UnreadFileError(f"{path} does not fit into memory; free some memory, and try again")

    check_path("path", path)
    with error_context((InvalidFileError, unusable), (MemoryError, too_large)):
        metadata, tensors = unpack(_read(path))
        _check_format(path, metadata)
        envelope = _envelope(metadata)
    return ModelRecord(envelope.kind, envelope.model, tensors)


def _read(path: StrPath) -> bytearray:
    """Return a file's bytes, after its size and first bytes were found to be plausible."""

    def missing(_: FileNotFoundError) -> UnreadFileError:
        return UnreadFileError(f"there is no model file {path}; check the path")

    def unreadable(error: OSError) -> UnreadFileError:
        return UnreadFileError(f"cannot read the model file {path}: {system_reason(error)}")

    with error_context((FileNotFoundError, missing), (OSError, unreadable)):
        size = _size(path)
        with open(path, "rb") as file:
            head = file.read(9)
            foreign = describe(head)
            if foreign is not None:
                raise ModelFileError(
                    f"{path} is not a deltarule model but {foreign}; it was not opened: "
                    "name a file written by deltarule.save or `deltarule train`"
                )
            check_head(head, size)
            data = bytearray(size)
            data[: len(head)] = head
            read = len(head)
            with memoryview(data) as rest:
                while read < size and (n := file.readinto(rest[read:])):
                    read += n
            data[read:] = file.read()  # the file has become shorter, or longer, since
            return data


def _size(path: StrPath) -> int:
    try:
        status = os.stat(path)
    except ValueError as error:  # a NUL in the name
        raise UnreadFileError(f"{str(path)!r} names no file: {error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise UnreadFileError(f"{path} is not a regular file; name a model file")
    if status.st_size > MAX_FILE_BYTES:
        raise UnreadFileError(
            f"{path} has {status.st_size} bytes; a model file has at most {MAX_FILE_BYTES}"
        )
    return status.st_size


def _check_format(path: StrPath, metadata: dict[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise InvalidFileError("it was not written by deltarule")
    if metadata.get("version") != VERSION:
        version = metadata.get("version", "unknown")[:20]
        raise UnreadFileError(
            f"{path} has the file format {version!r}; this deltarule reads {VERSION!r}. Use the "
            "release that wrote the file, or a newer one"
        )


def _envelope(metadata: dict[str, str]) -> _Envelope:
    if set(metadata) != {"format", "version", "record"}:
        raise InvalidFileError("its metadata has entries other than format, version and record")
    try:
        return _Envelope.model_validate(strict_json.loads(metadata["record"]))
    except ValidationError as error:
        raise InvalidFileError(f"its record is malformed ({first_fault(error)})") from None
    except ValueError as error:
        raise InvalidFileError(f"its record is not strict JSON ({error})") from None


def first_fault(error: ValidationError) -> str:
    """Return the first fault that pydantic found, as one line that does not quote the input."""
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part)[:40] for part in fault["loc"]) or "record"
    return f"{place}: {fault['msg']}"
