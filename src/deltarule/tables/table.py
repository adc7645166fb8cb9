"""A table in memory: named columns, and where each cell stood in its file."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import TableError

__all__ = ["Column", "Table", "check_names", "listing", "no_column", "show"]

MAX_COLUMNS = 10_000

Column: TypeAlias = Any
"""A pyarrow array of texts, or of float64. A missing cell is null in both.

A column of a Parquet file that is neither keeps its type: it is refused where it is used.
"""


@dataclass(frozen=True)
class Table:
    """The cells of a file, read but not yet understood.

    Attributes
    ----------
    path : Path
        The file.
    columns : dict of str to pyarrow.Array
        By name, in the file's order; all texts for CSV.
    rows : int
        The number of rows.
    place : callable
        Maps the number of a row, from 0, to words such as "line 17".
    """

    path: Path
    columns: dict[str, Column]
    rows: int
    place: Callable[[int], str] = field(repr=False)

    def column(self, name: str, why: str = "given with --target") -> Column:
        """Return a column, or say which one might have been meant."""
        if name not in self.columns:
            raise no_column(self.path, name, self.columns, why)
        return self.columns[name]

    def take(self, names: Iterable[str], rows: NDArray[np.intp]) -> Table:
        """Return some rows of some columns; they know where they stood."""
        columns = {name: self.columns[name].take(rows) for name in names}
        return Table(self.path, columns, len(rows), lambda row: self.place(int(rows[row])))

    def fault(self, name: str, row: int, problem: str) -> TableError:
        """Return the error for one cell: file, line, column and what is wrong."""
        return TableError(f"{self.path}, {self.place(row)}, column {show(name)}: {problem}")


def no_column(path: Path, name: str, names: Iterable[str], why: str) -> TableError:
    """Return the error for a column that there is not; why it is wanted is part of it."""
    return TableError(
        f"{path} has no column {show(name)} ({why}){suggestion(name, names)}; "
        f"its columns are {listing(names)}"
    )


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return a question after the name that might have been meant, or nothing."""
    known = list(names)
    near = difflib.get_close_matches(name.lower(), [c.lower() for c in known], 1)
    meant = [column for column in known if column.lower() in near]
    return f"; did you mean {show(meant[0])}?" if meant else ""


def check_names(path: Path, names: list[str]) -> None:
    """Refuse columns that are too many, or could not be told apart by name."""
    if len(names) > MAX_COLUMNS:
        raise TableError(
            f"{path} has {len(names)} columns, more than the {MAX_COLUMNS} that are read; "
            "keep the columns that matter (is it transposed, or the separator wrong?)"
        )
    for number, name in enumerate(names, start=1):
        if not name:
            raise TableError(
                f"{path}: column {number} has no name; name it in the header "
                "(pandas leaves its index unnamed: write with index=False)"
            )
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise TableError(
            f"{path} has more than one column named {listing(repeated)}; rename all but one"
        )


def show(value: object, limit: int = 40) -> str:
    """Quote a cell or a name so that it fits on a line, whatever is in it."""
    text = str(value)
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")


def listing(names: Iterable[object], limit: int = 8) -> str:
    """Quote the first few of many names."""
    shown = [show(name) for name in names]
    more = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more
