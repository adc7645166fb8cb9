"""Scores beside their baselines, their verdict, and predictions that keep the target's sign."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics
from sklearn.dummy import DummyClassifier, DummyRegressor

from deltarule.tables import (
    Evaluation,
    Plan,
    Predictions,
    PredictionsCsv,
    Settings,
    TableModel,
    fit,
    open_source,
    prepare,
    read_table,
    score_parts,
)
from deltarule.tables.evaluation import Scores
from deltarule.tables.record import Classes, Quantity
from support.estimators import unconverged
from support.onnx import TOLERANCE, run

LABELS = ["a", "b", "c", "d"]


def scored(P: Any, codes: Any, cuts: list[int]) -> Evaluation:
    """Return the scores of probabilities that come in pieces."""
    labels = LABELS[: P.shape[1]]
    scores = Scores(Classes(task="classification", name="y", numeric=False, labels=labels))
    for start, stop in pairwise([0, *sorted(cuts), len(codes)]):
        piece = P[start:stop]
        values = np.array(labels)[piece.argmax(axis=1)]
        scores.add(Predictions(values, labels, piece), codes[start:stop])
    return scores.evaluation()


@st.composite
def classified(draw: Any, k: int) -> tuple[Any, Any, list[int]]:
    n = draw(st.integers(1, 40))
    levels = draw(st.sampled_from([3, 10, 1000]))  # few levels give ties
    weights = draw(npst.arrays(np.int64, (n, k), elements=st.integers(1, levels)))
    P = weights / weights.sum(axis=1, keepdims=True)
    codes = draw(npst.arrays(np.int64, n, elements=st.integers(0, k - 1)))
    return P, codes, draw(st.lists(st.integers(0, n), max_size=3))


@settings(max_examples=50)
@given(classified(2))
def test_scores_of_two_classes_are_scikit_learns(case: tuple[Any, Any, list[int]]) -> None:
    P, codes, cuts = case
    found = scored(P, codes, cuts)
    guess = DummyClassifier(strategy="prior").fit(P, codes)
    shares = np.bincount(codes, minlength=2) / len(codes)
    assert found.scores["accuracy"] == metrics.accuracy_score(codes, P.argmax(axis=1))
    assert found.scores["baseline_accuracy"] == guess.score(P, codes)
    assert_allclose(found.scores["log_loss"], metrics.log_loss(codes, P, labels=[0, 1]))
    prior = np.tile(shares, (len(codes), 1))
    baseline = metrics.log_loss(codes, prior, labels=[0, 1])
    assert_allclose(found.scores["baseline_log_loss"], baseline, atol=1e-14)
    assert found.positive == "b"
    assert found.scores["baseline_average_precision"] == shares[1]
    if len(set(codes)) == 1:
        assert np.isnan(found.scores["roc_auc"])
        assert found.beats_baseline is None
        return
    assert_allclose(found.scores["roc_auc"], metrics.roc_auc_score(codes, P[:, 1]))
    for code, score in enumerate(found.classes):
        order = P[:, 1] if code == 1 else -P[:, 1]
        expected = metrics.average_precision_score(codes == code, order)
        assert_allclose(score.average_precision, expected)
    assert found.scores["average_precision"] == found.classes[1].average_precision


@settings(max_examples=50)
@given(classified(4))
def test_scores_of_several_classes_are_scikit_learns(case: tuple[Any, Any, list[int]]) -> None:
    P, codes, cuts = case
    found = scored(P, codes, cuts)
    said = P.argmax(axis=1)
    assert found.scores["accuracy"] == metrics.accuracy_score(codes, said)
    macro = metrics.f1_score(codes, said, average="macro", zero_division=0)
    assert_allclose(found.scores["macro_f1"], macro)
    assert_allclose(found.scores["log_loss"], metrics.log_loss(codes, P, labels=range(4)))
    counts = np.bincount(codes, minlength=4)
    always = np.full(len(codes), counts.argmax())
    macro = metrics.f1_score(codes, always, average="macro", zero_division=0)
    assert_allclose(found.scores["baseline_macro_f1"], macro)
    assert found.scores["baseline_accuracy"] == metrics.accuracy_score(codes, always)
    prior = np.tile(counts / len(codes), (len(codes), 1))
    baseline = metrics.log_loss(codes, prior, labels=range(4))
    assert_allclose(found.scores["baseline_log_loss"], baseline, atol=1e-14)
    assert "roc_auc" not in found.scores
    assert found.positive is None


numbers = npst.arrays(np.float64, st.integers(2, 40), elements=st.integers(-20, 20).map(float))


@settings(max_examples=50)
@given(numbers, st.integers(0, 2**32 - 1), st.lists(st.integers(0, 40), max_size=3))
def test_scores_of_numbers_are_scikit_learns(y: Any, seed: int, cuts: list[int]) -> None:
    said = y + np.random.default_rng(seed).normal(size=len(y))
    scores = Scores(Quantity(task="regression", name="y", mean=0.0, scale=1.0))
    for start, stop in pairwise([0, *sorted(min(cut, len(y)) for cut in cuts), len(y)]):
        scores.add(Predictions(said[start:stop], [], None), y[start:stop])
    found = scores.evaluation().scores
    assert_allclose(found["rmse"], metrics.root_mean_squared_error(y, said))
    assert_allclose(found["mae"], metrics.mean_absolute_error(y, said))
    for name, strategy, score in (
        ("rmse", "mean", metrics.root_mean_squared_error),
        ("mae", "median", metrics.mean_absolute_error),
        ("r2", "mean", metrics.r2_score),
    ):
        guess = DummyRegressor(strategy=strategy).fit(y, y).predict(y)
        if np.ptp(y) > 0:
            assert_allclose(found[f"baseline_{name}"], score(y, guess), atol=1e-12)
    if np.ptp(y) > 0:
        assert_allclose(found["r2"], metrics.r2_score(y, said))
    else:
        assert np.isnan(found["r2"])
        assert scores.evaluation().beats_baseline is None


# --- the verdict ---------------------------------------------------------------------------------


def imbalanced(n: int, positives: int, shift: float, seed: int = 0) -> Evaluation:
    """Return the scores of probabilities below one half, higher by `shift` for the rare class."""
    draw = np.random.default_rng(seed)
    codes = np.zeros(n, dtype=np.intp)
    codes[:positives] = 1
    p = 0.1 / (1 + np.exp(-(draw.normal(size=n) + shift * codes)))
    return scored(np.stack([1 - p, p], axis=1), codes, [])


@pytest.mark.parametrize("positives", [1, 2, 20])
def test_the_verdict_of_rare_classes_speaks_of_average_precision(positives: int) -> None:
    found = imbalanced(4000, positives, shift=8.0)
    assert found.scores["accuracy"] == found.scores["baseline_accuracy"]
    assert found.beats_baseline
    assert "accuracy is no better than that of always 'a'" in found.verdict
    value, share = found.scores["average_precision"], positives / 4000
    assert f"average precision of 'b' {value:.4g}, a guess: {share:.4g}" in found.verdict
    assert "order rows by 'probability_b'" in found.verdict


def test_a_random_order_of_rare_classes_is_seldom_called_better() -> None:
    found = [imbalanced(500, 10, shift=0.0, seed=seed) for seed in range(300)]
    better = [evaluation.beats_baseline for evaluation in found]
    assert sum(map(bool, better)) <= 0.1 * len(better)  # chance: one in twenty
    worse = next(evaluation for evaluation in found if not evaluation.beats_baseline)
    assert worse.verdict.startswith("this is no better than the baseline (average precision of 'b'")


def test_the_first_class_may_be_the_rare_one() -> None:
    mirrored = imbalanced(4000, 20, shift=8.0)
    p = 0.1 / (1 + np.exp(-np.linspace(-3, 3, 100)))
    codes = np.ones(100, dtype=np.intp)
    codes[-4:] = 0
    found = scored(np.stack([p, 1 - p], axis=1), codes, [])
    assert found.scores["accuracy"] == found.scores["baseline_accuracy"]
    assert found.beats_baseline
    assert "average precision of 'a' 1, a guess: 0.04" in found.verdict
    assert "probability_a" in found.verdict
    assert mirrored.positive == found.positive == "b"


def test_labels_in_a_verdict_cannot_move_the_cursor() -> None:
    labels = ["\x1b[2J", "b"]
    scores = Scores(Classes(task="classification", name="y", numeric=False, labels=labels))
    p = np.linspace(0.6, 1, 50)
    codes = np.where(p > 0.62, 1, 0)
    scores.add(Predictions(np.array(labels)[[1] * 50], labels, np.stack([1 - p, p], 1)), codes)
    verdict = scores.evaluation().verdict
    assert "probability_" in verdict
    assert verdict.isprintable()


def test_the_verdict_of_several_classes_speaks_of_the_log_loss() -> None:
    draw = np.random.default_rng(0)
    codes = draw.choice(3, 500, p=[0.9, 0.06, 0.04])
    P = np.tile([0.9, 0.06, 0.04], (500, 1))
    P[codes == 1] = [0.6, 0.3, 0.1]
    good = scored(P, codes, [])
    assert good.beats_baseline
    assert "the probabilities are better than a guess: log loss" in good.verdict
    P[codes == 1] = [0.97, 0.01, 0.02]
    bad = scored(P, codes, [])
    assert not bad.beats_baseline
    assert "this is no better than the baseline (log loss" in bad.verdict


def test_rows_of_one_class_tell_nothing() -> None:
    found = scored(np.full((9, 2), 0.5), np.zeros(9, dtype=np.intp), [])
    assert found.beats_baseline is None
    assert "every target is 'a'" in found.verdict


# --- files and memory ----------------------------------------------------------------------------

QUICK = Settings(hidden=(8,), epochs=5, learning_rate=0.02)


def table(path: Path, n: int = 1500) -> Path:
    """Write a table with a rare class and a count."""
    draw = np.random.default_rng(0)
    X = draw.normal(size=(n, 3))
    frame = pd.DataFrame(X, columns=list("abc"))
    frame["rare"] = np.where(X[:, 0] + 0.5 * draw.normal(size=n) > 2, "yes", "no")
    frame["count"] = draw.poisson(np.exp(1.5 * X[:, 0] - 1))
    frame["count"] += 0.5 * (draw.random(n) < 0.1)  # fractions: no classes
    frame.to_csv(path, index=False)
    return path


def learned(source: Any, plan: Plan, settings: Settings = QUICK) -> TableModel:
    with unconverged():
        return fit(prepare(source, plan), settings)


def test_streamed_scores_need_no_more_than_those_in_memory(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv")
    model = learned(read_table(path), Plan("rare", ignore=("count",)))
    streamed, whole = model.evaluate(open_source(path)), model.evaluate(read_table(path))
    assert streamed.scores == pytest.approx(whole.scores, rel=1e-12)
    said = model.predict(read_table(path))
    assert said.probabilities is not None
    true = pd.read_csv(path)["rare"] == "yes"
    auc = metrics.roc_auc_score(true, said.probabilities[:, 1])
    assert streamed.scores["roc_auc"] == pytest.approx(auc, rel=1e-12)
    average = metrics.average_precision_score(true, said.probabilities[:, 1])
    assert streamed.scores["average_precision"] == pytest.approx(average, rel=1e-12)


# --- the sign of a target ------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("streamed", [False, True])
def test_predictions_keep_the_sign_of_the_target(tmp_path: Path, sign: int, streamed: bool) -> None:
    path = table(tmp_path / "t.csv")
    frame = pd.read_csv(path).drop(columns="rare")
    frame["count"] *= sign
    frame.to_csv(path, index=False)
    source = open_source(path) if streamed else read_table(path)
    model = learned(source, Plan("count"))
    assert isinstance(model.target, Quantity)
    assert model.target.sign == sign
    free = TableModel(
        model.preprocessing.model_copy(
            update={"target": model.target.model_copy(update={"sign": 0})}
        ),
        model.estimator,
        model.provenance,
    )
    wild = read_table(path)
    plain, said = free.predict(wild).values, model.predict(wild).values
    assert (sign * plain < 0).sum() > 10  # the network itself does not know
    assert_array_equal(said, np.where(sign * plain > 0, plain, 0.0))
    written = b"".join(PredictionsCsv(model, open_source(path))).decode().split()[1:]
    assert_array_equal([float(cell) for cell in written], said)
    assert "-0.0" not in written
    again = TableModel.load(model.save(tmp_path / "m.safetensors"))
    assert_array_equal(again.predict(wild).values, said)
    inputs = {name: frame[[name]].to_numpy() for name in "abc"}
    for dtype in ("float32", "float64"):
        graph = model.to_onnx(dtype=dtype)
        feeds = {name: cells.astype(dtype) for name, cells in inputs.items()}
        found = run(graph, feeds)["variable"][:, 0]
        assert (sign * found >= 0).all()
        assert_allclose(found, said, atol=10 * TOLERANCE[dtype] * np.abs(said).max())
    scores = model.evaluate(wild).scores
    assert scores["rmse"] == pytest.approx(np.sqrt(np.mean((frame["count"] - said) ** 2)))


def test_a_target_of_both_signs_is_free(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(size=200)})
    frame["y"] = frame["x"] * 1.5
    frame.to_csv(tmp_path / "t.csv", index=False)
    model = learned(read_table(tmp_path / "t.csv"), Plan("y"))
    assert isinstance(model.target, Quantity)
    assert model.target.sign == 0
    assert (model.predict(read_table(tmp_path / "t.csv")).values < 0).any()


def test_only_training_rows_decide_the_sign(tmp_path: Path) -> None:
    n = 400
    frame = pd.DataFrame({"t": np.arange(n), "x": np.linspace(0, 1, n)})
    frame["y"] = np.where(frame["t"] < 300, 0.25 + frame["x"], -1.5)
    frame.to_csv(tmp_path / "t.csv", index=False)
    prepared = prepare(read_table(tmp_path / "t.csv"), Plan("y", shares=None, time="t"))
    target = prepared.preprocessing.target
    assert isinstance(target, Quantity)
    assert target.sign == 1


def test_an_overflow_is_not_hidden_by_the_sign() -> None:
    target = Quantity(task="regression", name="y", mean=1.0, scale=2.0, sign=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = target.from_network(np.array([-np.inf, np.nan, -3.0, 3.0]))
    assert_array_equal(found, [-np.inf, np.nan, 0.0, 7.0])


# --- a class of one row --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_class_of_one_row_is_for_training(tmp_path: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": draw.normal(size=60), "y": draw.choice(["a", "b"], 60)})
    frame.loc[draw.integers(60), "y"] = "lonely"
    frame.to_csv(tmp_path / "t.csv", index=False)
    prepared = prepare(read_table(tmp_path / "t.csv"), Plan("y", shares=None, seed=seed))
    assert [
        note for note in prepared.notes if "all rows of class 'lonely' are for training" in note
    ]
    split = prepared.reader.split
    assert split.exact is not None
    assert split.exact[frame["y"] == "lonely"].tolist() == [0]
    with unconverged():
        model = fit(prepared, QUICK)
    assert model.labels == ["a", "b", "lonely"]
    scores = score_parts(model, prepared)["test"]
    assert [score.rows for score in scores.classes][2] == 0
    assert 0 < scores.scores["macro_f1"] <= 1
