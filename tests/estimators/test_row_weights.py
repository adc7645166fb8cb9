"""Weights: those of classes and rows multiply, 2 equals two rows, 0 equals none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight

from deltarule.errors import SpecError
from support.estimator_layers import fitted, new, outputs
from support.estimators import TASKS, data, ours, parameters, unconverged

CLASSES = ["binary", "multiclass", "multilabel"]
WEIGHTS: dict[str, Any] = {
    "binary": {"yes": 3.0, "no": 0.5},
    "multiclass": {3: 1.0, 5: 0.0, 8: 4.0},
    "multilabel": [{0: 1.0, 1: 5.0}, {0: 2.0, 1: 1.0}, {0: 1.0, 1: 0.1}],
}

# --- integer weights are repetitions, zero weights absences -------------------------------------


@st.composite
def weighted_fits(draw: st.DrawFn) -> tuple[str, dict[str, Any], Any]:
    """Draw a task, arguments of a full-batch fit, and integer weights."""
    task = draw(st.sampled_from(sorted(TASKS)))
    solver = draw(st.sampled_from(["sgd", "adam", "lbfgs", "rmsprop"]))
    by_steps = solver != "lbfgs"
    arguments: dict[str, Any] = {
        "solver": solver,
        "activation": draw(st.sampled_from(["tanh", "gelu", ["logistic", "silu"]])),
        "alpha": draw(st.sampled_from([0.0, 0.1])),
        "batch_norm": by_steps and draw(st.booleans()),
        "l1": draw(st.sampled_from([0.0, 0.05])) if by_steps else 0.0,
        "max_norm": draw(st.sampled_from([None, 0.7])) if by_steps else None,
        "gradient_clip": draw(st.sampled_from([None, 0.1])) if by_steps else None,
        "standardize": draw(st.booleans()),
        "max_iter": draw(st.integers(1, 4)),
    }
    if TASKS[task] == "classifier":
        arguments["label_smoothing"] = draw(st.sampled_from([0.0, 0.2]))
        arguments["class_weight"] = draw(st.sampled_from([None, "balanced", WEIGHTS[task]]))
    weight = draw(
        st.lists(st.integers(0, 3), min_size=40, max_size=40).filter(lambda w: sum(w) > 45)
    )
    return task, arguments, np.array(weight)


def both_ways(task: str, arguments: dict[str, Any], weight: Any, rows: Any) -> tuple[Any, Any]:
    """Return the estimator fitted with weights, and the one fitted on repeated rows."""
    X, y = data(task)
    y = y[rows]
    weighted, repeated = (
        ours(task, hidden_layer_sizes=(5, 3), random_state=0, batch_size=n, **arguments)
        for n in (len(weight), int(weight.sum()))
    )
    with unconverged():
        weighted.fit(X, y, sample_weight=weight)
        repeated.fit(np.repeat(X, weight, axis=0), np.repeat(y, weight, axis=0))
    return weighted, repeated


def has_every_class(task: str, weight: Any) -> bool:
    y = data(task)[1][weight > 0]
    if TASKS[task] != "classifier":
        return True
    return bool(np.ptp(y, axis=0).all()) if task == "multilabel" else len(set(y)) == (
        2 if task == "binary" else 3
    )  # fmt: skip


def check_weights_are_repetitions(drawn: tuple[str, dict[str, Any], Any]) -> None:
    task, arguments, weight = drawn
    if not has_every_class(task, weight):
        return
    weighted, repeated = both_ways(task, arguments, weight, np.arange(40))
    close = {"rtol": 1e-10, "atol": 1e-10}
    X = data(task)[0]
    if arguments["solver"] == "lbfgs":  # its line searches magnify rounding
        close = {"rtol": 1e-7, "atol": 1e-7}
    elif arguments["solver"] != "sgd":  # and so do slopes near zero, divided by their own size
        close = {"rtol": 1e-7, "atol": 1e-8}
    assert_allclose(parameters(weighted), parameters(repeated), **close)
    assert_allclose(outputs(weighted, X), outputs(repeated, X), **close)
    assert_allclose(weighted.loss_curve_, repeated.loss_curve_, **close)


@settings(deadline=None, max_examples=40)
@given(weighted_fits())
def test_weights_equal_repetitions(drawn: tuple[str, dict[str, Any], Any]) -> None:
    check_weights_are_repetitions(drawn)


@pytest.mark.long
@settings(deadline=None, max_examples=1000)
@given(weighted_fits())
def test_weights_equal_repetitions_many_times(drawn: tuple[str, dict[str, Any], Any]) -> None:
    check_weights_are_repetitions(drawn)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_statistics_of_batch_norm_are_those_of_the_repeated_rows(engine: str) -> None:
    weight = np.arange(40) % 4
    arguments = {"batch_norm": True, "solver": "sgd", "max_iter": 3, "engine": engine}
    weighted, repeated = both_ways("numbers", arguments, weight, np.arange(40))
    for name, array in repeated.state_.buffers.items():
        assert_allclose(weighted.state_.buffers[name], array, rtol=1e-10)


def test_weights_of_one_over_n_do_not_change_the_statistics() -> None:
    """Weights of 1/n have the same effect as no weights."""
    X, y = data("numbers")
    arguments = {"batch_norm": True, "batch_size": 40, "alpha": 0.0, "max_iter": 3}
    with unconverged():
        shares = new(**arguments).fit(X, y, sample_weight=np.full(40, 1 / 40))
        none = new(**arguments).fit(X, y)
    assert_allclose(shares.predict(X), none.predict(X), rtol=1e-9)


# --- the weights of classes ---------------------------------------------------------------------


@pytest.mark.parametrize("how", ["dict", "balanced"])
@pytest.mark.parametrize("task", CLASSES)
def test_class_weights_are_the_sample_weights_that_scikit_learn_makes(task: str, how: str) -> None:
    X, y = data(task)
    class_weight = "balanced" if how == "balanced" else WEIGHTS[task]
    with unconverged():
        mine = new(task, class_weight=class_weight).fit(X, y)
        peer = new(task).fit(X, y, sample_weight=compute_sample_weight(class_weight, y))
    assert_allclose(parameters(mine), parameters(peer), rtol=1e-9, atol=1e-12)
    assert mine.loss_ == pytest.approx(peer.loss_, rel=1e-9)


@pytest.mark.parametrize("task", CLASSES)
def test_class_weights_multiply_sample_weights(task: str) -> None:
    X, y = data(task)
    weight = np.random.default_rng(1).uniform(0, 2, 40)
    of_class = compute_sample_weight(WEIGHTS[task], y)
    with unconverged():
        mine = new(task, class_weight=WEIGHTS[task]).fit(X, y, sample_weight=weight)
        peer = new(task).fit(X, y, sample_weight=weight * of_class)
        mine.partial_fit(X, y, sample_weight=weight)
        peer.partial_fit(X, y, sample_weight=weight * of_class)
    assert_allclose(parameters(mine), parameters(peer), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("class_weight", [None, "balanced", {"yes": 7.0}])
def test_without_hidden_layers_class_weights_equal_logistic_regression(class_weight: Any) -> None:
    X, y = data("binary")
    weight = np.random.default_rng(1).uniform(0.1, 2, 40)
    peer = LogisticRegression(C=1 / 0.7, class_weight=class_weight, tol=1e-12, max_iter=10**4)
    peer.fit(X, y, sample_weight=weight)
    model = new("binary", hidden_layer_sizes=(), solver="lbfgs", alpha=0.7, tol=1e-9, max_iter=1000,
                class_weight=class_weight).fit(X, y, sample_weight=weight)  # fmt: skip
    assert_allclose(model.predict_proba(X), peer.predict_proba(X), atol=2e-4)  # both stop near


def test_balanced_counts_by_sample_weight_in_the_training_part() -> None:
    """The weights come from the training rows; held-out rows have no class weights."""
    X, y = data("binary", n=80)
    arguments = {"early_stopping": True, "class_weight": "balanced"}
    with unconverged():
        mine = new("binary", **arguments).fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
        weight = compute_sample_weight("balanced", y[:40])
        peer = new("binary", early_stopping=True).fit(
            X[:40], y[:40], sample_weight=weight, X_val=X[40:], y_val=y[40:]
        )
    assert_allclose(parameters(mine), parameters(peer), rtol=1e-9)
    assert_allclose(mine.validation_scores_, peer.validation_scores_, rtol=1e-12)


@pytest.mark.parametrize("labels", [["3", "5"], [2.0, 3.0], [False, True], [-1, 1]], ids=str)
def test_classes_are_named_as_in_y(labels: Any) -> None:
    X, y = data("binary")
    y = np.array(labels)[(y == "yes").astype(int)]
    weight = np.where(y == labels[1], 3.0, 1.0)
    with unconverged():
        mine = new("binary", class_weight={labels[1]: 3.0}).fit(X, y)
        peer = new("binary").fit(X, y, sample_weight=weight)
        new("binary", class_weight={labels[0]: 1.0, labels[1]: 1.0, "other": 2.0}).fit(X, y)
    assert_allclose(parameters(mine), parameters(peer), rtol=1e-12)


def test_labels_may_be_sparse() -> None:
    X, y = data("multilabel")
    with unconverged():
        sparse = new("multilabel", class_weight="balanced").fit(X, sp.csr_array(y))
    assert_array_equal(
        parameters(sparse), parameters(fitted("multilabel", class_weight="balanced"))
    )


@pytest.mark.parametrize(
    ("task", "given", "message"),
    [
        ("binary", "heavy", "'class_weight' parameter of MLPClassifier"),
        (
            "binary",
            {"maybe": 1.0},
            r"class_weight names \['maybe'\], but the classes are \['no', 'yes'\]",
        ),
        ("binary", {"yes": -1.0}, "finite numbers of at least 0; got {'yes': -1.0}"),
        ("binary", {"yes": np.inf}, "finite numbers of at least 0"),
        ("binary", [{0: 1.0, 1: 2.0}], "a list of dicts is for several labels"),
        ("binary", {"yes": 0.0, "no": 0.0}, "leaves no row with a weight above 0"),
        ("multilabel", {0: 1.0}, "a list of 3 dicts of 0 and 1, one for each label"),
        ("multilabel", [{0: 1.0}], "a list of 3 dicts"),
    ],
    ids=str,
)
def test_invalid_class_weights_are_refused(task: str, given: Any, message: str) -> None:
    X, y = data(task)
    with pytest.raises(ValueError, match=message):
        new(task, class_weight=given).fit(X, y)


def test_partial_fit_cannot_count_classes() -> None:
    X, y = data("binary")
    with pytest.raises(SpecError, match="class_weight='balanced' counts the classes of the whole"):
        new("binary", class_weight="balanced").partial_fit(X, y, classes=["no", "yes"])
