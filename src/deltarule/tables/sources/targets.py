"""The target that Python holds beside X: a column, and the classes in the user's own type."""

from __future__ import annotations

from datetime import date
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.utils import column_or_1d

from deltarule.errors import TableError
from deltarule.tables.columns import MISSING
from deltarule.tables.messages import show
from deltarule.tables.sources.frames import read_frame
from deltarule.tables.sources.held import HeldColumn, held_column, is_arrow, is_pandas

__all__ = ["HeldTarget", "read_target"]


class HeldTarget(NamedTuple):
    """The target.

    Attributes
    ----------
    column : HeldColumn
        Its cells.
    values : (n,) array
        The same in the user's own type, as scikit-learn would read it.
    name : str or None
        Its name, if it has one.
    """

    column: HeldColumn
    values: NDArray[Any]
    name: str | None

    @property
    def has_texts(self) -> bool:
        """Whether they are names, if they are classes: texts, or numbers beyond float64."""
        whole = self.values.dtype.kind in "iu" and pa.types.is_string(self.column.cells.type)
        return self.column.holds == "text" or whole


def read_target(y: Any, owner: str) -> HeldTarget:
    """Return a target from an array, a Series, a list, or a table of one column.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or table of one column
    owner : str
        Who needs it, for messages.

    Raises
    ------
    TableError
        If it is no column, or a value is missing: there is nothing to learn from such a row.
    """
    if y is None:
        raise TableError(
            f"{owner} requires y to be passed, but the target y is None. Give the column to "
            "predict, such as frame['price']"
        )
    name, column, given = _column(y)
    if column.holds in (
        "number",
        "boolean",
    ):  # of categories of numbers, too, the numbers are the classes
        column = held_column(column.values, categorical=False)
    if len(column.cells) == 0:
        raise TableError(
            "Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is required. Give y "
            "rows"
        )
    kind = column.cells.type
    if not (pa.types.is_floating(kind) or pa.types.is_string(kind)):
        raise TableError(
            f"y holds {show(kind)}, which is neither number nor text; convert it to numbers or "
            "texts"
        )
    values = _values(column, given)
    _check_values(column)
    kinds = {type(value) for value in given} if given is not None and not column.holds else set()
    if column.holds == "date" or (kinds and all(issubclass(kind, date) for kind in kinds)):
        raise TableError(
            "y holds dates, which are neither classes nor numbers; give them as texts, "
            "y.astype(str), or as numbers"
        )
    if not column.holds and pa.types.is_string(column.cells.type):
        if kinds and bool not in kinds and all(issubclass(kind, Real) for kind in kinds):
            beyond = (v for v in given.tolist() if type(v) not in (int, float) or abs(v) >= 2**63)
            raise TableError(
                "y holds numbers that are neither floats nor whole numbers of 64 bits, such as "
                f"{next(beyond, given[0])!s:.60}; give texts, [str(value) for value in y], if they "
                "are names, else floats, [float(value) for value in y]"
            )
        names = ": " + ", ".join(sorted(kind.__name__ for kind in kinds)) if kinds else ""
        raise TableError(
            f"y must be of one type, of numbers, texts or booleans; it mixes several{names}"
        )
    return HeldTarget(column, values, name)


def _column(y: Any) -> tuple[str | None, HeldColumn, Any]:
    """Return the name and the cells, and an array if y is one."""
    if is_pandas(y, "Series", "Index"):
        return _name(y.name), held_column(y), None
    table = is_pandas(y, "DataFrame") or isinstance(y, dict)
    if table or (is_arrow(y) and hasattr(y, "columns")):
        frame = read_frame(y)
        if len(frame.columns) != 1:
            raise TableError(f"y must be one column; got {len(frame.columns)}: give one of them")
        return frame.names[0], frame.columns[0], None
    if is_arrow(y):
        return _name(getattr(y, "name", None)), held_column(y), None
    array = _array(y)
    if array.ndim != 1:
        if array.ndim == 2 and array.shape[1] == 1:
            array = column_or_1d(array, warn=True)  # a DataConversionWarning, as in scikit-learn
        else:
            raise TableError(
                f"y must be one column of shape (n_samples,); got the shape {array.shape}. Give "
                "one column, and train a model for each"
            )
    if array.dtype.kind == "c":
        raise TableError("Complex data not supported: y holds complex numbers. Give y.real")
    return None, held_column(array), array


def _name(name: Any) -> str | None:
    return name.strip() or None if isinstance(name, str) else None


def _array(y: Any) -> Any:
    """Return an array; objects of several types stay what they are."""
    try:
        array = np.asarray(y)
        several = {type(value) for value in y} if isinstance(y, list | tuple) else set()
        if array.dtype.kind == "U" and several - {str, np.str_}:
            array = np.array(y, dtype=object)
    except (ValueError, TypeError) as error:
        raise TableError(
            f"y is a {type(y).__name__} that is no column ({show(error, 100)}); give an array of "
            "shape (n_samples,), or a Series"
        ) from None
    return array


def _values(column: HeldColumn, given: Any) -> NDArray[Any]:
    """Return the values as an array of the user's type."""
    if given is not None and given.dtype.kind in "biufUT":
        return np.asarray(given.astype(object) if given.dtype.kind == "T" else given)
    values, kind, types = column.values, column.values.type, pa.types
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        if values.null_count:
            return np.asarray(pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False))
        return np.asarray(values.to_numpy(zero_copy_only=False))
    if types.is_decimal(kind):
        return np.asarray(pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False))
    found = np.empty(len(values), dtype=object)
    found[:] = values.to_pylist()
    return found


def _check_values(column: HeldColumn) -> None:
    """Refuse missing and infinite values."""
    cells = column.cells
    if pa.types.is_floating(cells.type):
        numbers = np.asarray(cells.to_numpy(zero_copy_only=False), dtype=np.float64)
        if np.isinf(numbers).any():
            raise TableError(
                "Input y contains infinity or a value too large for dtype('float64'). Correct row "
                f"{int(np.argmax(np.isinf(numbers)))} (counted from 0)"
            )
        missing, what = np.isnan(numbers), "NaN"
    elif pa.types.is_string(cells.type):
        words = pc.is_in(cells, pa.array(MISSING))
        found = pc.or_(pc.is_null(cells), pc.fill_null(words, True))
        missing = np.asarray(found.to_numpy(zero_copy_only=False), dtype=bool)
        what = "NaN"
        if missing.any():
            text = cells[int(np.argmax(missing))].as_py()
            what = "NaN" if text is None else f"{show(text)}, which means a missing cell"
    else:
        return
    if missing.any():
        remedy = "" if what == "NaN" else ", or give that class another name"
        raise TableError(
            f"Input y contains {what}: {int(missing.sum())} values, the first in row "
            f"{int(np.argmax(missing))} (counted from 0). Drop these rows of X and y{remedy}"
        )
