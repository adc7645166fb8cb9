"""Values that must not change on the way in, in a file, or in an exported graph."""

from __future__ import annotations

import copy
import csv
import datetime as dt
import pickle
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deltarule import (
    Dense,
    MLPClassifier,
    MLPRegressor,
    Network,
    load,
    save,
    train,
)
from deltarule.errors import DataError, ModelFileError
from deltarule.tables import Plan, Settings, TableModel, fit, prepare, read_table
from deltarule.tables.columns import MISSING
from support.estimators import unconverged
from support.faults import report
from support.onnx import run

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
y = X @ [1.0, 2.0, 3.0]
FIT = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}

# --- the dtype of classes ------------------------------------------------------------------------

INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
UNITS = ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "25s"]


@st.composite
def labels(draw: st.DrawFn) -> Any:
    """Return two to five distinct labels of any dtype that a classifier may be given."""
    kind = draw(st.sampled_from(["integer", "bool", "float", "text", "date", "duration", "pandas"]))
    several = {"min_size": 2, "max_size": 5, "unique": True}
    order = draw(st.sampled_from("<>"))
    if kind == "bool":
        return np.array([False, True])
    if kind == "integer":
        dtype = np.dtype(draw(st.sampled_from(INTEGERS))).newbyteorder(order)
        info = np.iinfo(dtype)
        whole = draw(st.lists(st.integers(int(info.min), int(info.max)), **several))
        return np.array(whole, dtype=dtype)
    if kind == "float":
        dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
        return np.array(draw(st.lists(st.integers(-2000, 2000), **several)), dtype=dtype)
    if kind in ("date", "duration"):
        unit = draw(st.sampled_from(UNITS))
        counts = draw(st.lists(st.integers(-(2**40), 2**40), **several))
        letter = "M8" if kind == "date" else "m8"
        return np.array(counts).astype(f"{order}{letter}[{unit}]")
    alphabet = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    texts = draw(st.lists(st.text(alphabet, min_size=1, max_size=8), **several))
    if kind == "pandas":
        made = draw(st.sampled_from(["category", "string", "object"]))
        return pd.Series(texts, dtype=made)
    made = draw(st.sampled_from(["fixed", "wide", "object", "variable"]))
    if made == "variable":
        return np.array(texts, dtype=np.dtypes.StringDType())
    return np.array(texts, dtype={"fixed": None, "wide": "U20", "object": object}[made])


def assert_same_labels(one: Any, other: Any) -> None:
    for ours, theirs in ((one.classes_, other.classes_), (one.predict(X), other.predict(X))):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def check_classes(path: Path, values: Any) -> bool:
    """Fit and save; return whether the classes came back, False if they were refused by name."""
    codes = np.arange(len(X)) % len(values)
    given_y = values.iloc[codes] if isinstance(values, pd.Series) else values[codes]
    with unconverged():
        model = MLPClassifier(**FIT).fit(X, given_y)
    try:
        save(model, path, overwrite=True)
    except ModelFileError:
        return False
    for other in (load(path), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert_same_labels(model, other)
        with unconverged():
            other.partial_fit(X, given_y)
        assert_same_labels(other, other)
    return True


def check_many_classes(folder: Path, count: int) -> None:
    figures = {"kept": 0, "refused": 0}

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(labels())
    def check(values: Any) -> None:
        figures["kept" if check_classes(folder / "m", values) else "refused"] += 1

    check()
    report("classes in files", **figures)
    assert figures["refused"] == 0


def test_every_dtype_of_classes_survives_a_file(tmp_path: Path) -> None:
    check_many_classes(tmp_path, 30)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_every_dtype_of_classes_survives_a_file_often(tmp_path: Path) -> None:
    check_many_classes(tmp_path, 3000)


def test_a_dtype_that_no_file_can_hold_is_refused_with_what_to_do(tmp_path: Path) -> None:
    if np.dtype(np.longdouble).itemsize <= 8:
        pytest.skip("longdouble is float64 here")
    classes = np.array([1, 2, 3], dtype=np.longdouble)[np.arange(len(X)) % 3]
    with unconverged():
        model = MLPClassifier(**FIT).fit(X, classes)
        with pytest.raises(ModelFileError, match=r"classes of dtype .*128.*\.astype\(float\)"):
            save(model, tmp_path / "m")
        save(MLPClassifier(**FIT).fit(X, classes.astype(float)), tmp_path / "m")
    assert load(tmp_path / "m").classes_.dtype == np.float64


@pytest.mark.parametrize("dtype", ["M8[D]", "m8[s]", "M8[ns]"])
def test_a_missing_date_is_no_class(dtype: str) -> None:
    dates = np.array([1, 2, "NaT"], dtype="m8[s]").view("i8").view(dtype)[np.arange(len(X)) % 3]
    with pytest.raises(DataError, match=r"NaT.*isnat"):
        MLPClassifier(**FIT).fit(X, dates)
    keep = ~np.isnat(dates)  # the remedy
    with unconverged():
        assert len(MLPClassifier(**FIT).fit(X[keep], dates[keep]).classes_) == 2


@pytest.mark.parametrize(
    ("labels_", "dtype"),
    [
        ([300, 1], "|u1"), ([1, 2], "<f3"), ([1, 2], None), (["a", "b"], "<i8"), ([1, 2], "<U5"),
        (["long", "b"], "<U1"), ([1.5, 2.0], "<i4"), ([1, 2], "O"), ([1, 2], "object"),
        ([-(2**63), 1], "<M8[D]"), (["a", "b"], "<U99999999"), ([1.0, 1e6], "<f2"), ([1, 2], 7),
        ([True, False], "<i8"), ([[1], [2]], "<i8"), ([1, 2], "V8"), ([1, 2], "i4,i4"),
    ],
)  # fmt: skip
def test_forged_classes_are_refused(labels_: list[Any], dtype: Any) -> None:
    from deltarule.estimators.class_labels import read_classes

    with pytest.raises(ModelFileError):
        read_classes(labels_, dtype)


def test_other_values_of_a_model_survive_a_file(tmp_path: Path) -> None:
    """Keys of class weights, names of features, types of numbers, scales."""
    frame = pd.DataFrame(X.astype(np.float32), columns=["a", "ä b", "c"])
    codes = np.arange(len(X)) % 2
    models = [
        MLPClassifier(**FIT, class_weight={np.int64(0): np.float32(0.5), np.int64(1): 2}).fit,
        MLPRegressor(**FIT, standardize=True, alpha=np.float32(0.1)).fit,
    ]
    with unconverged():
        for one in (models[0](frame, codes), models[1](frame, y.astype(np.float32))):
            save(one, tmp_path / "m", overwrite=True)
            other = load(tmp_path / "m")
            assert one.get_params() == other.get_params()
            assert list(other.feature_names_in_) == ["a", "ä b", "c"]
            assert other.feature_names_in_.dtype == one.feature_names_in_.dtype
            assert other.predict(frame).dtype == one.predict(frame).dtype
            np.testing.assert_array_equal(other.predict(frame), one.predict(frame))
            if one.scales_ is not None:
                for ours, theirs in zip(one.scales_, other.scales_, strict=True):
                    assert ours.dtype == theirs.dtype
                    np.testing.assert_array_equal(ours, theirs)
        odd = MLPClassifier(**FIT, class_weight={np.datetime64("2020-01-01"): 2.0, 1: 1.0})
        odd.set_params(class_weight={dt.date(2020, 1, 1): 2, 0: 1, 1: 1}).fit(X, codes)
    with pytest.raises(ModelFileError, match="class_weight"):
        save(odd, tmp_path / "odd")


# --- dates are no numbers ------------------------------------------------------------------------

DAYS = np.arange(40).astype("M8[D]")


def dated(column: Any) -> list[Any]:
    """Return a column of dates in every form that users have them in."""
    durations = column - column[0]
    return [
        column,
        column.astype("M8[ns]"),
        np.where(np.arange(40) == 5, np.datetime64("NaT"), column),
        durations,
        column.astype(object),
        durations.astype(object),
        list(column.astype(object)),
        pd.Series(column),
        pd.Series(column).dt.tz_localize("Europe/Athens"),
        pd.Series(column).dt.to_period("D"),
        pd.Series(durations),
        np.array([pd.Timestamp(v) for v in column], dtype=object),
        pd.to_datetime(pd.Series(column)).dt.date,
    ]


def as_matrix(column: Any) -> Any:
    if isinstance(column, pd.Series):
        return pd.DataFrame({"a": np.ones(40), "when": column, "b": np.zeros(40)})
    if isinstance(column, list):
        return [[1.0, value, 0.0] for value in column]
    return np.stack([column] * 3, axis=1)


@pytest.mark.parametrize("number", range(len(dated(DAYS))))
def test_dates_are_refused_by_name(number: int) -> None:
    column = dated(DAYS)[number]
    matrix, codes, net = as_matrix(column), (y > 0).astype(int), Network(3, [Dense(1)])
    state, early = net.initialize(0), {**FIT, "early_stopping": True}
    with unconverged():
        classifier = MLPClassifier(**FIT).fit(X, codes)
        regressor = MLPRegressor(**FIT).fit(X, y)
        levels = MLPRegressor("quantile", **FIT, quantile=[0.1, 0.9]).fit(X, y)
    calls = {
        "X": [
            lambda: MLPClassifier(**FIT).fit(matrix, codes),
            lambda: MLPRegressor(**FIT).fit(matrix, y),
            lambda: classifier.predict(matrix),
            lambda: classifier.predict_proba(matrix),
            lambda: classifier.score(matrix, codes),
            lambda: regressor.partial_fit(matrix, y),
            lambda: regressor.input_gradients(matrix),
            lambda: regressor.layer_activations(matrix),
            lambda: regressor.check_gradients(matrix, y),
            lambda: MLPRegressor(**early).fit(X, y, X_val=matrix, y_val=y),
            lambda: train(net, state, matrix, y),
            lambda: net.predict(state, matrix),
            lambda: net.predictor(state)(matrix),
        ],
        "y": [
            lambda: MLPRegressor(**FIT).fit(X, column),
            lambda: MLPRegressor(**FIT).partial_fit(X, column),
            lambda: regressor.score(X, column),
            lambda: levels.score(X, column),
            lambda: regressor.check_gradients(X, column),
            lambda: MLPRegressor(**early).fit(X, y, X_val=X, y_val=column),
            lambda: train(net, state, X, column),
            lambda: train(net, state, X, y, validation=(X, column)),
            lambda: net.score(state, X, column),
        ],
        "sample_weight": [
            lambda: MLPRegressor(**FIT).fit(X, y, sample_weight=column),
            lambda: MLPClassifier(**FIT).fit(X, codes, sample_weight=column),
            lambda: MLPRegressor(**early).fit(X, y, X_val=X, y_val=y, sample_weight_val=column),
            lambda: train(net, state, X, y, sample_weight=column),
        ],
    }
    for name, attempts in calls.items():
        for attempt in attempts:
            with pytest.raises(DataError, match=rf"{name}.* must hold numbers; got (dates|dura)"):
                attempt()
    report("dates", refused=sum(map(len, calls.values())))


def test_the_remedy_for_dates_works() -> None:
    for column in (DAYS, pd.Series(DAYS), pd.Series(DAYS).dt.tz_localize("UTC")):
        days = (column - column.min()) / np.timedelta64(1, "D")
        np.testing.assert_array_equal(days, np.arange(40))
        with unconverged():
            MLPRegressor(**FIT).fit(X, days)
    seconds = (DAYS - DAYS[0]) / np.timedelta64(1, "s")
    with unconverged():
        MLPRegressor(**FIT).fit(X, seconds)


def test_decimals_are_numbers() -> None:
    exact = np.array([Decimal(repr(float(v))) for v in y], dtype=object)
    with unconverged():
        ours, floats = MLPRegressor(**FIT).fit(X, exact), MLPRegressor(**FIT).fit(X, y)
    np.testing.assert_array_equal(ours.predict(X), floats.predict(X))


# --- exported graphs read cells as the reader does -----------------------------------------------

BLANKS = [" ", "\t", "\u00a0", "\u3000", "\u2003", "\x85", "\x1f", "\u2028"]
WORDS = [
    *(
        "Biscoe",
        "biscoe",
        "BISCOE",
        "Dream",
        "a b",
        "a  b",
        "é",
        "e\u0301",
        "grün",
        "1e5",
        "+1",
        "5",
    ),
    *(
        "0x10",
        "1_000",
        "inf",
        "nan",
        "NA",
        "None",
        "null",
        "",
        "#N/A",
        "\ufeffBiscoe",
        "x.y",
        "x|y",
    ),
    *("(", "[a]", "\\d+", ".*", "^a$", "a*", '"q"', "true", "TRUE", "日本", "\U0001f40d", "a,b"),
    *("z" * 3000, "\u200b", "-", "'", "{}", "a\u00a0b", "$", "%s", "\u0130", "ß", "SS"),
]
NUMBERS = ["5", " 5 ", "1e5", "+1", "-2.5", ".5", "1E-3", "", "NA", " nan ", "\t7", "0005", "3."]
BOOLEANS = ["true", " TRUE ", "False", "false\t", "", "NA"]


def padded(draw: np.random.Generator, text: str) -> str:
    around = ["".join(draw.choice(BLANKS, draw.integers(0, 3))) for _ in range(2)]
    return around[0] + text + around[1]


def write_cells(path: Path, draw: np.random.Generator, rows: int) -> list[dict[str, str]]:
    """Write a table of random cells; return the cells as they stand in the file."""
    table = []
    for _ in range(rows):
        word = padded(draw, str(draw.choice(WORDS)))
        number = padded(draw, str(draw.choice(NUMBERS)))
        table.append({
            "place": word, "size": number, "flag": padded(draw, str(draw.choice(BOOLEANS))),
            "other": padded(draw, str(draw.choice(WORDS[:6]))),
            "y": str(round(float(draw.normal()) + len(word.strip()) % 5, 3)),
        })  # fmt: skip
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]), quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(table)
    return table


def feeds(model: Any, table: list[dict[str, str]]) -> dict[str, Any]:
    """Return raw cells as a graph's inputs: texts as they stand, numbers and truth parsed."""
    truth = {"true": "1", "false": "0", **dict.fromkeys(MISSING, "nan")}
    inputs: dict[str, Any] = {}
    for value in model.graph.input:
        cells = [row[value.name] for row in table]
        if value.type.tensor_type.elem_type == 8:  # a string
            inputs[value.name] = np.array(cells, dtype=object)[:, None]
        else:
            plain = [truth.get(c.strip(), truth.get(c.strip().lower(), c)) for c in cells]
            inputs[value.name] = np.array([[float(cell.strip())] for cell in plain])
    return inputs


def check_cells(folder: Path, seed: int, rows: int) -> None:
    draw = np.random.default_rng(seed)
    write_cells(folder / "train.csv", draw, 400)
    table = write_cells(folder / "new.csv", draw, rows)
    quick = Settings(hidden=(6,), epochs=3)
    with unconverged():
        model: TableModel = fit(prepare(read_table(folder / "train.csv"), Plan("y")), quick)
    graph = model.to_onnx(dtype="float64")
    found = run(graph, feeds(graph, table))["variable"][:, 0]
    expected = model.predict(read_table(folder / "new.csv")).values
    differ = int((~np.isclose(found, expected, rtol=1e-9, atol=1e-9)).sum())
    report("cells in graphs", rows=rows, differ=differ)
    assert differ == 0


def test_a_graph_predicts_what_the_table_model_predicts_from_the_same_cells(tmp_path: Path) -> None:
    check_cells(tmp_path, 0, 1000)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 21))
def test_a_graph_predicts_the_same_from_the_same_cells_often(tmp_path: Path, seed: int) -> None:
    check_cells(tmp_path, seed, 20_000)


def test_the_graph_trims_what_the_reader_trims() -> None:
    """All of Unicode, one by one: pyarrow's trimming against the graph's."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from deltarule.onnx import Categories
    from deltarule.onnx.columns import _codes
    from deltarule.onnx.graph import Graph

    g = Graph("float32", ("out",))
    texts = g.input("x", 1, "", object)
    column = Categories("x", "", {"a": 0}, -1, 1)
    g.output("out", _codes(g, column, texts), ("batch", 1), "", np.int64)
    model = g.model("m", "", {})
    characters = [chr(c) for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]
    cells = [f"{c}a{c}" for c in characters]
    code = run(model, {"x": np.array(cells, dtype=object)[:, None]})["out"][:, 0]
    trimmed = pc.utf8_trim_whitespace(pa.array(cells)).to_pylist()
    np.testing.assert_array_equal(code == 0, np.array(trimmed) == "a")
    assert (code == 0).sum() == 29


def test_many_long_categories_are_exported_without_a_word_from_the_runtime(tmp_path: Path) -> None:
    script = """
import numpy as np
from deltarule.onnx import Categories
from deltarule.onnx.columns import _codes
from deltarule.onnx.graph import Graph
import onnxruntime
g = Graph("float32", ("out",))
words = [f"{i * 7919 % 10007:x} category {i}" for i in range(1500)]
column = Categories("x", "", {w: i for i, w in enumerate(words)}, 77, 1500)
g.output("out", _codes(g, column, g.input("x", 1, "", object)), ("batch", 1), "", np.int64)
session = onnxruntime.InferenceSession(g.model("m", "", {}).SerializeToString())
cells = np.array([f" {w}\\t" for w in words] + ["never"], dtype=object)[:, None]
code = session.run(None, {"x": cells})[0][:, 0]
assert code.tolist() == [*range(1500), 77], code
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- skl2onnx ------------------------------------------------------------------------------------


def test_skl2onnx_converts_pipelines() -> None:
    pytest.importorskip("skl2onnx")
    import warnings

    from skl2onnx import to_onnx
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    texts, codes = np.where(y > 0, "yes", "no"), np.array([3, 5, 8])[np.arange(40) % 3]
    several = (X > 0).astype(int)
    fits = [
        *(
            (MLPClassifier(**FIT, activation="gelu"), labels_)
            for labels_ in (texts, codes, several)
        ),
        (MLPClassifier(**FIT), y > 0),
        (MLPClassifier(**FIT, batch_norm=True, dropout=0.2, standardize=True), codes),
        (MLPRegressor(**FIT, standardize=True), y),
        (MLPRegressor(**FIT), X[:, :2]),
        (MLPRegressor("quantile", **FIT, quantile=[0.9, 0.1]), y),
    ]
    for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-12)):
        for estimator, targets in fits:
            for steps in ((StandardScaler(), estimator), (MinMaxScaler(), estimator), (estimator,)):
                with unconverged():
                    model = make_pipeline(*steps).fit(X, targets)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # skl2onnx's own
                    graph = to_onnx(model, X[:1].astype(dtype))
                found = run(graph, {graph.graph.input[0].name: X.astype(dtype)})
                if "variable" in found:
                    expected = np.reshape(model.predict(X), found["variable"].shape)
                    np.testing.assert_allclose(found["variable"], expected, atol=10 * tolerance)
                    continue
                expected = model.predict_proba(X)
                np.testing.assert_allclose(found["probabilities"], expected, atol=tolerance)
                np.testing.assert_array_equal(found["label"], model.predict(X))
                assert found["label"].dtype.kind == (
                    "O" if targets is texts else model.predict(X).dtype.kind
                )
