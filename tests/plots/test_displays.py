"""Displays: their numbers against other sources, and what is drawn of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

mpl.use("agg")
from matplotlib import pyplot as plt

from deltarule import (
    Dense,
    Dropout,
    MLPClassifier,
    Network,
    State,
    functions,
    hessian_eigenvalues,
    shrinkage_table,
    train,
)
from deltarule.errors import ShapeError, SpecError
from deltarule.functions import ACTIVATIONS, Activation
from deltarule.plots import (
    ActivationDisplay,
    ActivationHistogramDisplay,
    BoundaryDisplay,
    CostContourDisplay,
    DropoutMaskDisplay,
    GradientNormDisplay,
    HealthDisplay,
    HessianDisplay,
    LossDisplay,
    ScheduleDisplay,
    ShrinkageDisplay,
    ThresholdDisplay,
    WeightsDisplay,
)
from deltarule.schedules import SCHEDULES
from support.estimators import unconverged

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 2))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
NET = Network(2, [Dense(5, "tanh"), Dropout(0.5), Dense(1, "sigmoid")], "binary_cross_entropy")


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


def drawn(display: Any, tmp_path: Any = None) -> Any:
    """Render the picture, which raises for whatever cannot be drawn, and check its labels."""
    display.figure_.canvas.draw()
    ax = display.ax_
    assert display.figure_ is ax.figure
    assert ax.get_title() or ax.get_xlabel()
    return display


@pytest.mark.parametrize("name", [n for n, f in ACTIVATIONS.items() if isinstance(f, Activation)])
def test_activations(name: str) -> None:
    display = drawn(ActivationDisplay.from_name(name, low=-3, high=2))
    value, slope = (line.get_ydata() for line in display.ax_.lines[2:])
    np.testing.assert_array_equal(value, functions.ACTIVATIONS[name](display.z))
    np.testing.assert_array_equal(slope, functions.ACTIVATIONS[name].derivative(display.z))
    assert (display.z[0], display.z[-1]) == (-3, 2)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name: str) -> None:
    display = drawn(ScheduleDisplay.from_schedule(name, learning_rate=0.1, epochs=12))
    assert len(display.rates) == 240
    assert (display.rates >= 0).all()
    if name == "cosine":
        expected = 0.05 * (1 + np.cos(np.pi * np.arange(240) / 240))
        np.testing.assert_allclose(display.rates, expected, atol=2e-3)


def test_a_schedule_that_waits_sees_the_metrics() -> None:
    still = ScheduleDisplay.from_schedule("reduce_on_plateau", epochs=40, metrics=[1.0] * 40)
    falling = ScheduleDisplay.from_schedule(
        "reduce_on_plateau", epochs=40, metrics=[1 / (i + 1) for i in range(40)]
    )
    assert still.rates[-1] < falling.rates[-1] == falling.rates[0]


def test_weights_of_layers() -> None:
    with unconverged():
        digits = rng.normal(size=(50, 12))
        model = MLPClassifier((7,), max_iter=2).fit(digits, rng.integers(0, 2, 50))
    matrix = drawn(WeightsDisplay.from_estimator(model))
    np.testing.assert_array_equal(matrix.ax_.images[0].get_array(), model.coefs_[0].T)
    images = drawn(WeightsDisplay.from_estimator(model, image_shape=(3, 4)))
    picture = images.ax_.images[0].get_array()
    np.testing.assert_array_equal(picture[:3, 5:9], model.coefs_[0][:, 1].reshape(3, 4))
    state = NET.initialize(0)
    second = drawn(WeightsDisplay.from_network(NET, state, layer=2))
    np.testing.assert_array_equal(second.weights, NET.parameters(state)["W2"])
    with pytest.raises(SpecError, match="from 1 to 2"):
        WeightsDisplay.from_estimator(model, layer=3)
    with pytest.raises(ShapeError, match="12 pixels"):
        WeightsDisplay.from_estimator(model, image_shape=(4, 4))


def test_inside_a_network() -> None:
    state = NET.initialize(0)
    trace = NET.trace(state, X, Y, training=True)
    mask = drawn(DropoutMaskDisplay.from_trace(trace))
    np.testing.assert_array_equal(mask.mask, trace["mask1"])
    norms = drawn(GradientNormDisplay.from_trace(trace))
    np.testing.assert_allclose(
        norms.gradients, [np.sqrt(np.mean(trace[f"dW{k}"] ** 2)) for k in (1, 2)]
    )
    histogram = drawn(ActivationHistogramDisplay.from_trace(trace))
    assert [a.shape for a in histogram.activations] == [(60, 5), (60, 1)]
    with unconverged():
        model = MLPClassifier((4, 3), max_iter=3).fit(X, Y)
    drawn(ActivationHistogramDisplay.from_estimator(model, X))
    drawn(GradientNormDisplay.from_estimator(model, X, Y))
    with pytest.raises(SpecError, match="no gradients"):
        GradientNormDisplay.from_trace(NET.trace(state, X))
    with pytest.raises(SpecError, match="no masks"):
        DropoutMaskDisplay.from_trace(NET.trace(state, X))
    with pytest.raises(SpecError, match=r"one of \[1\]"):
        DropoutMaskDisplay.from_trace(trace, layer=2)


def test_boundaries() -> None:
    state = NET.initialize(0)
    display = drawn(BoundaryDisplay.from_network(NET, state, X, Y, resolution=40))
    point = np.array([[display.x0[7, 3], display.x1[7, 3]]])
    assert display.response[7, 3] == NET.predict(state, point)[0, 0]
    three = Network(2, [Dense(3, "softmax")], "categorical_cross_entropy")
    classes = drawn(BoundaryDisplay.from_network(three, three.initialize(1), X, Y))
    assert set(np.unique(classes.response)) <= {0, 1, 2}
    with pytest.raises(ShapeError, match="two inputs"):
        BoundaryDisplay.from_network(
            Network(3, [Dense(1)]), Network(3, [Dense(1)]).initialize(0), X
        )


def test_contours_of_a_cost_and_a_path() -> None:
    line = Network(1, [Dense(1)])
    x, y = X[:, :1], 2 * X[:, :1] + 1
    path = np.array([[0.0, 0.0], [1.0, 0.5], [2.0, 1.0]])
    display = drawn(
        CostContourDisplay.from_path(lambda theta: line.loss_of(State(theta), x, y), path)
    )
    residual = display.u.ravel()[:, None] * x[:, 0] + display.v.ravel()[:, None] - y[:, 0]
    expected = (residual**2).mean(axis=1) / 2
    np.testing.assert_allclose(display.cost.ravel(), expected, rtol=1e-9)
    np.testing.assert_array_equal(display.path, path)
    wide = rng.normal(size=(5, 9)).cumsum(axis=0)
    plane = drawn(CostContourDisplay.from_path(lambda theta: float(theta @ theta), wide))
    np.testing.assert_allclose(plane.path[-1], 0, atol=1e-12)
    with pytest.raises(ShapeError, match="t ≥ 2"):
        CostContourDisplay.from_path(lambda theta: 0.0, wide[:1])
    with pytest.raises(SpecError, match="not finite"):
        CostContourDisplay.from_path(lambda theta: float("nan"), wide)


def test_thresholds() -> None:
    with unconverged():
        model = MLPClassifier((8,), max_iter=30, random_state=0).fit(X, Y)
    display = drawn(ThresholdDisplay.from_estimator(model, X, Y))
    for i in (0, 10, 30):
        said = model.predict_proba(X)[:, 1] >= display.thresholds[i]
        assert display.precision[i] == pytest.approx(precision_score(Y, said))
        assert display.recall[i] == pytest.approx(recall_score(Y, said))
        assert display.f1[i] == pytest.approx(f1_score(Y, said))
    with pytest.raises(SpecError, match="two classes"), unconverged():
        ThresholdDisplay.from_estimator(MLPClassifier(max_iter=1).fit(X, np.arange(60) % 3), X, Y)


def test_curvature_and_shrinkage() -> None:
    net = Network(2, [Dense(1)])
    state = net.initialize(0)
    values = hessian_eigenvalues(net, state, X, X[:, 0])
    display = drawn(HessianDisplay.from_eigenvalues(values))
    assert list(display.eigenvalues) == sorted(np.ravel(values), reverse=True)
    drawn(HessianDisplay.from_eigenvalues([-1.0, 0.0, 5.0]))
    table = shrinkage_table(net, state, X, X[:, 0], strength=0.1, learning_rate=0.1, steps=5)
    np.testing.assert_allclose(
        drawn(ShrinkageDisplay.from_table(table)).l2_factors,
        table.eigenvalues / (table.eigenvalues + 0.1),
    )
    with pytest.raises(SpecError, match="at least one number"):
        HessianDisplay.from_eigenvalues([])


def test_given_axes_are_drawn_on() -> None:
    figure, ax = plt.subplots()
    display = ActivationDisplay.from_name("relu", ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert display.plot().ax_ is not ax


@pytest.mark.parametrize("name", ["squared_error", "huber", "quantile", "poisson", "absolute_error",
                                  "binary_cross_entropy", "sigmoid_cross_entropy"])  # fmt: skip
def test_a_loss_with_its_derivative(name: str) -> None:
    display = LossDisplay.from_name(name)
    ax = display.ax_
    display.figure_.canvas.draw()
    value, slope = ax.lines[2].get_ydata(), ax.lines[3].get_ydata()
    a = ax.lines[2].get_xdata()
    steps = np.diff(value) / np.diff(a)
    middle = (slope[1:] + slope[:-1]) / 2
    far = np.abs((a[1:] + a[:-1]) / 2 - display.target) > 0.05
    np.testing.assert_allclose(steps[far], middle[far], rtol=0.02, atol=0.02)
    assert f"y = {display.target:g}" in ax.get_title()
    with pytest.raises(SpecError, match="name must be one of"):
        LossDisplay.from_name("softmax_cross_entropy")
    with pytest.raises(SpecError, match="low must be below high"):
        LossDisplay.from_name(name, low=3.0, high=1.0)


def test_health_and_rates_of_a_training() -> None:
    state = NET.initialize(0)
    history = train(NET, state, X, Y, epochs=4, schedule="exponential", record_health=True)
    display = HealthDisplay.from_history(history)
    display.figure_.canvas.draw()
    for layer, line in enumerate(display.ax_.lines):
        expected = [epoch.layers[layer].gradient_norm for epoch in history.health]
        np.testing.assert_array_equal(line.get_ydata(), expected)
    assert HealthDisplay.from_history(history, quantity="saturated").values.shape == (4, 2)
    rates = ScheduleDisplay.from_history(history)
    np.testing.assert_array_equal(rates.rates, list(history.learning_rate))
    with unconverged():
        model = MLPClassifier((3,), max_iter=3, record_health=True, random_state=0).fit(X, Y)
    assert HealthDisplay.from_estimator(model, quantity="update_ratio").values.shape == (3, 2)
    with pytest.raises(SpecError, match="record_health=True"):
        HealthDisplay.from_history(train(NET, state, X, Y, epochs=1))
    with pytest.raises(SpecError, match="no layer has a dead"):
        HealthDisplay.from_history(history, quantity="dead")
    with pytest.raises(SpecError, match="quantity must be one of"):
        HealthDisplay.from_history(history, quantity="size")
    with pytest.raises(SpecError, match="History of a training"):
        ScheduleDisplay.from_history([0.1])
