"""``trace`` and ``gradients`` of tabular estimators, against predictions and differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from deltarule import TabularClassifier, TabularRegressor
from deltarule.errors import TableError
from support.estimators import unconverged

rng = np.random.default_rng(0)
X = pd.DataFrame({"a": rng.normal(size=60), "b": rng.choice(["red", "blue"], 60)})
NUMBERS = 100 + 20 * X["a"].to_numpy() + rng.normal(size=60)
LABELS = np.where(NUMBERS > 100, "high", "low")


@pytest.fixture(scope="module", params=[{}, {"ensemble": 2, "bins": 3}], ids=["one", "two"])
def models(request: pytest.FixtureRequest) -> tuple[TabularClassifier, TabularRegressor]:
    options: dict[str, Any] = {"max_iter": 3, "hidden_layer_sizes": (5,), **request.param}
    with unconverged():
        return (
            TabularClassifier(**options).fit(X, LABELS),
            TabularRegressor(**options).fit(X, NUMBERS),
        )


def test_the_pass_is_that_of_the_prediction(models: Any) -> None:
    for model in models:
        count = len(model.model_.networks)
        outputs = []
        for member in range(1, count + 1):
            trace = model.trace(X, member=member)
            np.testing.assert_allclose(trace["A0"], model.transform(X), rtol=1e-6)
            outputs.append(trace["A2"])
            y = NUMBERS if isinstance(model, TabularRegressor) else LABELS
            with_loss = model.trace(X, y, member=member)  # the same pass, without masks
            np.testing.assert_array_equal(with_loss["A2"], trace["A2"])
            assert "dW1" in with_loss
        if isinstance(model, TabularRegressor):
            mean = np.mean(outputs, axis=0)[:, 0]
            expected = model.model_.target.from_network(mean)
            np.testing.assert_allclose(model.predict(X), expected, rtol=1e-5)
        elif count == 1:
            np.testing.assert_allclose(model.predict_proba(X)[:, 1], outputs[0][:, 0], rtol=1e-5)


def test_gradients_are_those_of_the_trace_and_of_differences(models: Any) -> None:
    for model, y in zip(models, (LABELS, NUMBERS), strict=True):
        trace = model.trace(X, y, training=True)  # with the masks that gradients have, too
        gradients = model.gradients(X, y)
        for name, value in gradients.items():
            np.testing.assert_allclose(trace[f"d{name}"], value, rtol=1e-10, atol=1e-12)
        network = model.model_.member(1).estimator
        targets = model.model_.target.to_network(model._codes(y))
        weights, step, losses = network.coefs_[0], 1e-4, []
        before = weights[0, 0]
        for sign in (1, -1):
            weights[0, 0] = before + sign * step
            passed = network.trace(model.transform(X), targets, training=True)
            losses.append(float(passed["loss"]))
            shift = weights[0, 0] - before
            step = abs(float(shift))
        weights[0, 0] = before
        slope = (losses[0] - losses[1]) / (2 * step)
        np.testing.assert_allclose(gradients["W1"][0, 0], slope, rtol=2e-2, atol=1e-5)


def test_likelihood_aic_and_bic_in_the_users_unit(models: Any) -> None:
    weight = rng.integers(1, 4, 60).astype(float)
    for model, y in zip(models, (LABELS, NUMBERS), strict=True):
        if isinstance(model, TabularRegressor):
            found = model.predict(X)
            spread = np.sqrt(np.average((y - found) ** 2, weights=weight))
            logs, own = norm.logpdf(y, found, spread), 1
        else:
            logs = np.log(model.predict_proba(X)[np.arange(60), np.searchsorted(model.classes_, y)])
            own = int(len(model.model_.networks) > 1)
        value = model.log_likelihood(X, y, weight)
        assert value == pytest.approx(weight @ logs, rel=1e-5)
        repeated = np.repeat(np.arange(60), weight.astype(int))
        again = model.log_likelihood(X.iloc[repeated], y[repeated])
        assert again == pytest.approx(value, rel=1e-6)
        count = own + sum(
            sum(view.size for view in (*one.estimator.coefs_, *one.estimator.intercepts_))
            for one in (model.model_.member(i + 1) for i in range(len(model.model_.networks)))
        )
        assert model.aic(X, y, weight) == pytest.approx(2 * count - 2 * value)
        assert model.bic(X, y, weight) == pytest.approx(count * np.log(60) - 2 * value)


def test_what_is_refused(models: Any) -> None:
    classifier, regressor = models
    with pytest.raises(TableError, match=r"y has 'odd'.*its classes are 'high', 'low'"):
        classifier.trace(X, ["odd"] * 60)
    with pytest.raises(TableError, match=r"same number of rows; got 60 and 59"):
        regressor.gradients(X, NUMBERS[1:])
    with pytest.raises(ValueError, match="member"):
        classifier.trace(X, member=9)
    with pytest.raises(TableError, match=r"y must hold numbers, as in fit"):
        regressor.log_likelihood(X, LABELS)
    with pytest.raises(TableError, match=r"same number of rows"):
        classifier.aic(X[1:], LABELS)
    with pytest.raises(ValueError, match="not fitted"):
        TabularClassifier().trace(X)
    with pytest.raises(ValueError, match="not fitted"):
        TabularRegressor().log_likelihood(X, NUMBERS)
