"""Identity of a training: descriptions of its arguments, fingerprints of its data.

Descriptions and fingerprints are the same in every process. A function is described by its name
and a digest of its byte code, constants and closure; an object of another library, by its class
and its attributes.
"""

from __future__ import annotations

import functools
import hashlib
import re
import types
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np

from deltarule import schedules
from deltarule.schedules import Schedule
from deltarule.storage import strict_json
from deltarule.utils.arrays import is_sparse, to_numpy

__all__ = [
    "Identity",
    "code_differences",
    "describe",
    "differences",
    "end_argument",
    "fingerprint",
]

_MAX_LETTERS = 60  # of a value in a message

_INDEPENDENT = tuple(
    getattr(schedules, name)
    for name in (
        *("Adaptive", "Constant", "Exponential", "InverseScaling", "InverseSquareRoot"),
        *("InverseTime", "ReduceOnPlateau", "StepDecay", "PiecewiseConstant", "WarmUp"),
    )
)
"""Schedules whose rates do not depend on the planned number of epochs."""


class Identity(NamedTuple):
    """What a training must have in common with the one whose checkpoint it resumes."""

    arguments: dict[str, Any]  # described
    data: dict[str, str]  # fingerprints


def fingerprint(array: Any) -> str:
    """Return type, shape and SHA-256 of an array or CSR matrix; "none" for None."""
    if array is None:
        return "none"
    sha = hashlib.sha256()
    if is_sparse(array):
        array = array.tocsr()
        parts = [array.data, array.indices.astype("<i8"), array.indptr.astype("<i8")]
        kind = f"sparse {array.dtype}"
    else:
        array = to_numpy(array)
        if array.dtype.kind == "O":
            array = np.array([repr(item) for item in array.ravel()]).reshape(array.shape)
        parts, kind = [array], str(array.dtype)
    for part in parts:
        whole = np.ascontiguousarray(part)
        sha.update(whole.reshape(-1).view(np.uint8).data)
    return f"{kind} {tuple(int(n) for n in array.shape)} {sha.hexdigest()}"


def describe(value: Any) -> Any:
    """Return strict JSON that is equal for equal arguments."""
    return _Describer().describe(value)


class _Describer:
    """Describes an argument recursively; an object that comes again is described by its number."""

    def __init__(self) -> None:
        self._met: dict[int, Any] = {}

    def describe(self, value: Any) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return repr(value)
        if isinstance(value, np.ndarray) or is_sparse(value):
            return fingerprint(value)
        if isinstance(value, np.random.RandomState):
            return ["RandomState", self.describe(value.get_state(legacy=False))]
        if isinstance(value, np.random.Generator):
            return ["Generator", self.describe(value.bit_generator.state)]
        if isinstance(value, tuple | list):
            return [self.describe(item) for item in value]
        if isinstance(value, dict):
            return {"dict": [[self.describe(k), self.describe(v)] for k, v in value.items()]}
        if isinstance(value, set | frozenset):
            return sorted((describe(item) for item in value), key=strict_json.dumps)
        if id(value) in self._met:
            return ["as before", list(self._met).index(id(value))]
        self._met[id(value)] = value  # a reference, so that its id stays its own
        return self._object(value)

    def _object(self, value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            entries = {f.name: self.describe(getattr(value, f.name)) for f in fields(value)}
            return {type(value).__qualname__: entries}
        if isinstance(value, functools.partial):
            return ["partial", *map(self.describe, (value.func, value.args, value.keywords))]
        if isinstance(value, types.MethodType):
            return ["method", self.describe(value.__self__), self.describe(value.__func__)]
        if isinstance(value, types.FunctionType):
            cells = [_content(cell) for cell in value.__closure__ or ()]
            entries = self.describe([value.__defaults__, value.__kwdefaults__, cells])
            name = f"{value.__module__}.{value.__qualname__}"
            return ["function", name, _digest_of_code(value.__code__), entries]
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        if isinstance(value, type) or not hasattr(value, "__dict__") or isinstance(value, Iterable):
            return [name, _plain_repr(value)]
        return {name: {key: self.describe(item) for key, item in sorted(vars(value).items())}}


def _content(cell: types.CellType) -> Any:
    """Return the content of a closure's cell, or the cell if its variable has no value yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return cell


def _digest_of_code(code: types.CodeType) -> str:
    sha = hashlib.sha256(code.co_code)
    sha.update(repr((code.co_names, code.co_varnames)).encode())
    for constant in code.co_consts:
        sha.update(_constant(constant).encode())
    return sha.hexdigest()[:16]


def _constant(value: Any) -> str:
    """Return a constant of byte code as text; sets are sorted, as their order varies by process."""
    if isinstance(value, types.CodeType):
        return _digest_of_code(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant, value))})"
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(map(_constant, value)))}}}"
    return repr(value)


def _plain_repr(value: Any) -> str:
    """Return an object's repr without addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def end_argument(name: str, epochs: int, schedule: Schedule) -> dict[str, Any]:
    """Return the number of epochs as an argument that must stay the same, or no argument.

    With most schedules the number may be raised in order to train longer. It must stay with a
    schedule that depends on it (``Cosine``, ``OneCycle``). User-defined schedules, including
    subclasses of ours, are assumed to depend on it.
    """
    kind = type(schedule)
    independent = issubclass(kind, _INDEPENDENT) and kind.__module__.startswith("deltarule.")
    return {} if independent else {name: epochs}


def differences(was: Identity, now: Identity) -> list[str]:
    """Return a phrase for every argument and every part of the data that differs."""
    found = []
    for name in sorted(set(was.arguments) & set(now.arguments)):
        before, after = was.arguments[name], now.arguments[name]
        if before != after:
            found.append(_argument(name, before, after))
    if not found:  # an argument of only one of them
        found = [f"{name} matters" for name in sorted({*was.arguments} ^ {*now.arguments})]
    for name in [*now.data, *sorted(set(was.data) - set(now.data))]:
        before, after = was.data.get(name, "none"), now.data.get(name, "none")
        if before != after:
            found.append(_part(name, before, after))
    return found


def code_differences(was: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return a phrase for everything that decides bits and differs, by name."""
    names = [*now, *sorted(set(was) - set(now))]
    if was.get("engine") != now.get("engine"):  # the rest means other things
        names = [name for name in names if name in was and name in now]
    return [
        _of_code(name, was.get(name, "none"), now.get(name, "none"))
        for name in names
        if was.get(name) != now.get(name)
    ]


def _of_code(name: str, before: str, after: str) -> str:
    if "," not in before + after or len(before) + len(after) <= _MAX_LETTERS:
        return _argument(name, before, after)
    old, new = before.split(","), after.split(",")  # lists of features, too long to show
    lost = sorted(set(old) - set(new)) or ["none"]
    more = f" and {len(lost) - 3} others" if len(lost) > 3 else ""
    shown = " ".join(", ".join(lost[:3])[:_MAX_LETTERS].split())
    return f"{name} are others (had, and now lacks: {shown}{more})"


def _argument(name: str, before: Any, after: Any) -> str:
    old, new = _short(before), _short(after)
    if old == new or len(old) > _MAX_LETTERS or len(new) > _MAX_LETTERS:
        return f"{name} is another ({new[:_MAX_LETTERS]})"
    return f"{name} was {old} and is {new}"


def _short(described: Any) -> str:
    """Return a description in the form in which a user writes the value."""
    if isinstance(described, list) and described[:1] == ["function"]:
        return str(described[1]).rsplit("<locals>.", 1)[-1]
    if isinstance(described, dict) and len(described) == 1:
        (name, entries), = described.items()  # fmt: skip
        if isinstance(entries, dict):
            return f"{name}({', '.join(f'{k}={_short(v)}' for k, v in entries.items())})"
    if isinstance(described, list):
        return f"[{', '.join(_short(item) for item in described)}]"
    return str(described)


def _part(name: str, before: str, after: str) -> str:
    if before == "none":
        return f"{name} is given, and was not"
    if after == "none":
        return f"{name} is missing, and was given"
    old, new = before.rsplit(" ", 1)[0], after.rsplit(" ", 1)[0]
    if old != new:
        return f"{name} was {old} and is {new}"
    return f"{name} has other values ({new}, as before)"
