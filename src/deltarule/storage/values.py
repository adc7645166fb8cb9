"""Values as strict JSON and named arrays, and back. The types are a fixed list; no code is run.

None, booleans, integers, finite floats, texts and lists are written as they are. Everything else
is an object whose entry ``=`` names its type: ``float`` (infinite or NaN), ``tuple``, ``dict``,
``array`` (the name of a tensor), ``same`` (a shared object that was written before), or a type that
the reader knows, with all of its fields.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np

from deltarule.errors import DeltaruleError

__all__ = ["Extension", "ValueCodec"]

_ARRAYS = ("float64", "float32", "int64", "int32", "uint8", "bool")
_NOT_FINITE = ("inf", "-inf", "nan")


class Extension(NamedTuple):
    """How values of some types are written, and read again."""

    kinds: tuple[type[Any], ...]
    encode: Callable[[str, Any], dict[str, Any]]  # (name, value) -> the entries of a JSON object
    decode: Callable[[dict[str, Any]], Any]  # these entries -> the value


class ValueCodec:
    """Converter of values to a record and its tensors, and back; for one record.

    Parameters
    ----------
    kinds : iterable of types
        Dataclasses and NamedTuples that may occur.
    error : type of DeltaruleError
        What is raised for a value that cannot be written, or a record that is not valid.
    remedy : str, default=""
        What to do about a value that cannot be written; ``{name}`` stands for its name.
    tensors : dict, optional
        The tensors of a record that is read; those of a record that is written are put here.
        Without it there are no arrays.
    shared : tuple of types, default=()
        Kinds whose objects may occur several times, and then come back as one object.
    extensions : mapping, default={}
        By the name of a type that is written in a way of its own, how that is done.
    rules : mapping, default={}
        By the name of a kind and of its field, whether a value may be read into that field.
    """

    def __init__(
        self,
        kinds: Iterable[type[Any]],
        *,
        error: type[DeltaruleError],
        remedy: str = "",
        tensors: dict[str, Any] | None = None,
        shared: tuple[type[Any], ...] = (),
        extensions: Mapping[str, Extension] | None = None,
        rules: Mapping[str, Mapping[str, Callable[[Any], bool]]] | None = None,
    ) -> None:
        self._extensions = {} if extensions is None else extensions
        self._kinds = {kind.__name__: kind for kind in kinds}
        self._error, self._remedy, self._shared = error, remedy, shared
        self.tensors, self._rules = tensors, rules or {}
        self._written: dict[int, str] = {}  # shared objects: id -> name
        self._read: dict[str, Any] = {}  # shared objects by name

    # --- writing --------------------------------------------------------------------------------

    def encode(self, name: str, value: Any) -> Any:
        """Return a value as strict JSON; its arrays become tensors, named by its place."""
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"=": "float", "value": str(value)}
        if isinstance(value, np.ndarray):
            return self._array(name, value)
        for tag, extension in self._extensions.items():
            if isinstance(value, extension.kinds):
                return {"=": tag, **extension.encode(name, value)}
        if isinstance(value, list):
            return [self.encode(f"{name}.{i}", item) for i, item in enumerate(value)]
        if type(value) is tuple:
            return {"=": "tuple", "items": self.encode(name, list(value))}
        if type(value) is dict:
            items = [
                [self.encode(name, key), self.encode(f"{name}.{key}", item)]
                for key, item in value.items()
            ]
            return {"=": "dict", "items": items}
        if self._kinds.get(type(value).__name__) is type(value):
            return self._object(name, value)
        raise self._refusal(name, value)

    def _refusal(self, name: str, value: Any) -> DeltaruleError:
        remedy = self._remedy.format(name=name.split(".")[0])
        return self._error(
            f"{name}={value!r} cannot be stored in a file, which holds no code. {remedy}".rstrip()
        )

    def _array(self, name: str, array: Any) -> Any:
        dtype = str(array.dtype)
        if self.tensors is None or dtype not in (*_ARRAYS, "uint32"):
            raise self._refusal(name, array)
        while name in self.tensors:
            name += "'"
        # uint32 is a type that files do not have
        self.tensors[name] = array.astype(np.int64) if dtype == "uint32" else array
        return {"=": "array", "name": name, "dtype": dtype}

    def _object(self, name: str, value: Any) -> Any:
        kind, shared = type(value), {}
        if isinstance(value, self._shared):
            if id(value) in self._written:
                return {"=": "same", "name": self._written[id(value)]}
            self._written[id(value)] = name
            shared = {"name": name}
        held = {n: self.encode(f"{name}.{n}", getattr(value, n)) for n in _field_names(kind)}
        return {"=": kind.__name__, **shared, "fields": held}

    # --- reading --------------------------------------------------------------------------------

    def decode(self, plain: Any) -> Any:
        """Return the value that :meth:`encode` wrote.

        Raises
        ------
        DeltaruleError
            Of the codec's type, if it is not something that :meth:`encode` writes.
        """
        if isinstance(plain, list):
            return [self.decode(item) for item in plain]
        if not isinstance(plain, dict):
            return plain
        kind, keys = plain.get("="), set(plain) - {"="}
        if not isinstance(kind, str):
            raise self._error("its record holds a value of unknown type")
        if kind == "float" and keys == {"value"} and plain["value"] in _NOT_FINITE:
            return float(plain["value"])
        if kind == "tuple" and keys == {"items"} and isinstance(plain["items"], list):
            return tuple(self.decode(plain["items"]))
        if kind == "dict" and keys == {"items"}:
            return self._dict(plain["items"])
        if kind == "array" and keys == {"name", "dtype"}:
            return self._tensor(plain["name"], plain["dtype"])
        if kind == "same" and keys == {"name"} and str(plain["name"]) in self._read:
            return self._read[str(plain["name"])]
        if kind in self._extensions:
            return self._extensions[kind].decode({key: plain[key] for key in keys})
        if kind in self._kinds:
            return self._made(self._kinds[kind], plain)
        raise self._error("its record holds a value of unknown type")

    def _dict(self, items: Any) -> dict[Any, Any]:
        pairs = isinstance(items, list) and all(
            isinstance(item, list) and len(item) == 2 for item in items
        )
        decoded = [(self.decode(key), self.decode(item)) for key, item in items] if pairs else []
        if not pairs or not all(_is_key(key) for key, _ in decoded):
            raise self._error("its record holds no valid dict")
        return dict(decoded)

    def _tensor(self, name: Any, dtype: Any) -> Any:
        array = (self.tensors or {}).get(name) if isinstance(name, str) else None
        if array is None or dtype not in (*_ARRAYS, "uint32"):
            raise self._error("its record names an array that is missing")
        if dtype == "uint32" and array.dtype == np.int64:
            return array.astype(np.uint32)
        if str(array.dtype) != dtype:
            raise self._error("its record names an array of another type")
        return array

    def _made(self, kind: type[Any], plain: dict[str, Any]) -> Any:
        shared = issubclass(kind, self._shared) if self._shared else False
        held = plain.get("fields")
        entries = {"=", "fields", "name"} if shared else {"=", "fields"}
        if (
            set(plain) != entries
            or not isinstance(held, dict)
            or set(held) != set(_field_names(kind))
        ):
            raise self._error(f"its record holds no valid {kind.__name__}")
        values = {name: self.decode(item) for name, item in held.items()}
        for name, rule in self._rules.get(kind.__name__, {}).items():
            if not rule(values[name]):
                raise self._error(
                    f"its record holds no valid {kind.__name__}: {name} is out of its range"
                )
        try:
            made = kind(**values)
        except (DeltaruleError, TypeError, ValueError, ArithmeticError) as error:
            raise self._error(f"its record holds no valid {kind.__name__}: {error}") from None
        if shared:
            self._read[str(plain["name"])] = made
        return made


def _is_key(value: Any) -> bool:
    """Whether a value can be a key: hashable, and equal to itself."""
    if isinstance(value, tuple):
        return all(_is_key(item) for item in value)
    return value is None or (isinstance(value, bool | int | float | str) and value == value)


def _field_names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind)) if is_dataclass(kind) else kind._fields
