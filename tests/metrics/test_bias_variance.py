"""Bias-variance diagnosis and cross-validation (E3, E4) against the rules, SciPy, scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, mean_squared_error
from sklearn.model_selection import KFold, StratifiedKFold

from deltarule.errors import DataError, ShapeError, SpecError
from deltarule.metrics import (
    compare_targets,
    cross_validated_cost,
    diagnose_bias_variance,
)

PROPERTY = settings(max_examples=25, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(0, 2**32 - 1)

# --- E3 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "dev", "bias", "variance"),
    [
        (0.0, 0.0, "low", "low"),
        (0.5, 1.25, "low", "low"),
        (0.5, 1.5, "low", "high"),
        (1.0, 1.0, "borderline", "low"),
        (9.75, 20.0, "borderline", "high"),
        (10.0, 10.0, "high", "low"),
        (16.0, 17.0, "high", "high"),
        (1.0, 0.5, "borderline", "low"),
    ],
)
def test_diagnosis_at_the_bounds(train: float, dev: float, bias: str, variance: str) -> None:
    diagnosis = diagnose_bias_variance(train, dev, 1.0)
    assert (diagnosis.bias, diagnosis.variance) == (bias, variance)
    assert ("a bigger network" in diagnosis.next_steps) == (bias != "low")
    assert ("more data" in diagnosis.next_steps) == (variance == "high")
    assert len(set(diagnosis.next_steps)) == len(diagnosis.next_steps)
    assert f"bias {bias}" in str(diagnosis)


def test_a_good_model_has_no_next_steps() -> None:
    assert str(diagnose_bias_variance(0.1, 0.2, 1.0)).endswith("try: nothing, the model is good")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-0.1, 1, 1), r"train_error must be in \[0, inf\); got -0.1"),
        ((0.1, np.nan, 1), "dev_error must be in"),
        ((0.1, np.inf, 1), "dev_error must be in"),
        ((0.1, 1, 0), r"target must be in \(0, inf\); got 0"),
    ],
)
def test_bad_diagnosis_input_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        diagnose_bias_variance(*arguments)


def test_diagnosis_warns_when_dev_and_test_differ() -> None:
    dev, test = ["a"] * 90 + ["b"] * 10, ["a"] * 10 + ["b"] * 90
    with pytest.warns(UserWarning, match="dev and test targets differ .* Shuffle before splitting"):
        diagnosis = diagnose_bias_variance(0.1, 0.2, 1.0, dev_targets=dev, test_targets=test)
    assert diagnosis.comparison is not None
    assert diagnosis.comparison.differ
    alike = diagnose_bias_variance(0.1, 0.2, 1.0, dev_targets=dev, test_targets=dev)
    assert "do not differ significantly" in str(alike)


def test_diagnosis_needs_both_targets() -> None:
    with pytest.raises(DataError, match="belong together; test_targets is missing"):
        diagnose_bias_variance(0.1, 0.2, 1.0, dev_targets=[1, 2])
    with pytest.raises(DataError, match="belong together; dev_targets is missing"):
        diagnose_bias_variance(0.1, 0.2, 1.0, test_targets=[1, 2])


def test_classes_are_compared_by_the_chi_square_formula() -> None:
    table = np.array([[30, 50, 20], [45, 25, 30]])
    dev, test = (np.repeat(["x", "y", "z"], row) for row in table)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    statistic = ((table - expected) ** 2 / expected).sum()
    found = compare_targets(dev, test)
    assert found.p_value == pytest.approx(stats.chi2.sf(statistic, 2), rel=1e-10)
    assert found.test == f"χ² = {statistic:.3g}"


def test_small_tables_use_monte_carlo() -> None:
    dev, test = [0] * 9 + [1] * 1, [0] * 3 + [1] * 7
    found = compare_targets(dev, test)
    assert "Monte Carlo" in found.test
    exact = stats.fisher_exact([[9, 1], [3, 7]]).pvalue
    # 9999 tables: 6 standard errors of a share near 0.02.
    assert found.p_value == pytest.approx(exact, abs=6 * np.sqrt(exact / 9999))
    assert compare_targets(dev, test).p_value == found.p_value
    assert compare_targets([1, 1], [1]).p_value == 1


def test_numbers_are_compared_by_kolmogorov_smirnov() -> None:
    rng = np.random.default_rng(0)
    dev, test = rng.normal(size=60), rng.normal(1, size=80)
    assert compare_targets(dev, test).p_value == stats.ks_2samp(dev, test, method="exact").pvalue
    both = compare_targets(np.c_[dev, dev], np.c_[dev[:50], test[:50]])
    one = stats.ks_2samp(dev, test[:50], method="exact").pvalue
    assert both.p_value == pytest.approx(2 * one)
    assert "worst of 2 columns" in both.test
    assert "χ²" in compare_targets([1, 2, 1, 2, 1, 1], [1, 2, 2, 1, 2, 2]).test
    assert "Kolmogorov" in compare_targets([1, 2, 3], [4, 5, 6]).test
    assert "Kolmogorov" in compare_targets([1, 1, 2], [1, 2, 2], kind="numbers").test
    assert "χ²" in compare_targets([0.5, 1.5, 0.5], [0.5, 1.5, 1.5], kind="classes").test
    assert "χ²" in compare_targets([True, False], [True, True]).test
    large = compare_targets(rng.normal(size=2000), rng.normal(size=2000))
    assert not large.differ


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_false_alarms_are_as_rare_as_the_level(kind: str) -> None:
    rng = np.random.default_rng(5)
    trials, level = 200, 0.05
    alarms = 0
    for _ in range(trials):
        values = rng.integers(3, size=200) if kind == "classes" else rng.normal(size=200)
        alarms += compare_targets(values[:120], values[120:], level=level).differ
    assert alarms <= stats.binom.ppf(1 - 1e-6, trials, level)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([], [1]), {}, DataError, "dev has no targets"),
        (([[[1]]], [1]), {}, ShapeError, r"dev must have shape \(n,\) or \(n, k\)"),
        (([[1, 2]], [[1]]), {}, ShapeError, r"the same columns; got shapes \(1, 2\) and \(1, 1\)"),
        (([1], [[1]]), {}, ShapeError, "must have the same columns"),
        (([1.0, np.nan], [1.0]), {}, DataError, "dev must be finite"),
        ((["a"], [1.5]), {"kind": "numbers"}, DataError, "dev must contain numbers"),
        (([1], [1]), {"kind": "labels"}, SpecError, "kind must be one of"),
        (([1], [1]), {"level": 0}, SpecError, r"level must be in \(0, 1\)"),
        ((np.array(["a", 1], object), [1]), {}, DataError, "classes of one type"),
    ],
)
def test_bad_comparison_input_is_refused(
    arguments: Any, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        compare_targets(*arguments, **options)


# --- E4 ------------------------------------------------------------------------------------------


def line_data(n: int = 60) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 2))
    return X, X @ [1.0, -2.0] + 0.5 * rng.normal(size=n)


def test_cross_validation_equals_a_loop() -> None:
    X, y = line_data()
    found = cross_validated_cost(Ridge(1.0), X, y, folds=4, seed=3)
    held, seen = [], []
    for train, test in KFold(4, shuffle=True, random_state=3).split(X):
        model = Ridge(1.0).fit(X[train], y[train])
        held.append(mean_squared_error(y[test], model.predict(X[test])) / 2)
        seen.append(mean_squared_error(y[train], model.predict(X[train])) / 2)
    assert found.costs == pytest.approx(np.array(held), rel=1e-12)
    assert found.train_costs == pytest.approx(np.array(seen), rel=1e-12)
    assert found.mean == pytest.approx(np.mean(held))
    assert found.variance == pytest.approx(np.var(held, ddof=1))
    assert "cost over 4 folds" in str(found)
    assert "pass a target" in found.reading


def test_named_and_custom_costs() -> None:
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    errors = [
        1 - accuracy_score(y[b], model.fit(X[a], y[a]).predict(X[b])) for a, b in folds.split(X, y)
    ]
    named = cross_validated_cost(model, X, y, cost="accuracy")
    own = cross_validated_cost(
        model, X, y, cost=lambda m, X, y: 1 - accuracy_score(y, m.predict(X)), folds=folds
    )
    pairs = cross_validated_cost(model, X, y, cost="accuracy", folds=list(folds.split(X, y)))
    for found in (named, own, pairs):
        assert found.costs == pytest.approx(errors)
    log_loss = cross_validated_cost(model, X, y, cost="neg_log_loss")
    assert cross_validated_cost(model, X, y).costs == pytest.approx(log_loss.costs, rel=1e-12)


@pytest.mark.parametrize(
    ("target", "reading"),
    [
        (10.0, "mean low; variance low (target 10)"),
        (1.0, "mean borderline: it indicates bias; variance high: it indicates overfitting"),
        (0.1, "mean high: it indicates bias; variance high: it indicates overfitting"),
    ],
)
def test_readings(target: float, reading: str) -> None:
    costs = iter([1.0, 0.0, 5.0, 0.0])  # each fold: held out, then training

    def cost(model: Any, X: Any, y: Any) -> float:
        return next(costs)

    X, y = line_data(8)
    found = cross_validated_cost(LinearRegression(), X, y, cost=cost, folds=2, target=target)
    assert found.mean == 3
    assert found.variance == 8
    assert found.reading.startswith(reading)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cost": "acuracy"}, "one of sklearn.metrics.get_scorer_names.*got 'acuracy'"),
        ({"folds": 1}, "folds must be an integer ≥ 2; got 1"),
        ({"folds": True}, "folds must be an integer ≥ 2; got True"),
        ({"folds": 2.5}, "folds must be an integer ≥ 2.*got 2.5"),
        ({"target": 0}, r"target must be in \(0, inf\)"),
    ],
)
def test_bad_cross_validation_input_is_refused(options: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        cross_validated_cost(Ridge(), *line_data(), **options)
