"""A fitted estimator as a record and tensors, and back: the same bits, or an error."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from deltarule import save
from deltarule.errors import ModelFileError
from deltarule.estimators import from_blueprint, from_record
from support.estimators import TASKS, data, ours, parameters, unconverged


def fitted(task: str, y: Any = None, **arguments: Any) -> Any:
    X, targets = data(task)
    arguments = {"hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0, **arguments}
    with unconverged():
        return ours(task, **arguments).fit(X, targets if y is None else y)


def through_json(model: Any) -> Any:
    """Return the model restored from its record, after the record was written as text and read."""
    record, tensors = model.to_record()
    text = json.dumps(record, allow_nan=False)
    return from_record(json.loads(text), {name: array.copy() for name, array in tensors.items()})


def outputs(model: Any, X: Any) -> list[Any]:
    names = ("predict", "predict_proba", "predict_log_proba")
    return [getattr(model, name)(X) for name in names if hasattr(model, name)]


def assert_same_model(mine: Any, other: Any, X: Any) -> None:
    for a, b in zip(outputs(mine, X), outputs(other, X), strict=True):
        assert_array_equal(a, b)
        assert np.asarray(a).dtype.kind == np.asarray(b).dtype.kind
    for name, value in mine.get_params().items():
        assert other.get_params()[name] == value, name
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "n_features_in_", "out_activation_",
                 "loss_curve_", "loss_", "best_loss_", "validation_scores_",
                 "best_validation_score_"):  # fmt: skip
        assert getattr(mine, name) == getattr(other, name), name


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_restored_to_the_bit(task: str, solver: str) -> None:
    X, y = data(task)
    model = fitted(task, solver=solver)
    twin = through_json(model)
    assert type(twin) is type(model)
    assert_same_model(model, twin, X)
    assert twin.score(X, y) == model.score(X, y)


LABELS = {
    "strings": ["a", "é ü", "数"],
    "whole numbers": [-5, 0, 2**40],
    "small whole numbers": np.array([3, 1, 2], dtype=np.int8),
    "floats": [1.0, 2.0, 3.0],
    "two strings": ["=inf", "nan"],
    "one string": ["alone"],
    "booleans": [False, True],
    "objects": np.array(["x", "y", "z"], dtype=object),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_every_kind_of_class_is_restored(labels: Any) -> None:
    labels = np.asarray(labels)
    X, _ = data("multiclass")
    model = fitted("multiclass", y=labels[np.arange(40) % len(labels)])
    twin = through_json(model)
    assert_array_equal(twin.classes_, model.classes_)
    assert_array_equal(twin.predict(X), model.predict(X))
    assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
    assert type(twin.classes_.tolist()[0]) is type(model.classes_.tolist()[0])


def test_sparse_indicator_labels_are_restored_sparse() -> None:
    X, y = data("multilabel")
    model = fitted("multilabel", y=sp.csr_array(y))
    twin = through_json(model)
    assert sp.issparse(model.predict(X))
    assert sp.issparse(twin.predict(X))
    assert (twin.predict(X) != model.predict(X)).nnz == 0


@pytest.mark.parametrize(
    "arguments",
    [
        {"early_stopping": True, "validation_fraction": 0.3},
        {"n_iter_no_change": np.inf},
        {"tol": np.float64(1e-3), "alpha": np.float32(0.5), "max_iter": np.int64(3)},
        {"hidden_layer_sizes": np.array([3, 2])},
        {"hidden_layer_sizes": ()},
        {"hidden_layer_sizes": 7, "activation": "logistic", "batch_size": 8, "verbose": 0},
    ],
    ids=str,
)
def test_arguments_and_curves_are_restored(arguments: dict[str, Any]) -> None:
    X, _ = data("numbers")
    model = fitted("numbers", **arguments)
    twin = through_json(model)
    if isinstance(arguments.get("hidden_layer_sizes"), np.ndarray):
        assert twin.hidden_layer_sizes == [3, 2]
        model.set_params(hidden_layer_sizes=[3, 2])
    assert_same_model(model, twin, X)


def test_float32_is_restored_as_float32() -> None:
    X, y = data("binary")
    with unconverged():
        model = ours("binary", max_iter=3).fit(X.astype(np.float32), y)
    twin = through_json(model)
    assert parameters(twin).dtype == np.float32
    assert_array_equal(parameters(twin), parameters(model))


def test_feature_names_are_restored() -> None:
    X, y = data("numbers")
    frame = pd.DataFrame(X, columns=["a", "b c", "d\n", "é"])
    with unconverged():
        twin = through_json(ours("numbers", max_iter=2).fit(frame, y))
    assert_array_equal(twin.feature_names_in_, frame.columns)
    with pytest.raises(ValueError, match="The feature names should match"):
        twin.predict(frame[frame.columns[::-1]])


def test_a_random_state_is_not_restored() -> None:
    stream = np.random.RandomState(3)
    assert through_json(fitted("numbers", random_state=stream)).random_state is None


def test_a_restored_model_can_be_trained_further() -> None:
    X, y = data("numbers")
    model = fitted("numbers", solver="sgd", momentum=0.0, shuffle=False)
    twin = through_json(model)
    model.partial_fit(X, y)
    twin.partial_fit(X, y)  # without momentum there is nothing that the record leaves out
    assert_array_equal(parameters(twin), parameters(model))
    assert twin.loss_curve_ == model.loss_curve_
    twin.coefs_[-1][...] = 0
    assert_array_equal(twin.predict(X), np.full(40, twin.intercepts_[-1][0]))
    with unconverged():
        twin.set_params(warm_start=True).fit(X, y)


def test_an_interrupted_first_epoch_can_be_recorded() -> None:
    X, y = data("numbers")
    model = ours("numbers")
    with pytest.raises(ValueError, match="non-finite"):
        model.fit(X * 1e300, y)
    twin = through_json(model)
    assert_array_equal(parameters(twin), parameters(model))


def test_only_our_own_fitted_estimators_are_recorded(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="not fitted yet: call fit first"):
        ours("numbers").to_record()
    for foreign in (type(ours("numbers")), object(), "model"):
        with pytest.raises(ModelFileError, match="model must be an MLPClassifier"):
            save(foreign, tmp_path / "model.safetensors")


# --- damaged records ---------------------------------------------------------------------------

RECORDS = {task: fitted(task, early_stopping=task == "binary").to_record() for task in TASKS}


def damaged(task: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return copy.deepcopy(RECORDS[task])


@pytest.mark.parametrize("key", sorted(RECORDS["binary"][0]))
def test_every_entry_is_required(key: str) -> None:
    record, tensors = damaged("binary")
    del record[key]
    with pytest.raises(ModelFileError, match=f"missing or unknown entries: .*{key}"):
        from_record(record, tensors)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("kind", "os.system", "names no known kind: 'os.system'"),
        ("kind", "regressor", "does not hold the estimator's parameters"),
        ("widths", [4, 4, 2], r"tensor W2 must be float64 of shape \(4, 2\)"),
        ("widths", [4, 10**9, 1], "tensor W1 must be"),
        ("widths", [4, True, 1], "no valid layer widths"),
        ("widths", [4, 4.0, 1], "no valid layer widths"),
        ("widths", [4], "no valid layer widths"),
        ("widths", [4, 4, 4, 1], "not those of its layers"),
        ("widths", [1] * 10**6, "no valid layer widths"),
        ("dtype", "float32", "tensor W1 must be float32"),
        ("dtype", "object", "tensor W1 must be object"),
        ("target", "continuous", "no valid classes"),
        ("target", "multiclass", "not in order, or not distinct|another number of classes"),
        ("classes", None, "no valid classes"),
        ("classes", ["yes", "no"], "not in order, or not distinct"),
        ("classes", ["no", "no"], "not in order, or not distinct"),
        ("classes", ["no", "or", "yes"], "another number of classes"),
        ("classes", [["no"], ["yes"]], "classes"),
        ("classes", [{"no": 1}, None], "valid"),
        ("features", ["a"], "does not name every feature"),
        ("features", "abcd", "no valid feature names"),
        ("features", [1, 2, 3, 4], "no valid feature names"),
        ("n_iter_", -1, "no valid n_iter_"),
        ("n_iter_", True, "no valid n_iter_"),
        ("t_", None, "no valid t_"),
        ("t_", 4.5, "no valid t_"),
        ("loss_", "abc", "no valid loss_"),
        ("loss_", [1.0], "no valid loss_"),
        ("best_validation_score_", "=1e5", "no valid best_validation_score_"),
        ("parameters", {}, "does not hold the estimator's parameters"),
        ("parameters", None, "not valid"),
    ],
)
def test_errors_name_the_wrong_entry(key: str, value: Any, message: str) -> None:
    record, tensors = damaged("binary")
    record[key] = value
    with pytest.raises(ModelFileError, match=message):
        from_record(record, tensors)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("activation", "evil"), ("solver", None), ("alpha", 10**400), ("alpha", "=-inf"),
        ("alpha", -1), ("beta_1", "=inf"), ("momentum", [0.9]), ("hidden_layer_sizes", "x"),
        ("max_iter", "=inf"), ("random_state", {"a": 1}), ("warm_start", "yes"), ("tol", "=nan"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_refused(name: str, value: Any) -> None:
    record, tensors = damaged("binary")
    record["parameters"][name] = value
    with pytest.raises(ModelFileError):
        from_record(record, tensors)


@pytest.mark.parametrize("folder", ["evil", None])
def test_a_record_cannot_choose_a_checkpoint_folder(folder: str | None) -> None:
    record, tensors = damaged("binary")
    record["parameters"]["checkpoint"] = folder
    plan = {name: record[name] for name in ("kind", "parameters")}
    for read in (lambda: from_record(record, tensors), lambda: from_blueprint(plan)):
        with pytest.raises(ModelFileError, match="names a folder for checkpoints"):
            read()


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_parameters_that_are_not_finite_are_refused(number: float) -> None:
    record, tensors = damaged("numbers")
    tensors["b2"][0] = number
    with pytest.raises(ModelFileError, match="tensor b2 holds NaN or infinity"):
        from_record(record, tensors)


@pytest.mark.parametrize("name", ["W1", "b1", "W2", "b2"])
def test_tensors_that_do_not_fit_are_refused(name: str) -> None:
    for change in (
        lambda t: t.pop(name),
        lambda t: t.update({name: t[name][:-1]}),
        lambda t: t.update({name: t[name].astype(np.float32)}),
        lambda t: t.update({name: t[name][None]}),
        lambda t: t.update({name: None}),
        lambda t: t.update({"W9": t[name]}),
        lambda t: t.update({"loss_curve_": np.zeros((2, 2))}),
    ):
        record, tensors = damaged("numbers")
        change(tensors)
        with pytest.raises(ModelFileError):
            from_record(record, tensors)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text(max_size=8)
    | st.sampled_from(["=inf", "=-inf", "=nan", "float32", "relu", "classifier", "multiclass"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner,
                                                                max_size=3),
    max_leaves=6,
)  # fmt: skip


@st.composite
def mutations(draw: st.DrawFn) -> tuple[Any, Any]:
    """Draw a record with up to three values replaced, or a completely different one."""
    record, tensors = damaged(draw(st.sampled_from(sorted(TASKS))))
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.sampled_from(["record", "parameters", "item", "tensor", "all"]))
        if where == "record":
            record[draw(st.sampled_from(sorted(RECORDS["binary"][0])))] = draw(JSON)
        elif where == "parameters" and isinstance(record["parameters"], dict):
            names = sorted(RECORDS["numbers"][0]["parameters"])
            record["parameters"][draw(st.sampled_from(names))] = draw(JSON)
        elif where == "item":
            key = draw(st.sampled_from(["widths", "classes", "features"]))
            if isinstance(record[key], list) and record[key]:
                record[key][draw(st.integers(0, len(record[key]) - 1))] = draw(JSON)
        elif where == "tensor":
            shape = draw(st.lists(st.integers(0, 4), max_size=3).map(tuple))
            dtype = draw(st.sampled_from(["float64", "float32", "int64", "bool", "complex128"]))
            name = draw(st.sampled_from([*tensors, "W9", "loss_curve_", "validation_scores_"]))
            tensors[name] = np.ones(shape, dtype)
        elif draw(st.integers(0, 9)) == 0:
            return draw(JSON), tensors
    return record, tensors


def check_mutation(case: tuple[Any, Any]) -> None:
    """Assert that the record gives a model with finite predictions, or ``ModelFileError``."""
    record, tensors = case
    try:
        model = from_record(record, tensors)
    except ModelFileError:
        return
    X, _ = data("numbers")
    names = getattr(model, "feature_names_in_", None)
    rows = X[:, : model.n_features_in_]
    rows = rows if names is None else pd.DataFrame(rows, columns=names)
    assert all(np.isfinite(array).all() for array in [*model.coefs_, *model.intercepts_])
    assert len(model.predict(rows)) == 40
    json.dumps(model.to_record()[0], allow_nan=False)


@settings(max_examples=70, derandomize=True, deadline=None)
@given(case=mutations())
def test_a_damaged_record_is_refused_or_harmless(case: tuple[Any, Any]) -> None:
    check_mutation(case)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=10_000, derandomize=True, deadline=None)
@given(case=mutations())
def test_a_damaged_record_is_refused_or_harmless_many_times(case: tuple[Any, Any]) -> None:
    check_mutation(case)
