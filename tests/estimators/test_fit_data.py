"""Inputs of the estimators: weights, types, copies, metadata routing."""

from __future__ import annotations

import copy
import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from support.estimators import (
    KINDS,
    TASKS,
    data,
    ours,
    parameters,
    theirs,
    unconverged,
)


def quick(task: str, **arguments: Any) -> Any:
    return ours(task, **{"hidden_layer_sizes": 4, "max_iter": 5, "random_state": 0, **arguments})


def fitted(task: str, **arguments: Any) -> Any:
    with unconverged():
        return quick(task, **arguments).fit(*data(task))


# --- weights, sparse rows, types ---------------------------------------------------------------


@settings(max_examples=10, derandomize=True, deadline=None)
@given(task=st.sampled_from(sorted(TASKS)), seed=st.integers(0, 100))
def test_integer_weights_equal_repeated_rows_and_zero_removes_a_row(task: str, seed: int) -> None:
    X, y = data(task, seed=seed)
    times = np.random.default_rng(seed).integers(0, 4, len(X))
    times[[np.flatnonzero(y == label)[0] for label in np.unique(y)] if y.ndim == 1 else 0] = 1
    arguments = {"solver": "lbfgs", "alpha": 0.1, "activation": "tanh"}
    with unconverged():
        weighted = quick(task, **arguments).fit(X, y, sample_weight=times)
        repeated = quick(task, **arguments).fit(np.repeat(X, times, 0), np.repeat(y, times, 0))
        present = quick(task, **arguments).fit(X[times > 0], y[times > 0], times[times > 0])
    assert_allclose(parameters(weighted), parameters(repeated), rtol=1e-6, atol=1e-8)
    assert_allclose(parameters(weighted), parameters(present), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("task", ["multiclass", "several numbers"])
def test_a_batch_without_weight_takes_no_step(task: str, solver: str) -> None:
    X, y = data(task)
    weight = np.ones(40)
    weight[10:20] = 0  # the second batch of four
    arguments = {"solver": solver, "batch_size": 10, "shuffle": False}
    with unconverged():
        weighted = quick(task, **arguments).fit(X, y, weight)
        absent = quick(task, **arguments).fit(X[weight > 0], y[weight > 0])
    assert_allclose(parameters(weighted), parameters(absent), rtol=1e-12)
    assert_allclose(weighted.loss_curve_, absent.loss_curve_, rtol=1e-12)


@settings(max_examples=20, derandomize=True, deadline=None)
@given(
    task=st.sampled_from(sorted(TASKS)),
    container=st.sampled_from([sp.csr_matrix, sp.csr_array, sp.csc_matrix, sp.coo_array]),
    solver=st.sampled_from(["sgd", "adam", "lbfgs"]),
    early_stopping=st.booleans(),
)
def test_sparse_rows_equal_dense_rows(
    task: str, container: Any, solver: str, early_stopping: bool
) -> None:
    X, y = data(task)
    X[np.abs(X) < 0.7] = 0
    with unconverged():
        arguments = {"solver": solver, "early_stopping": early_stopping, "batch_size": 9}
        dense = quick(task, **arguments).fit(X, y)
        sparse = quick(task, **arguments).fit(container(X), y)
    assert_allclose(parameters(sparse), parameters(dense), rtol=1e-7, atol=1e-9)
    if is_classifier(sparse):
        assert_array_equal(sparse.predict(container(X)), sparse.predict(X))
    else:
        assert_allclose(sparse.predict(container(X)), sparse.predict(X), rtol=1e-10, atol=1e-12)
    assert sparse.score(container(X), y) == pytest.approx(sparse.score(X, y))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_float32_stays_float32(task: str, solver: str) -> None:
    X, y = data(task)
    small = X.astype(np.float32)
    with unconverged():
        model = quick(task, solver=solver).fit(small, y)
        if solver != "lbfgs":
            model.partial_fit(small, y)
    assert parameters(model).dtype == np.float32
    outputs = model.predict_proba if is_classifier(model) else model.predict
    assert outputs(small).dtype == np.float32
    assert outputs(X).dtype == np.float32  # the model's type, not the rows'
    assert_allclose(outputs(X), outputs(small), rtol=1e-5)


def test_data_frames_with_other_columns_are_refused() -> None:
    X, y = data("numbers")
    frame = pd.DataFrame(X, columns=list("abcd"))
    with unconverged():
        model, peers = quick("numbers").fit(frame, y), theirs("numbers", max_iter=2).fit(frame, y)
    assert_array_equal(model.feature_names_in_, list("abcd"))
    assert_array_equal(model.predict(frame), model.predict(frame.copy()))
    for bad in (frame[list("dcba")], frame.rename(columns={"a": "z"}), frame[["a", "b"]]):
        with pytest.raises(ValueError, match="The feature names should match") as mine:
            model.predict(bad)
        with pytest.raises(ValueError) as theirs_error:  # noqa: PT011
            peers.predict(bad)
        assert str(mine.value) == str(theirs_error.value)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X)


# --- copies, files, searches, threads ----------------------------------------------------------


def by_joblib(model: Any) -> Any:
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize(
    "copied",
    [lambda m: pickle.loads(pickle.dumps(m)), by_joblib, copy.deepcopy],
    ids=["pickle", "joblib", "deepcopy"],
)
@pytest.mark.parametrize("task", ["binary", "several counts"])
def test_copies_predict_and_train_in_the_same_way(task: str, copied: Any) -> None:
    X, y = data(task)
    model = fitted(task)
    twin = copied(model)
    assert_array_equal(twin.predict(X), model.predict(X))
    assert twin.loss_curve_ == model.loss_curve_
    before = parameters(model).copy()
    twin.set_params(shuffle=False).partial_fit(X, y)
    assert_array_equal(parameters(model), before)  # nothing is shared
    assert_array_equal(parameters(model.set_params(shuffle=False).partial_fit(X, y)),
                       parameters(twin))  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_clone_has_only_the_arguments(kind: str) -> None:
    model = fitted("binary" if kind == "classifier" else "numbers")
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert {n for n in vars(twin) if n.endswith("_")} == set()


def test_sample_weights_are_routed_through_pipelines_and_searches() -> None:
    X, y = data("numbers")
    weight = np.where(np.arange(40) % 2, 1.0, 1e-3)
    with config_context(enable_metadata_routing=True), unconverged():
        model = quick("numbers", solver="lbfgs").set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, model).fit(X, y, sample_weight=weight)
        search = GridSearchCV(model, {"alpha": [1e-4, 1e3]}, cv=2).fit(X, y, sample_weight=weight)
    with unconverged():
        direct = quick("numbers", solver="lbfgs").fit(StandardScaler().fit_transform(X), y, weight)
        unweighted = quick("numbers", solver="lbfgs").fit(StandardScaler().fit_transform(X), y)
        best = quick("numbers", solver="lbfgs", **search.best_params_).fit(X, y, weight)
    assert_array_equal(parameters(pipeline[-1]), parameters(direct))
    assert not np.allclose(parameters(direct), parameters(unweighted))
    assert_array_equal(parameters(search.best_estimator_), parameters(best))
    assert search.best_params_ == {"alpha": 1e-4}


def test_a_validation_set_can_be_routed() -> None:
    X, y = data("numbers", n=60)
    with config_context(enable_metadata_routing=True), unconverged():
        model = quick("numbers", early_stopping=True).set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(StandardScaler(), model, transform_input=["X_val"])
        pipeline.fit(X[:45], y[:45], X_val=X[45:], y_val=y[45:])
    score = pipeline.score(X[45:], y[45:])  # the set was scaled like the rows
    assert max(pipeline[-1].validation_scores_) == pytest.approx(score, rel=1e-12)


def many_scores(backend: str | None) -> Any:
    X, y = data("multiclass", n=90)
    with unconverged(), joblib.parallel_config(backend=backend or "sequential", n_jobs=2):
        return cross_validate(quick("multiclass", max_iter=8), X, y, cv=4)["test_score"]


def test_threads_give_the_same_results() -> None:
    assert_array_equal(many_scores("threading"), many_scores(None))
    X, y = data("several numbers", n=90)
    with unconverged():
        alone = parameters(quick("several numbers", max_iter=20).fit(X, y))
        with ThreadPoolExecutor(4) as pool:
            fits = [pool.submit(quick("several numbers", max_iter=20).fit, X, y) for _ in range(8)]
            together = [parameters(fit.result()) for fit in fits]
    assert all(np.array_equal(alone, theta) for theta in together)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_processes_give_the_same_results() -> None:
    fitted("multiclass")  # a fork after a fit
    assert_array_equal(many_scores("loky"), many_scores(None))
    assert_array_equal(many_scores("multiprocessing"), many_scores(None))
