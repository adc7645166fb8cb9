"""Classification metrics and thresholds (E1) against counts and definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.metrics import (
    choose_threshold,
    cost_threshold,
    measure_classification,
    measure_regression,
)

PROPERTY = settings(max_examples=30, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(0, 2**32 - 1)

# --- E1: the report ------------------------------------------------------------------------------


@PROPERTY
@given(SEEDS, st.integers(2, 4), st.integers(1, 40), st.booleans())
def test_report_equals_counts(seed: int, k: int, n: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    true, said = rng.integers(k, size=n), rng.integers(k, size=n)
    weight = rng.integers(1, 4, size=n) if weighted else np.ones(n, dtype=int)
    report = measure_classification(true, said, sample_weight=weight if weighted else None)
    labels = sorted({*true.tolist(), *said.tolist()})
    assert report.labels == labels
    for i, a in enumerate(labels):
        for j, b in enumerate(labels):
            assert report.confusion[i, j] == weight[(true == a) & (said == b)].sum()
    total = weight.sum()
    assert report.accuracy == pytest.approx(weight[true == said].sum() / total, abs=1e-15)
    assert report.error + report.accuracy == 1
    shares = [weight[true == a].sum() / total for a in labels]
    assert report.baseline == pytest.approx(max(shares), abs=1e-15)
    assert report.majority == labels[int(np.argmax(shares))]
    for i, a in enumerate(labels):
        hit = weight[(true == a) & (said == a)].sum()
        p = hit / weight[said == a].sum() if (said == a).any() else 0.0
        r = hit / weight[true == a].sum() if (true == a).any() else 0.0
        assert report.precision[i] == pytest.approx(p, abs=1e-15)
        assert report.recall[i] == pytest.approx(r, abs=1e-15)
        assert report.f[i] == pytest.approx(2 * p * r / (p + r) if p + r else 0.0, abs=1e-15)
    assert report.macro_f == pytest.approx(report.f.mean())


def test_khabars_95_to_5() -> None:
    report = measure_classification(["well"] * 95 + ["sick"] * 5, ["well"] * 100)
    assert (report.accuracy, report.baseline, report.majority) == (0.95, 0.95, "well")
    assert report.labels == ["sick", "well"]
    assert report.recall.tolist() == [0.0, 1.0]
    assert report.precision.tolist() == [0.0, 0.95]
    assert report.undefined == ["precision of 'sick', which is never predicted"]
    text = str(report)
    assert "accuracy 0.9500, error 0.0500" in text
    assert "always 'well': 0.9500, so the gain is +0.0000" in text
    assert "0/0, counted as 0: precision of 'sick', which is never predicted" in text


def test_zero_over_zero_is_named() -> None:
    report = measure_classification([0, 0, 1], [0, 2, 1])
    assert measure_classification([[0], [0], [1]], [0, 2, 1]).undefined == report.undefined
    assert report.undefined == ["recall of 2, which does not occur"]
    assert report.recall[2] == report.f[2] == 0


def average_precision(positive: Any, scores: Any) -> float:
    """Σ (R_j − R_{j−1}) P_j over falling thresholds, by the definition."""
    total, last = 0.0, 0.0
    for cut in sorted(set(scores.tolist()), reverse=True):
        said = scores >= cut
        recall = (said & positive).sum() / positive.sum()
        total += (recall - last) * (said & positive).sum() / said.sum()
        last = recall
    return total


@PROPERTY
@given(SEEDS, st.integers(2, 60))
def test_curve_and_average_precision_by_definition(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    true = np.concatenate([[0, 1], rng.integers(2, size=n)])
    scores = rng.integers(6, size=n + 2) / 5  # many ties
    curve = measure_classification(true, true, scores[:, None]).curves[1]
    assert curve.average_precision == pytest.approx(average_precision(true == 1, scores), abs=1e-12)
    for cut, p, r in zip(curve.thresholds, curve.precision, curve.recall, strict=False):
        said = scores >= cut
        assert p == pytest.approx((true[said] == 1).mean())
        assert r == pytest.approx((said & (true == 1)).sum() / (true == 1).sum())
    assert (curve.precision[-1], curve.recall[-1]) == (1, 0)


def test_curves_of_several_classes_are_one_against_the_rest() -> None:
    X, y = load_iris(return_X_y=True)
    scores = LogisticRegression(max_iter=500).fit(X, y).predict_proba(X)
    report = measure_classification(y, scores.argmax(axis=1), scores)
    assert sorted(report.curves) == [0, 1, 2]
    for label, curve in report.curves.items():
        expected = average_precision(y == label, scores[:, label])
        assert curve.average_precision == pytest.approx(expected)
    assert f"{report.curves[1].average_precision:.4f}" in str(report)


def test_a_class_without_a_true_row_has_no_curve() -> None:
    scores = np.full((4, 3), 1 / 3)
    assert sorted(measure_classification([0, 1, 1, 0], [0, 1, 2, 0], scores).curves) == [0, 1]
    weighted = measure_classification([0, 1], [0, 1], [0.1, 0.9], sample_weight=[1, 0])
    assert weighted.curves == {}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            ([[0, 1]], [0]),
            ShapeError,
            r"y_true must have shape \(n,\), one class per row; got \(1, 2\)",
        ),
        (([0], [[0, 1]]), ShapeError, "y_pred must have shape"),
        (([], []), DataError, "y_true has no rows"),
        (([0, 1], [0]), ShapeError, "y_true and y_pred must have the same number of rows"),
        (([0.0, np.nan], [0, 1]), DataError, "y_true must be finite; it contains NaN"),
        (([0.5, 1.7], [0.5, 1.2]), DataError, "Use measure_regression for numbers"),
        ((["a", "b"], [0, 1]), DataError, "must contain classes of one type"),
        (([0, 1], [0, 1], [0.1, np.inf]), DataError, "scores must be finite; 1 of 2 values"),
        (([0, 1], [0, 1], ["a", "b"]), DataError, "scores must contain numbers; got dtype <U1"),
        (([0, 1], [0, 1], [0.1]), ShapeError, "scores and y_true must have the same number"),
        (([0, 1, 2], [0, 1, 2], [0.1, 0.2, 0.3]), ShapeError, r"scores must have shape \(3, 3\)"),
    ],
)
def test_bad_classification_input_is_refused(
    arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        measure_classification(*arguments)


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        ([1], ShapeError, r"sample_weight must have shape \(2,\); got \(1,\)"),
        ([-1, 2], DataError, "sample_weight must be non-negative and not all zero; got -1 to 2"),
        ([0, 0], DataError, "not all zero"),
        ([1, np.nan], DataError, "sample_weight must be finite"),
    ],
)
def test_weights_are_checked(weight: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        measure_classification([0, 1], [0, 1], sample_weight=weight)
    with pytest.raises(error, match=message):
        measure_regression([0, 1], [0, 1], sample_weight=weight)
    with pytest.raises(error, match=message):
        choose_threshold([0, 1], [0, 1], sample_weight=weight)


# --- E1: thresholds ------------------------------------------------------------------------------


@PROPERTY
@given(st.floats(0, 1e6), st.floats(1e-3, 1e6))
def test_closed_form_gives_equal_costs_for_both_classes(c_fp: float, c_fn: float) -> None:
    t = cost_threshold(c_fp, c_fn)
    assert (1 - t) * c_fp == pytest.approx(t * c_fn, rel=1e-9, abs=1e-9)
    for p in (t - 0.01, t + 0.01):
        positive_is_cheaper = (1 - p) * c_fp < p * c_fn
        assert positive_is_cheaper == (p > t)


def test_closed_form_at_the_ends() -> None:
    assert cost_threshold(1, 0) == 1
    assert cost_threshold(0, 3) == 0
    assert cost_threshold(1e308, 1e308) == 0.5
    assert cost_threshold(1, 19) == 0.05


@PROPERTY
@given(SEEDS, st.integers(0, 30), st.floats(0, 5), st.floats(0.1, 5), st.booleans())
def test_no_threshold_is_cheaper(
    seed: int, n: int, c_fp: float, c_fn: float, weighted: bool
) -> None:
    rng = np.random.default_rng(seed)
    true = np.concatenate([[False, True], rng.integers(2, size=n) == 1])
    scores = rng.integers(8, size=n + 2) / 7
    weight = rng.integers(0, 3, size=n + 2).astype(float) if weighted else np.ones(n + 2)
    weight[:2] = 1

    def cost(t: float, strict: bool = False) -> float:
        said = scores > t if strict else scores >= t
        return float(weight @ (c_fp * (said & ~true) + c_fn * (~said & true)) / weight.sum())

    choice = choose_threshold(true, scores, c_fp, c_fn, sample_weight=weight if weighted else None)
    candidates = [-math.inf, *np.unique(scores), math.inf]
    assert choice.cost == pytest.approx(min(cost(t) for t in candidates), abs=1e-12)
    assert cost(choice.threshold) == pytest.approx(choice.cost, abs=1e-12)
    assert cost(choice.threshold, strict=True) == pytest.approx(choice.cost, abs=1e-12)
    assert choice.cost_all_negative == pytest.approx(cost(math.inf), abs=1e-12)
    assert choice.cost_all_positive == pytest.approx(cost(-math.inf), abs=1e-12)
    higher = [t for t in candidates if t > choice.threshold]
    assert all(cost(t) >= choice.cost - 1e-12 for t in higher)


def test_choice_between_neighbouring_floats() -> None:
    low = 0.3
    high = np.nextafter(low, 1)
    assert choose_threshold([0, 1], [low, high]).threshold == high
    assert choose_threshold([[0], [1]], [[-1e307], [1e307]]).threshold == 0


def test_one_class_for_all_rows_can_be_cheapest() -> None:
    assert choose_threshold([1, 0], [0.1, 0.9], 1, 0).threshold == math.inf
    everyone = choose_threshold([1, 0], [0.1, 0.9], 1, 9)
    assert everyone.threshold == -math.inf
    assert str(everyone) == (
        "positive where score ≥ -inf: mean cost 0.5 (all negative 4.5, all positive 0.5)"
    )


def test_choice_finds_the_closed_form_for_true_probabilities() -> None:
    rng = np.random.default_rng(3)
    p = rng.uniform(size=20_000)
    y = rng.uniform(size=p.size) < p

    def expected(t: float) -> float:  # of p uniform: ∫_t^1 (1 − p) dp + 4 ∫_0^t p dp
        return (1 - t) ** 2 / 2 + 2 * t**2

    choice = choose_threshold(y, p, 1, 4)
    # Cost and mistakes are means of 20 000 numbers in [0, 4]: 5 standard errors are < 0.05.
    assert expected(choice.threshold) - expected(0.2) < 0.01
    assert choice.cost == pytest.approx(expected(0.2), abs=0.05)


@pytest.mark.parametrize("costs", [(-1, 1), (1, -1), (np.nan, 1), (1, np.inf), ("1", 1)])
def test_costs_are_checked(costs: Any) -> None:
    with pytest.raises(SpecError, match=r"false_(positive|negative)_cost must be"):
        cost_threshold(*costs)


def test_costs_must_not_both_be_zero() -> None:
    with pytest.raises(SpecError, match="must not both be 0; set at least one of them"):
        choose_threshold([0, 1], [0, 1], 0, 0)


@pytest.mark.parametrize(
    ("y", "scores", "error", "message"),
    [
        (
            [1, 1],
            [0, 1],
            DataError,
            r"must contain two classes, one per row; got shape \(2,\) with 1",
        ),
        ([[0, 1]], [0, 1], DataError, r"got shape \(1, 2\)"),
        ([0, 1, 2], [0, 1, 2], DataError, "with 3 different values"),
        ([0, 1], [0, 1, 2], ShapeError, "scores and y_true must have the same number of rows"),
        ([0, 1], [[0, 1]], ShapeError, r"scores must have shape \(n,\); got \(1, 2\)"),
    ],
)
def test_bad_threshold_input_is_refused(
    y: Any, scores: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        choose_threshold(y, scores)
