"""A walk through a pipeline's objects that finds those that a model file must not contain.

The same walk runs before saving, on the user's pipeline, and after loading, on the pipeline that
was built.
"""

from __future__ import annotations

import types as python
from collections.abc import Iterator
from typing import Any

import numpy as np

from deltarule.errors import ModelFileError
from deltarule.persistence.allowlist import classes, functions, qualified, types
from deltarule.persistence.attribute_checks import check_stream

__all__ = ["SAFE_KINDS", "objects"]

SAFE_KINDS = "biufU"
"""The kinds of dtype that hold plain values: booleans, integers, floats and strings."""

MAX_DEPTH = 100
_PLAIN = (type(None), bool, int, float, str)
_KEYS = (str, int, float, np.str_, np.integer, np.floating)


def objects(root: Any, extra: tuple[type[Any], ...] = ()) -> list[tuple[str, Any]]:
    """Return the objects whose classes are listed, each once, with its place in the pipeline.

    Parameters
    ----------
    root : object
        A pipeline or transformer.
    extra : tuple of type
        Classes whose objects are returned, but whose attributes are not walked.

    Raises
    ------
    ModelFileError
        If an object is not on the list of `deltarule.persistence.allowlist`.
    """
    seen: set[int] = set()
    found: list[tuple[str, Any]] = []
    stack = [(type(root).__name__, root, 0)]
    while stack:
        place, value, depth = stack.pop()
        if type(value) in _PLAIN or id(value) in seen:
            continue
        if depth > MAX_DEPTH:
            raise ModelFileError(f"{place[:80]}… is nested more than {MAX_DEPTH} levels deep")
        seen.add(id(value))
        if type(value) in extra:
            found.append((place, value))
            continue
        if qualified(type(value)) in classes():
            found.append((place, value))
        if type(value) is np.random.RandomState:
            check_stream(place, value)
        children = [(name, child, depth + 1) for name, child in _children(place, value)]
        stack += reversed(children)
    return found


def _children(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    kind = type(value)
    if kind in (list, tuple, set):
        for number, item in enumerate(value):
            yield f"{place}[{_label(number, item)}]", item
    elif kind is dict:
        for key, item in value.items():
            if isinstance(key, bool) or not isinstance(key, _KEYS):
                raise _refusal(f"a key of {place}", key, "only strings and numbers can be keys")
            yield f"{place}[{key!r}]", item
    elif kind is slice:
        yield from ((f"{place}.{n}", getattr(value, n)) for n in ("start", "stop", "step"))
    elif kind is np.ndarray and value.dtype == object:
        yield from ((f"{place}.flat[{i}]", item) for i, item in enumerate(value.flat))
    elif classes().get(qualified(kind)) is kind:
        _check_cache_folder(place, value)
        yield from ((f"{place}.{name}", item) for name, item in vars(value).items())
    elif not _is_leaf(value):
        if callable(value):
            raise _refusal(place, value, "a model file contains no code")
        raise _refusal(
            place,
            value,
            f"{qualified(kind)} is not one of the classes that a model file may contain",
        )


def _is_leaf(value: Any) -> bool:
    if isinstance(value, type):
        return types().get(qualified(value)) is value
    if isinstance(value, python.FunctionType):
        return functions().get(qualified(value)) is value
    if type(value) is np.ndarray or isinstance(value, np.generic):
        return value.dtype.kind in SAFE_KINDS
    if isinstance(value, np.dtype):
        return value.kind in SAFE_KINDS
    return type(value) is np.random.RandomState


def _check_cache_folder(place: str, value: Any) -> None:
    """Refuse a pipeline with a cache: its folder holds pickles, which a later fit would load."""
    if getattr(value, "memory", None) is not None:
        raise _refusal(f"{place}.memory", value.memory, "a cache is not part of a model")


def _label(number: int, item: Any) -> str:
    """Return the label of an item in a list: the name of a pipeline's step, or else its number."""
    named = type(item) is tuple and len(item) > 1 and type(item[0]) is str
    return repr(item[0]) if named else str(number)


def _refusal(place: str, value: Any, reason: str) -> ModelFileError:
    shown = " ".join(repr(value).split())
    shown = shown if len(shown) <= 60 else shown[:59] + "…"
    return ModelFileError(
        f"{place}={shown} cannot be saved in a file: {reason}; set another value, "
        "or do this step outside the pipeline (docs/format.md lists what can be saved)"
    )
