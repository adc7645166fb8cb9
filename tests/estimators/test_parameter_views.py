"""``coefs_`` and ``intercepts_`` are views: writing into them changes the model."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from support.estimators import TASKS, data, ours, parameters, theirs, unconverged

COPIED = {
    "as fitted": lambda model: model,
    "unpickled": lambda model: pickle.loads(pickle.dumps(model)),
    "deep copy": copy.deepcopy,
}
copied = pytest.mark.parametrize("take", COPIED.values(), ids=COPIED)


def fitted(task: str = "numbers", **arguments: Any) -> Any:
    with unconverged():
        return ours(
            task, hidden_layer_sizes=(3,), activation="tanh", max_iter=3, random_state=0,
            **arguments,
        ).fit(*data(task))  # fmt: skip


def by_hand(model: Any, X: Any) -> Any:
    """Return tanh(X W₁ + b₁) W₂ + b₂ from the lists."""
    (w1, w2), (b1, b2) = model.coefs_, model.intercepts_
    return (np.tanh(X @ w1 + b1) @ w2 + b2).ravel()


@copied
def test_writing_into_an_array_changes_the_predictions(take: Any) -> None:
    X, _ = data("numbers")
    model = take(fitted())
    before = model.predict(X)
    assert_allclose(before, by_hand(model, X), rtol=1e-12)
    model.coefs_[0][1, 2] += 0.5
    model.intercepts_[1][0] = 7.0
    assert_allclose(model.predict(X), by_hand(model, X), rtol=1e-12)
    assert np.all(model.predict(X) != before)
    assert model.intercepts_[1][0] == 7.0


@copied
def test_assigning_an_item_copies_into_the_model(take: Any) -> None:
    X, _ = data("numbers")
    model = take(fitted())
    view = model.coefs_[0]
    given_array = np.arange(12.0).reshape(4, 3) / 10
    model.coefs_[0] = given_array
    assert_array_equal(view, given_array)  # the old view is still the model's
    given_array[:] = 99.0
    assert model.coefs_[0].max() < 2  # and the caller's array is not
    model.intercepts_[-1] = [1.5]
    model.coefs_[1] += 1.0
    assert_allclose(model.predict(X), by_hand(model, X), rtol=1e-12)


@copied
def test_assigning_a_slice_or_the_whole_list(take: Any) -> None:
    X, _ = data("numbers")
    model = take(fitted())
    model.intercepts_[:] = [np.ones(3), np.full(1, 2.0)]
    assert_array_equal(np.concatenate(model.intercepts_), [1, 1, 1, 2])
    model.coefs_ = [np.zeros((4, 3)), np.zeros((3, 1))]
    model.intercepts_ = (np.zeros(3), [4.25])
    assert_array_equal(model.predict(X), np.full(40, 4.25))


def test_parameters_of_scikit_learns_estimator_can_be_copied() -> None:
    for task in TASKS:
        X, y = data(task)
        with unconverged():
            peers = theirs(task, hidden_layer_sizes=(3,), activation="tanh", max_iter=9).fit(X, y)
        model = fitted(task)
        model.coefs_, model.intercepts_ = peers.coefs_, peers.intercepts_
        assert_allclose(np.asarray(model.predict(X) == peers.predict(X)).mean(), 1.0, atol=0.999)
        last = "predict_proba" if hasattr(peers, "predict_proba") else "predict"
        assert_allclose(getattr(model, last)(X), getattr(peers, last)(X), rtol=1e-12, atol=1e-15)


@settings(max_examples=25, derandomize=True, deadline=None)
@given(shape=st.lists(st.integers(0, 5), max_size=3).map(tuple), at=st.integers(0, 1))
def test_a_wrong_shape_is_refused_and_changes_nothing(shape: tuple[int, ...], at: int) -> None:
    model = fitted()
    before = parameters(model).copy()
    array = np.ones(shape)
    for values in (model.coefs_, model.intercepts_):
        if shape == values[at].shape:
            continue
        with pytest.raises(ValueError, match="must have shape"):
            values[at] = array
        with pytest.raises(ValueError, match="must have shape"):
            values[at : at + 1] = [array]
        pair = [a + 1 for a in values]
        pair[at] = array
        with pytest.raises(ValueError, match="must have shape"):
            values.assign(pair)
    assert_array_equal(parameters(model), before)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_wrong_number_of_arrays_is_refused(count: int) -> None:
    model = fitted()
    before = parameters(model).copy()
    with pytest.raises(ValueError, match=f"2 arrays are needed, one for each layer; got {count}"):
        model.coefs_ = [np.zeros((4, 3))] * count
    with pytest.raises(ValueError, match=f"2 arrays are needed, one for each layer; got {count}"):
        model.intercepts_[:] = [np.zeros(3)] * count
    assert_array_equal(parameters(model), before)


def test_an_old_view_stays_valid_while_training_continues() -> None:
    X, y = data("numbers")
    model = fitted()
    views = [*model.coefs_, *model.intercepts_]
    before = parameters(model).copy()
    for _ in range(3):
        model.partial_fit(X, y)
    assert not np.array_equal(parameters(model), before)
    assert_array_equal(np.concatenate([v.ravel() for v in views]), parameters(model))
    views[0][...] = 0
    assert not model.coefs_[0].any()
    assert_allclose(model.predict(X), by_hand(model, X), rtol=1e-12)


def test_an_old_view_stays_valid_after_a_warm_fit_that_restores_the_best() -> None:
    X, y = data("numbers")
    model = fitted(warm_start=True, early_stopping=True)
    view = model.coefs_[0]
    with unconverged():
        model.fit(X, y)
    assert_array_equal(view, model.coefs_[0])
    assert np.shares_memory(view, model.coefs_[0])


def test_training_starts_from_what_was_written() -> None:
    X, y = data("numbers")
    model = fitted(solver="sgd", momentum=0.0, shuffle=False, alpha=0.0, learning_rate_init=0.1)
    model.coefs_ = [np.zeros((4, 3)), np.zeros((3, 1))]
    model.intercepts_ = [np.zeros(3), np.zeros(1)]
    model.partial_fit(X, y)
    # with all at zero only the output's bias has a gradient: the mean residual
    assert_allclose(model.intercepts_[1], [0.1 * np.mean(y)], rtol=1e-12)
    assert not model.coefs_[0].any()
    assert not model.coefs_[1].any()


def test_copies_have_their_own_views() -> None:
    model = fitted()
    twin = pickle.loads(pickle.dumps(model))
    twin.coefs_[0][...] = 0
    assert model.coefs_[0].all()
    loose = pickle.loads(pickle.dumps(model.coefs_))
    assert type(loose) is list
    loose[0][...] = 0
    assert model.coefs_[0].all()
    joined = model.coefs_ + model.intercepts_  # as code written for scikit-learn does
    assert type(joined) is list
    assert len(joined) == 4


def test_before_fit_there_are_no_parameters() -> None:
    for name in ("coefs_", "intercepts_"):
        assert not hasattr(ours("numbers"), name)
        with pytest.raises(AttributeError, match=f"'MLPRegressor' object has no attribute '{name}"):
            getattr(ours("numbers"), name)
