"""Copies, files and cached interpreters of estimators with dropout and batch norm."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import deltarule
from deltarule.errors import ModelFileError
from deltarule.estimators import from_record, interpreter_cache
from support.estimator_layers import BOTH, fitted, layered, new, outputs
from support.estimators import TASKS, data, parameters, unconverged

# --- copies and files ---------------------------------------------------------------------------


@layered
@pytest.mark.parametrize("task", TASKS)
def test_a_file_restores_the_same_model(
    task: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    X, y = data(task)
    model = fitted(task, solver="sgd", momentum=0.0, **arguments)
    twin = deltarule.load(deltarule.save(model, tmp_path / "model.safetensors"))
    assert_array_equal(outputs(twin, X), outputs(model, X))
    assert twin.get_params()["dropout"] == arguments.get("dropout", 0.0)
    assert twin.get_params()["batch_norm"] == arguments.get("batch_norm", False)
    for _ in range(2):  # the stream of masks continues
        model.partial_fit(X, y)
        twin.partial_fit(X, y)
    assert_array_equal(parameters(twin), parameters(model))
    assert_array_equal(outputs(twin, X), outputs(model, X))


@pytest.mark.parametrize(
    "change",
    [
        {"activation": "tanh"}, {"batch_norm": False}, {"dropout": 0.9},
        {"hidden_layer_sizes": (3,), "dropout": [0.1]}, {"engine": "reference"}, {"n_threads": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_record_contains_the_fitted_model_not_the_new_arguments(change: Any) -> None:
    X, _ = data("numbers")
    model = fitted(**BOTH)
    expected = model.predict(X)
    model.set_params(**change)
    record, tensors = model.to_record()
    twin = from_record(json.loads(json.dumps(record, allow_nan=False)), tensors)
    assert_allclose(twin.predict(X), expected, rtol=1e-12)
    assert {name: twin.get_params()[name] for name in change} == change


def test_a_model_without_a_step_can_be_recorded() -> None:
    X, y = data("numbers")
    model = new(batch_norm=True)
    with pytest.raises(ValueError, match="non-finite"):
        model.fit(X, y * 1e300)
    twin = from_record(*model.to_record())
    assert_array_equal(twin.predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("hidden", None, "no valid hidden layers"),
        ("hidden", {"activation": "relu"}, "no valid hidden layers"),
        ("hidden", {"activation": "swish"}, "no valid hidden layers"),
        ("hidden", {"activation": ["relu"]}, "no valid hidden layers"),
        ("hidden", {"input_dropout": 1.0}, "no valid hidden layers"),
        ("output", None, "no valid output layer"),
        ("output", {"activation": "tanh", "loss": "huber"}, "no valid output layer"),
        ("output", {"activation": "identity", "loss": {"=": "Adam"}}, "no valid Adam"),
        ("output", {"activation": "identity", "loss": "poisson"}, "needs positive or unit"),
        ("hidden", {"batch_norm": 1}, "no valid hidden layers"),
        ("hidden", {"batch_norm": False}, "not those of its layers"),
        ("hidden", {"dropout": [0.3]}, "dropout"),
        ("hidden", {"dropout": [0.3, 1.0]}, "dropout"),
        ("hidden", {"dropout": "ab"}, "dropout"),
        ("hidden", {"dropout": None}, "dropout"),
        ("masks", None, "no valid masks"),
        ("masks", [1], "no valid masks"),
        ("masks", [0, -1], "no valid masks"),
        ("masks", [2**63, 0], "no valid masks"),
        ("masks", [True, 0], "no valid masks"),
    ],
)
def test_errors_name_the_wrong_entry(entry: str, value: Any, message: str) -> None:
    record, tensors = fitted(**BOTH).to_record()
    if entry == "hidden" and isinstance(value, dict) and value != {"activation": "relu"}:
        value = record["hidden"] | value
    record[entry] = value
    with pytest.raises(ModelFileError, match=message):
        from_record(record, tensors)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("buffer.0.mean", None, "statistics are not those of its layers"),
        ("buffer.0.mean", np.zeros(4), r"must be float64 of shape \(5,\)"),
        ("buffer.0.mean", np.full(5, np.nan), "holds NaN or infinity"),
        ("buffer.1.variance", np.array([1.0, -1.0, 1.0]), "below 0"),
        ("buffer.1.variance", np.ones(3, np.float32), "must be float64"),
        ("buffer.1.weight", np.ones(1), r"must be float64 of shape \(\)"),
        ("buffer.2.mean", np.zeros(1), "statistics are not those of its layers"),
        ("gamma1", None, "tensors are not those of its layers"),
        ("gamma2", np.zeros(2), r"must be float64 of shape \(3,\)"),
        ("b1", np.zeros(5), "tensors are not those of its layers"),
        ("beta3", np.zeros(1), "tensors are not those of its layers"),
    ],
)
def test_errors_name_the_wrong_tensor(name: str, value: Any, message: str) -> None:
    record, tensors = fitted(**BOTH).to_record()
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    with pytest.raises(ModelFileError, match=message):
        from_record(record, tensors)


COPIES = {
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "deep copy": lambda model, folder: copy.deepcopy(model),
    "joblib, read-only": lambda model, folder: joblib.load(
        joblib.dump(model, folder / "model.joblib")[0], mmap_mode="r"
    ),
}


@pytest.mark.parametrize("take", COPIES.values(), ids=COPIES)
def test_copies_predict_the_same_and_have_no_interpreter(take: Any, tmp_path: Path) -> None:
    X, y = data("multiclass")
    model = fitted("multiclass", **BOTH)
    model.predict(X)
    twin = take(model, tmp_path)
    assert vars(twin._interpreters) == vars(interpreter_cache.InterpreterCache())
    assert_array_equal(outputs(twin, X), outputs(model, X))
    if take is not COPIES["joblib, read-only"]:
        model.partial_fit(X, y)
        twin.partial_fit(X, y)
        assert_array_equal(parameters(twin), parameters(model))


def test_clones_have_only_the_arguments() -> None:
    model = fitted(dropout=[0.1, 0.2], batch_norm=True, engine="reference", n_threads=2)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert not hasattr(twin, "coefs_")
    assert "_interpreters" not in vars(twin)


def test_a_grid_search_over_rates() -> None:
    X, y = data("binary", n=80)
    grid = {"dropout": [0.0, 0.5, [0.2, 0.0]], "batch_norm": [False, True]}
    with unconverged():
        search = GridSearchCV(new("binary"), grid, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    assert search.predict(X).shape == (80,)


# --- interpreters are kept ----------------------------------------------------------------------


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that records every new interpreter."""
    seen: list[Any] = []
    original = interpreter_cache.interpreter_of

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(original(*args, **kwargs))
        return seen[-1]

    monkeypatch.setattr(interpreter_cache, "interpreter_of", watched)
    return seen


def test_consecutive_calls_share_their_interpreters(made: list[Any]) -> None:
    X, y = data("binary")
    model = new("binary", **BOTH)
    for _ in range(3):
        model.partial_fit(X, y, classes=["no", "yes"])
        model.predict(X)
        model.predict_proba(X[:1])
    assert len(made) == 2  # one to train with, one to predict with


@pytest.mark.parametrize(
    "change",
    [{"alpha": 0.5}, {"dropout": 0.1}, {"engine": "reference"}, {"n_threads": 1}],
    ids=str,
)
def test_changed_options_create_another_interpreter(
    change: dict[str, Any], made: list[Any]
) -> None:
    X, y = data("numbers")
    model = new().partial_fit(X, y)
    model.predict(X)
    model.set_params(**change).partial_fit(X, y)
    model.predict(X)
    assert len(made) == 4
    model.set_params(learning_rate_init=0.1).partial_fit(X, y)
    model.predict(X)
    assert len(made) == 5  # the steps are others, the predictions are not


def test_a_fit_creates_one_interpreter_to_train_and_one_to_measure(made: list[Any]) -> None:
    fitted(early_stopping=True, **BOTH)
    assert len(made) == 2
    fitted(solver="lbfgs")
    assert len(made) == 3


def test_rows_may_change_in_place_between_calls() -> None:
    X, _ = data("numbers")
    model = fitted()
    for make in (np.asfortranarray, np.ascontiguousarray, sp.csr_array, sp.csc_array):
        rows = make(X.copy())
        first = model.predict(rows)
        stored = rows.data if sp.issparse(rows) else rows
        stored[:] = -np.asarray(stored)
        assert_allclose(model.predict(rows), model.predict(-X))
        assert not np.array_equal(first, model.predict(rows))
    rows = sp.csr_array(X)
    model.predict(rows)
    rows.data = -rows.data
    assert_allclose(model.predict(rows), model.predict(-X))


@pytest.mark.parametrize("make", [np.ascontiguousarray, np.asfortranarray, sp.csr_array])
def test_a_model_does_not_store_rows(make: Any) -> None:
    X, y = data("numbers")
    model, other = new(), new()
    for use in (
        lambda rows: model.partial_fit(rows, y),
        lambda rows: model.predict(rows),
        lambda rows: other.fit(rows, y),
    ):
        rows = make(X.copy())
        watch = weakref.ref(rows)
        with unconverged():
            use(rows)
        del rows
        gc.collect()
        assert watch() is None


def test_threads_may_predict_with_one_model() -> None:
    X, _ = data("multiclass", n=300)
    model = fitted("multiclass", hidden_layer_sizes=(20,), **BOTH)
    expected = [model.predict_proba(X[: 1 + k]) for k in range(0, 300, 7)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            found = pool.map(lambda k: model.predict_proba(X[: 1 + k]), range(0, 300, 7))
            for a, b in zip(found, expected, strict=True):
                assert_array_equal(a, b)
