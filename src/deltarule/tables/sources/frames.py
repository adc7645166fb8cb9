"""Tables that Python holds: pandas, Polars and Arrow tables, NumPy arrays, dicts of columns.

Every column becomes an Arrow array first, and then cells as those of a Parquet file; so the same
values are the same cells, whatever holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import issparse

from deltarule.errors import TableError
from deltarule.tables.messages import listing, show
from deltarule.tables.sources.held import (
    HeldColumn,
    held_column,
    is_arrow,
    is_pandas,
    is_unicode,
)
from deltarule.tables.sources.parquet import pandas_columns
from deltarule.tables.table import Table, check_names

__all__ = ["Frame", "FrameTable", "column_names", "read_frame"]


@dataclass(frozen=True)
class FrameTable(Table):
    """A table that Python holds.

    Attributes
    ----------
    held : dict of str to str
        What each column holds by its type: "number", "text", "boolean", "date", or an empty text
        if that does not say (a column without any values, or of mixed objects).
    """

    held: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Frame:
    """The columns of X, in their order.

    Attributes
    ----------
    columns : list of HeldColumn
        The cells.
    names : list of str
        The columns' names in the table; of an array ``x0``, ``x1`` and so on.
    given : list
        The names as they were given; empty for an array.
    rows : int
        The number of rows.
    left_out : dict of str to str
        Columns that are no columns of the table, and why.
    """

    columns: list[HeldColumn]
    names: list[str]
    given: list[Any]
    rows: int
    left_out: dict[str, str] = field(default_factory=dict)

    def table(
        self, target: tuple[str, HeldColumn] | None = None, rows: NDArray[np.intp] | None = None
    ) -> FrameTable:
        """Return the columns as a table, with the target as a further column, and of some rows."""
        named = list(zip(self.names, self.columns, strict=True))
        named += [] if target is None else [target]
        check_names(Path("X"), [name for name, _ in named])
        cells = {name: column.cells for name, column in named}
        if rows is not None:
            cells = {name: column.take(pa.array(rows)) for name, column in cells.items()}

        def place(row: int) -> str:
            return f"row {row if rows is None else rows[row]} (counted from 0)"

        return FrameTable(
            path=Path("X"),
            columns=cells,
            rows=self.rows if rows is None else len(rows),
            place=place,
            declared=frozenset(name for name, column in named if column.declared),
            left_out=self.left_out,
            held={name: column.holds for name, column in named},
        )

    def renamed(self, names: list[str]) -> Frame:
        """Return the same columns by other names."""
        return replace(self, names=names)


def column_names(count: int) -> list[str]:
    """Return the names of the columns of an array."""
    return [f"x{number}" for number in range(count)]


def read_frame(X: Any, *, rows_needed: bool = False) -> Frame:
    """Return the columns of a table or array.

    Parameters
    ----------
    X : DataFrame, Arrow table, mapping of columns, or array of shape (n_samples, n_features)
        A pandas index is left out.
    rows_needed : bool, default=False
        Whether no rows are an error.

    Raises
    ------
    TableError
        If it is no table, or two columns have the same name.
    """
    if issparse(X):
        raise TableError(
            f"X is a sparse matrix ({X.format}), which has no columns of categories or dates. Give "
            "X.toarray(), or use MLPClassifier or MLPRegressor, which take sparse X"
        )
    if is_pandas(X, "Series", "Index") or (
        is_arrow(X) and not hasattr(X, "schema") and not hasattr(X, "columns")
    ):
        raise TableError(
            f"Expected 2D array, got 1D array instead: X is a {type(X).__name__}, a single column. "
            "Reshape your data: give a table of it, such as X.to_frame() or {'name': X}"
        )
    if is_pandas(X, "DataFrame"):
        frame = _of_pandas(X)
    elif isinstance(X, Mapping):
        frame = _of_columns(dict(X))
    elif is_arrow(X):
        frame = _of_arrow(X)
    elif hasattr(X, "collect") and not hasattr(X, "__array__"):
        raise TableError(
            f"X is a {type(X).__name__}, whose rows are not computed yet; give X.collect()"
        )
    elif getattr(getattr(X, "dtype", None), "names", None):
        frame = _of_columns({name: X[name] for name in X.dtype.names})
    else:
        frame = _of_array(X)
    check_names(Path("X"), frame.names)
    for name in frame.names:
        if not is_unicode(name):
            raise TableError(f"X: the column name {name!a} is no valid Unicode; rename it")
    if not frame.columns:
        raise TableError(
            f"Found array with 0 feature(s) (shape=({frame.rows}, 0)) while a minimum of 1 is "
            "required. Give X columns"
        )
    if rows_needed and frame.rows == 0:
        raise TableError(
            f"Found array with 0 sample(s) (shape=(0, {len(frame.columns)})) while a minimum of 1 "
            "is required. Give X rows"
        )
    return frame


def _of_pandas(X: Any) -> Frame:
    given = X.columns.tolist()
    columns = [held_column(series) for _, series in X.items()]
    return Frame(columns, [str(name).strip() for name in given], given, len(X))


def _of_columns(X: dict[Any, Any]) -> Frame:
    for name, values in X.items():
        if np.ndim(values) == 0 and not (hasattr(values, "__len__") or is_arrow(values)):
            raise TableError(
                f"X: column {show(name)} is a single {type(values).__name__}; give a value "
                "for each row"
            )
    columns = [held_column(values) for values in X.values()]
    lengths = {str(name): len(c.cells) for name, c in zip(X, columns, strict=True)}
    if len(set(lengths.values())) > 1:
        raise TableError(
            f"X has columns of different lengths: {listing(lengths)} have {list(lengths.values())}"
        )
    rows = next(iter(lengths.values()), 0)
    return Frame(columns, [str(name).strip() for name in X], list(X), rows)


def _of_arrow(X: Any) -> Frame:
    try:
        table = X if isinstance(X, pa.Table) else pa.table(X)
    except (pa.ArrowException, TypeError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise TableError(
            f"X is a {type(X).__name__} that does not come through as an Arrow table ({reason}); "
            "leave out columns of Python objects"
        ) from None
    index, categorical = pandas_columns(table.schema)
    names = [str(name) for name in table.column_names]
    kept = [number for number, name in enumerate(names) if name not in index]
    columns = [
        held_column(table.column(number), categorical=names[number] in categorical)
        for number in kept
    ]
    given = [names[number] for number in kept]
    left_out = dict.fromkeys(index, "is the index of pandas")
    return Frame(columns, [name.strip() for name in given], given, table.num_rows, left_out)


def _of_array(X: Any) -> Frame:
    if X is None or isinstance(X, str | bytes):
        raise TableError(
            f"X must be a table or an array; got {X!r:.60}. Read a file first: "
            "deltarule.tables.read_table(path), or open_source(path) for a large one"
        )
    if isinstance(X, list | tuple) and X and isinstance(X[0], Mapping):
        raise TableError("X is a list of dicts, one for each row; give pandas.DataFrame(X)")
    array = X if isinstance(X, np.ma.MaskedArray) else _array_of(X)
    if array.dtype.kind == "c":
        raise TableError("Complex data not supported: X holds complex numbers. Give X.real, X.imag")
    if array.ndim != 2:
        what = "0D array, a scalar" if array.ndim == 0 else f"{array.ndim}D array"
        raise TableError(
            f"Expected 2D array, got {what} instead: X has the shape {array.shape}. Reshape your "
            "data: X.reshape(-1, 1) is one column, X.reshape(1, -1) is one row; or give a table"
        )
    # Texts in one array do not say that they are texts: [["1.5", "a"]] is how NumPy mixes types.
    texts = array.dtype.kind in "UT"
    columns = [
        held_column(array[:, number], declares=not texts) for number in range(array.shape[1])
    ]
    return Frame(columns, column_names(len(columns)), [], len(array))


def _array_of(X: Any) -> Any:
    """Return rows of a list, or what converts itself to an array; numbers stay beside texts."""
    try:
        array = np.asarray(X)
        if array.dtype.kind in "US" and not hasattr(X, "__array__"):
            array = np.array(X, dtype=object)
    except (ValueError, TypeError) as error:
        raise TableError(
            f"X is a {type(X).__name__} that is no table ({show(error, 100)}); give a DataFrame, "
            "an Arrow table, a dict of columns or an array of shape (n_samples, n_features)"
        ) from None
    return array
