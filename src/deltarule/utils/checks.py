"""Checks of arguments, with messages that name the argument and what is expected."""

from __future__ import annotations

from datetime import date, time, timedelta
from difflib import get_close_matches
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from deltarule.errors import DataError, ShapeError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deltarule.utils.arrays import Array

__all__ = [
    "check_between",
    "check_name",
    "check_positive_integer",
    "check_shape",
    "check_undated",
    "is_count",
    "is_number",
]

_COUNTS = 2**62  # far below 2**63, so that a counter can still grow without overflow


def check_shape(name: str, array: Array, shape: tuple[int, ...], remedy: str = "") -> None:
    """Raise ``ShapeError`` unless ``array.shape == shape``."""
    if tuple(array.shape) != tuple(shape):
        hint = f" {remedy}" if remedy else ""
        raise ShapeError(f"{name} must have shape {shape}; got {tuple(array.shape)}.{hint}")


def check_positive_integer(name: str, value: Any) -> int:
    """Return ``value`` as an int, or raise ``SpecError`` unless it is an integer ≥ 1."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise SpecError(f"{name} must be an integer of at least 1; got {value!r}.")
    return int(value)


def check_between(
    name: str,
    value: Any,
    low: float = float("-inf"),
    high: float = float("inf"),
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return ``value`` as a float, or raise ``SpecError`` unless it lies in the interval."""
    interval = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
    if not isinstance(value, Real) or isinstance(value, bool):
        raise SpecError(f"{name} must be a number in {interval}; got {value!r}.")
    number = float(value)
    inside = (number > low if open_low else number >= low) and (
        number < high if open_high else number <= high
    )
    if not inside:
        raise SpecError(f"{name} must be in {interval}; got {value!r}.")
    return number


def is_count(value: Any, below: int = _COUNTS) -> bool:
    """Whether a value is an integer in [0, below)."""
    whole = type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))
    return whole and 0 <= value < below


def is_number(value: Any) -> bool:
    """Whether a value is a float, or an int of less than 62 bits."""
    return isinstance(value, float) or (type(value) is int and -_COUNTS < value < _COUNTS)


def check_name(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return ``value`` if it is one of the names; ``SpecError`` suggests the closest otherwise."""
    known = sorted(choices)
    if isinstance(value, str) and value in known:
        return value
    near = get_close_matches(str(value).lower(), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise SpecError(f"{name} must be one of {', '.join(known)}; got {value!r}.{hint}")


def check_undated(name: str, given: Any) -> None:
    """Raise ``DataError`` if an array, a data frame or a list holds dates or durations.

    NumPy would turn them into a count of days or of nanoseconds, and a missing one into -2**63.
    """
    dtypes: Any = getattr(given, "dtypes", None)
    if hasattr(dtypes, "items"):  # a data frame; a Series has a single dtype
        for column, dtype in dtypes.items():
            if getattr(dtype, "kind", "") in ("m", "M", "O"):
                check_undated(f"column {column!r} of {name}", given[column])
        return
    kind = getattr(getattr(given, "dtype", None), "kind", None)
    if kind is None and isinstance(given, list | tuple):
        given = _flat(given)
        kind = "O"
    if kind in ("m", "M"):
        raise _dated(name, kind == "M", str(given.dtype))
    if kind == "O":
        for value in given if isinstance(given, list) else _objects(given):
            if isinstance(value, date | time) or hasattr(value, "to_timestamp"):
                raise _dated(name, True, type(value).__name__)
            if isinstance(value, timedelta):
                raise _dated(name, False, type(value).__name__)
            if getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M"):
                raise _dated(name, value.dtype.kind == "M", str(value.dtype))


def _flat(given: Any) -> list[Any]:
    """Return the items of a list of lists; anything else in it stays whole."""
    items: list[Any] = []
    for item in given:
        items += _flat(item) if isinstance(item, list | tuple) else [item]
    return items


def _objects(given: Any) -> Any:
    import numpy as np

    return np.asarray(given, dtype=object).ravel()


def _dated(name: str, dates: bool, found: str) -> DataError:
    remedy = (
        "(d - d.min()) / numpy.timedelta64(1, 'D') for dates d"
        if dates
        else "d / numpy.timedelta64(1, 's') for durations d"
    )
    return DataError(
        f"{name} must hold numbers; got {'dates' if dates else 'durations'} ({found}). Give "
        f"numbers in a unit of your choice, such as {remedy}."
    )
