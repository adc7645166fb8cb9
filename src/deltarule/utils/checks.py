"""Checks of arguments, with messages that name the argument and what is expected."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, time, timedelta
from difflib import get_close_matches
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING, Any

from deltarule.errors import DataError, ShapeError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deltarule.utils.arrays import Array

__all__ = [
    "check_between",
    "check_call",
    "check_count",
    "check_flag",
    "check_name",
    "check_path",
    "check_positive_integer",
    "check_seed",
    "check_sequence",
    "check_shape",
    "check_undated",
    "is_count",
    "is_number",
    "numeric_array",
    "shown",
]

_COUNTS = 2**62  # far below 2**63, so that a counter can still grow without overflow


def check_shape(name: str, array: Array, shape: tuple[int, ...], remedy: str = "") -> None:
    """Raise ``ShapeError`` unless ``array.shape == shape``."""
    if tuple(array.shape) != tuple(shape):
        hint = f" {remedy}" if remedy else ""
        raise ShapeError(f"{name} must have shape {shape}; got {tuple(array.shape)}.{hint}")


def shown(value: Any) -> str:
    """Return a value as a message shows it: on one line, and not too long."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # an int with more digits than Python writes
        text = f"an integer of {value.bit_length()} bits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def check_positive_integer(name: str, value: Any) -> int:
    """Return ``value`` as an int, or raise ``SpecError`` unless it is an integer ≥ 1."""
    return check_count(name, value, least=1)


def check_count(name: str, value: Any, *, least: int = 0, below: int = _COUNTS) -> int:
    """Return ``value`` as an int, or raise ``SpecError`` unless it is one in [least, below)."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise SpecError(f"{name} must be an integer of at least {least}; got {shown(value)}.")
    number = int(value)
    if number >= below:
        raise SpecError(
            f"{name} must be an integer below 2**{below.bit_length() - 1}; got {shown(value)}."
        )
    return number


def check_seed(name: str, value: Any) -> int:
    """Return ``value`` as an int, or raise ``SpecError`` unless it is one in [0, 2**63)."""
    return check_count(name, value, below=2**63)


def check_flag(name: str, value: Any) -> bool:
    """Return ``value`` as a bool, or raise ``SpecError`` unless it is True or False."""
    if isinstance(value, bool):
        return value
    if type(value).__name__ in ("bool", "bool_") and type(value).__module__ == "numpy":
        return bool(value)
    raise SpecError(f"{name} must be True or False; got {shown(value)}.")


def check_sequence(name: str, value: Any, what: str) -> tuple[Any, ...]:
    """Return a list, tuple or array as a tuple of its items; ``SpecError`` for anything else.

    ``what`` says what the argument must be, such as "a list of numbers".
    """
    array = hasattr(value, "tolist") and getattr(value, "ndim", 0) > 0
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if not (array or listed):
        raise SpecError(f"{name} must be {what}; got {shown(value)}.")
    return tuple(value)


def check_call(name: str, function: Any, form: str, n_arguments: int) -> None:
    """Raise ``SpecError`` unless a function can be called with so many arguments.

    Parameters
    ----------
    form : str
        The call, for the message, such as "f(x)".
    """
    from inspect import signature

    try:
        found = signature(function) if callable(function) else None
    except ValueError:  # a builtin without a signature
        return
    try:
        if found is None:
            raise TypeError("it cannot be called")
        found.bind(*[None] * n_arguments)
    except TypeError as error:
        raise SpecError(
            f"{name} must be a function, called as {form}; got {shown(function)}."
        ) from error


def check_path(name: str, value: Any) -> None:
    """Raise ``SpecError`` unless ``value`` is a path: an int would be an open file's number."""
    if not isinstance(value, str | PathLike):
        raise SpecError(f"{name} must be a str or path-like; got {shown(value)}.")


def numeric_array(name: str, values: Any) -> Any:
    """Return ``values`` as a NumPy array of real numbers, of the dtype that NumPy chooses.

    Raises
    ------
    DataError
        For anything else, for rows of unequal length, and for integers beyond 64 bits.
    """
    import numpy as np

    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(
            f"{name} must be a rectangular array of numbers; got rows of unequal length."
        ) from error
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{name} must contain numbers; got dtype {array.dtype}: {shown(values)}. Convert it "
            "first."
        )
    return array


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
        raise SpecError(f"{name} must be a number in {interval}; got {shown(value)}.")
    try:
        number = float(value)
    except OverflowError:
        raise SpecError(
            f"{name} must be a number that a float can hold; got {shown(value)}."
        ) from None
    inside = (number > low if open_low else number >= low) and (
        number < high if open_high else number <= high
    )
    if not inside:
        raise SpecError(f"{name} must be in {interval}; got {shown(value)}.")
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
    raise SpecError(f"{name} must be one of {', '.join(known)}; got {shown(value)}.{hint}")


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
