"""JSON in the strict form of the standard: no repeated keys, NaN, infinity or deep nesting."""

from __future__ import annotations

import json
import math
import re
from typing import Any

__all__ = ["MAX_DEPTH", "dumps", "loads"]

MAX_DEPTH = 64
"""The most lists and objects inside one another, so that readers may recurse."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def dumps(value: Any) -> str:
    """Return the canonical JSON text of a value: sorted keys, shortest exact numbers.

    Raises
    ------
    ValueError
        If the value contains NaN or an infinity.
    """
    return json.dumps(
        value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )


def loads(text: str, *, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    ValueError
        If the text is not JSON, repeats a key, contains a number that is not finite or a text that
        is not Unicode (half of a surrogate pair), or is nested too deeply.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
        )
    except RecursionError:
        raise ValueError("the JSON text is nested too deeply") from None
    _check_depth(value, max_depth)
    if _SURROGATE.search(text):
        _check_texts(value)
    return value


def _check_depth(value: Any, most: int) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
        if not level:
            return
        level = [
            child
            for holder in level
            for child in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(child, dict | list)
        ]
    raise ValueError("the JSON text is nested too deeply")


def _check_texts(value: Any) -> None:
    """Refuse halves of surrogate pairs, which JSON can write and UTF-8 cannot."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("it holds a text that is not Unicode") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:40]!r} appears twice")
        found[key] = value
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:40]} is too large for a float")
    return value
