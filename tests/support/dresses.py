"""Shared by the tests of tables in Python: the same values in the clothes of several libraries."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from deltarule.tables import read_table

__all__ = ["DRESSES", "Columns", "kind_of", "plain"]

Columns = dict[str, list[Any]]
"""Values by column, with None where missing; a column's values are of one type."""


def kind_of(values: list[Any]) -> type | None:
    """Return the type of a column's values."""
    return next((type(value) for value in values if value is not None), None)


def plain(columns: Columns) -> pd.DataFrame:
    """Return a DataFrame as pandas would read it from a file of declared types."""
    made = {}
    for name, values in columns.items():
        kind = kind_of(values)
        if kind is datetime:
            made[name] = pd.Series(pd.to_datetime(values))
        elif kind in (float, int, None):
            made[name] = pd.Series([np.nan if v is None else v for v in values])
        else:
            made[name] = pd.Series(values, dtype=object)
    return pd.DataFrame(made)


def _objects(columns: Columns) -> pd.DataFrame:
    frame = pd.DataFrame({name: pd.Series(v, dtype=object) for name, v in columns.items()})
    return frame.set_index(pd.Index(range(7, 7 + len(frame)), name="index"))


def _nullable(columns: Columns) -> pd.DataFrame:
    frame = plain(columns).convert_dtypes()
    return frame.set_index(pd.MultiIndex.from_arrays([frame.index, frame.index], names=["a", "b"]))


def _missing_marks(columns: Columns) -> pd.DataFrame:
    """Return objects with None, NaN, NaT and pd.NA in turn."""
    marks = [None, float("nan"), pd.NA, pd.NaT]
    return pd.DataFrame(
        {
            name: pd.Series(
                [marks[i % 4] if v is None else v for i, v in enumerate(c)], dtype=object
            )
            for name, c in columns.items()
        }
    )


def _arrow_backed(columns: Columns) -> pd.DataFrame:
    return plain(columns).convert_dtypes(dtype_backend="pyarrow")


def _categorical(columns: Columns) -> pd.DataFrame:
    """Return texts as ordered categories, of which some are not used; numbers as sparse ones."""
    frame = plain(columns)
    for name, values in columns.items():
        kind = kind_of(values)
        if kind is str:
            known = [*sorted({v for v in values if v is not None}, reverse=True), "never"]
            frame[name] = pd.Categorical(values, categories=known, ordered=True)
        elif kind is float:
            frame[name] = frame[name].astype(pd.SparseDtype(float, np.nan))
        elif kind is bool and None not in values:
            frame[name] = frame[name].astype(bool)
        elif kind is datetime:
            frame[name] = frame[name].dt.as_unit("ms").dt.tz_localize("Asia/Tokyo")
    return frame


def _reversed_columns(columns: Columns) -> pd.DataFrame:
    return plain(dict(reversed(columns.items())))


def _arrow(columns: Columns) -> pa.Table:
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def _chunked(columns: Columns) -> pa.Table:
    """Return a table in chunks, with dictionaries that differ from chunk to chunk."""
    whole = _arrow(columns)
    parts = [whole.slice(0, 5), whole.slice(5, 1), whole.slice(6)]
    made = {}
    for name in whole.column_names:
        pieces = [part[name].combine_chunks() for part in parts]
        if pa.types.is_string(whole.schema.field(name).type):
            pieces = [piece.dictionary_encode() for piece in pieces]
        made[name] = pa.chunked_array(pieces)
    return pa.table(made)


def _arrays(columns: Columns) -> dict[str, Any]:
    """Return a dict of arrays of NumPy's own types where they can hold the values."""
    made: dict[str, Any] = {}
    for name, values in columns.items():
        kind = kind_of(values)
        if kind is float:
            made[name] = np.array([np.nan if v is None else v for v in values])
        elif kind in (date, datetime):
            made[name] = np.array(values, dtype="datetime64[us]")
        elif None in values:
            made[name] = values
        else:
            made[name] = np.array(values)
    return made


def _polars(columns: Columns) -> Any:
    import polars as pl

    return pl.DataFrame(
        {name: pl.Series(values, dtype=_dtype(values)) for name, values in columns.items()}
    )


def _dtype(values: list[Any]) -> Any:
    import polars as pl

    return {str: pl.Categorical, None: pl.Null}.get(kind_of(values))


def _polars_enum(columns: Columns) -> Any:
    import polars as pl

    made = {}
    for name, values in columns.items():
        kind = kind_of(values)
        if kind is str:
            known = sorted({v for v in values if v is not None})
            made[name] = pl.Series(values, dtype=pl.Enum(["!", *known]))
        elif kind is datetime:
            made[name] = pl.Series(values).dt.replace_time_zone("America/New_York")
        else:
            made[name] = pl.Series(values)
    return pl.DataFrame(made)


def _csv(columns: Columns, folder: Path) -> Any:
    plain(columns).to_csv(folder / "t.csv", index=False)
    return read_table(folder / "t.csv")


def _parquet(columns: Columns, folder: Path) -> Any:
    pq.write_table(_arrow(columns), folder / "t.parquet")
    return read_table(folder / "t.parquet")


def _of_memory(dress: Callable[[Columns], Any]) -> Callable[[Columns, Path], Any]:
    def made(columns: Columns, folder: Path) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pandas, about the dress alone
            return dress(columns)

    return made


DRESSES: dict[str, Callable[[Columns, Path], Any]] = {
    "pandas": _of_memory(plain),
    "pandas, objects and a named index": _of_memory(_objects),
    "pandas, nullable and two indices": _of_memory(_nullable),
    "pandas, all words for missing": _of_memory(_missing_marks),
    "pandas, backed by Arrow": _of_memory(_arrow_backed),
    "pandas, categories, sparse, zones": _of_memory(_categorical),
    "pandas, columns reversed": _of_memory(_reversed_columns),
    "Arrow": _of_memory(_arrow),
    "Arrow, chunks and dictionaries": _of_memory(_chunked),
    "lists": _of_memory(dict),
    "arrays": _of_memory(_arrays),
    "CSV": _csv,
    "Parquet": _parquet,
}
"""What makes an X of columns; files need a folder, and become a Source."""
if find_spec("polars") is not None:
    DRESSES["Polars, categorical"] = _of_memory(_polars)
    DRESSES["Polars, enum and zones"] = _of_memory(_polars_enum)
