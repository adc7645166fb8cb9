"""From cells to numbers: fitted on the training rows alone, applied with scikit-learn.

Numbers are imputed and standardised, categories are one-hot encoded. What was learned is one record
(`deltarule.tables.record`); the transformers are rebuilt from it each time, so that a model read
from a file and the model that was saved go through the same code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from deltarule.errors import TableError
from deltarule.tables.cells import Kind, check_usable, fault_at, parse_numbers, parse_texts
from deltarule.tables.record import CategoryColumn, NumberColumn
from deltarule.tables.table import Column, Table, listing, show

__all__ = [
    "Features",
    "Surprises",
    "Unseen",
    "fit_columns",
    "parse_features",
    "rare_below",
    "transform",
]

Matrix: TypeAlias = NDArray[np.float64]
Fill = Literal["median", "mean"]
Unseen = Literal["other", "error"]
MAX_EXAMPLES = 1000
"""The most categories that were not in training that are remembered, for a message."""


@dataclass(frozen=True)
class Features:
    """Parsed columns: float64 with NaN where missing, or pyarrow texts with null where missing."""

    table: Table
    columns: dict[str, Any]

    def take(self, rows: NDArray[np.intp]) -> dict[str, Any]:
        """Return some rows of every column."""
        return {
            name: values[rows] if isinstance(values, np.ndarray) else values.take(pa.array(rows))
            for name, values in self.columns.items()
        }


@dataclass
class Surprises:
    """What the rows to be predicted held that the training rows did not."""

    unseen: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)

    def merge(self, other: Surprises) -> None:
        """Add what further rows held."""
        for mine, theirs in ((self.unseen, other.unseen), (self.missing, other.missing)):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count
        for name, texts in other.examples.items():
            known = self.examples.setdefault(name, [])
            known += [text for text in texts if text not in known][: MAX_EXAMPLES - len(known)]

    def sentences(self) -> list[str]:
        """Return what to tell the user, one line each."""
        lines = [
            f"column {show(name)}: {count} cells hold categories that were not in training "
            f"({listing(self.examples[name], 3)}); taken as 'other'"
            for name, count in self.unseen.items()
        ]
        lines += [
            f"column {show(name)}: {count} cells are missing, none were in training; "
            "filled with the typical value"
            for name, count in self.missing.items()
        ]
        return lines


def parse_features(table: Table, kinds: dict[str, Kind]) -> Features:
    """Parse the columns that a model uses; whatever else the table holds is ignored.

    Raises
    ------
    TableError
        If columns are missing, or a cell is not what its column holds.
    """
    absent = [name for name in kinds if name not in table.columns]
    if absent:
        raise TableError(
            f"{table.path} lacks {len(absent)} of the {len(kinds)} columns that the model was "
            f"trained on: {listing(absent)}; add or rename columns, it has "
            f"{listing(table.columns)}"
        )
    parsed: dict[str, Any] = {}
    for name, kind in kinds.items():
        check_usable(table, name)
        column = table.columns[name]
        if kind == "category":
            parsed[name] = parse_texts(column)
        else:
            parsed[name] = parse_numbers(table, name, column, kind)
    return Features(table, parsed)


def rare_below(rows: int) -> int:
    """Return the number of training rows below which a category counts as rare: 2 to 5."""
    return min(5, max(2, rows // 100))


def fit_columns(
    features: Features, kinds: dict[str, Kind], rows: NDArray[np.intp], fill: Fill = "median"
) -> list[NumberColumn | CategoryColumn]:
    """Learn each column's record from the training rows.

    Parameters
    ----------
    features : Features
        The parsed table.
    kinds : dict of str to str
        What each column holds.
    rows : array of int
        The training rows.
    fill : {"median", "mean"}, default="median"
        What takes the place of a missing number.

    Returns
    -------
    list of NumberColumn or CategoryColumn
        In the order of `kinds`.
    """
    taken = features.take(rows)
    threshold = rare_below(len(rows))
    numbers = iter(_fit_numbers(features.table, kinds, taken, fill))
    return [
        _fit_category(name, taken[name], threshold) if kind == "category" else next(numbers)
        for name, kind in kinds.items()
    ]


def transform(
    columns: list[NumberColumn | CategoryColumn],
    features: Features,
    rows: NDArray[np.intp],
    unseen: Unseen = "other",
) -> tuple[Matrix, Surprises]:
    """Return the network's inputs for some rows, and what was surprising about them.

    Parameters
    ----------
    columns : list of NumberColumn or CategoryColumn
        What was learned from the training rows.
    features : Features
        The parsed table.
    rows : array of int
        The rows to transform.
    unseen : {"other", "error"}, default="other"
        What happens to a category that training did not see: it is encoded like the rare ones (as
        none of the known ones, if none were rare) and counted, or it is an error.

    Returns
    -------
    X : (n_rows, n_features) array of float64
        Standardised numbers, then their missing flags, then categories.
    surprises : Surprises
    """
    surprises = Surprises()
    if len(rows) == 0:
        return np.empty((0, sum(column.width for column in columns))), surprises
    taken = features.take(rows)
    numeric = [column for column in columns if isinstance(column, NumberColumn)]
    blocks = [_apply_numbers(features, numeric, taken, surprises)] if numeric else []
    for column in columns:
        if isinstance(column, CategoryColumn):
            codes = _codes(column, taken[column.name])
            _note_unseen(column, codes, taken[column.name], surprises)
            if unseen == "error" and column.name in surprises.unseen:
                raise _unseen_error(features, column, rows[codes == _UNSEEN])
            blocks.append(_one_hot(column, codes))
    return np.hstack(blocks), surprises


def _fit_numbers(
    table: Table, kinds: dict[str, Kind], taken: dict[str, Any], fill: Fill
) -> list[NumberColumn]:
    names = [name for name, kind in kinds.items() if kind != "category"]
    if not names:
        return []
    X = np.column_stack([taken[name] for name in names])
    imputer = SimpleImputer(strategy=fill, keep_empty_features=True).fit(X)
    with np.errstate(over="ignore", invalid="ignore"):
        scaler = StandardScaler().fit(imputer.transform(X))
    for name, variance in zip(names, scaler.var_, strict=True):
        if not np.isfinite(variance):
            raise TableError(
                f"{table.path}: the numbers in column {show(name)} are too large to standardise; "
                "give them in another unit, or take their logarithm"
            )
    return [
        NumberColumn(
            kind="boolean" if kinds[name] == "boolean" else "number",
            name=name,
            fill=float(imputer.statistics_[i]),
            mean=float(scaler.mean_[i]),
            scale=float(scaler.scale_[i]),
            flag=bool(np.isnan(X[:, i]).any()),
        )
        for i, name in enumerate(names)
    ]


def _fit_category(name: str, texts: Column, threshold: int) -> CategoryColumn:
    counted = texts.value_counts()
    categories = zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True)
    ordered = sorted(categories, key=lambda pair: (pair[0] is None, pair[0] or ""))
    return CategoryColumn(
        kind="category",
        name=name,
        kept=[category for category, count in ordered if count >= threshold],
        rare=[category for category, count in ordered if count < threshold],
    )


def _apply_numbers(
    features: Features, columns: list[NumberColumn], taken: dict[str, Any], surprises: Surprises
) -> Matrix:
    """Impute, standardise and flag, by transformers rebuilt from the record."""
    X = np.column_stack([taken[column.name] for column in columns])
    missing = np.isnan(X)
    for column, count in zip(columns, missing.sum(axis=0), strict=True):
        if count and not column.flag:
            surprises.missing[column.name] = int(count)
    # The median of one row is that row: this is how a fitted imputer is rebuilt.
    imputer = SimpleImputer(strategy="median").fit([[column.fill for column in columns]])
    scaler = StandardScaler().fit(np.zeros((1, len(columns))))
    scaler.mean_ = np.array([column.mean for column in columns])
    scaler.scale_ = np.array([column.scale for column in columns])
    with np.errstate(over="ignore", invalid="ignore"):
        Z = scaler.transform(imputer.transform(X))
        for j, column in enumerate(columns):
            if not np.isfinite(Z[:, j]).all():
                wild = np.isinf((features.columns[column.name] - column.mean) / column.scale)
                raise fault_at(features.table, column.name, wild, "the number is too large")
    flags = [missing[:, j] for j, column in enumerate(columns) if column.flag]
    return np.column_stack([Z, *flags])


_UNSEEN = -1


def _codes(column: CategoryColumn, texts: Column) -> NDArray[np.int64]:
    """Number the cells: the kept categories, then the rare ones as one; -1 for the unseen."""
    codes = _index(texts, column.kept)
    codes[_index(texts, column.rare) >= 0] = len(column.kept)
    return codes


def _index(texts: Column, values: list[str | None]) -> NDArray[np.int64]:
    found = pc.index_in(texts, pa.array(values, pa.string()), skip_nulls=False)
    return np.array(pc.fill_null(found, _UNSEEN).to_numpy(zero_copy_only=False), dtype=np.int64)


def _note_unseen(
    column: CategoryColumn, codes: NDArray[np.int64], texts: Column, surprises: Surprises
) -> None:
    strange = texts.filter(pa.array(codes == _UNSEEN))
    if len(strange):
        surprises.unseen[column.name] = len(strange)
        names = ["a missing cell" if t is None else str(t) for t in strange.unique().to_pylist()]
        surprises.examples[column.name] = names


def _one_hot(column: CategoryColumn, codes: NDArray[np.int64]) -> Matrix:
    known = np.arange(column.width).reshape(-1, 1)
    encoder = OneHotEncoder(
        categories=[known[:, 0]], handle_unknown="ignore", sparse_output=False, dtype=np.float64
    ).fit(known)
    if column.rare:
        codes = np.where(codes == _UNSEEN, len(column.kept), codes)
    return np.asarray(encoder.transform(codes.reshape(-1, 1)), dtype=np.float64)


def _unseen_error(features: Features, column: CategoryColumn, rows: NDArray[np.intp]) -> TableError:
    cell = features.columns[column.name][int(rows[0])].as_py()
    what = "a missing cell" if cell is None else show(cell)
    return features.table.fault(
        column.name,
        int(rows[0]),
        f"{what} is a category that training did not see ({len(rows)} such cells); correct them, "
        "or take them as 'other'",
    )
