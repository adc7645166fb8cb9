"""A few rows are predicted as rows of a large table are: the same bits, errors and warnings."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from deltarule import TabularClassifier, TabularRegressor
from deltarule.errors import TableError
from deltarule.tables import preprocessing
from deltarule.tables.few_rows import FEW_ROWS
from deltarule.tables.kinds import UnseenValues
from deltarule.tables.sources import frames

ROWS = 80
COLUMNS = ("real", "whole", "flag", "holes", "city", "code", "day")
QUICK: dict[str, Any] = {"hidden_layer_sizes": (3,), "max_iter": 1, "ensemble": 1}


def training_table() -> pd.DataFrame:
    """Return columns of every kind; "holes" and "city" have missing cells."""
    rng = np.random.default_rng(0)
    holes = rng.random(ROWS) < 0.3
    return pd.DataFrame(
        {
            "real": rng.normal(size=ROWS),
            "whole": rng.integers(-50, 50, ROWS),
            "flag": rng.random(ROWS) < 0.5,
            "holes": np.where(holes, np.nan, rng.exponential(size=ROWS)),
            "city": pd.Series(rng.choice(["Rome", "Bern", "Oslo"], ROWS), dtype=object).mask(holes),
            "code": [f"k{number}" for number in rng.choice(4, ROWS)],
            "day": pd.Timestamp("2021-03-04") + pd.to_timedelta(rng.integers(0, 400, ROWS), "D"),
        }
    )


MODELS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "bins and scores": (TabularRegressor, {"scaling": "quantiles", "bins": 4}),
    "standardised, marks": (
        TabularClassifier,
        {"scaling": "standard", "bins": 0, "missing": [-7, "k9", "?"], "no_dates": True},
    ),
    "unseen is an error": (TabularRegressor, {"scaling": "standard", "unseen": "error"}),
}


@cache
def fitted(name: str) -> Any:
    """Return a model of the training table."""
    kind, arguments = MODELS[name]
    X = training_table()
    y = np.arange(ROWS) % 3 if kind is TabularClassifier else X["real"].to_numpy() ** 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one epoch is too few
        return kind(**QUICK | arguments).fit(X, y)


@contextmanager
def as_many_rows() -> Iterator[None]:
    """Read and encode all tables as those of many rows: whole columns, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "FEW_ROWS", -1)
        patch.setattr(preprocessing, "FEW_ROWS", -1)
        yield


def outcome(call: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Return the bytes of a result, or the error, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = np.asarray(call())
            result: Any = found.shape, found.tobytes() if found.dtype != object else found.tolist()
        except TableError as error:
            result = str(error)
    return result, [str(warning.message) for warning in caught]


NUMBERS = st.one_of(
    st.floats(allow_subnormal=True),
    st.integers(-60, 60),
    st.sampled_from([0.0, -0.0, -7.0, -7, 1e300, 2.0**53, 2**53, 2**53 + 1, 2**60, 2.0**53 - 1]),
)
MISSING = st.sampled_from([None, np.nan, pd.NA, pd.NaT])
CITIES = st.sampled_from(["Rome", "Bern", "Oslo"])
TEXTS = st.sampled_from(
    ["Rome", " Rome", "k1", "k9", "?", "Paris", "", "NA", "1.5", "-7", "true", "inf", "\u00a0k1"]
)
OTHERS = st.one_of(
    st.booleans(),
    st.sampled_from([
        Decimal("1.5"), pd.Timestamp("2021-05-06"), date(2021, 5, 6), np.float64(1.5), np.int64(3),
        np.str_("Rome"), np.True_, b"Rome", [1.0], 1j, pd.Timedelta(1, "D"),
    ]),
)  # fmt: skip
USUAL = {
    "real": st.floats(-3, 3),
    "whole": st.integers(-50, 50),
    "flag": st.booleans(),
    "holes": st.floats(0, 3),
    "city": CITIES,
    "code": st.sampled_from(["k0", "k1", "k2", "k3"]),
    "day": st.dates(date(2021, 1, 1), date(2022, 1, 1)).map(pd.Timestamp),
}


def _natural(values: list[Any]) -> Any:
    return pd.Series(values)


def _objects(values: list[Any]) -> Any:
    return pd.Series(values, dtype=object)


def _typed(dtype: str) -> Callable[[list[Any]], Any]:
    def made(values: list[Any]) -> Any:
        return pd.Series(values).astype(dtype)

    return made


MADE = {
    "natural": _natural,
    "objects": _objects,
    "nullable": lambda values: pd.Series(values).convert_dtypes(),
    "arrow": lambda values: pd.Series(values).convert_dtypes(dtype_backend="pyarrow"),
    **{
        dtype: _typed(dtype)
        for dtype in ("category", "float32", "float16", "int8", "uint64", "Sparse[float]", "string")
    },
}
"""Ways to make a column of pandas, which may fail."""


@st.composite
def tables(draw: Any) -> pd.DataFrame:
    """Return up to three rows, of which most columns are as in training and some are not."""
    rows = draw(st.sampled_from([1, 1, 1, 2, 3, 0]))
    odd = draw(st.sets(st.sampled_from(COLUMNS), max_size=2))
    columns = {}
    for name in COLUMNS:
        cells = USUAL[name]
        if name in odd:
            cells = st.one_of(cells, draw(st.sampled_from([MISSING, NUMBERS, TEXTS, OTHERS])))
        values = draw(st.lists(cells, min_size=rows, max_size=rows))
        way = draw(st.sampled_from(["natural", "natural", "objects", *MADE]))
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                columns[name] = MADE[way](values)
        except (TypeError, ValueError, OverflowError, NotImplementedError, ArithmeticError):
            columns[name] = _objects(values)
    order = draw(st.permutations(COLUMNS)) if draw(st.booleans()) else COLUMNS
    lost = draw(st.sampled_from([0, 0, 0, 1]))
    frame = pd.DataFrame({name: columns[name] for name in order[lost:]})
    if draw(st.booleans()):
        frame["further"] = _objects(draw(st.lists(OTHERS, min_size=rows, max_size=rows)))
    return frame


def check_same(name: str, X: Any) -> None:
    """Compare what a model says of X with what it says if X is read as a table of many rows."""
    model = fitted(name)
    for call in (model.transform, model.predict):
        found = outcome(lambda: call(X))  # noqa: B023
        with as_many_rows():
            assert found == outcome(lambda: call(X))  # noqa: B023


@settings(max_examples=40)
@given(st.sampled_from(sorted(MODELS)), tables())
def test_rows_of_pandas_are_read_as_in_a_large_table(name: str, X: pd.DataFrame) -> None:
    check_same(name, X)


@pytest.mark.long
@settings(max_examples=1000)
@given(st.sampled_from(sorted(MODELS)), tables())
def test_many_rows_of_pandas_are_read_as_in_a_large_table(name: str, X: pd.DataFrame) -> None:
    check_same(name, X)


@settings(max_examples=40)
@given(st.sampled_from(sorted(MODELS)), tables(), st.sampled_from(["lists", "tuples", "array"]))
def test_dicts_and_arrays_are_read_as_in_a_large_table(
    name: str, X: pd.DataFrame, made: str
) -> None:
    cells: Any = {column: X[column].tolist() for column in X}
    if made == "tuples":
        cells = {column: tuple(values) for column, values in cells.items()}
    check_same(name, X.to_numpy() if made == "array" else cells)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_each_row_alone_has_the_inputs_that_it_has_among_others(name: str) -> None:
    model, X = fitted(name), training_table()
    assert len(X) > FEW_ROWS
    whole = model.transform(X)
    for size in (1, 7, FEW_ROWS):
        parts = [model.transform(X.iloc[i : i + size]) for i in range(0, len(X), size)]
        assert_array_equal(np.concatenate(parts), whole, strict=True)
    records = X.to_dict("records")
    rows = [model.transform(pd.DataFrame([record])) for record in records]
    assert_array_equal(np.concatenate(rows), whole, strict=True)


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("value", [1.5, 3, True, None, "Rome"])
def test_a_single_cell_of_every_column_may_be_of_any_type(name: str, value: Any) -> None:
    for column in COLUMNS:
        X = training_table().head(1)
        X[column] = pd.Series([value], dtype=object)
        check_same(name, X)


def test_plain_rows_are_not_read_column_by_column(monkeypatch: pytest.MonkeyPatch) -> None:
    model, row = fitted("standardised, marks"), training_table().drop(columns="day").iloc[[1]]
    expected = model.predict(row)
    monkeypatch.setattr(frames, "held_column", None)
    assert_array_equal(model.predict(row), expected)
    assert_array_equal(model.predict(row.to_dict("list")), expected)


def test_unseen_categories_of_a_few_rows_are_counted_as_in_a_large_table() -> None:
    X = training_table().head(5)
    X["code"] = ["k1", "new", None, "new", "other"]
    X["holes"] = X["whole"] = np.nan
    encoder = fitted("bins and scores").model_.encoder
    found, expected = UnseenValues(), UnseenValues()
    frame = frames.read_frame(X)
    read = encoder.read(frame.cells(), found)
    assert set(COLUMNS) - set(read) == {"day"}
    encoder.encode(frame.table(only=["day"]), seen=found, read=read)
    with as_many_rows():
        encoder.encode(frames.read_frame(X).table(), seen=expected)
    assert found.sentences() == expected.sentences()
    assert "4 cells hold categories" in found.sentences()[0]


def test_what_is_prepared_for_a_row_is_no_part_of_a_pickle() -> None:
    model = fitted("bins and scores")
    before = len(pickle.dumps(model))
    model.predict(training_table().head(1))
    assert len(pickle.dumps(model)) < before + 200
    copy = pickle.loads(pickle.dumps(model))
    assert_array_equal(copy.predict(training_table()), model.predict(training_table()))
