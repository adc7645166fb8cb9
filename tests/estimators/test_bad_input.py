"""Invalid data are refused with scikit-learn's messages, or with ours if it has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from packaging.version import Version
from sklearn.exceptions import ConvergenceWarning

from deltarule import MLPClassifier
from support.estimators import data, noisy, ours, parameters, theirs, unconverged

NAN, INF = float("nan"), float("inf")

X4 = np.arange(8.0).reshape(4, 2)
HALF = [0, 1, 0, 1]

SAME_WORDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "NaN": ("binary", lambda m: m.fit([[NAN, 1]] * 4, HALF)),
    "infinity": ("binary", lambda m: m.fit([[INF, 1]] * 4, HALF)),
    "NaN in a sparse matrix": ("numbers", lambda m: m.fit(sp.csr_array([[NAN, 1.0]] * 4), HALF)),
    "NaN in y": ("numbers", lambda m: m.fit(X4, [0, 1, 2, NAN])),
    "infinity in y": ("numbers", lambda m: m.fit(X4, [0, 1, 2, INF])),
    "NaN among labels": ("binary", lambda m: m.fit(X4, [0, 1, 1, NAN])),
    "strings": ("binary", lambda m: m.fit([["a", "b"]] * 4, HALF)),
    "objects": ("binary", lambda m: m.fit(np.array([[1, object]] * 4), HALF)),
    "complex numbers": ("numbers", lambda m: m.fit(X4 * 1j, HALF)),
    "complex targets": ("numbers", lambda m: m.fit(X4, np.array(HALF) * 1j)),
    "no rows": ("binary", lambda m: m.fit(np.empty((0, 2)), [])),
    "no columns": ("binary", lambda m: m.fit(np.empty((4, 0)), HALF)),
    "one dimension": ("binary", lambda m: m.fit(np.ones(4), HALF)),
    "three dimensions": ("numbers", lambda m: m.fit(np.ones((4, 2, 2)), HALF)),
    "a scalar": ("numbers", lambda m: m.fit(3.0, HALF)),
    "rows of unequal length": ("numbers", lambda m: m.fit([[1, 2], [3]], [1, 2])),
    "fewer targets than rows": ("binary", lambda m: m.fit(X4, [0, 1, 0])),
    "no targets": ("binary", lambda m: m.fit(X4, None)),
    "numbers for classes": ("binary", lambda m: m.fit(X4, [0.5, 1, 0, 0.2])),
    "several outputs of classes": ("binary", lambda m: m.fit(X4, [[0, 2], [1, 1], [0, 0], [2, 1]])),
    "weights of another length": ("numbers", lambda m: m.fit(X4, HALF, np.ones(3))),
    "weights of two dimensions": ("numbers", lambda m: m.fit(X4, HALF, np.ones((4, 1)))),
    "NaN among weights": ("numbers", lambda m: m.fit(X4, HALF, [1, 1, 1, NAN])),
    "weights that are all zero": ("binary", lambda m: m.fit(X4, HALF, np.zeros(4))),
    "predicting before fitting": ("binary", lambda m: m.predict(X4)),
    "probabilities before fitting": ("binary", lambda m: m.predict_proba(X4)),
    "fewer columns": ("binary", lambda m: m.fit(X4, HALF).predict(X4[:, :1])),
    "more columns": ("numbers", lambda m: m.fit(X4, HALF).predict(np.ones((4, 3)))),
    "NaN at predict": ("numbers", lambda m: m.fit(X4, HALF).predict([[NAN, 1]])),
    "strings at predict": ("numbers", lambda m: m.fit(X4, HALF).predict([["a", "b"]])),
    "one row as a list": ("numbers", lambda m: m.fit(X4, HALF).predict([1.0, 2.0])),
    "no rows at predict": ("numbers", lambda m: m.fit(X4, HALF).predict(np.empty((0, 2)))),
    "other columns in partial_fit": (
        "numbers",
        lambda m: m.partial_fit(X4, HALF).partial_fit(X4[:, :1], HALF),
    ),
    "no classes in partial_fit": ("binary", lambda m: m.partial_fit(X4, HALF)),
    "other classes in partial_fit": (
        "binary",
        lambda m: m.partial_fit(X4, HALF, classes=[0, 1]).partial_fit(X4, HALF, classes=[1, 2]),
    ),
    "an unknown class in partial_fit": (
        "binary",
        lambda m: m.partial_fit(X4, [0, 1, 2, 0], classes=[0, 1]),
    ),
    "other classes in a warm fit": (
        "binary",
        lambda m: m.set_params(warm_start=True).fit(X4, HALF).fit(X4, [0, 1, 2, 0]),
    ),
    "a validation part of one row": (
        "numbers",
        lambda m: m.set_params(early_stopping=True).fit(X4, HALF),
    ),
}


@pytest.mark.parametrize("name", SAME_WORDS)
def test_messages_equal_those_of_scikit_learn(name: str) -> None:
    if name == "weights that are all zero" and Version(sklearn.__version__) < Version("1.9"):
        pytest.skip("scikit-learn accepts them before 1.9")
    task, do = SAME_WORDS[name]
    with noisy(), pytest.raises(Exception) as peers:  # noqa: PT011
        do(theirs(task, max_iter=2))
    with unconverged(), pytest.raises(type(peers.value)) as mine:
        do(ours(task, max_iter=2))
    assert str(mine.value) == str(peers.value)
    assert str(mine.value)


OUR_WORDS: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "a class with one row under early stopping": (
        "multiclass",
        lambda m: m.set_params(early_stopping=True).fit(
            np.ones((9, 2)), ["a"] * 4 + ["b"] * 4 + ["rare"]
        ),
        "The validation set is too small. Increase 'validation_fraction'",
    ),
    "the second of two classes with one row under early stopping": (
        "binary",
        lambda m: m.set_params(early_stopping=True).fit(X4, ["cat"] * 3 + ["dog"]),
        r"members are: \['True'\], that is \['dog'\]\. Give each",
    ),
    "strings for numbers": (
        "numbers",
        lambda m: m.fit(X4, ["a", "b", "c", "d"]),
        "dtype='numeric' is not compatible with arrays of bytes/strings",
    ),
    "a negative weight": (
        "numbers",
        lambda m: m.fit(X4, HALF, [1, 1, 1, -1]),
        "Negative values in data passed to `sample_weight`",
    ),
    "a negative count": (
        "counts",
        lambda m: m.fit(X4, [1, 0, -2, 1]),
        "y must not be negative with loss='poisson'; got -2. Use loss='squared_error'",
    ),
    "another number of targets": (
        "numbers",
        lambda m: m.partial_fit(X4, HALF).partial_fit(X4, X4),
        r"layers of \[100, 1\] units.*ask for \[100, 2\]. Set warm_start=False",
    ),
}
"""Where scikit-learn takes it, or fails without saying why."""


@pytest.mark.parametrize("name", OUR_WORDS)
def test_our_messages_say_what_to_do(name: str) -> None:
    task, do, message = OUR_WORDS[name]
    with pytest.raises(ValueError, match=message):
        do(ours(task, max_iter=2))


@pytest.mark.parametrize(
    "bad",
    [
        lambda m, X, y: m.fit(np.full_like(X, NAN), y),
        lambda m, X, y: m.fit(X[:5], y),
        lambda m, X, y: m.partial_fit(X[:, :2], y),
        lambda m, X, y: m.partial_fit(X, np.full(len(y), "perhaps")),
        lambda m, X, y: m.set_params(alpha=-1.0).fit(X, y),
        lambda m, X, y: m.fit(X, y, sample_weight=-np.ones(len(y))),
        lambda m, X, y: m.predict(X[:, :2]),
    ],
    ids=["NaN", "rows", "columns", "class", "argument", "weights", "predict"],
)
def test_a_refused_call_does_not_change_the_fitted_model(bad: Callable[..., Any]) -> None:
    X, y = data("binary")
    with unconverged():
        model = ours("binary", max_iter=3, random_state=0).fit(X, y)
    before, probability = parameters(model).copy(), model.predict_proba(X)
    with pytest.raises(ValueError):  # noqa: PT011
        bad(model, X, y)
    assert np.array_equal(parameters(model), before)
    assert np.array_equal(model.predict_proba(X), probability)
    assert model.score(X, y) > 0


@pytest.mark.parametrize("X", [X4.astype(int), X4.astype(object), X4.tolist(), X4 > 2], ids=repr)
def test_numbers_of_any_type_are_accepted(X: Any) -> None:
    y = [0.0, 1.0, 2.0, 4.0]
    arguments = {"solver": "sgd", "max_iter": 3, "random_state": 0}
    with unconverged():
        mine = ours("numbers", **arguments).fit(X, y)
        peers = theirs("numbers", **arguments).fit(X, y)
    np.testing.assert_allclose(mine.predict(X), peers.predict(X), rtol=1e-9)


def test_a_column_of_targets_is_flattened_with_scikit_learns_warning() -> None:
    X, y = data("numbers")
    with unconverged(), pytest.warns(UserWarning, match="A column-vector y was passed"):
        model = ours("numbers", max_iter=2).fit(X, y[:, None])
    assert model.predict(X).shape == (40,)


@pytest.mark.parametrize(
    "bad",
    [
        {"X_val": np.ones((3, 7)), "y_val": np.zeros(3)},
        {"X_val": np.ones((3, 4)), "y_val": np.array([5, 6, 7])},
        {"X_val": np.ones((3, 4)), "y_val": None},
        {"sample_weight": [-1.0] * 30},
    ],
    ids=["columns", "classes", "missing", "weights"],
)
def test_invalid_arguments_do_not_change_an_earlier_fit(bad: dict[str, object]) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 4)), np.arange(30) % 2
    model = MLPClassifier((3,), early_stopping=True, max_iter=2, random_state=0)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    before, attributes = model.predict_proba(X), sorted(vars(model))
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the words, nothing may change
        model.fit(X * 2, 1 - y, **bad)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert sorted(vars(model)) == attributes
