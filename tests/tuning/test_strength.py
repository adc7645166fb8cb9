"""The protocol for a strength: against ridge regression in closed form, and against a loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import deltarule as dr
from deltarule.errors import DataError, SpecError
from deltarule.metrics import mean_loss
from deltarule.tuning import choose_strength

rng = np.random.default_rng(5)
X = rng.normal(size=(90, 12))
NUMBERS = X[:, 0] + rng.normal(size=90)
CLASSES = (NUMBERS > 0).astype(int)
PARTS = slice(0, 30), slice(30, 60), slice(60, 90)
STRENGTHS = [0.1, 1.0, 10.0, 100.0]


def sets(y: Any) -> tuple[Any, Any, Any]:
    train, dev, test = ((X[part], y[part]) for part in PARTS)
    return train, dev, test


def test_a_ridge_is_the_closed_form_for_each_strength() -> None:
    train, dev, test = sets(NUMBERS)
    model = Ridge(fit_intercept=False)
    choice = choose_strength(model, train, dev, test, strengths=STRENGTHS)
    errors = []
    for strength in STRENGTHS:
        A, b = train
        beta = np.linalg.solve(A.T @ A + strength * np.eye(12), A.T @ b)
        errors.append([float(np.mean((x @ beta - y) ** 2)) for x, y in (train, dev, test)])
    best = int(np.argmin([dev for _, dev, _ in errors]))
    np.testing.assert_allclose(choice.train, [e[0] for e in errors], rtol=1e-9)
    np.testing.assert_allclose(choice.dev, [e[1] for e in errors], rtol=1e-9)
    assert choice.chosen == STRENGTHS[best]
    assert choice.test == pytest.approx(errors[best][2], rel=1e-9)
    assert f"{STRENGTHS[best]:>10g}" in str(choice)
    assert "chosen" in str(choice)
    assert f"On the test set: {choice.test:.4g}." in str(choice)
    assert list(choice.train) == sorted(choice.train)  # the fit alone grows worse with λ


def test_our_network_without_hidden_layer_chooses_as_a_ridge() -> None:
    train, dev, _ = sets(NUMBERS)
    ours = dr.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", max_iter=2000, tol=1e-10)
    mine = choose_strength(ours, train, dev, strengths=STRENGTHS)
    ridge = choose_strength(Ridge(), train, dev, strengths=STRENGTHS)  # alpha as ours: s n
    np.testing.assert_allclose(mine.dev, ridge.dev, rtol=1e-4)
    assert mine.chosen == ridge.chosen
    assert mine.test is None


@pytest.mark.parametrize(
    "criterion", ["error", "loss", lambda m, x, y: log_loss(y, m.predict_proba(x))]
)
def test_classes_by_error_and_by_the_loss_without_penalty(criterion: Any) -> None:
    train, dev, test = sets(CLASSES)
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    name = "logisticregression__C"
    choice = choose_strength(
        pipe, train, dev, test, strengths=STRENGTHS, parameter=name, criterion=criterion
    )
    for strength, found in zip(STRENGTHS, choice.dev, strict=True):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength)).fit(*train)
        expected = 1 - model.score(*dev) if criterion == "error" else mean_loss(model, *dev)
        assert found == pytest.approx(expected, rel=1e-9)
    assert choice.model.get_params()[name] == choice.chosen


def test_of_equal_strengths_the_largest_is_chosen() -> None:
    train, dev, _ = sets(NUMBERS)
    choice = choose_strength(Ridge(), train, dev, strengths=[1, 9, 3], criterion=lambda m, x, y: 0)
    assert choice.chosen == 9


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"estimator": 3}, "get_params"),
        ({"parameter": "lambda"}, "get_params"),
        ({"strengths": []}, "at least one"),
        ({"strengths": [1, 1]}, "different"),
        ({"strengths": 1.0}, "strengths"),
        ({"dev": X}, r"dev must be \(X, y\)"),
        ({"dev": (X, NUMBERS[:5])}, r"got shapes \(90, 12\) and \(5,\)"),
        ({"train": (NUMBERS, NUMBERS)}, r"train must be .*\(n, d\)"),
        ({"test": (1.0, 1.0)}, "test must be"),
        ({"strengths": ["a"]}, "finite numbers"),
        ({"parameter": None}, "get_params"),
        ({"criterion": "accuracy"}, "criterion"),
        ({"criterion": lambda model: 0}, "criterion"),
    ],
)
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    train, dev, _ = sets(NUMBERS)
    whole = {"estimator": Ridge(), "train": train, "dev": dev, "strengths": [1.0]}
    with pytest.raises((SpecError, DataError), match=message):
        choose_strength(**{**whole, **given})


def test_a_criterion_that_is_not_finite_is_refused() -> None:
    train, dev, _ = sets(NUMBERS)
    with pytest.raises(DataError, match="alpha=1 it is nan"):
        choose_strength(Ridge(), train, dev, strengths=[1], criterion=lambda m, x, y: np.nan)
