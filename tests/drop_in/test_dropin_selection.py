"""Searches, cross-validation, pipelines and wrappers on real data: scikit-learn's own scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputRegressor
from sklearn.preprocessing import StandardScaler

from support.drop_in import TABLES, pair, real, scaled
from support.estimators import parameters, unconverged

CLOSE = {"rtol": 1e-7, "atol": 1e-9}


@TABLES
def test_clone(table: str) -> None:
    X, y = real(table)
    mine, peers = pair(table, alpha=0.3)
    with unconverged():
        scaled(mine).fit(X, y)
    twin = clone(mine)
    assert twin is not mine
    assert twin.get_params() == mine.get_params()
    assert twin.get_params().items() >= clone(peers).get_params().items()
    assert not hasattr(twin, "coefs_")
    with unconverged():
        scaled(twin).fit(X, y)
    assert_array_equal(parameters(twin), parameters(mine))


@TABLES
def test_grid_search_over_a_pipeline(table: str) -> None:
    X, y = real(table)
    grid = {"net__alpha": [1e-4, 30.0], "net__hidden_layer_sizes": [(3,), (4, 3)]}
    with unconverged():
        mine, peers = (GridSearchCV(scaled(net), grid, cv=3).fit(X, y) for net in pair(table))
    assert mine.best_params_ == peers.best_params_
    for name in ("mean_test_score", "std_test_score", "rank_test_score"):
        assert_allclose(mine.cv_results_[name], peers.cv_results_[name], err_msg=name, **CLOSE)
    assert_array_equal(mine.predict(X).round(6), peers.predict(X).round(6))
    assert mine.score(X, y) == pytest.approx(peers.score(X, y), rel=1e-9)


@TABLES
def test_randomized_search(table: str) -> None:
    X, y = real(table)
    space = {"alpha": [1e-4, 1e-2, 1.0], "momentum": [0.0, 0.5, 0.9]}
    X = StandardScaler().fit_transform(X)
    with unconverged():
        mine, peers = (
            RandomizedSearchCV(net, space, n_iter=4, cv=2, random_state=1).fit(X, y)
            for net in pair(table)
        )
    assert mine.cv_results_["params"] == peers.cv_results_["params"]
    scores = [search.cv_results_["mean_test_score"] for search in (mine, peers)]
    assert_allclose(*scores, **CLOSE)


@pytest.mark.parametrize(
    ("table", "scoring"),
    [
        ("wine", ["accuracy", "neg_log_loss", "roc_auc_ovr", "f1_macro"]),
        ("breast cancer", ["accuracy", "neg_brier_score", "average_precision"]),
        ("diabetes", ["r2", "neg_mean_absolute_error", "neg_max_error"]),
        ("linnerud", ["r2", "neg_root_mean_squared_error"]),
    ],
)
def test_cross_validate_with_several_scores(table: str, scoring: list[str]) -> None:
    X, y = real(table)
    with unconverged():
        mine, peers = (
            cross_validate(
                scaled(net), X, y, cv=4, scoring=scoring, return_train_score=True,
                return_estimator=True, return_indices=True,
            )
            for net in pair(table)
        )  # fmt: skip
    for name in scoring:
        for part in ("train", "test"):
            key = f"{part}_{name}"
            assert_allclose(mine[key], peers[key], err_msg=key, **CLOSE)
    for one, other in zip(mine["estimator"], peers["estimator"], strict=True):
        assert_allclose(parameters(one["net"]), parameters(other["net"]), **CLOSE)


@pytest.mark.parametrize(
    ("table", "method"),
    [("wine", "predict_proba"), ("wine", "predict_log_proba"), ("diabetes", "predict")],
)
def test_cross_validated_predictions(table: str, method: str) -> None:
    X, y = real(table)
    with unconverged():
        mine, peers = (
            cross_val_predict(scaled(net), X, y, cv=3, method=method) for net in pair(table)
        )
    assert_allclose(mine, peers, **CLOSE)


@TABLES
def test_learning_and_validation_curves(table: str) -> None:
    X, y = real(table)
    X = StandardScaler().fit_transform(X)
    with unconverged():
        curves = [learning_curve(net, X, y, train_sizes=[0.5, 1.0], cv=2, shuffle=True,
                                 random_state=0) for net in pair(table)]  # fmt: skip
        over = [validation_curve(net, X, y, param_name="alpha", param_range=[1e-3, 10.0], cv=2)
                for net in pair(table)]  # fmt: skip
    for a, b in [*zip(*curves, strict=True), *zip(*over, strict=True)]:
        assert_allclose(a, b, **CLOSE)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("table", ["breast cancer", "wine"])
def test_calibrated_probabilities(table: str, method: str) -> None:
    X, y = real(table)
    with unconverged():
        mine, peers = (
            CalibratedClassifierCV(scaled(net), method=method, cv=3).fit(X, y)
            for net in pair(table)
        )
    probability = mine.predict_proba(X)
    assert_allclose(probability.sum(axis=1), 1, atol=1e-12)
    assert_allclose(probability, peers.predict_proba(X), rtol=1e-5, atol=1e-6)


WRAPPERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "adaboost": ("wine", lambda net: AdaBoostClassifier(net, n_estimators=3, random_state=0)),
    "bagging classifier": ("wine", lambda net: BaggingClassifier(net, 3, random_state=0)),
    "bagging regressor": ("diabetes", lambda net: BaggingRegressor(net, 3, random_state=0)),
    "chain": (
        "indicators",
        lambda net: ClassifierChain(net, order="random", random_state=0),
    ),
    "one against the rest": ("wine", OneVsRestClassifier),
    "one for each target": ("linnerud", MultiOutputRegressor),
    "stacking": (
        "wine",
        lambda net: StackingClassifier([("a", net)], LogisticRegression(), cv=2),
    ),
    "target scaled": (
        "diabetes",
        lambda net: TransformedTargetRegressor(net, transformer=StandardScaler()),
    ),
    "voting classifier": (
        "wine",
        lambda net: VotingClassifier([("a", net), ("b", clone(net))], voting="soft"),
    ),
    "voting regressor": ("diabetes", lambda net: VotingRegressor([("a", net), ("b", clone(net))])),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_give_the_same_predictions(name: str) -> None:
    table, wrap = WRAPPERS[name]
    X, y = real("wine" if table == "indicators" else table)
    y = np.eye(3, dtype=int)[y] if table == "indicators" else y
    X = StandardScaler().fit_transform(X)
    with unconverged():
        mine, peers = (
            wrap(net).fit(X, y) for net in pair("wine" if table == "indicators" else table)
        )
    assert_allclose(mine.predict(X), peers.predict(X), **CLOSE)
    if hasattr(peers, "predict_proba"):
        assert_allclose(mine.predict_proba(X), peers.predict_proba(X), rtol=1e-6, atol=1e-8)


@pytest.mark.long
def test_scores_are_the_same_in_worker_processes() -> None:
    X, y = real("wine")
    mine, _ = pair("wine")
    with unconverged():
        alone = cross_validate(scaled(mine), X, y, cv=3)["test_score"]
        together = cross_validate(scaled(mine), X, y, cv=3, n_jobs=2)["test_score"]
    assert_array_equal(alone, together)
