"""Pickle, joblib and copy restore a network fitted to a real table, which can train further."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from support.drop_in import TABLES, pair, real, scaled
from support.estimators import parameters, unconverged


def through_joblib(model: Any) -> Any:
    file = io.BytesIO()
    joblib.dump(model, file, compress=3)
    file.seek(0)
    return joblib.load(file)


COPIES: dict[str, Callable[[Any], Any]] = {
    **{
        f"pickle {protocol}": lambda model, protocol=protocol: pickle.loads(
            pickle.dumps(model, protocol)
        )
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
    "joblib": through_joblib,
    "copy": copy.deepcopy,
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@TABLES
def test_a_pipeline_comes_back_to_the_bit(table: str, solver: str, way: str) -> None:
    X, y = real(table, as_frame=True)
    mine, _ = pair(table, solver=solver, max_iter=4)
    with unconverged():
        model = scaled(mine).fit(X, y)
    twin = COPIES[way](model)
    assert_array_equal(twin.predict(X), model.predict(X))
    assert_array_equal(parameters(twin["net"]), parameters(model["net"]))
    assert twin.feature_names_in_.tolist() == X.columns.tolist()
    assert twin["net"].get_params() == model["net"].get_params()
    assert clone(twin["net"]).get_params() == mine.get_params()
    twin["net"].coefs_[0][:] = 0  # the twin's own
    assert parameters(model["net"])[: mine.coefs_[0].size].any()


@TABLES
@pytest.mark.parametrize("way", ["pickle 5", "joblib"])
def test_a_copy_goes_on_as_the_original(table: str, way: str) -> None:
    """Also its averages and its random numbers: ``partial_fit`` after loading is the same step."""
    X, y = real(table)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    mine, _ = pair(table, solver="adam", warm_start=True)
    with unconverged():
        mine.fit(X, y)
        twin = COPIES[way](mine)
        for model in (mine, twin):
            model.partial_fit(X, y).partial_fit(X, y)
        assert_array_equal(parameters(twin), parameters(mine))
        for model in (mine, twin):
            model.fit(X, y)
    assert_array_equal(parameters(twin), parameters(mine))
    assert twin.loss_curve_ == mine.loss_curve_


def test_joblib_maps_a_model_into_memory(tmp_path: Path) -> None:
    """Read-only parameters still predict; what is loaded so cannot be trained by accident."""
    X, y = real("wine")
    mine, _ = pair("wine")
    with unconverged():
        mine.fit(X, y)
    joblib.dump(mine, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert_array_equal(mapped.predict_proba(X), mine.predict_proba(X))
