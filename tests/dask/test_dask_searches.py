"""Searches and cross-validation whose fits are tasks of a cluster, by joblib's Dask backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score

from deltarule import MLPClassifier, TabularClassifier
from support.clusters import connected

pytest.importorskip("distributed")

import joblib
from distributed import Client

pytestmark = pytest.mark.filterwarnings("ignore:.*converge.*", "ignore::DeprecationWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 4))
Y = (X[:, 0] + RNG.normal(size=120) > 0).astype(int)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with connected(2) as made:
        yield made


def test_a_search_finds_the_same_on_a_cluster(client: Client) -> None:
    def search() -> GridSearchCV:
        model = MLPClassifier((5,), max_iter=5, random_state=0, n_threads=1)
        return GridSearchCV(model, {"alpha": [1e-4, 1.0]}, cv=3)

    here = search().fit(X, Y)
    with joblib.parallel_config(backend="dask", scatter=[X, Y]):
        there = search().fit(X, Y)
    np.testing.assert_array_equal(
        here.cv_results_["mean_test_score"], there.cv_results_["mean_test_score"]
    )
    theta: Any = here.best_estimator_.state_.theta
    np.testing.assert_array_equal(theta, there.best_estimator_.state_.theta)


def test_a_tabular_classifier_is_validated_on_a_cluster(client: Client) -> None:
    frame = pd.DataFrame(X, columns=list("uvwx")).assign(kind=np.where(X[:, 1] > 0, "p", "q"))
    model = TabularClassifier(max_iter=3, random_state=0)
    here = cross_val_score(model, frame, Y, cv=3)
    with joblib.parallel_config(backend="dask"):
        there = cross_val_score(model, frame, Y, cv=3, n_jobs=2)
    np.testing.assert_array_equal(here, there)
