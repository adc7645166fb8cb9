"""A column that Python holds, in whatever dress: its cells, and what its type declares."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deltarule.tables.columns import Cells, number_text
from deltarule.tables.messages import is_unicode
from deltarule.tables.sources.parquet import as_texts, holds_texts, read_column

__all__ = ["HeldColumn", "held_column", "is_arrow", "is_pandas"]

Mixed: TypeAlias = frozenset[str] | None
"""What objects of several types are; None if they are of one."""

_FAILURES = (pa.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError)


class HeldColumn(NamedTuple):
    """The cells of a column.

    Attributes
    ----------
    cells : pyarrow.Array
        Numbers as float64, the rest as texts; what is neither keeps its type.
    declared : bool
        Whether the type says that they are texts or categories.
    holds : str
        "number", "text", "boolean" or "date" by the type, or an empty text.
    kinds : frozenset of str
        The same of the values, if they are objects of several types.
    values : pyarrow.Array
        The same before they were made cells.
    """

    cells: Cells
    declared: bool
    holds: str
    kinds: frozenset[str]
    values: Any


def is_pandas(thing: Any, *kinds: str) -> bool:
    """Whether a thing is an object of pandas of one of these classes, without importing pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(thing, tuple(getattr(pandas, kind) for kind in kinds))


def is_arrow(thing: Any) -> bool:
    """Whether a thing gives its columns or values to Arrow by itself."""
    return hasattr(thing, "__arrow_c_stream__") or hasattr(thing, "__arrow_c_array__")


def held_column(
    values: Any, *, categorical: bool | None = None, declares: bool = True
) -> HeldColumn:
    """Return a column of a Series, an Arrow array, a NumPy array or a sequence.

    Parameters
    ----------
    values : object
        One value for each row. None, NaN, NaT and ``pd.NA`` are missing cells.
    categorical : bool, optional
        Whether they are categories; by default the type says it.
    declares : bool, default=True
        Whether the type of texts says that they are texts.
    """
    mixed: Mixed = None
    if is_pandas(values, "Series", "Index"):
        found, as_category, mixed = _of_pandas(values)
        categorical = as_category if categorical is None else categorical
    elif is_arrow(values):
        found = _of_arrow(values)
    else:
        found, mixed = _of_numpy(values)
    if isinstance(found, pa.ChunkedArray):
        found = _one_chunk(found)
    if categorical is None:
        categorical = pa.types.is_dictionary(found.type)
    found = _plain(found)
    try:
        cells = read_column(found)
    except pa.ArrowInvalid:
        found = cells = _unreadable(len(found), "invalid Unicode")
    if categorical and pa.types.is_floating(cells.type):
        cells = as_texts(found)
    declared = bool(categorical or (holds_texts(found.type) and declares and mixed is None))
    holds = _holds(found) if mixed is None else ""
    kinds = frozenset([holds] if holds else mixed or ())
    return HeldColumn(cells, declared, holds, kinds, found)


def _holds(values: Any) -> str:
    """Return what values are by their type; those that are all missing tell nothing."""
    kind, types = values.type, pa.types
    if len(values) == values.null_count:
        return ""
    if types.is_floating(kind) and pc.all(pc.is_nan(values)).as_py():
        return ""
    if types.is_boolean(kind):
        return "boolean"
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_date(kind) or types.is_timestamp(kind) or types.is_time(kind):
        return "date"
    return "text" if holds_texts(kind) else ""


# --- Arrow -------------------------------------------------------------------------------------


def _of_arrow(values: Any) -> Any:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if hasattr(values, "__arrow_c_stream__"):
        return pa.chunked_array(values)
    return pa.array(values)


def _one_chunk(values: Any) -> Any:
    if pa.types.is_dictionary(values.type):
        values = values.unify_dictionaries()
    whole = values.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # of more texts than 32 bits can address
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.nulls(0, whole.type)
    return whole


def _plain(values: Any) -> Any:
    """Return values without dictionaries, views, runs, zones and extensions of types."""
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    kind, types = values.type, pa.types
    if types.is_dictionary(kind):
        return _plain(values.dictionary).take(values.indices)
    if types.is_run_end_encoded(kind):
        return _plain(pc.run_end_decode(values))
    if types.is_string_view(kind):
        try:
            return pc.cast(values, pa.string())
        except pa.ArrowNotImplementedError:
            return pa.array(values.to_pylist(), pa.string())
    if types.is_timestamp(kind) and kind.tz is not None:
        return pc.local_timestamp(values)  # the time as it is written
    return values


# --- pandas ------------------------------------------------------------------------------------


def _of_pandas(series: Any) -> tuple[Any, bool, Mixed]:
    """Return a Series or Index as an Arrow array, whether it is categorical, and what it mixes."""
    pandas = sys.modules["pandas"]
    series = series.to_series() if is_pandas(series, "Index") else series
    dtype = series.dtype
    if isinstance(dtype, pandas.SparseDtype):
        series, dtype = series.astype(dtype.subtype), dtype.subtype
    if isinstance(dtype, pandas.CategoricalDtype):
        codes = series.cat.codes.to_numpy()
        categories, _, mixed = _of_pandas(series.cat.categories)
        if isinstance(categories, pa.ChunkedArray):
            categories = _one_chunk(categories)
        return _plain(categories).take(pa.array(codes, mask=codes < 0)), True, mixed
    if isinstance(dtype, pandas.PeriodDtype | pandas.IntervalDtype):
        texts = [None if pandas.isna(value) else str(value) for value in series]
        return pa.array(texts, pa.string()), False, None
    if isinstance(dtype, pandas.DatetimeTZDtype):
        series = series.dt.tz_localize(None)
    if isinstance(series.dtype, np.dtype):
        found, mixed = _of_numpy(series.to_numpy())
        return found, False, mixed
    try:
        return pa.array(series, from_pandas=True), False, None
    except _FAILURES:
        return _unreadable(len(series), str(dtype)), False, None


# --- NumPy and sequences -----------------------------------------------------------------------


def _of_numpy(values: Any) -> tuple[Any, Mixed]:
    """Return an array or a sequence as an Arrow array, and what types it mixes."""
    array = values
    if not isinstance(array, np.ndarray):
        array = np.asarray(values) if hasattr(values, "__array__") else _objects(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        return _unreadable(len(array), f"arrays of {array.ndim} dimensions"), None
    kind, missing = array.dtype.kind, None
    if isinstance(array, np.ma.MaskedArray):
        array, missing = array.data, np.ma.getmaskarray(array)
    if kind == "T":
        array = array.astype(object)
    if array.dtype == object:
        if missing is not None:
            array = np.where(missing, None, array)
        return _of_objects(array)
    if kind == "M" and np.datetime_data(array.dtype)[0] not in ("D", "s", "ms", "us", "ns"):
        array = array.astype("datetime64[s]")
    if kind in "iufb":
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        with np.errstate(over="ignore"):  # infinities are refused by name
            array = array.astype(np.float64) if array.dtype == np.longdouble else array
    try:
        return pa.array(array, mask=missing, from_pandas=True), None
    except _FAILURES:
        return _unreadable(len(array), str(array.dtype)), None


def _objects(values: Any) -> Any:
    """Return a sequence as an array of its objects; one of numbers alone as numbers."""
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        values = [values] if isinstance(values, str | bytes) else list(values)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _of_objects(array: Any) -> tuple[Any, Mixed]:
    """Return objects as an Arrow array, and what they are if they are of several types.

    Those become the texts that a CSV file would hold.
    """
    try:
        found = pa.array(array, from_pandas=True)
    except _FAILURES:
        found = None
    if found is not None and _holds(found) != "date":
        return found, None
    # Dates beside dates with a time, or with several zones, would lose one or the other.
    texts: list[str | None] = []
    for value in array:
        text = _text(value)
        if text is None and not _is_missing(value):
            return _unreadable(len(array), type(value).__name__), None
        if text is not None and not is_unicode(text):
            return _unreadable(len(array), "invalid Unicode"), None
        texts.append(text)
    kinds = {_kind(kind) for kind in {type(v) for v in array[[text is not None for text in texts]]}}
    return pa.array(texts, pa.string()), frozenset(kinds)


def _kind(kind: type) -> str:
    """Return what objects of a type are that `_text` turns into texts."""
    if issubclass(kind, str):
        return "text"
    if issubclass(kind, bool | np.bool_):
        return "boolean"
    return "number" if issubclass(kind, Real | Decimal) else "date"


def _text(value: Any) -> str | None:
    """Return an object as the text of a cell; None for what is missing or no cell at all."""
    if isinstance(value, str):
        return str(value)
    if _is_missing(value):
        return None
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real) and not isinstance(value, Decimal):
        number = float(value)
        return number_text(number) if np.isfinite(number) else str(number)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, np.datetime64):
        return str(value)
    return None


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    pandas = sys.modules.get("pandas")
    if pandas is not None and value is pandas.NA:
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    try:
        return bool(isinstance(value, Real | date) and value != value)
    except (TypeError, ValueError):
        return False


def _unreadable(count: int, what: str) -> Any:
    """Return a column of no kind; it is refused by its type where it is used."""
    return pa.nulls(count, pa.struct([(what, pa.null())]))
