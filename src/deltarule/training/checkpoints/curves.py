"""The curves of a checkpoint: finished parts are files of their own, written once, and shared.

So a checkpoint costs as much after a million epochs as after ten. Every part is written twice:
all later checkpoints depend on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from deltarule.errors import CheckpointError, ModelFileError
from deltarule.storage import ModelRecord, encode
from deltarule.training.checkpoints.ranges import RANGES
from deltarule.training.curve import Curve, Records

__all__ = ["CurveReader", "CurveWriter", "Tensors", "check_part", "digest_of"]

Tensors = dict[str, Any]

_TAIL_BYTES = 2**15
"""Entries that are not in finished parts take at most so many bytes in a checkpoint."""

_PRESENT = ".present"


class CurveWriter:
    """Encodes the curves of one training's checkpoints, and cuts their finished parts.

    Attributes
    ----------
    parts : list of str
        Digests of the finished parts, in order.

    Parameters
    ----------
    write : callable
        (digest, content) -> None: writes a finished part.
    parts, stored : list, dict
        Of the checkpoint that the training resumes from: digests, and entries by curve.
    """

    def __init__(
        self,
        write: Callable[[str, ModelRecord], None],
        parts: list[str] | None = None,
        stored: Mapping[str, int] | None = None,
    ) -> None:
        self._write = write
        self.parts: list[str] = [] if parts is None else list(parts)
        self._stored: dict[str, int] = {} if stored is None else dict(stored)
        self._seen: dict[str, Curve | Records] = {}

    def encode(self, name: str, curve: Curve | Records) -> dict[str, Any]:
        """Return the record's entry for a curve; ``finish`` adds its arrays."""
        self._seen[name] = curve
        return {"name": name, "length": len(curve)}

    def finish(self, tensors: Tensors) -> list[str]:
        """Write a finished part if enough is new, else add what is new; return the parts."""
        curves, self._seen = self._seen, {}
        if any(len(curve) < self._stored.get(name, 0) for name, curve in curves.items()):
            self.parts, self._stored = [], {}  # curves of another training
        new: Tensors = {}
        for name, curve in curves.items():
            new |= _arrays(name, curve, self._stored.get(name, 0))
        if sum(array.nbytes for array in new.values()) > _TAIL_BYTES:
            spans = {n: [self._stored.get(n, 0), len(curve)] for n, curve in curves.items()}
            content = ModelRecord("curves", {"spans": spans}, new)
            digest = digest_of(content)
            self._write(digest, content)
            self.parts = [*self.parts, digest]
            self._stored |= {name: stop for name, (_, stop) in spans.items()}
            new = {name: array[:0] for name, array in new.items()}
        tensors |= new
        return self.parts


class CurveReader:
    """Decodes the curves of a checkpoint.

    Parameters
    ----------
    parts : list of ModelRecord
        The finished parts, in order.
    tensors : dict
        The checkpoint's arrays.
    kinds : tuple of types
        NamedTuples that records may be: one of records, and one of their entries.
    """

    def __init__(
        self, parts: list[ModelRecord], tensors: Tensors, kinds: tuple[type[Any], ...]
    ) -> None:
        self._parts, self._tensors = parts, tensors
        self._kinds = kinds
        self.stored: dict[str, int] = {}
        for part in parts:
            for name, (start, stop) in _spans(part).items():
                if start != self.stored.get(name, 0):
                    raise CheckpointError("its curves have gaps")
                self.stored[name] = stop

    def decode(self, plain: dict[str, Any]) -> Curve | Records:
        """Return the curve of an entry of the record."""
        name, length = plain.get("name"), plain.get("length")
        if set(plain) != {"name", "length"} or not isinstance(name, str):
            raise CheckpointError("its record holds no valid curve")
        values = self._joined(name)
        if values is None or length != len(values) or type(length) is not int:
            raise CheckpointError(f"its curve {name!r:.60} has another length")
        if values.ndim == 1 and values.dtype == np.float64:
            return Curve(values.tolist())
        present = self._joined(name + _PRESENT)
        if present is None or present.dtype != np.bool_ or present.shape != values.shape:
            raise CheckpointError(f"its curve {name!r:.60} is not valid")
        return _records(values, present, self._kinds)

    def _joined(self, name: str) -> Any:
        held = [part.tensors.get(name) for part in self._parts] + [self._tensors.get(name)]
        arrays = [array for array in held if array is not None and array.size]
        arrays = arrays or [array for array in held if array is not None]
        if not arrays or any(array.ndim == 0 for array in arrays):
            return None
        first = arrays[0]
        if any((a.dtype, a.shape[1:]) != (first.dtype, first.shape[1:]) for a in arrays):
            return None
        return np.concatenate(arrays) if len(arrays) > 1 else first


class _Spans(NamedTuple):
    start: int
    stop: int


def digest_of(content: ModelRecord) -> str:
    """Return the SHA-256 of a finished part's file."""
    return hashlib.sha256(encode(content)).hexdigest()


def check_part(content: ModelRecord, digest: str) -> None:
    """Raise ``ModelFileError`` unless a file is the finished part of this digest."""
    if content.kind != "curves" or digest_of(content) != digest:
        raise ModelFileError("it holds other curves")


def _spans(part: ModelRecord) -> dict[str, _Spans]:
    """Return which entries of every curve a part holds."""
    spans = part.record.get("spans")
    found: dict[str, _Spans] = {}
    for name, span in spans.items() if isinstance(spans, dict) else ():
        counts = isinstance(span, list) and len(span) == 2 and all(type(n) is int for n in span)
        if not counts or len(part.tensors.get(name, ())) != span[1] - span[0]:
            raise CheckpointError("its curves are not valid")
        found[name] = _Spans(*span)
    if set(part.record) != {"spans"} or not found:
        raise CheckpointError("its curves are not valid")
    return found


def _arrays(name: str, curve: Curve | Records, start: int) -> Tensors:
    """Return the entries of a curve from ``start`` on as arrays, by name."""
    if isinstance(curve, Curve):
        return {name: curve.numbers(start)}
    rows = [[tuple(entry) for entry in record[0]] for record in curve[start:]]
    if not rows:
        return {name: np.zeros((0, 0, 0)), name + _PRESENT: np.zeros((0, 0, 0), dtype=bool)}
    present = np.array([[[x is not None for x in entry] for entry in row] for row in rows])
    values = np.array(rows, dtype=np.float64)
    return {name: np.where(present, values, 0.0), name + _PRESENT: present}


def _records(values: Any, present: Any, kinds: tuple[type[Any], ...]) -> Records:
    """Return the records of an array (n, entries of a record, fields of an entry)."""
    if len(values) == 0:
        return Records()
    if len(kinds) != 2 or values.ndim != 3 or values.dtype != np.float64:
        raise CheckpointError("its record holds a value of unknown type")
    record, entry = kinds
    if values.shape[2] != len(entry._fields):
        raise CheckpointError(f"its record holds no valid {entry.__name__}")
    columns = []
    for i, name in enumerate(entry._fields):
        rule = RANGES[entry.__name__][name]
        column, there = values[:, :, i], present[:, :, i]
        if rule(1) and not rule(0.5):  # counts
            whole = np.isfinite(column).all() and (column == np.floor(column)).all()
            plain: Any = column.astype(np.int64).tolist() if whole else None
            if plain is None or not (rule(int(column.min())) and rule(int(column.max()))):
                raise CheckpointError(f"its record holds no valid {entry.__name__}: {name}")
        else:
            plain = column.tolist()
        if not there.all():
            if not rule(None):
                raise CheckpointError(f"its record holds no valid {entry.__name__}: {name}")
            plain = [
                [x if given else None for x, given in zip(row, flags, strict=True)]
                for row, flags in zip(plain, there.tolist(), strict=True)
            ]
        columns.append(plain)
    rows = (zip(*row, strict=True) for row in zip(*columns, strict=True))
    return Records(record(tuple(entry(*fields) for fields in row)) for row in rows)
