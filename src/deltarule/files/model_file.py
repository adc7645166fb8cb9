"""Models on disk: one file per model, no code in it, every changed bit noticed.

The file is a safetensors file (see `deltarule.files.container`). Its metadata holds

``format``
    ``"deltarule"``.
``version``
    The version of this layout, ``"1"``.
``record``
    A strict JSON text: what kind of model it is and all of it that is not an array.
``sha256``
    The digest of the whole file.

Loading builds nothing but what the closed schemas of the records allow; it never unpickles and
never imports by name.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from deltarule import estimators
from deltarule.errors import ModelFileError
from deltarule.files import strict_json
from deltarule.files.atomic import StrPath, write_atomically
from deltarule.files.container import ContainerError, Tensors, pack, unpack
from deltarule.files.foreign import describe

__all__ = ["Contents", "Kind", "first_fault", "load", "read_contents", "save", "write_contents"]

FORMAT = "deltarule"
VERSION = "1"
MAX_FILE_BYTES = 8 * 2**30
_REMEDY = "take an undamaged copy, or train and save the model again"

Kind = Literal["estimator", "table"]


class Contents(NamedTuple):
    """What a model file holds: the kind of model, its record and its arrays."""

    kind: Kind
    record: dict[str, Any]
    tensors: Tensors


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    kind: Kind
    model: dict[str, Any]


def save(model: Any, path: StrPath, *, overwrite: bool = False) -> Path:
    """Save a fitted model in one file that holds no code.

    Parameters
    ----------
    model : MLPClassifier, MLPRegressor or TableModel
        A fitted model.
    path : str or path-like
        The file to write; ``.safetensors`` is the usual ending.
    overwrite : bool, default=False
        Whether an existing file may be replaced.

    Returns
    -------
    pathlib.Path
        The path written.

    Raises
    ------
    OutputError
        If the file cannot be written, or exists and ``overwrite`` is false.

    See Also
    --------
    load : Read the file back.
    """
    if hasattr(model, "to_contents"):
        contents: Contents = model.to_contents()
    else:
        contents = Contents("estimator", *estimators.to_record(model))
    return write_contents(contents, path, overwrite=overwrite)


def load(path: StrPath) -> Any:
    """Load an estimator saved by `save`.

    Loading never executes code from the file, and a damaged file is always noticed.

    Parameters
    ----------
    path : str or path-like
        A file written by `save`.

    Returns
    -------
    MLPClassifier or MLPRegressor
        The fitted estimator; its predictions equal the saved one's to the bit.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or was not written by deltarule.
    """
    contents = read_contents(path)
    if contents.kind != "estimator":
        raise ModelFileError(
            f"{path} holds a model of a table, with its preprocessing; "
            "load it with deltarule.tables.TableModel.load"
        )
    return build(path, contents.record, contents.tensors)


def build(path: StrPath, record: dict[str, Any], tensors: Tensors) -> Any:
    """Build an estimator from the record and arrays read from a file, or blame that file."""
    try:
        return estimators.from_record(record, tensors)
    except ModelFileError as error:
        raise ModelFileError(f"{path} is not a usable model file: {error}") from error


def write_contents(contents: Contents, path: StrPath, *, overwrite: bool = False) -> Path:
    """Write a model file; equal contents give equal bytes."""
    envelope = {"kind": contents.kind, "model": contents.record}
    record = strict_json.dumps(envelope)
    metadata = {"format": FORMAT, "version": VERSION, "record": record}
    return write_atomically(path, pack(contents.tensors, metadata), overwrite=overwrite)


def read_contents(path: StrPath) -> Contents:
    """Read a model file and check everything that can be checked without building the model.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, too large, or was not written by deltarule.
    """
    try:
        metadata, tensors = unpack(_read(path))
        envelope = _envelope(metadata)
    except ContainerError as error:
        raise ModelFileError(f"{path} is not a usable model file: {error}; {_REMEDY}") from None
    return Contents(envelope.kind, envelope.model, tensors)


def _read(path: StrPath) -> bytes:
    """Return a file's bytes, after its size and its first bytes have been found plausible."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ModelFileError(f"{path} is not a regular file; name a model file")
        if status.st_size > MAX_FILE_BYTES:
            raise ModelFileError(f"{path} is larger than any model file: {status.st_size} bytes")
        with open(path, "rb") as file:
            head = file.read(9)
            foreign = describe(head)
            if foreign is not None:
                raise ModelFileError(
                    f"{path} is no deltarule model but {foreign}; it was not opened: "
                    "name a file written by deltarule.save or `deltarule train`"
                )
            return head + file.read()
    except FileNotFoundError:
        raise ModelFileError(f"there is no model file {path}; check the path") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelFileError(f"cannot read the model file {path}: {reason}") from error
    except MemoryError:
        raise ModelFileError(f"{path} does not fit into memory") from None


def _envelope(metadata: dict[str, str]) -> _Envelope:
    if metadata.get("format") != FORMAT:
        raise ContainerError("it was not written by deltarule")
    if metadata.get("version") != VERSION:
        version = metadata.get("version", "unknown")[:20]
        raise ContainerError(f"its layout has version {version!r}, this deltarule reads {VERSION}")
    if set(metadata) != {"format", "version", "record"}:
        raise ContainerError("its metadata has other entries than format, version and record")
    try:
        return _Envelope.model_validate(strict_json.loads(metadata["record"]))
    except ValidationError as error:
        raise ContainerError(f"its record is malformed ({first_fault(error)})") from None
    except ValueError as error:
        raise ContainerError(f"its record is not strict JSON ({error})") from None


def first_fault(error: ValidationError) -> str:
    """Return the first fault that pydantic found, on one line, without quoting the input."""
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part)[:40] for part in fault["loc"]) or "record"
    return f"{place}: {fault['msg']}"
