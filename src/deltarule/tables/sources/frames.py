"""Tables that Python holds: pandas, Polars and Arrow tables, NumPy arrays, dicts of columns.

Every column becomes an Arrow array first, and then cells as those of a Parquet file; so the same
values are the same cells, whatever holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import issparse

from deltarule.errors import TableError
from deltarule.tables.few_rows import FEW_ROWS
from deltarule.tables.messages import is_unicode, listing, show
from deltarule.tables.sources.held import (
    HeldColumn,
    held_column,
    is_arrow,
    is_pandas,
)
from deltarule.tables.sources.parquet import pandas_columns
from deltarule.tables.table import Table, check_names

__all__ = ["Frame", "FrameTable", "column_names", "read_frame"]

_X = Path("X")
"""What messages call the table."""
_LISTED = "fiubOU"
"""Kinds of NumPy's types whose values become Python's of the same kind."""


@dataclass(frozen=True)
class FrameTable(Table):
    """A table that Python holds.

    Attributes
    ----------
    held : dict of str to frozenset of str
        What each column holds by its type, or by those of its objects: "number", "text",
        "boolean", "date"; nothing if it has no values.
    """

    held: dict[str, frozenset[str]] = field(default_factory=dict)


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
    look : callable, optional
        Returns the cells of each column as Python's objects, if the rows are a few, or None.
    """

    columns: Sequence[HeldColumn]
    names: list[str]
    given: list[Any]
    rows: int
    left_out: dict[str, str] = field(default_factory=dict)
    look: Callable[[], list[list[object]] | None] = field(default=lambda: None, repr=False)

    def cells(self) -> dict[str, list[object]]:
        """Return the cells of a few rows as Python's objects, by column; empty if there are more.

        The types of cells do not tell all: those of categories are as those of other columns.
        """
        found = self.look()
        return {} if found is None else dict(zip(self.names, found, strict=True))

    def table(
        self,
        target: tuple[str, HeldColumn] | None = None,
        rows: NDArray[np.intp] | None = None,
        *,
        only: Collection[str] | None = None,
    ) -> FrameTable:
        """Return the columns as a table, with the target as a further column, and of some rows.

        `only` names the columns to take; by default they are all.
        """
        taken = [number for number, name in enumerate(self.names) if only is None or name in only]
        named = [(self.names[number], self.columns[number]) for number in taken]
        named += [] if target is None else [target]
        check_names(_X, [name for name, _ in named])
        cells = {name: column.cells for name, column in named}
        if rows is not None:
            cells = {name: column.take(pa.array(rows)) for name, column in cells.items()}

        def place(row: int) -> str:
            return f"row {row if rows is None else rows[row]} (counted from 0)"

        return FrameTable(
            path=_X,
            columns=cells,
            rows=self.rows if rows is None else len(rows),
            place=place,
            declared=frozenset(name for name, column in named if column.declared),
            left_out=self.left_out,
            held={name: column.kinds for name, column in named},
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
    is_frame = is_pandas(X, "DataFrame")
    if not is_frame and (
        is_pandas(X, "Series", "Index")
        or (is_arrow(X) and not hasattr(X, "schema") and not hasattr(X, "columns"))
    ):
        raise TableError(
            f"Expected 2D array, got 1D array instead: X is a {type(X).__name__}, a single column. "
            "Reshape your data: give a table of it, such as X.to_frame() or {'name': X}"
        )
    if is_frame:
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
    check_names(_X, frame.names)
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


class _HeldWhenUsed(Sequence[HeldColumn]):
    """The columns of a few rows, each read when it is first used."""

    def __init__(self, values: Callable[[int], Any], count: int, *, declares: bool = True) -> None:
        self._values, self._count, self._declares = values, count, declares
        self._held: dict[int, HeldColumn] = {}

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> HeldColumn: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[HeldColumn]: ...
    def __getitem__(self, number: int | slice) -> HeldColumn | Sequence[HeldColumn]:
        if isinstance(number, slice):
            return [self[place] for place in range(*number.indices(self._count))]
        if not 0 <= number < self._count:
            raise IndexError(number)
        if number not in self._held:
            self._held[number] = held_column(self._values(number), declares=self._declares)
        return self._held[number]


def _listed(array: Any) -> list[list[object]] | None:
    """Return the columns of an array as lists of Python's objects, or None if they have none."""
    return array.T.tolist() if array.dtype.kind in _LISTED else None


def _of_pandas(X: Any) -> Frame:
    given = X.columns.tolist()
    names = [str(name).strip() for name in given]
    # A column can be taken by its name if that is a text, and no other's.
    if len(X) <= FEW_ROWS and {*map(type, given)} == {str} and len(set(given)) == len(given):
        few = _HeldWhenUsed(lambda number: X[given[number]], len(given))
        return Frame(few, names, given, len(X), look=lambda: _listed(X.to_numpy()))
    return Frame([held_column(series) for _, series in X.items()], names, given, len(X))


def _list_of(values: Any) -> list[object]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _of_columns(X: dict[Any, Any]) -> Frame:
    names, parts = [str(name).strip() for name in X], list(X.values())
    if all(map(_is_flat, parts)) and len({*map(len, parts)}) == 1 and len(parts[0]) <= FEW_ROWS:
        few = _HeldWhenUsed(parts.__getitem__, len(parts))
        return Frame(few, names, list(X), len(parts[0]), look=lambda: [*map(_list_of, parts)])
    for name, values in X.items():
        if not (hasattr(values, "__len__") or is_arrow(values)) and np.ndim(values) == 0:
            raise TableError(
                f"X: column {show(name)} is a single {type(values).__name__}; give a value "
                "for each row"
            )
    columns = [held_column(values) for values in parts]
    lengths = {str(name): len(c.cells) for name, c in zip(X, columns, strict=True)}
    if len(set(lengths.values())) > 1:
        raise TableError(
            f"X has columns of different lengths: {listing(lengths)} have {list(lengths.values())}"
        )
    rows = next(iter(lengths.values()), 0)
    return Frame(columns, names, list(X), rows)


def _is_flat(values: Any) -> bool:
    """Whether values are a list, or an array of one dimension that has Python's types."""
    if type(values) is np.ndarray:
        return values.ndim == 1 and values.dtype.kind in _LISTED
    return type(values) is list or type(values) is tuple


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
    names = column_names(array.shape[1])
    if type(array) is np.ndarray and len(array) <= FEW_ROWS:
        few = _HeldWhenUsed(lambda n: array[:, n], array.shape[1], declares=not texts)
        return Frame(few, names, [], len(array), look=lambda: _listed(array))
    held = [held_column(array[:, number], declares=not texts) for number in range(len(names))]
    return Frame(held, names, [], len(array))


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
