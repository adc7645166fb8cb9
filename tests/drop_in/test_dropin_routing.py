"""Sample weights routed to the network through scikit-learn's meta-estimators, on real data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.multioutput import MultiOutputRegressor
from sklearn.preprocessing import StandardScaler

from support.drop_in import TABLES, pair, real, scaled
from support.estimators import parameters, unconverged

CLOSE = {"rtol": 1e-7, "atol": 1e-9}
FULL = {"solver": "lbfgs", "max_iter": 8}
"""A mini-batch's weights are averaged otherwise in scikit-learn: only full batches compare."""


@pytest.fixture(autouse=True)
def _routing() -> Iterator[None]:
    with config_context(enable_metadata_routing=True), unconverged():
        yield


def weights(n: int) -> Any:
    return np.where(np.arange(n) % 3 == 0, 3.0, 0.1)


def requesting(net: Any) -> Any:
    return net.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)


@TABLES
def test_the_requests_are_scikit_learns(table: str) -> None:
    mine, peers = (requesting(net).get_metadata_routing() for net in pair(table))
    for method in ("fit", "partial_fit", "score"):
        assert getattr(mine, method).requests.items() >= getattr(peers, method).requests.items()
    assert mine.consumes("fit", ["sample_weight"]) == {"sample_weight"}


@TABLES
def test_weights_that_nobody_asked_for_are_refused_in_the_same_words(table: str) -> None:
    X, y = real(table)
    said = []
    for net in pair(table):
        with pytest.raises(UnsetMetadataPassedError) as error:
            GridSearchCV(net, {"alpha": [1.0]}, cv=2).fit(X, y, sample_weight=weights(len(y)))
        said.append(str(error.value))
    assert said[0] == said[1]
    assert "set_fit_request" in said[0]


@TABLES
@pytest.mark.parametrize("wanted", [True, False])
def test_through_a_pipeline(table: str, wanted: bool) -> None:
    """Either the network asks for the weights or the scaler does: the other goes without."""
    X, y = real(table)
    own, others = (weights(len(y)), None) if wanted else (None, weights(len(y)))
    fits = []
    for net in pair(table, **FULL):
        pipeline = scaled(net.set_fit_request(sample_weight=wanted))
        pipeline["scale"].set_fit_request(sample_weight=not wanted)
        fits.append(parameters(pipeline.fit(X, y, sample_weight=weights(len(y)))["net"]))
    assert_allclose(fits[0], fits[1], **CLOSE)
    alone, _ = pair(table, **FULL)
    alone.fit(StandardScaler().fit_transform(X, sample_weight=others), y, own)
    assert_array_equal(fits[0], parameters(alone))


@TABLES
def test_through_a_search_over_a_pipeline(table: str) -> None:
    X, y = real(table)
    found = []
    for net in pair(table, **FULL):
        pipeline = scaled(requesting(net))
        pipeline["scale"].set_fit_request(sample_weight=True)
        search = GridSearchCV(pipeline, {"net__alpha": [1e-3, 10.0]}, cv=3)
        found.append(search.fit(X, y, sample_weight=weights(len(y))))
    for name in ("split0_test_score", "mean_test_score"):
        assert_allclose(found[0].cv_results_[name], found[1].cv_results_[name], **CLOSE)
    unweighted = GridSearchCV(scaled(pair(table, **FULL)[0]), {"net__alpha": [1e-3, 10.0]}, cv=3)
    plain = unweighted.fit(X, y).cv_results_["mean_test_score"]
    assert not np.allclose(found[0].cv_results_["mean_test_score"], plain)


@TABLES
def test_through_cross_validation_beside_groups(table: str) -> None:
    X, y = real(table)
    X = StandardScaler().fit_transform(X)
    given = {"sample_weight": weights(len(y)), "groups": np.arange(len(y)) % 7}
    scores = [
        cross_validate(requesting(net), X, y, cv=GroupKFold(3), params=given)["test_score"]
        for net in pair(table, **FULL)
    ]
    assert_allclose(*scores, **CLOSE)


@pytest.mark.parametrize(
    ("table", "wrap"),
    [
        ("wine", lambda net: CalibratedClassifierCV(net, cv=2)),
        ("wine", lambda net: BaggingClassifier(net, 2, random_state=0)),
        ("diabetes", lambda net: BaggingRegressor(net, 2, random_state=0)),
        ("linnerud", MultiOutputRegressor),
    ],
    ids=["calibration", "bagging classifier", "bagging regressor", "one for each target"],
)
def test_through_other_meta_estimators(table: str, wrap: Any) -> None:
    X, y = real(table)
    X = StandardScaler().fit_transform(X)
    mine, peers = (wrap(requesting(net)) for net in pair(table, **FULL))
    for model in (mine, peers):
        model.fit(X, y, sample_weight=weights(len(y)))
    method = "predict_proba" if hasattr(peers, "predict_proba") else "predict"
    found, expected = (getattr(model, method)(X) for model in (mine, peers))
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    with_ones = wrap(requesting(pair(table, **FULL)[0])).fit(X, y, sample_weight=np.ones(len(y)))
    assert not np.allclose(getattr(with_ones, method)(X), found, atol=1e-3)


def test_groups_are_the_networks_own_only_if_it_asks_for_them() -> None:
    X, y = real("wine")
    X, groups = StandardScaler().fit_transform(X), np.arange(len(y)) % 7
    net, _ = pair("wine", early_stopping=True)
    net.set_params(validation_fraction=GroupKFold(3)).set_fit_request(groups=True)
    fitted = scaled(net).fit(X, y, groups=groups)["net"]
    assert len(fitted.validation_scores_) == fitted.n_iter_
