"""What a notebook shows: reports of histories, states, estimators and models of tables."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import deltarule as dr
from deltarule.utils.charts import curves_svg
from support.estimators import unconverged

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)
NET = dr.Network(3, [dr.Dense(2, "tanh"), dr.Dense(1, "sigmoid")], "binary_cross_entropy")


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S).split())


def polylines(svg: str) -> list[list[tuple[float, float]]]:
    found = re.findall(r'points="([^"]+)"', svg)
    return [[tuple(map(float, p.split(","))) for p in way.split()] for way in found]  # type: ignore[misc]


def trained(**options: Any) -> tuple[dr.State, dr.History]:
    state = NET.initialize(0)
    return state, dr.train(NET, state, X, Y, **{"epochs": 5, **options})


def test_a_history_shows_its_end_and_its_curves() -> None:
    _, history = trained(validation=(X[:20], Y[:20]), schedule="exponential")
    html = history._repr_html_()
    said = text_of(html)
    assert "epochs 5" in said
    assert "ended by epochs" in said
    assert f"last loss {history.loss[-1]:.6g}" in said
    best = history.best_epoch
    assert best is not None
    assert f"validation score there {history.validation_score[best - 1]:.6g}" in said
    drawings = re.findall(r"<svg.*?</svg>", html, flags=re.S)
    assert len(drawings) == 3
    assert [len(way) for way in polylines(drawings[0])] == [5, 5]
    assert text_of(dr.History()._repr_html_()) == "History epochs 0 ended by not ended"


def test_curves_are_drawn_to_scale_and_long_ones_are_thinned() -> None:
    svg = curves_svg("Loss <by> epoch", {"loss": [4.0, 1.0, 0.0]}, mark=2)
    root = ET.fromstring(svg)
    assert root.tag.endswith("svg")
    (way,) = polylines(svg)
    heights = [y for _, y in way]
    assert (heights[1] - heights[0]) / (heights[2] - heights[0]) == pytest.approx(0.75, abs=0.01)
    assert way[1][0] == pytest.approx((way[0][0] + way[2][0]) / 2, abs=0.1)
    (long,) = polylines(curves_svg("c", {"c": [float(i) for i in range(10_001)]}))
    assert len(long) <= 402
    assert long[-1][1] == min(y for _, y in long)  # the last value is the largest
    assert curves_svg("c", {"c": [float("nan")]}) == ""
    assert "circle" in curves_svg("c", {"c": [2.0]})
    assert len(polylines(curves_svg("c", {"c": [1.0, float("inf"), 2.0]}))[0]) == 2


def test_a_state_shows_sizes_and_says_what_is_wrong() -> None:
    state, _ = trained(optimizer="adam")
    said = text_of(state._repr_html_())
    assert f"{NET.tape.n_parameters} parameters, float64" in said
    assert f"steps taken {state.step}" in said
    assert "AdamState" in said
    assert "NaN" not in said
    state.theta[0] = np.nan
    assert "diverged" in text_of(state._repr_html_())


def test_estimators_show_the_fit_below_scikit_learns_drawing() -> None:
    model = dr.MLPClassifier((4,), max_iter=6, early_stopping=True, random_state=0)
    plain = model._repr_mimebundle_()["text/html"]
    assert "sk-top-container" in plain
    assert "deltarule-report" not in plain
    with unconverged():
        model.fit(X, Y)
    html = model._repr_mimebundle_()["text/html"]
    assert "sk-top-container" in html
    said = text_of(html)
    assert f"3 → 4 → 1, {model.network_.tape.n_parameters} parameters, float64" in said
    assert f"epochs {model.n_iter_}" in said
    assert f"best validation score {model.best_validation_score_:.6g}, in epoch" in said
    assert text_of(model._repr_html_()) == said
    assert "sk-top-container" in make_pipeline(StandardScaler(), model)._repr_html_()
    with sklearn.config_context(display="text"):
        assert "text/html" not in model._repr_mimebundle_()


def test_models_of_tables_show_target_and_columns() -> None:
    table = pd.DataFrame({"height": X[:, 0], "kind": np.where(X[:, 1] > 0, "a", "<b>")})
    model = dr.TabularClassifier(max_iter=3, random_state=0)
    assert "deltarule-report" not in model._repr_html_()
    with unconverged():
        model.fit(table, pd.Series(np.where(Y, "yes", "no"), name="won"))
    for html in (model._repr_html_(), model.model_._repr_html_()):
        said = text_of(html)
        assert "target won" in said
        assert "2 classes no, yes" in said
        assert "height (number), kind (category)" in said
        assert "best validation score" in said
