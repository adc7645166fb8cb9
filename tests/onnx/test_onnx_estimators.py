"""Estimators in ONNX: every kind of target, labels of every type, scales, files."""

from __future__ import annotations

import builtins
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from deltarule import MLPClassifier, MLPRegressor
from deltarule.errors import MissingDependencyError, OutputError, SpecError
from support.estimators import TASKS, data, ours, unconverged
from support.faults import report
from support.networks import proves
from support.onnx import DTYPES, TOLERANCE, assert_close, operators, run

QUICK: dict[str, Any] = {"hidden_layer_sizes": (6,), "max_iter": 15, "random_state": 0}


def fitted(task: str, **arguments: Any) -> tuple[Any, Any]:
    X, y = data(task)
    with unconverged():
        return ours(task, **QUICK | arguments).fit(X, y), X


def assert_same_predictions(estimator: Any, X: Any, dtype: str) -> None:
    model = estimator.to_onnx(dtype=dtype)
    given = X.astype(dtype).astype(np.float64)  # what the runtime sees
    found = run(model, X)
    if hasattr(estimator, "predict_proba"):
        assert list(found) == ["label", "probabilities"]
        expected = estimator.predict_proba(given)
        assert found["probabilities"].dtype == dtype
        assert_close(found["probabilities"], expected, TOLERANCE[dtype])
        ties = np.abs(expected - 0.5).min(axis=1) < 1e-6
        np.testing.assert_array_equal(found["label"][~ties], estimator.predict(given)[~ties])
    else:
        assert list(found) == ["variable"]
        expected = estimator.predict(given).reshape(len(X), -1)
        assert found["variable"].dtype == dtype
        assert_close(found["variable"], expected, TOLERANCE[dtype])
    numbers = found.get("probabilities", found.get("variable"))
    if dtype == "float32":
        worst = np.max(np.abs(numbers - expected) / np.maximum(1.0, np.abs(expected)))
        report("onnx numbers", models=1, worst=float(worst))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_every_target(task: str, standardize: bool, dtype: str) -> None:
    estimator, X = fitted(task, standardize=standardize)
    assert_same_predictions(estimator, X, dtype)


ARGUMENTS = st.fixed_dictionaries(
    {
        "hidden_layer_sizes": st.lists(st.integers(1, 8), min_size=1, max_size=3),
        "activation": st.sampled_from(["relu", "tanh", "logistic", "gelu", "mish", "elu", "silu"]),
        "standardize": st.booleans(),
        "batch_norm": st.booleans(),
        "dropout": st.sampled_from([0.0, 0.3]),
        "random_state": st.integers(0, 1000),
    }
)


@proves(short=12, full=600, task=st.sampled_from(list(TASKS)), arguments=ARGUMENTS)
def test_any_arguments(task: str, arguments: dict[str, Any]) -> None:
    estimator, X = fitted(task, **arguments, max_iter=3)
    for dtype in DTYPES:
        assert_same_predictions(estimator, X, dtype)


# --- labels and probabilities --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        (["ja", "nein"], np.object_),
        (["a", "b", "ж"], np.object_),
        (np.array(["x", "yy"], dtype=object), np.object_),
        ([0, 1], np.int64),
        ([0, 1, 2], np.int64),
        ([-7, 40, 2**40], np.int64),
        (np.array([1, 2], dtype=np.uint8), np.int64),
        ([False, True], np.bool_),
        ([0.0, 3.0], np.float64),
    ],
    ids=str,
)
def test_labels_have_the_type_of_the_classes(classes: Any, kind: Any) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = np.asarray(classes)[np.arange(60) % len(classes)]
    with unconverged():
        estimator = MLPClassifier(**QUICK).fit(X, y)
    model = estimator.to_onnx()
    label = run(model, X)["label"]
    assert label.dtype == kind
    assert label.shape == (60,)
    np.testing.assert_array_equal(label, estimator.predict(X))
    properties = {p.key: p.value for p in model.metadata_props}
    assert json.loads(properties["classes"]) == [str(c) for c in estimator.classes_]


def test_small_probabilities_keep_their_digits() -> None:
    X = np.array([[-60.0], [-30.0], [-1.0], [1.0], [30.0], [60.0]])
    with unconverged():
        estimator = MLPClassifier((), max_iter=1, random_state=0).fit(X, X[:, 0] > 0)
    estimator.coefs_ = [np.array([[1.0]])]
    estimator.intercepts_ = [np.array([0.0])]
    for dtype in DTYPES:
        found = run(estimator.to_onnx(dtype=dtype), X)["probabilities"]
        assert_close(found / estimator.predict_proba(X), 1.0, 10 * np.finfo(dtype).eps)
        assert_close(found.sum(axis=1), 1.0, 2 * np.finfo(dtype).eps)


def test_several_labels_are_indicators() -> None:
    estimator, X = fitted("multilabel")
    found = run(estimator.to_onnx(), X)
    assert found["label"].dtype == np.int64
    assert found["label"].shape == found["probabilities"].shape == (len(X), 3)


def test_classes_that_onnx_cannot_hold_are_refused() -> None:
    X = np.random.default_rng(0).normal(size=(20, 2))
    with unconverged():
        estimator = MLPClassifier(**QUICK).fit(X, np.arange(20) % 2)
    estimator.classes_ = np.array([b"no", b"yes"])
    with pytest.raises(SpecError, match=r"classes must be strings, .*b'no'.*y\.astype\(str\)"):
        estimator.to_onnx()
    estimator.classes_ = np.array([1, 2**63], dtype=np.uint64)
    with pytest.raises(SpecError, match="classes must be strings"):
        estimator.to_onnx()
    estimator.classes_ = np.array(["fine", "\ud800"], dtype=object)
    with pytest.raises(SpecError, match="lone surrogate"):
        estimator.to_onnx()


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("levels", [0.3, [0.1, 0.5, 0.9], [0.9, 0.1, 0.5]], ids=str)
def test_quantiles_do_not_cross(levels: Any, dtype: str) -> None:
    X, y = data("numbers")
    with unconverged():
        model = MLPRegressor("quantile", quantile=levels, standardize=True, **QUICK).fit(X, y)
    assert_same_predictions(model, X, dtype)
    if isinstance(levels, list):
        found = run(model.to_onnx(dtype=dtype), X)["variable"][:, np.argsort(levels)]
        assert (np.diff(found, axis=1) >= 0).all()


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "poisson"])
def test_every_loss_of_the_regressor(loss: str) -> None:
    X, y = data("counts")
    with unconverged():
        estimator = MLPRegressor(loss, standardize=True, **QUICK).fit(X, y)
    assert_same_predictions(estimator, X, "float32")


def test_large_numbers_of_small_spread_keep_their_digits_in_float32() -> None:
    rng = np.random.default_rng(0)
    X = 16_777_000.0 + rng.integers(0, 200, size=(80, 1))  # exact in float32, their mean is not
    y = 1e6 + 3.0 * (X[:, 0] - X.mean())
    with unconverged():
        estimator = MLPRegressor(standardize=True, **QUICK).fit(X, y)
    assert_same_predictions(estimator, X, "float32")
    assert operators(estimator.to_onnx())[:3] == ["Sub", "Sub", "Div"]
    assert operators(estimator.to_onnx(dtype="float64"))[:3] == ["Sub", "Div", "Gemm"]


# --- the call ------------------------------------------------------------------------------------


def test_one_input_x_of_any_number_of_rows_with_the_names_beside() -> None:
    X, y = data("numbers")
    frame = pd.DataFrame(X, columns=["a", "b c", "d", "é"])
    with unconverged():
        estimator = MLPRegressor(**QUICK).fit(frame, y)
    model = estimator.to_onnx()
    (given,) = model.graph.input
    assert given.name == "X"
    shape = given.type.tensor_type.shape.dim
    assert (shape[0].dim_param, shape[1].dim_value) == ("batch", 4)
    properties = {p.key: p.value for p in model.metadata_props}
    assert properties["estimator"] == "MLPRegressor"
    assert json.loads(properties["features"]) == list(frame.columns)
    assert run(model, X[:1])["variable"].shape == (1, 1)
    assert run(model, X[:0])["variable"].shape == (0, 1)


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    estimator, _ = fitted("multiclass")
    estimator.to_onnx(tmp_path / "a.onnx")
    estimator.to_onnx(tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_an_estimator_that_is_not_fitted_is_refused() -> None:
    with pytest.raises(NotFittedError):
        MLPClassifier().to_onnx()


def test_without_onnx_the_message_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    estimator, _ = fitted("numbers")
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "onnx":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r'pip install "deltarule\[onnx\]"'):
        estimator.to_onnx()


# --- files (fault 14) ----------------------------------------------------------------------------


def test_a_file_is_written_whole_and_never_over_another_unasked(tmp_path: Path) -> None:
    estimator, X = fitted("numbers")
    path = tmp_path / "model.onnx"
    model = estimator.to_onnx(path)
    assert onnx.load(path) == model
    old = path.read_bytes()
    with pytest.raises(OutputError, match="already exists"):
        estimator.to_onnx(path, dtype="float64")
    assert path.read_bytes() == old
    estimator.to_onnx(str(path), dtype="float64", overwrite=True)
    assert path.read_bytes() != old
    onnx.checker.check_model(str(path), full_check=True)
    assert os.listdir(tmp_path) == ["model.onnx"]
    assert_close(run(onnx.load(path), X)["variable"][:, 0], estimator.predict(X), 1e-12)
    report("onnx outputs", tried=1, kept=1)


@pytest.mark.parametrize("overwrite", [False, True])
def test_links_folders_and_parents_are_refused(tmp_path: Path, overwrite: bool) -> None:
    estimator, _ = fitted("numbers")
    target, link = tmp_path / "target", tmp_path / "link.onnx"
    target.write_bytes(b"mine")
    link.symlink_to(target)
    dangling = tmp_path / "dangling.onnx"
    dangling.symlink_to(tmp_path / "nowhere")
    cases = [
        (link, "symbolic link"),
        (dangling, "symbolic link"),
        (tmp_path, "not a regular file"),
        (f"{tmp_path}/new/", "names a folder"),
        (f"{tmp_path}/..", "names no file"),
        (f"{tmp_path}/../", "names a folder"),
        (tmp_path / "absent" / "model.onnx", "there is no folder"),
    ]
    for path, reason in cases:
        with pytest.raises(OutputError, match=reason):
            estimator.to_onnx(path, overwrite=overwrite)
    assert target.read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == ["dangling.onnx", "link.onnx", "target"]
    report("onnx outputs", tried=len(cases), kept=len(cases))


def test_nothing_is_written_if_the_model_cannot_be_made(tmp_path: Path) -> None:
    estimator, _ = fitted("numbers")
    estimator.coefs_[0][0, 0] = np.inf
    with pytest.raises(SpecError):
        estimator.to_onnx(tmp_path / "model.onnx")
    assert os.listdir(tmp_path) == []
