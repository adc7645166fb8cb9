"""The low-level interface: inputs, targets, predictions, scores, and errors for bad data."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import accuracy_score, r2_score

import deltarule
from deltarule import SGD, Dense, Network, State, check_gradients, errors, train
from deltarule.errors import DataError, ShapeError
from support.networks import random_data, random_state

X4 = np.array([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5], [-1.0, 3.0]])
HEADS = {
    "squared_error": "identity",
    "binary_cross_entropy": "sigmoid",
    "categorical_cross_entropy": "softmax",
    "poisson": "exp",
}


def net_of(loss: str, k: int = 1, **given: Any) -> Network:
    return Network(2, [Dense(3, "tanh"), Dense(k, HEADS[loss])], loss, **given)


# --- inputs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        X4.tolist(),
        np.asfortranarray(X4),
        X4.astype(np.float32),
        pd.DataFrame(X4),
        sparse.csr_matrix(X4),
        sparse.csc_array(X4),
        sparse.coo_array(X4),
    ],
    ids=["list", "fortran", "float32", "frame", "csr", "csc", "coo"],
)
def test_inputs_of_all_types_give_the_same_predictions(given: Any) -> None:
    net = net_of("squared_error")
    state = random_state(net, 0)
    np.testing.assert_allclose(net.predict(state, given), net.predict(state, X4), rtol=1e-14)


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint64])
def test_integers_and_booleans_are_numbers(kind: Any) -> None:
    net = net_of("squared_error")
    state = random_state(net, 0)
    ones = np.array([[1, 0], [0, 1]])
    expected = net.predict(state, ones.astype(float))
    np.testing.assert_array_equal(net.predict(state, ones.astype(kind)), expected)


def test_no_rows_have_no_predictions() -> None:
    net = net_of("categorical_cross_entropy", 3)
    assert net.predict(net.initialize(), np.zeros((0, 2))).shape == (0, 3)


BAD_INPUTS = {
    "nan": (np.array([[np.nan, 1.0]]), DataError, "X contains NaN or infinity. Drop those rows"),
    "infinity": (np.array([[np.inf, 1.0]]), DataError, "X contains NaN or infinity"),
    "csr nan": (sparse.csr_array([[np.nan, 1.0]]), DataError, "X contains NaN or infinity"),
    "strings": (np.array([["a", "b"]]), DataError, "X must hold numbers; got dtype <U1. Encode"),
    "digits": (np.array([["1", "2"]]), DataError, "X must hold numbers"),
    "objects": (np.array([[1, None]]), DataError, "X must hold numbers; got dtype object"),
    "complex": (np.array([[1j, 2]]), DataError, "X must hold numbers; got dtype complex128"),
    "dates": (np.array([["2020-01-01"] * 2], "M8[D]"), DataError, "X must hold numbers"),
    "too wide": (np.zeros((4, 3)), ShapeError, r"X must have shape \(n, 2\), .*; got \(4, 3\)"),
    "csr too wide": (sparse.csr_array((4, 3)), ShapeError, r"X must have shape \(n, 2\)"),
    "one dimension": (np.zeros(2), ShapeError, r"X must have shape \(n, 2\), .*; got \(2,\)"),
    "three dimensions": (np.zeros((1, 2, 1)), ShapeError, r"X must have shape \(n, 2\)"),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_inputs_are_refused(name: str) -> None:
    given, error, words = BAD_INPUTS[name]
    net = net_of("squared_error")
    state = net.initialize()
    y = np.zeros(given.shape[0])
    for call in (
        lambda: net.predict(state, given),
        lambda: net.loss_of(state, given, y),
        lambda: net.score(state, given, y),
        lambda: train(net, state, given, y),
        lambda: train(net, state, X4, np.zeros(4), validation=(given, y)),
        lambda: check_gradients(net, state, given, y),
    ):
        with pytest.raises(error, match=words):
            call()
    np.testing.assert_array_equal(state.theta, net.initialize().theta)


def test_no_rows_are_refused() -> None:
    net = net_of("squared_error")
    for call in (net.loss_of, net.score):
        with pytest.raises(DataError, match="X has no rows"):
            call(net.initialize(), np.zeros((0, 2)), np.zeros(0))
    with pytest.raises(DataError, match="X has no rows"):
        train(net, net.initialize(), np.zeros((0, 2)), np.zeros(0))


# --- targets --------------------------------------------------------------------------------------

BAD_TARGETS = [
    ("squared_error", 1, [0, 1, 2], ShapeError, r"\(4, 1\) or \(4,\), one row .* got \(3,\)"),
    ("squared_error", 1, np.zeros((4, 2)), ShapeError, r"y must have shape .* got \(4, 2\)"),
    ("squared_error", 3, np.zeros((4, 2)), ShapeError, r"y must have shape \(4, 3\).* \(4, 2\)"),
    ("squared_error", 1, [0, 1, np.nan, 1], DataError, "y contains NaN or infinity"),
    ("squared_error", 1, [0, 1, np.inf, 1], DataError, "y contains NaN or infinity"),
    ("squared_error", 1, list("abcd"), DataError, "y must hold numbers; .*MLPClassifier"),
    ("squared_error", 1, [0, 1, None, 1], DataError, "y must hold numbers; got dtype object"),
    ("squared_error", 1, 3.0, ShapeError, r"y must have shape .* got \(\)"),
    ("binary_cross_entropy", 1, [-1, 1, 1, -1], DataError, r"in \[0, 1\] .*got -1 … 1. Encode"),
    ("binary_cross_entropy", 1, [0, 1, 2, 1], DataError, r"y must lie in \[0, 1\]"),
    ("categorical_cross_entropy", 3, [0, 1, 2, 3], DataError, "numbers 0 … 2; got 0 … 3. Number"),
    ("categorical_cross_entropy", 3, [0, -1, 2, 1], DataError, "numbers 0 … 2; got -1 … 2"),
    ("categorical_cross_entropy", 3, [0, 0.5, 2, 1], ShapeError, "class numbers 0 … 2 for a"),
    ("categorical_cross_entropy", 3, [0, np.nan, 2, 1], ShapeError, "class numbers 0 … 2 for a"),
    ("categorical_cross_entropy", 2, [[0.5, 0.6]] * 4, DataError, "row 0 sums to 1.1. Divide"),
    ("categorical_cross_entropy", 2, [[1.5, -0.5]] * 4, DataError, r"y must lie in \[0, 1\]"),
    ("categorical_cross_entropy", 2, [[1, 0]] * 3 + [[0, 0]], DataError, "row 3 sums to 0"),
    ("poisson", 1, [-1, 0, 1, 2], DataError, "y must not be negative .*got -1. Use loss='squ"),
]


@pytest.mark.parametrize(
    ("loss", "k", "y", "error", "words"), BAD_TARGETS, ids=[str(c[4])[:30] for c in BAD_TARGETS]
)
def test_bad_targets_are_refused(loss: str, k: int, y: Any, error: Any, words: str) -> None:
    net = net_of(loss, k)
    state = net.initialize()
    for call in (
        lambda: net.loss_of(state, X4, y),
        lambda: train(net, state, X4, y),
        lambda: check_gradients(net, state, X4, y),
    ):
        with pytest.raises(error, match=words):
            call()


def test_class_numbers_are_one_hot_rows() -> None:
    labels, rows = np.array([2, 0, 1, 2]), np.eye(3)[[2, 0, 1, 2]]
    for loss in ("categorical_cross_entropy", "squared_error"):
        net = net_of(loss, 3)
        state = random_state(net, 0)
        assert net.loss_of(state, X4, labels) == net.loss_of(state, X4, rows)
        for kind in (np.int8, np.uint16, np.float64):
            assert net.loss_of(state, X4, labels.astype(kind)) == net.loss_of(state, X4, rows)


def test_one_output_takes_a_vector_or_a_column() -> None:
    for loss in ("squared_error", "binary_cross_entropy", "poisson"):
        net = net_of(loss)
        state, y = random_state(net, 0), np.array([0, 1, 1, 0])
        assert net.loss_of(state, X4, y) == net.loss_of(state, X4, y[:, None])
        assert net.loss_of(state, X4, y) == net.loss_of(state, X4, y.astype(bool))


def test_soft_targets_mix_losses() -> None:
    for loss in ("categorical_cross_entropy", "binary_cross_entropy"):
        net = net_of(loss, 2)
        state = random_state(net, 0)
        hot = [net.loss_of(state, X4, np.tile(row, (4, 1))) for row in ([1.0, 0.0], [0.0, 1.0])]
        mixed = net.loss_of(state, X4, np.tile([0.25, 0.75], (4, 1)))
        assert mixed == pytest.approx(0.25 * hot[0] + 0.75 * hot[1], rel=1e-12)


# --- weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "error", "words"),
    [
        ([1, 1, 1], ShapeError, r"sample_weight must have shape \(4,\); got \(3,\)"),
        ([[1], [1], [1], [1]], ShapeError, "sample_weight must have shape"),
        ([1, 1, -1, 1], DataError, "finite, not negative, and not all zero"),
        ([0, 0, 0, 0], DataError, "not all zero"),
        ([1, np.nan, 1, 1], DataError, "sample_weight must be finite"),
        ([1, np.inf, 1, 1], DataError, "sample_weight must be finite"),
    ],
)
def test_bad_weights_are_refused(weight: Any, error: Any, words: str) -> None:
    net = net_of("squared_error")
    for call in (net.loss_of, net.score):
        with pytest.raises(error, match=words):
            call(net.initialize(), X4, np.zeros(4), weight)
    with pytest.raises(error, match=words):
        train(net, net.initialize(), X4, np.zeros(4), sample_weight=weight)


# --- scores ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", HEADS)
def test_scores_equal_scikit_learns(loss: str, weighted: bool) -> None:
    k = 3
    net = net_of(loss, k)
    state, data = random_state(net, 0), random_data(net, 60, 1)
    weight = data.weight if weighted else None
    a = net.predict(state, data.x)
    if loss == "categorical_cross_entropy":
        y = np.argmax(data.y, axis=1)
        expected = accuracy_score(y, np.argmax(a, axis=1), sample_weight=weight)
    elif loss == "binary_cross_entropy":
        y = data.y
        expected = accuracy_score(y, a > 0.5, sample_weight=weight)  # all labels of a row right
    else:
        y = data.y
        expected = r2_score(y, a, sample_weight=weight)
    assert net.score(state, data.x, y, weight) == pytest.approx(expected, rel=1e-12)


def test_a_probability_of_one_half_is_class_0() -> None:
    """M1, as scikit-learn."""
    net = Network(2, [Dense(1, "sigmoid")], "binary_cross_entropy")
    state = State(np.zeros(3))
    assert (net.predict(state, X4) == 0.5).all()
    assert net.score(state, X4, np.zeros(4)) == 1.0
    assert net.score(state, X4, np.ones(4)) == 0.0


def test_infinite_outputs_have_no_score() -> None:
    net = Network(1, [Dense(1, "exp")], "poisson")
    assert np.isnan(net.score(State(np.array([1e4, 0.0])), [[1.0], [2.0]], [1.0, 2.0]))


def test_squared_error_on_classes_scores_as_classes() -> None:
    net = Network(2, [Dense(2)])
    state = State(np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]))  # the outputs are the inputs
    labels = np.argmax(X4, axis=1)
    assert net.score(state, X4[:2], labels[:2]) == 1.0
    assert net.score(state, X4[:2], 1 - labels[:2]) == 0.0


# --- states and the public names ------------------------------------------------------------------


def test_named_parameters_are_live_views() -> None:
    net = net_of("squared_error")
    state = net.initialize(0)
    views = net.parameters(state)
    before = net.predict(state, X4)
    views["b2"][...] += 2.0
    np.testing.assert_allclose(net.predict(state, X4), before + 2.0)
    assert all(np.shares_memory(view, state.theta) for view in views.values())
    train(net, state, X4, np.zeros(4), optimizer=SGD(0.1), epochs=1)
    assert all(np.shares_memory(view, state.theta) for view in views.values())
    assert views["b2"][0] == state.theta[-1]


def test_the_public_names() -> None:
    """The names are pinned in test_public_names.py."""
    assert all(hasattr(deltarule, name) for name in deltarule.__all__)
    assert not hasattr(deltarule, "no_such_name")


def test_the_tree_of_errors() -> None:
    drawn = (errors.__doc__ or "").split("::")[1].split("Each message")[0]
    for name in errors.__all__:
        error = getattr(errors, name)
        if issubclass(error, Warning):
            continue
        assert issubclass(error, errors.DeltaruleError)
        assert name in drawn
        bases = [base.__name__ for base in error.__bases__ if base is not errors.DeltaruleError]
        line = next(line for line in drawn.splitlines() if name in line)
        if error is not errors.DeltaruleError:
            assert f"({bases[0]})" in line


# --- known faults: each marker goes when its fault does -------------------------------------------


def test_a_list_of_the_wrong_shape_is_refused() -> None:
    net = net_of("squared_error")
    with pytest.raises(ShapeError, match=r"got \(2,\)"):
        net.predict(net.initialize(), [1.0, 2.0])


@pytest.mark.parametrize("where", ["X", "y", "weight"])
def test_numbers_beyond_float32_are_refused(where: str) -> None:
    net = net_of("squared_error", dtype="float32")
    given = {"X": X4, "y": np.zeros(4), "weight": np.ones(4)}
    given[where] = given[where] + 1e300
    with pytest.raises(DataError):
        net.loss_of(net.initialize(), given["X"], given["y"], given["weight"])


@pytest.mark.parametrize(
    "given", [{"X": [[1.0, 2.0], [3.0]] * 2}, {"y": [[1], [1, 2]] * 2}, {"weight": list("abcd")}]
)
def test_ragged_rows_and_weights_that_are_not_numbers_are_refused(given: Any) -> None:
    net = net_of("squared_error")
    full = {"X": X4, "y": np.zeros(4), "weight": np.ones(4)} | given
    with pytest.raises(errors.DeltaruleError):
        net.loss_of(net.initialize(), full["X"], full["y"], full["weight"])


@pytest.mark.parametrize("size", [3, 99])
def test_the_state_of_another_network_is_refused(size: int) -> None:
    net = net_of("squared_error")
    with pytest.raises(ShapeError, match="theta"):
        net.predict(State(np.zeros(size)), X4)


def test_the_gradient_check_cannot_tell_if_the_cost_is_not_finite() -> None:
    net = Network(1, [Dense(1, "exp")], "poisson")
    state = State(np.array([1000.0, 0.0]))
    check = check_gradients(net, state, [[1.0]], [1.0])
    assert (check.verdict, check.floor) == ("cannot tell", np.inf)
    assert "The cost is not finite here. Check at smaller parameters or inputs." in str(check)


def test_the_poisson_loss_of_a_small_target_is_finite() -> None:
    net = replace(net_of("poisson"), layers=(Dense(1, "exp"),))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss = net.loss_of(State(np.array([0.0, 0.0, 20.0])), X4, np.full(4, 1e-300))
    assert loss == pytest.approx(np.exp(20.0))
