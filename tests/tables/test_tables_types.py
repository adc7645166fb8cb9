"""Types of the columns of a file: every type is read or refused with a message."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from deltarule import TabularClassifier
from deltarule.errors import TableError
from deltarule.tables import (
    Plan,
    PredictionsCsv,
    Settings,
    Table,
    TableModel,
    fit,
    open_source,
    prepare,
    read_table,
)
from deltarule.tables.kinds import NumberKind
from support import networks as support

ROWS = 60
X = [round(x, 3) for x in np.random.default_rng(0).normal(size=ROWS).tolist()]
Y = ["yes" if x > 0 else "no" for x in X]
BIG = 2**53

PREPARE: dict[str, Callable[[Path, Plan], Any]] = {
    "whole": lambda path, plan: prepare(read_table(path), plan),
    "streamed": lambda path, plan: prepare(open_source(path), plan),
}
ways = pytest.mark.parametrize("way", PREPARE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("types")


@pytest.fixture(scope="module")
def model(place: Path) -> TableModel:
    path = parquet(place, x=X, y=Y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two epochs are too few
        return fit(prepare(read_table(path), Plan("y")), Settings(hidden=(2,), epochs=2))


def parquet(folder: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), folder / "t.parquet")
    return folder / "t.parquet"


def written(folder: Path, kind: str, **columns: Any) -> Path:
    if kind == "parquet":
        return parquet(folder, **columns)
    pa_csv.write_csv(pa.table(columns), folder / "t.csv")
    return folder / "t.csv"


# --- numbers that float64 does not have ----------------------------------------------------------

WHOLE = st.integers(-(2**63), 2**63 - 1) | st.integers(BIG - 3, BIG + 3)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=9).filter(
    lambda d: abs(d) < Decimal(10) ** 28
)


@support.proves(
    short=12,
    full=300,
    numbers=st.lists(st.none() | WHOLE, min_size=1, max_size=8),
    decimals=st.lists(DECIMALS, min_size=8, max_size=8),
)
def test_kept_columns_keep_every_digit(
    model: TableModel,
    place: Path,
    numbers: list[int | None],
    decimals: list[Decimal],
) -> None:
    n = len(numbers)
    exact = pa.array(decimals[:n], pa.decimal128(38, 9))
    path = parquet(place, id=pa.array(numbers, pa.int64()), d=exact, x=X[:n])
    table = read_table(path)
    whole = b"".join(PredictionsCsv(model, table, keep=True))
    assert b"".join(PredictionsCsv(model, open_source(path), keep=True)) == whole
    rows = list(csv.DictReader(io.StringIO(whole.decode())))
    assert [row["id"] for row in rows] == ["" if i is None else str(i) for i in numbers]
    assert [Decimal(row["d"]) for row in rows] == decimals[:n]


@support.proves(short=70, full=5_000, number=WHOLE | st.integers(-(10**30), 10**30))
def test_whole_numbers_are_taken_as_they_are_or_not_at_all(number: int) -> None:
    column = pa.array(["1", str(number)])
    table = Table(Path("t.csv"), {"n": column}, 2, lambda row: f"line {row + 2}")
    if int(float(number)) == number:
        assert NumberKind().parse(table.column("n"))[1] == number
    else:
        with pytest.raises(TableError, match=r"t.csv, line 3, column 'n': .* would be rounded to"):
            NumberKind().parse(table.column("n"))


def test_numbers_with_an_exponent_are_rounded_as_they_always_are() -> None:
    column = pa.array(["6.02214076e23", "1.7976931348623157e308"])
    table = Table(Path("t.csv"), {"n": column}, 2, str)
    assert NumberKind().parse(table.column("n")).tolist() == [
        6.02214076e23,
        np.finfo(float).max,
    ]


@ways
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    "pair",
    [(BIG, BIG + 1), (1234567890123456789, 1234567890123456001)],
    ids=["neighbours", "long"],
)
def test_classes_that_would_change_are_refused(
    place: Path, way: str, kind: str, pair: tuple[int, int]
) -> None:
    path = written(place, kind, x=X, y=[pair[y == "yes"] for y in Y])
    with pytest.raises(TableError, match=r"column 'y': '\d+' would be rounded to \d+, .* letter"):
        PREPARE[way](path, Plan("y"))


@ways
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_classes_that_float64_has_stay_as_they_are(place: Path, way: str, kind: str) -> None:
    path = written(place, kind, x=X, y=[2**60 if y == "yes" else 2**61 for y in Y])
    target = PREPARE[way](path, Plan("y")).preprocessing.target
    assert target.labels == [str(2**60), str(2**61)]


@ways
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("role", ["feature", "quantity"])
def test_ids_are_refused_where_they_are_learned(
    place: Path, way: str, kind: str, role: str
) -> None:
    path = written(place, kind, id=[BIG + 7 * i for i in range(ROWS)], x=X, y=Y)
    with pytest.raises(TableError, match="column 'id': '9007199254740999' would be rounded to"):
        PREPARE[way](path, Plan("y" if role == "feature" else "id", ignore=("x",)))
    columns = PREPARE[way](path, Plan("y", ignore=("id",))).preprocessing.columns
    assert [column.name for column in columns] == ["x"]


# --- columns that are neither numbers nor texts --------------------------------------------------

FOREIGN = {
    "duration": pa.array([timedelta(hours=i) for i in range(ROWS)], pa.duration("ns")),
    "list": pa.array([[1, 2]] * ROWS),
    "struct": pa.array([{"a": 1}] * ROWS),
    "binary": pa.array([b"\x00"] * ROWS),
}
foreign = pytest.mark.parametrize("values", FOREIGN.values(), ids=FOREIGN)


@ways
@foreign
def test_columns_of_other_types_are_refused_by_name_or_ignored(
    place: Path, way: str, values: Any
) -> None:
    path = parquet(place, x=X, odd=values, y=Y)
    kind = str(values.type).partition("<")[0]
    with pytest.raises(TableError, match=rf"'odd' holds '{re.escape(kind)}.*--ignore odd"):
        PREPARE[way](path, Plan("y"))
    with pytest.raises(TableError, match=r"column 'odd' holds .* neither number nor text"):
        PREPARE[way](path, Plan("odd"))
    columns = PREPARE[way](path, Plan("y", ignore=("odd",))).preprocessing.columns
    assert [column.name for column in columns] == ["x"]


@foreign
def test_columns_of_other_types_do_not_hinder_predictions(
    model: TableModel, place: Path, values: Any
) -> None:
    path = parquet(place, x=X, odd=values)
    expected = b"".join(PredictionsCsv(model, read_table(path)))
    assert b"".join(PredictionsCsv(model, open_source(path))) == expected
    with pytest.raises(TableError, match="column 'odd' holds"):
        b"".join(PredictionsCsv(model, open_source(path), keep=True))


@foreign
def test_columns_of_other_types_are_not_taken_for_those_of_the_model(
    model: TableModel, place: Path, values: Any
) -> None:
    with pytest.raises(TableError, match="column 'x' holds"):
        model.predict(read_table(parquet(place, x=values)))
    with pytest.raises(TableError, match="column 'y' holds"):
        model.evaluate(read_table(parquet(place, x=X, y=values)))


def test_texts_that_are_no_utf8_are_refused_wherever_they_are(tmp_path: Path) -> None:
    column = pa.array([b"a\xffb", b"fine"] * 5, pa.binary()).view(pa.string())
    pq.write_table(pa.table({"c": column, "t": ["p", "q"] * 5}), tmp_path / "bad.parquet")
    for read in (read_table, lambda path: [*open_source(path).scan()]):
        with pytest.raises(TableError, match=r"bad\.parquet is a damaged Parquet file"):
            read(tmp_path / "bad.parquet")
    with pytest.raises(TableError, match="'c' holds invalid Unicode"):
        TabularClassifier((4,)).fit(pa.table({"c": column}), ["p", "q"] * 5)
