"""Preprocessing against scikit-learn's own transformers, and through JSON without losing a bit."""

from __future__ import annotations

import json
import weakref
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from deltarule.errors import ModelFileError, TableError
from deltarule.storage import strict_json
from deltarule.tables import Table, preprocessing
from deltarule.tables.kinds import UnseenValues
from deltarule.tables.preprocessing import rare_below, transform
from deltarule.tables.record import PreprocessingRecord, Quantity, validated
from deltarule.tables.split import Shares, draw_parts
from support.tables import learned, table_of

numbers = st.lists(
    st.one_of(st.none(), st.floats(-1e9, 1e9, allow_subnormal=False)), min_size=3, max_size=40
)
texts = st.lists(st.sampled_from([None, "a", "b", "c", "other", "é", "rare"]), min_size=3)
KIND = {"x": "number", "text": "category"}


def fitted(table: Table, rows: Any = None) -> Any:
    """Return the records of a column of numbers, x, and one of categories, text."""
    return learned(table, rows, **{name: KIND[name] for name in table.names})


@given(numbers)
def test_numbers_match_scikit_learn(values: list[float | None]) -> None:
    """Means and deviations but for the last digits: ours sum each column in pairs, as NumPy."""
    table = table_of(x=values)
    X = np.array(values, dtype=float).reshape(-1, 1)
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True).fit(X)
    imputed = imputer.transform(X)
    scaler = StandardScaler().fit(imputed[:, :1])
    (column,) = fitted(table)
    assert column.fill == imputer.statistics_[0]
    assert column.flag == bool(np.isnan(X).any())
    size = float(np.abs(imputed[:, 0]).max())
    assert_allclose(column.mean, scaler.mean_[0], rtol=1e-12, atol=1e-14 * size)
    assert_allclose(column.scale, scaler.scale_[0], rtol=1e-9)
    scaler.mean_, scaler.scale_ = np.array([column.mean]), np.array([column.scale])
    expected = np.hstack([scaler.transform(imputed[:, :1]), imputed[:, 1:]])
    given_back = transform([column], table)
    assert_array_equal(given_back, expected)
    assert np.isfinite(given_back).all()


@given(texts)
def test_categories_match_scikit_learn(values: list[str | None]) -> None:
    """`min_frequency` groups rare categories as we do."""
    table = table_of(text=values)
    column = np.array(values, dtype=object).reshape(-1, 1)
    encoder = OneHotEncoder(
        min_frequency=rare_below(len(values)),
        handle_unknown="infrequent_if_exist",
        sparse_output=False,
    ).fit(column)
    (record,) = fitted(table)
    seen = UnseenValues()
    assert_array_equal(transform([record], table, seen=seen), encoder.transform(column))
    assert not seen.unseen
    strange = table_of(text=["never seen", None])
    known = encoder.transform(np.array([["never seen"], [None]], dtype=object))
    seen = UnseenValues()
    assert_array_equal(transform([record], strange, seen=seen), known)
    assert seen.unseen["text"] == 1 + (None not in values)


@given(numbers, texts, st.integers(0, 2**32 - 1))
def test_record_through_json_gives_the_same_bits(
    values: list[float | None], words: list[str | None], seed: int
) -> None:
    n = min(len(values), len(words))
    table = table_of(x=values[:n], text=words[:n])
    rows = np.random.default_rng(seed).permutation(n)[: max(2, n // 2)]
    record = PreprocessingRecord(
        fill_with="median",
        rare_below=2,
        columns=fitted(table, rows),
        target=Quantity(task="regression", name="y", mean=0.1, scale=1 / 3),
    )
    again = validated(
        PreprocessingRecord, strict_json.loads(strict_json.dumps(record.model_dump()))
    )
    assert again == record
    assert transform(record.columns, table).tobytes() == transform(again.columns, table).tobytes()


def test_only_the_training_rows_are_learned_from() -> None:
    x, text = fitted(table_of(x=[1.0, 3.0, 1000.0], text=["a", "a", "b"]), np.array([0, 1]))
    assert (x.mean, x.scale, x.fill) == (2.0, 1.0, 2.0)
    assert (text.kept, text.rare) == (["a"], [])


def test_constant_columns_stay_finite() -> None:
    table = table_of(x=[5.0] * 4, text=["a"] * 4)
    assert_array_equal(transform(fitted(table), table), [[0.0, 1.0]] * 4)


def test_a_column_that_is_empty_in_training_stays_finite() -> None:
    table = table_of(x=[np.nan, np.nan, 3.0])
    assert_array_equal(transform(fitted(table, np.array([0, 1])), table), [[0, 1], [0, 1], [3, 0]])


def test_numbers_too_large_to_standardise_name_the_column() -> None:
    with pytest.raises(TableError, match="column 'x' are too large"):
        fitted(table_of(x=[1.7e308, -1.7e308, 1.0]))


def test_a_number_far_outside_at_prediction_names_the_cell() -> None:
    columns = fitted(table_of(x=[1e-9, 2e-9, 3e-9]))
    with pytest.raises(TableError, match="line 3, column 'x': the number is too large"):
        transform(columns, table_of(x=[1e-9, 1e305]))


def test_missing_cells_that_training_did_not_have_are_reported() -> None:
    columns = fitted(table_of(x=[1.0, 2.0, 6.0]))
    seen = UnseenValues()
    X = transform(columns, table_of(x=[np.nan, 2.0]), seen=seen)
    assert seen.missing == {"x": 1}
    assert X[0, 0] == (2.0 - columns[0].mean) / columns[0].scale


def test_unseen_categories_are_counted_or_refused() -> None:
    columns = fitted(table_of(text=["a", "a", "b", "b"]))
    strange = table_of(text=["a", "new", "newer"])
    seen = UnseenValues()
    assert_array_equal(transform(columns, strange, seen=seen), [[1, 0], [0, 0], [0, 0]])
    assert seen.sentences()[0].startswith("column 'text': 2 cells hold categories")
    with pytest.raises(TableError, match="line 3, column 'text': 'new' is a category"):
        transform(columns, strange, seen=UnseenValues("error"))


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"rare_below": "2"},
        {"rare_below": -1},
        {"fill_with": "mean"},
        {"fill_with": "os.system"},
        {"columns": []},
        {"columns": [{"kind": "number", "name": "x"}]},
        {"columns": [{"kind": "pickle", "name": "x"}]},
        {"columns": [{"kind": "number", "name": "x", "fill": 0, "mean": 0, "scale": 0, "flag": 0}]},
        {"target": {"task": "regression", "name": "x", "mean": 0.0, "scale": 1.0}},
        {"target": {"task": "classification", "name": "y", "numeric": False, "labels": ["a", "a"]}},
    ],
    ids=lambda change: json.dumps(change)[:30],
)
def test_forged_records_are_refused(change: dict[str, Any]) -> None:
    record = PreprocessingRecord(
        fill_with="median",
        rare_below=2,
        columns=fitted(table_of(x=[1.0, 2.0])),
        target=Quantity(task="regression", name="y", mean=0.0, scale=1.0),
    ).model_dump()
    assert validated(PreprocessingRecord, record)
    with pytest.raises(ModelFileError, match="malformed"):
        validated(PreprocessingRecord, record | change)


# --- splits --------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(2, 30), min_size=1, max_size=6),
    st.floats(0.05, 0.4),
    st.floats(0, 0.4),
    st.integers(0, 2**32 - 1),
)
def test_splits_are_partitions_in_proportion(
    counts: list[int], dev: float, test: float, seed: int
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    n = len(labels)
    held_out = max(round(n * dev), 2) + (max(round(n * test), 2) if test else 0)
    if held_out > n - len(counts):
        with pytest.raises(TableError, match="too few"):
            draw_parts(n, Shares(dev, test), seed, labels)
        return
    part = draw_parts(n, Shares(dev, test), seed, labels)
    training, *held_out_parts = (np.flatnonzero(part == number) for number in range(3))
    assert np.isin(part, [0, 1, 2]).all()
    assert len(part) == n
    assert len(held_out_parts[0]) == max(round(n * dev), 2)
    assert len(held_out_parts[1]) == (max(round(n * test), 2) if test else 0)
    assert set(labels[training]) == set(range(len(counts)))
    for rows in held_out_parts:
        held = np.bincount(labels[rows], minlength=len(counts))
        ideal = len(rows) * np.array(counts) / n
        capped = held.sum() and (np.array(counts) - 1 < ideal + 1).any()
        assert capped or (np.abs(held - ideal) < 1 + 1e-9).all()


def test_the_seed_decides_the_split() -> None:
    one, same, other = (draw_parts(100, Shares(0.1, 0.2), seed) for seed in (1, 1, 2))
    assert_array_equal(one, same)
    assert (one != other).any()


def test_inputs_are_the_same_where_numbers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocessing, "BLOCK_ROWS", 16)
    draw = np.random.default_rng(0)

    def made() -> Table:
        holes = np.where(draw.random(100) < 0.2, np.nan, draw.normal(size=100))
        words = draw.choice(["a", "b", None], 100).tolist()
        return table_of(x=draw.normal(size=100), y=holes, text=words, z=draw.integers(0, 9, 100))

    table = made()
    columns = learned(table)
    rows = np.flatnonzero(draw.random(100) < 0.8)
    expected = transform(columns, table, rows)
    held = [weakref.ref(table.column(name)) for name in "xyz"]
    assert_array_equal(transform(columns, table, rows, forget=True), expected)
    assert [column() for column in held] == [None] * 3
    assert [len(table.columns[name]) for name in "xyz"] == [0] * 3

    table = made()
    cells = np.array(table.columns["z"])
    cells[70] = 1e308
    table.columns["z"] = pa.array(cells)
    columns[3] = columns[3].model_copy(update={"scale": 1e-9})
    with pytest.raises(TableError, match="line 72, column 'z': the number is too large"):
        transform(columns, table, np.arange(100), forget=True)
