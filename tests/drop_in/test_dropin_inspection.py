"""Importances, dependence, names of features, repr, set_output: as with scikit-learn's MLP."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.feature_selection import SelectKBest, SequentialFeatureSelector
from sklearn.inspection import PartialDependenceDisplay, partial_dependence, permutation_importance
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

from support.drop_in import TABLES, pair, real, scaled
from support.estimators import unconverged


@TABLES
def test_permutation_importance(table: str) -> None:
    X, y = real(table, as_frame=True)
    with unconverged():
        mine, peers = (
            permutation_importance(scaled(net).fit(X, y), X, y, n_repeats=3, random_state=0)
            for net in pair(table)
        )
    assert_allclose(mine.importances, peers.importances, atol=1e-9)
    assert mine.importances_mean.max() > 0


@TABLES
@pytest.mark.parametrize("kind", ["average", "individual"])
def test_partial_dependence(table: str, kind: str) -> None:
    X, y = real(table, as_frame=True)
    features = list(X.columns[[2, 4]])
    with unconverged():
        mine, peers = (
            partial_dependence(scaled(net).fit(X, y), X, features, grid_resolution=5, kind=kind)
            for net in pair(table)
        )
    assert_allclose(mine[kind], peers[kind], rtol=1e-8, atol=1e-9)
    for a, b in zip(mine["grid_values"], peers["grid_values"], strict=True):
        assert_array_equal(a, b)


def test_partial_dependence_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    X, y = real("diabetes", as_frame=True)
    mine, _ = pair("diabetes")
    with unconverged():
        display = PartialDependenceDisplay.from_estimator(
            scaled(mine).fit(X, y), X, ["bmi", ("bmi", "s5")], grid_resolution=4
        )
    assert len(display.axes_.ravel()) == 2
    plt.close("all")


@TABLES
def test_names_of_features_come_through_set_output(table: str) -> None:
    X, y = real(table, as_frame=True)
    for net in pair(table):
        some = list(X.columns[:3])
        columns = make_column_transformer((StandardScaler(), some), remainder="passthrough")
        pipeline = make_pipeline(columns, net).set_output(transform="pandas")
        with unconverged():
            pipeline.fit(X, y)
        names = [f"standardscaler__{name}" for name in some]
        names += [f"remainder__{name}" for name in X.columns[3:]]
        assert pipeline[-1].feature_names_in_.tolist() == names
        assert pipeline[-1].n_features_in_ == len(names)
        assert not hasattr(net, "set_output")  # of transformers only
    assert_array_equal(pipeline[-1].feature_names_in_, pipeline[:-1].get_feature_names_out())


@TABLES
def test_wrong_names_are_refused_in_scikit_learns_words(table: str) -> None:
    X, y = real(table, as_frame=True)
    X = (X - X.mean()) / X.std()
    said = []
    for net in pair(table):
        with unconverged():
            net.fit(X, y)
        other = X.rename(columns={X.columns[0]: "another"})
        with pytest.raises(ValueError, match="feature names should match") as wrong:
            net.predict(other)
        with pytest.raises(ValueError, match="same order as they were in fit") as order:
            net.predict(X[X.columns[::-1]])
        with pytest.warns(UserWarning, match="does not have valid feature names") as nameless:
            net.predict(X.to_numpy())
        said.append([str(wrong.value), str(order.value), str(nameless[0].message)])
        assert net.feature_names_in_.tolist() == X.columns.tolist()
        with unconverged():
            net.fit(X.to_numpy(), y)
        assert not hasattr(net, "feature_names_in_")
    assert said[0] == said[1]


def test_numbers_for_names_are_no_names() -> None:
    X, y = real("wine")
    mine, _ = pair("wine")
    with unconverged():
        mine.fit(pd.DataFrame(X), y)
    assert not hasattr(mine, "feature_names_in_")
    mixed = pd.DataFrame(X).rename(columns={0: "a"})
    with pytest.raises(TypeError, match="Feature names are only supported if all input features"):
        mine.fit(mixed, y)


@TABLES
def test_it_is_a_score_for_feature_selection(table: str) -> None:
    X, y = real(table, as_frame=True)
    X = X.iloc[:, :5]
    chosen = []
    for net in pair(table, max_iter=4):
        search = SequentialFeatureSelector(scaled(net), n_features_to_select=2, cv=2)
        with unconverged():
            chosen.append(search.fit(X, y).get_feature_names_out().tolist())
    assert chosen[0] == chosen[1]


@TABLES
def test_the_html_shows_the_estimator(table: str) -> None:
    X, y = real(table)
    mine, peers = pair(table)
    pages = [estimator_html_repr(scaled(net)) for net in (mine, peers)]
    name = type(mine).__name__
    for page in pages:
        assert f"<div>{name}</div>" in page
    shown = [set(re.findall(r'<td class="param">([a-z_0-9]+)', page)) for page in pages]
    assert shown[0] >= shown[1]
    assert mine._repr_html_().count("Not fitted") == 1
    with unconverged():
        mine.fit(StandardScaler().fit_transform(X), y)
    html = mine._repr_html_()
    assert "Not fitted" not in html
    assert "Fitted" in html
    assert set(mine._repr_mimebundle_()) == {"text/plain", "text/html"}


@TABLES
def test_the_text_shows_what_is_not_default(table: str) -> None:
    mine, peers = pair(table)
    assert repr(mine) == repr(peers)
    assert repr(type(mine)()) == f"{type(mine).__name__}()"


def test_select_k_best_before_the_network() -> None:
    X, y = real("wine", as_frame=True)
    mine, peers = (
        make_pipeline(StandardScaler(), SelectKBest(k=4), net).set_output(transform="pandas")
        for net in pair("wine")
    )
    with unconverged():
        mine.fit(X, y)
        peers.fit(X, y)
    assert mine[-1].feature_names_in_.tolist() == peers[-1].feature_names_in_.tolist()
    assert mine.score(X, y) == peers.score(X, y)
    assert np.isfinite(mine.predict_proba(X)).all()
