"""Values as strict JSON and named arrays, and back. The types are a fixed list; no code is run.

None, booleans, integers, finite floats, texts and lists are written as they are. Everything else
is an object whose entry ``=`` names its type: ``float`` (infinite or NaN), ``tuple``, ``dict``,
``array`` (the name of a tensor), ``same`` (a state that was written before), or a type that the
reader knows, with all of its fields.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from deltarule.errors import CheckpointError
from deltarule.program import Order, State, Steps
from deltarule.schedules import PlateauMemory, Position
from deltarule.slots import SLOTS
from deltarule.training.early_stopping import StoppingState
from deltarule.training.history import History
from deltarule.training.state import Epoch

__all__ = ["Values"]

_KINDS: tuple[type[Any], ...] = (
    *SLOTS,
    *(State, Order, Steps, Epoch, History, PlateauMemory, Position, StoppingState),
)
_ARRAYS = ("float64", "float32", "int64", "int32", "uint8", "bool")
_ODD = ("inf", "-inf", "nan")


class Values:
    """Converter of values to records and tensors, and back.

    Parameters
    ----------
    kinds : iterable of types
        NamedTuples that may occur in addition to those of training.
    tensors : dict, optional
        The tensors of a record that is read; those of a record that is written are put here.
    """

    def __init__(self, kinds: Iterable[type[Any]] = (), tensors: Any = None) -> None:
        self.kinds = tuple(kinds)
        self._kinds = {kind.__name__: kind for kind in (*_KINDS, *self.kinds)}
        self.tensors: dict[str, Any] = {} if tensors is None else tensors
        self._states: dict[int, str] = {}
        self._read: dict[str, State] = {}

    # --- to plain -------------------------------------------------------------------------------

    def plain(self, name: str, value: Any) -> Any:
        """Return a value as strict JSON; its arrays become tensors, named by its place."""
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"=": "float", "value": str(value)}
        if isinstance(value, np.ndarray):
            return self._array(name, value)
        if isinstance(value, list):
            return [self.plain(f"{name}.{i}", item) for i, item in enumerate(value)]
        if type(value) is tuple:
            return {"=": "tuple", "items": self.plain(name, list(value))}
        if type(value) is dict and all(isinstance(key, str) for key in value):
            items = {key: self.plain(f"{name}.{key}", item) for key, item in value.items()}
            return {"=": "dict", "items": items}
        if self._kinds.get(type(value).__name__) is type(value):
            return self._object(name, value)
        raise CheckpointError(
            f"{name} holds {value!r}, which a checkpoint cannot hold: it holds no code. Use "
            "numbers, texts, lists and arrays, or leave checkpoint out."
        )

    def _array(self, name: str, array: Any) -> Any:
        kind = str(array.dtype)
        if kind == "uint32":  # a type that files do not have
            return {"=": "array", "name": self._add(name, array.astype(np.int64)), "dtype": kind}
        if kind not in _ARRAYS:
            raise CheckpointError(f"{name} is an array of {kind}, which a checkpoint cannot hold.")
        return {"=": "array", "name": self._add(name, array), "dtype": kind}

    def _add(self, name: str, array: Any) -> str:
        self.tensors[name] = array
        return name

    def _object(self, name: str, value: Any) -> Any:
        kind = type(value).__name__
        if isinstance(value, State):
            if id(value) in self._states:
                return {"=": "same", "state": self._states[id(value)]}
            self._states[id(value)] = name
        if isinstance(value, Epoch) and value.pieces:
            value.steps()  # joins its pieces
        held = {n: self.plain(f"{name}.{n}", getattr(value, n)) for n in _fields(type(value))}
        return {"=": kind, "name": name, "fields": held}

    # --- and back -------------------------------------------------------------------------------

    def value(self, plain: Any) -> Any:
        """Return the value that :meth:`plain` wrote.

        Raises
        ------
        CheckpointError
            If it is not something that :meth:`plain` writes.
        """
        if isinstance(plain, list):
            return [self.value(item) for item in plain]
        if not isinstance(plain, dict):
            return plain
        kind, keys = plain.get("="), set(plain) - {"="}
        if kind == "float" and keys == {"value"} and plain["value"] in _ODD:
            return float(plain["value"])
        if kind == "tuple" and keys == {"items"} and isinstance(plain["items"], list):
            return tuple(self.value(plain["items"]))
        if kind == "dict" and keys == {"items"} and isinstance(plain["items"], dict):
            return {key: self.value(item) for key, item in plain["items"].items()}
        if kind == "array" and keys == {"name", "dtype"}:
            return self._tensor(plain["name"], plain["dtype"])
        if kind == "same" and keys == {"state"} and plain["state"] in self._read:
            return self._read[plain["state"]]
        if keys == {"name", "fields"} and isinstance(kind, str) and kind in self._kinds:
            return self._made(self._kinds[kind], plain["name"], plain["fields"])
        raise CheckpointError("its record holds a value of unknown type")

    def _tensor(self, name: Any, dtype: Any) -> Any:
        array = self.tensors.get(name) if isinstance(name, str) else None
        if array is None or dtype not in (*_ARRAYS, "uint32"):
            raise CheckpointError("its record names an array that is missing")
        if dtype == "uint32":
            return array.astype(np.uint32)
        if str(array.dtype) != dtype:
            raise CheckpointError("its record names an array of another type")
        return array

    def _made(self, kind: type[Any], name: Any, held: Any) -> Any:
        if not isinstance(held, dict) or set(held) != set(_fields(kind)):
            raise CheckpointError(f"its record holds no valid {kind.__name__}")
        made = kind(**{key: self.value(item) for key, item in held.items()})
        if isinstance(made, State):
            self._read[str(name)] = made
        return made


def _fields(kind: type[Any]) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind)) if is_dataclass(kind) else kind._fields
