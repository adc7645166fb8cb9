"""Models of tables in ONNX, and the command that writes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from deltarule import MLPClassifier, save
from deltarule.cli.run import run as command
from deltarule.datasets import penguins_path
from deltarule.errors import SpecError
from deltarule.tables import Plan, Settings, TableModel, fit, prepare, read_table
from deltarule.tables.columns import MISSING
from support.estimators import data, unconverged
from support.onnx import DTYPES, TOLERANCE, assert_close, operators, run

QUICK = Settings(hidden=(8,), epochs=15, learning_rate=0.02, patience=20)


def trained(path: Path, target: str, **plan: Any) -> TableModel:
    with unconverged():
        return fit(prepare(read_table(path), Plan(target, **plan)), QUICK)


def texts(path: Path) -> pd.DataFrame:
    """Return the cells of a table as they stand in its file."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def feeds(model: Any, cells: pd.DataFrame) -> dict[str, Any]:
    """Return cells as the inputs of a model: texts as they stand, numbers with NaN."""
    numbers = {"true": "1", "false": "0", **dict.fromkeys(MISSING, "nan")}
    inputs = {}
    for value in model.graph.input:
        column = cells[value.doc_string.split("'")[1]].astype(object)
        kind = value.type.tensor_type.elem_type
        if kind != onnx.TensorProto.STRING:
            column = column.replace(numbers).astype(float)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
        inputs[value.name] = column.to_numpy(dtype)[:, None]
    return inputs


def assert_same_predictions(model: TableModel, path: Path, dtype: str) -> None:
    graph = model.to_onnx(dtype=dtype)
    found, expected = run(graph, feeds(graph, texts(path))), model.predict(read_table(path))
    if expected.probabilities is None:
        spread = np.ptp(expected.values)
        assert_close(found["variable"][:, 0] / spread, expected.values / spread, TOLERANCE[dtype])
    else:
        assert_close(found["probabilities"], expected.probabilities, TOLERANCE[dtype])
        np.testing.assert_array_equal(found["label"].astype(str), expected.values)


@pytest.fixture(scope="module")
def penguins() -> TableModel:
    return trained(penguins_path(), "species")


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Return a table with everything that columns can be."""
    rng = np.random.default_rng(0)
    n = 200
    frame = pd.DataFrame(
        {
            "year": 1_600_000_000 + 1024 * rng.integers(0, 99, n),
            "flag": rng.choice(["true", "false", "NA"], n),
            "label": rng.normal(size=n).round(3).astype(str),
            "W1": rng.normal(size=n).round(3),
            "colour": rng.choice(["rot", "grün", "blau & weiß", "NA", "null"], n),
            "rare": ["once", "twice", "twice", *["often"] * (n - 3)],
        }
    )
    frame.loc[5:15, "label"] = ""
    frame["y"] = frame["W1"] * 1e4 + (frame["colour"] == "rot") * 2e4 + 1e6
    frame["kind"] = np.where(frame["W1"] > 0.3, 2, np.where(frame["flag"] == "true", 7, 10))
    path = tmp_path / "mixed.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("target", ["species", "sex", "body_mass_g"])
def test_penguins(target: str, dtype: str) -> None:
    assert_same_predictions(trained(penguins_path(), target), penguins_path(), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("target", ["y", "kind"])
def test_every_kind_of_column(mixed: Path, target: str, dtype: str) -> None:
    assert_same_predictions(trained(mixed, target), mixed, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dates_are_seconds_and_the_calendar_is_in_the_graph(tmp_path: Path, dtype: str) -> None:
    """Compared with the model's own predictions, far beyond the training range, too."""
    rng = np.random.default_rng(0)
    n = 300
    start = np.datetime64("2015-01-01T00:00:00")
    when = start + rng.integers(0, 6 * 365 * 86_400, n).astype("timedelta64[s]")
    frame = pd.DataFrame(
        {
            "when": pd.Series(when.astype(str)),
            "day": pd.Series(when.astype("datetime64[D]").astype(str)),
            "clock": pd.Series(when).dt.strftime("%H:%M:%S"),
            "month": pd.Series(when).dt.strftime("%Y-%m"),
            "x": rng.normal(size=n).round(3),
        }
    )
    frame["y"] = frame["x"] + pd.Series(when).dt.month + pd.Series(when).dt.hour / 10
    frame.loc[:20, "when"] = ""
    frame.to_csv(tmp_path / "t.csv", index=False)
    model = trained(tmp_path / "t.csv", "y")
    assert [column.kind for column in model.preprocessing.columns[:4]] == ["date"] * 4
    far = pd.date_range("1900-02-27", "2100-03-03", periods=400).astype("datetime64[s]")
    later = frame.sample(400, replace=True, random_state=0).reset_index(drop=True)
    later["when"] = pd.Series(far).astype(str)
    later.to_csv(tmp_path / "later.csv", index=False)
    graph = model.to_onnx(dtype=dtype)
    for path in (tmp_path / "t.csv", tmp_path / "later.csv"):
        cells = pd.read_csv(path)
        inputs: dict[str, Any] = {"x": cells["x"].to_numpy(dtype)[:, None]}
        for name in ("when", "day", "month"):
            seconds = (pd.to_datetime(cells[name]) - pd.Timestamp(0)) / pd.Timedelta(seconds=1)
            inputs[name] = seconds.to_numpy()[:, None]
        inputs["clock"] = pd.to_timedelta(cells["clock"]).dt.total_seconds().to_numpy()[:, None]
        found, expected = run(graph, inputs), model.predict(read_table(path)).values
        spread = np.ptp(expected)
        assert_close(found["variable"][:, 0] / spread, expected / spread, TOLERANCE[dtype])
    given = {value.name: value.doc_string for value in graph.graph.input}
    words = "seconds since 1970, as the clock shows it, NaN where missing"
    assert given["when"] == f"column 'when': {words}"


def test_inputs_that_have_an_outputs_name_take_another(mixed: Path) -> None:
    model = trained(mixed, "kind").to_onnx()
    given = {value.name: value.doc_string for value in model.graph.input}
    assert list(given) == ["year", "flag", "label_2", "W1", "colour", "rare", "y"]
    assert given["label_2"] == "column 'label': a number, NaN where missing"
    assert given["flag"] == "column 'flag': 1 for true, 0 for false, NaN where missing"
    assert given["rare"] == "column 'rare': a category as text, empty where missing"
    assert [value.name for value in model.graph.output] == ["label", "probabilities"]


def test_numeric_classes_are_integers_and_fractions_floats(mixed: Path) -> None:
    model = trained(mixed, "kind")
    graph = model.to_onnx()
    label = run(graph, feeds(graph, texts(mixed)))["label"]
    assert label.dtype == np.int64
    assert set(label) <= {2, 7, 10}
    halves = model.target.model_copy(update={"labels": ["0.5", "1", "2.5"]})
    record = model.preprocessing.model_copy(update={"target": halves})
    graph = TableModel(record, model.estimator, model.provenance).to_onnx()
    assert set(run(graph, feeds(graph, texts(mixed)))["label"]) <= {0.5, 1.0, 2.5}


def test_every_word_for_a_missing_cell(penguins: TableModel) -> None:
    frame = texts(penguins_path()).head(1).copy()
    graph = penguins.to_onnx()
    found = []
    for word in MISSING:
        frame["sex"] = word
        found.append(run(graph, feeds(graph, frame))["probabilities"])
    assert all((row == found[0]).all() for row in found)
    frame["sex"] = "male"
    assert (run(graph, feeds(graph, frame))["probabilities"] != found[0]).any()


def test_categories_never_seen(mixed: Path, tmp_path: Path) -> None:
    model = trained(mixed, "y")
    path, cells = tmp_path / "new.csv", texts(mixed).head(4)
    cells.assign(colour="mauve", rare=["never", "once", "often", "NA"]).to_csv(path, index=False)
    assert_same_predictions(model, path, "float64")
    loose, strict = model.to_onnx(), model.to_onnx(unseen="error")
    with pytest.raises((Fail, InvalidArgument, RuntimeException), match="Unknown Category"):
        run(strict, feeds(strict, texts(path)))
    found = [run(graph, feeds(graph, texts(mixed)))["variable"] for graph in (loose, strict)]
    np.testing.assert_array_equal(*found)
    with pytest.raises(SpecError, match=r"unseen .*ignore"):
        model.to_onnx(unseen="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [0, 1])
def test_any_number_of_rows(penguins: TableModel, rows: int) -> None:
    graph = penguins.to_onnx()
    found = run(graph, feeds(graph, texts(penguins_path()).head(rows)))
    assert found["label"].shape == (rows,)
    assert found["probabilities"].shape == (rows, 3)


def test_the_graph_is_made_of_known_parts(penguins: TableModel) -> None:
    graph = penguins.to_onnx()
    onnx.checker.check_model(graph, full_check=True)
    assert {o.domain: o.version for o in graph.opset_import} == {"": 20, "ai.onnx.ml": 1}
    used = operators(graph)
    assert used.count("OneHotEncoder") == 2
    assert used.count("RegexFullMatch") == 4  # a bit of the number 1 to 3 of a category each
    assert (used.count("IsNaN"), used.count("Div")) == (1, 1)  # all numbers at once
    properties = {p.key: p.value for p in graph.metadata_props}
    assert properties["target"] == "species"
    assert json.loads(properties["classes"]) == ["Adelie", "Chinstrap", "Gentoo"]


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, penguins: TableModel) -> Path:
    monkeypatch.chdir(tmp_path)
    penguins.save("m.safetensors")
    return tmp_path


def test_export_writes_the_model_with_its_preprocessing(
    here: Path, penguins: TableModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["export", "m.safetensors", "m.onnx"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("wrote m.onnx: float32, opset 20\ninputs: 'island', 'bill_length_mm'")
    assert "outputs: 'label', 'probabilities'" in out
    assert onnx.load("m.onnx") == penguins.to_onnx()
    words = ["export", "m.safetensors", "m.onnx", "--force", "-q", "--dtype", "float64"]
    assert command([*words, "--unseen", "error"]) == 0
    assert capsys.readouterr().out == ""
    assert onnx.load("m.onnx") == penguins.to_onnx(dtype="float64", unseen="error")


def test_export_takes_estimators_too(here: Path) -> None:
    X, y = data("multiclass")
    with unconverged():
        estimator = MLPClassifier((4,), max_iter=5, random_state=0).fit(X, y)
    save(estimator, "e.safetensors")
    assert command(["export", "e.safetensors", "e.onnx", "-q"]) == 0
    found = run(onnx.load("e.onnx"), X)
    np.testing.assert_array_equal(found["label"], estimator.predict(X))


def test_export_spares_what_is_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "taken").write_bytes(b"mine")
    (here / "link").symlink_to("taken")
    before = (here / "m.safetensors").read_bytes()
    for words, reason in [
        (["taken"], "already exists"),
        (["link"], "symbolic link"),
        (["link", "--force"], "symbolic link"),
        (["../", "--force"], "names no file"),
        (["nowhere/m.onnx"], "there is no folder"),
        (["m.safetensors", "--force"], "is the model itself"),
    ]:
        assert command(["export", "m.safetensors", *words]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert reason in error
    assert (here / "taken").read_bytes() == b"mine"
    assert (here / "m.safetensors").read_bytes() == before


def test_export_through_a_pipe_is_the_file(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert command(["export", "m.safetensors", "m.onnx", "-q"]) == 0
    assert command(["export", "m.safetensors", "-"]) == 0
    out, err = capfdbinary.readouterr()
    assert out == (here / "m.onnx").read_bytes()
    assert err.startswith(b"wrote -: float32, opset 20\ninputs: 'island'")
    assert not (here / "-").exists()
    assert command(["export", "m.safetensors", "-", "--json"]) == 2
    assert b"not both; name a file" in capfdbinary.readouterr().err
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert command(["export", "m.safetensors", "-"]) == 2
    assert b"an ONNX file is not for a terminal" in capfdbinary.readouterr().err
    assert command(["export", "m.safetensors", "./-", "-q"]) == 0
    assert (here / "-").read_bytes() == (here / "m.onnx").read_bytes()


def test_export_says_what_is_no_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "x").write_bytes(b"no model at all")
    assert command(["export", "x", "x.onnx"]) == 2
    assert "x" in capsys.readouterr().err
    assert command(["export", "absent", "x.onnx"]) == 2
    assert "there is no model file absent" in capsys.readouterr().err
    assert not (here / "x.onnx").exists()
