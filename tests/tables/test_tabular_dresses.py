"""One table in every dress gives the same model and the same predictions, bit by bit."""

from __future__ import annotations

import csv
import tempfile
import warnings
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from deltarule import TabularClassifier, TabularRegressor
from deltarule.cli.run import run
from deltarule.storage import encode
from deltarule.tables import Source
from deltarule.tables.table import Table
from support.dresses import DRESSES, Columns, plain

QUICK: dict[str, Any] = {"hidden_layer_sizes": (3,), "max_iter": 1}
ROWS = 24


def fitted(kind: type[Any], X: Any, y: Any, **arguments: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one epoch is too few
        return kind(**QUICK | arguments).fit(X, y)


def columns_of(seed: int, rows: int = ROWS) -> Columns:
    """Return random columns of every kind, most with missing cells."""
    rng = np.random.default_rng(seed)
    holes = rng.random((rows, 11)) < rng.choice([0.0, 0.2, 0.5], 11)
    start = datetime(2021, 3, 4)
    values: Columns = {
        "number": [float(round(v, 3)) for v in rng.normal(size=rows)],
        "whole": [int(v) for v in rng.integers(-50, 50, rows)],
        "large": [int(v) for v in rng.integers(2**52, 2**53, rows)],
        "boolean": [bool(v) for v in rng.random(rows) < 0.5],
        "text": [str(v) for v in rng.choice(["Rome", "Bern", "São Paulo", "O'Brien"], rows)],
        "date": [date(2019, 12, 1) + timedelta(days=int(d)) for d in rng.integers(0, 90, rows)],
        "moment": [start + timedelta(seconds=int(s)) for s in rng.integers(0, 10**7, rows)],
        "clock": [time(int(h), int(m)) for h, m in rng.integers(0, 24, (rows, 2))],
        "price": [Decimal(int(c)).scaleb(-2) for c in rng.integers(1, 10**5, rows)],
        "empty": [None] * rows,
        "ids": [f"id {v}" for v in rng.permutation(10**6)[:rows]],
    }
    chosen = [name for name in values if rng.random() < 0.7] or ["number"]
    if set(chosen) <= {"empty", "ids"}:
        chosen.append("text")
    return {
        name: [None if holes[i, k] else v for i, v in enumerate(values[name])]
        for k, name in enumerate(values)
        if name in chosen
    }


def with_target(source: Any, y: list[Any]) -> Table:
    """Return a table of a file with a further column."""
    cells = pa.array([str(v) for v in y]) if isinstance(y[0], str) else pa.array(y, pa.float64())
    declared = source.declared | ({"y"} if isinstance(y[0], str) else set())
    return Table(
        source.path, {**source.columns, "y": cells}, source.rows, source.place, declared,
        source.separator, source.left_out,
    )  # fmt: skip


CASES = {
    "seed": st.integers(0, 2**20),
    "train": st.sampled_from(sorted(DRESSES)),
    "predict": st.sampled_from(sorted(DRESSES)),
    "classifies": st.booleans(),
}


@settings(max_examples=12, deadline=None)
@given(**CASES)
def test_every_dress_gives_the_same_bits(**case: Any) -> None:
    check_bits(**case)


@pytest.mark.long
@settings(max_examples=1000, deadline=None)
@given(**CASES)
def test_every_dress_gives_the_same_bits_many_times(**case: Any) -> None:
    check_bits(**case)


def check_bits(seed: int, train: str, predict: str, classifies: bool) -> None:
    """Fit in two dresses, and predict in a third."""
    columns = columns_of(seed)
    if seed % 2:  # a column with cells, so that something is left to learn from
        columns["more"] = [float(i % 7) for i in range(ROWS)]
    else:
        columns["more"] = ["ab"[i % 2] for i in range(ROWS)]
    rng = np.random.default_rng(seed)
    y: Any = (
        rng.choice(["no", "yes"], ROWS).tolist() if classifies else rng.normal(size=ROWS).tolist()
    )
    kind = TabularClassifier if classifies else TabularRegressor
    respond = "predict_proba" if classifies else "predict"
    reference = fitted(kind, plain(columns), pd.Series(y, name="y"))
    expected = getattr(reference, respond)(plain(columns))
    with tempfile.TemporaryDirectory() as folder:
        X = DRESSES[train](columns, Path(folder))
        if isinstance(X, Source):
            model = fitted(kind, with_target(X, y), "y")
        else:
            model = fitted(kind, X, pd.Series(y, name="y"))
        if train != "pandas, columns reversed":  # the order of the inputs decides the parameters
            assert encode(model.to_model_record()) == encode(reference.to_model_record())
            reference = model
        Z = DRESSES[predict](columns, Path(folder))
        assert_array_equal(getattr(reference, respond)(Z), expected)


TARGETS: dict[str, Any] = {
    "list": lambda y: y,
    "array": np.array,
    "objects": lambda y: np.array(y, dtype=object),
    "column": lambda y: pd.DataFrame({"y": y}),
    "Series": lambda y: pd.Series(y, index=range(5, 5 + len(y)), name="y"),
    "category": lambda y: pd.Series(pd.Categorical(y)),
    "nullable": lambda y: pd.Series(y).convert_dtypes(),
    "backed by Arrow": lambda y: pd.Series(y).convert_dtypes(dtype_backend="pyarrow"),
    "Index": lambda y: pd.Index(y),
    "Arrow": pa.array,
    "chunks": lambda y: pa.chunked_array([y[:3], y[3:]]),
    "dictionary": lambda y: pa.array(y).dictionary_encode(),
    "Arrow table": lambda y: pa.table({"y": y}),
    "dict": lambda y: {"y": y},
}
LABELS: dict[str, tuple[list[Any], str]] = {
    "texts": (["no", "yes", "perhaps"], "OU"),
    "numbers in texts": (["10", "9", "1"], "OU"),
    "booleans": ([True, False], "b"),
    "integers": ([10, 9, -1], "i"),
    "floats": ([10.0, 9.0, 2.0], "fi"),  # pandas converts whole ones
    "dates in texts": (["2021-03-04", "2020-01-02"], "OU"),
}


LESS_USUAL = pytest.mark.long
"""Labels of these kinds go through the same code as others."""


@pytest.mark.parametrize(
    "labels",
    [
        "texts",
        "integers",
        *(
            pytest.param(name, marks=LESS_USUAL)
            for name in LABELS
            if name not in ("texts", "integers")
        ),
    ],
)
def test_targets_of_every_dress_give_the_same_bits(labels: str, tmp_path: Path) -> None:
    values, kinds = LABELS[labels]
    rng = np.random.default_rng(0)
    y = [values[i] for i in rng.integers(0, len(values), 30)]
    X = {"a": rng.normal(size=30), "b": rng.choice(["u", "v"], 30)}
    expected = fitted(TabularClassifier, X, y)
    said = [expected.predict(X).tolist(), expected.predict_proba(X)]
    assert said[0] == [sorted(values)[i] for i in said[1].argmax(axis=1)]
    for name, dress in TARGETS.items():
        model = fitted(TabularClassifier, X, dress(y))
        assert model.classes_.tolist() == sorted(values), name
        assert model.classes_.dtype.kind in kinds, name
        assert model.predict(X).dtype == model.classes_.dtype, name
        assert model.predict(X).tolist() == said[0], name
        assert_array_equal(model.predict_proba(X), said[1])
        assert model.score(X, dress(y)) == expected.score(X, y)


@pytest.mark.parametrize("dtype", ["u1", "i2", "<U7", "f4", "?", object])
def test_classes_keep_the_type_of_y(dtype: Any, tmp_path: Path) -> None:
    from deltarule import load

    y = np.array([0, 1, 1] * 10).astype(dtype)
    if dtype is object:
        y = np.array(["0", "1", "1"] * 10, dtype=object)
    model = fitted(TabularClassifier, np.arange(60.0).reshape(30, 2), y)
    again = load(model.save(tmp_path / "m"))
    for estimator in (model, again):
        assert estimator.classes_.dtype == y.dtype
        assert_array_equal(estimator.classes_, np.unique(y))


def test_the_command_line_trains_the_same_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    columns = columns_of(5, 80) | {"code": [f"{i % 7:03d}" for i in range(80)]}
    frame = plain(columns)
    frame["y"] = rng.normal(size=80)
    frame["class"] = rng.choice(["u", "v", "w"], 80)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    options = ("--hidden", "5,3", "--epochs", "3", "--seed", "7", "--dropout", "0.1", "--quiet")
    arguments = {
        "hidden_layer_sizes": (5, 3), "max_iter": 3, "random_state": 7, "dropout": 0.1,
    }  # fmt: skip
    for target, other, kind in (
        ("y", "class", TabularRegressor),
        ("class", "y", TabularClassifier),
    ):
        X = frame.drop(columns=target)
        model = fitted(kind, X, frame[target], ignore=[other, "id*"], **arguments)
        ours = encode(model.to_model_record())
        for name in ("t.csv", "t.parquet"):
            out = tmp_path / f"{target}-{name}"
            words = ("train", tmp_path / name, "-t", target, "-o", out, *options)
            ignored = ("--ignore", other, "--ignore", "id*")
            assert run([*map(str, words), *ignored]) == 0
            assert out.read_bytes() == ours
        model.save(tmp_path / f"{target}.safetensors")
        words = ("predict", tmp_path / f"{target}.safetensors", tmp_path / "t.csv", "--quiet")
        assert run([*map(str, words), "-o", str(tmp_path / f"{target}.csv")]) == 0
        with open(tmp_path / f"{target}.csv", newline="", encoding="utf-8") as file:
            said = [row["prediction"] for row in csv.DictReader(file)]
        assert said == [v if isinstance(v, str) else repr(v) for v in model.predict(X).tolist()]
