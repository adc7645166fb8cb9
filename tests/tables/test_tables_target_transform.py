"""Skewed targets: which transform is learned, what is predicted, files, ONNX, the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError
from scipy.stats import skew

from deltarule import TabularClassifier, TabularRegressor, load
from deltarule.cli.run import run
from deltarule.errors import TableError
from deltarule.tables.record import Quantity
from deltarule.tables.target import transformed

QUICK: dict[str, Any] = {"ensemble": 2, "bins": 2, "max_iter": 8, "hidden_layer_sizes": (8,)}
PLAIN = Quantity(task="regression", name="y", mean=0.0, scale=1.0)
RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=400)
X = pd.DataFrame({"a": NORMAL, "b": RNG.normal(size=400)})
TARGETS = {
    "log": np.exp(NORMAL),
    "sqrt": 100 * np.clip(2 + NORMAL, 0, None) ** 2,
    "zeros": np.floor(np.exp(1.5 * NORMAL)),
    "even": NORMAL + 10,
    "negative": np.exp(NORMAL) - 1,
    "left": 30 - np.exp(NORMAL),
}
LEARNED = {
    "log": "log('y')",
    "sqrt": "√'y'",
    "zeros": "log('y' + 1)",
    "even": "'y'",
    "negative": "'y'",
    "left": "'y'",
}


@pytest.mark.parametrize("name", TARGETS)
def test_the_skewness_of_the_training_rows_decides(name: str) -> None:
    """The record agrees with SciPy's skewness."""
    y = TARGETS[name]
    record = transformed(PLAIN, y, None)
    assert record.learned == LEARNED[name]
    assert (record.least, record.most) == (y.min(), y.max())
    if record.transform == "none":
        assert (record.mean, record.scale) == (PLAIN.mean, PLAIN.scale)
    else:
        z = record.to_network(y)
        np.testing.assert_allclose((z.mean(), z.std()), (0, 1), atol=1e-12)
        ways = [np.sqrt(y), np.log(y + (y.min() == 0))]
        best = ways[0 if record.transform == "sqrt" else 1]
        assert skew(y) > 1
        assert abs(skew(best)) == min(abs(skew(way)) for way in ways)
        assert abs(skew(best)) <= skew(y) / 2


NUMBERS = st.just(0.0) | st.floats(1e-3, 1e300)


@given(
    arrays.arrays(np.float64, st.integers(4, 40), elements=NUMBERS),
    st.sampled_from([None, "none", "sqrt", "log"]),
)
def test_numbers_come_back(y: Any, asked: Any) -> None:
    if len(np.unique(y)) < 2:
        return
    record = transformed(PLAIN, y, asked)
    with np.errstate(over="ignore"):
        back = record.from_network(record.to_network(y))
    assert back.min() >= y.min()
    assert back.max() <= y.max()
    np.testing.assert_allclose(back, y, rtol=1e-6, atol=1e-9 * y.max())


def test_predictions_stay_in_range_and_overflow_is_kept() -> None:
    record = transformed(PLAIN, TARGETS["log"], "log")
    said = record.from_network(np.array([-1e3, 1e3, np.inf, np.nan]))
    assert said[:2].tolist() == [record.least, record.most]
    assert said[2] == np.inf
    assert np.isnan(said[3])


@pytest.mark.parametrize("name", TARGETS)
def test_an_ensemble_predicts_the_target_itself_in_files_and_onnx(
    name: str, tmp_path: Path
) -> None:
    model = TabularRegressor(**QUICK).fit(X, TARGETS[name])
    assert model.model_.target.learned == LEARNED[name]
    said = model.predict(X)
    inner = np.mean([one.predict(model.transform(X)) for one in model.model_.networks], axis=0)
    target = model.model_.target
    z = inner * target.scale + target.mean
    inverse = {"none": z, "sqrt": np.maximum(z, 0) ** 2, "log": np.exp(z) - target.offset}
    expected = np.clip(inverse[target.transform], target.least, target.most)
    np.testing.assert_allclose(said, expected, rtol=1e-5, atol=1e-5)
    model.save(tmp_path / "model.safetensors")
    assert (load(tmp_path / "model.safetensors").predict(X) == said).all()
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    feeds = {one.name: X[[one.name]].to_numpy(np.float64 if "double" in one.type else np.float32)
             for one in session.get_inputs()}  # fmt: skip
    np.testing.assert_allclose(session.run(None, feeds)[0][:, 0], said, rtol=1e-4, atol=1e-5)


def test_a_skewed_target_is_learned_better() -> None:
    """Of y = exp(2 a) the logarithm is a line; the root mean squared error of log y falls."""
    y = np.exp(2 * NORMAL)
    quick = QUICK | {"max_iter": 30}
    errors = {}
    for transform in ("none", "auto"):
        said = TabularRegressor(**quick, target_transform=transform).fit(X, y).predict(X)
        errors[transform] = np.sqrt(np.mean((np.log(np.maximum(said, y.min())) - 2 * NORMAL) ** 2))
    assert errors["auto"] < errors["none"] / 2


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_one_network_learns_what_it_is_told_to() -> None:
    kept = {"ensemble": 1, "max_iter": 3}
    assert TabularRegressor(**kept).fit(X, TARGETS["log"]).model_.target.transform == "none"
    told = TabularRegressor(**kept, target_transform="sqrt").fit(X, TARGETS["log"])
    assert told.model_.target.learned == "√'y'"


def test_what_has_no_logarithm_is_refused() -> None:
    with pytest.raises(TableError, match=r"'y' has numbers below 0.*no log \(target_transform\)"):
        TabularRegressor(target_transform="log").fit(X, TARGETS["negative"])
    with pytest.raises(TableError, match=r"holds classes, which have no log \(target_transform\)"):
        TabularClassifier(target_transform="log").fit(X, np.where(NORMAL > 0, "high", "low"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"transform": "log"},
        {"transform": "log", "least": 0.0, "most": 1.0},
        {"transform": "sqrt", "least": -1.0, "most": 1.0},
        {"least": 2.0, "most": 1.0},
        {"least": 2.0},
    ],
)
def test_a_record_without_its_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="range"):
        Quantity.model_validate(PLAIN.model_dump() | wrong)


def test_the_command_says_what_is_learned(tmp_path: Path, capsys: Any) -> None:
    table = tmp_path / "prices.csv"
    X.assign(price=TARGETS["log"]).to_csv(table, index=False)
    line = ["--target", "price", "--ensemble", "2", "--epochs", "2", "--hidden", "8"]
    assert run(["train", str(table), *line, "--output", str(tmp_path / "a.safetensors")]) == 0
    assert "learned is log('price') (--target-transform)" in capsys.readouterr().out
    other = ["--target-transform", "none", "--output", str(tmp_path / "b.safetensors")]
    assert run(["train", str(table), *line, *other]) == 0
    assert "learned is" not in capsys.readouterr().out
    streamed = ["--stream", "--ensemble", "1", "--target-transform", "log", "--force"]
    assert run(["train", str(table), "--target", "price", *streamed]) == 2
    assert "--target-transform log is for tables in memory" in capsys.readouterr().err
