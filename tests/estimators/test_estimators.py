"""The estimators keep scikit-learn's conventions: arguments, attributes, data, copies, routing."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from packaging.version import Version
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer

from support.estimators import (
    KINDS,
    OURS,
    TASKS,
    THEIRS,
    data,
    noisy,
    ours,
    parameters,
    theirs,
    unconverged,
)

OWN_ARGUMENTS = [
    ("dropout", 0.0), ("batch_norm", False), ("engine", "compiled"), ("n_threads", None),
    ("input_dropout", 0.0), ("l1", 0.0), ("max_norm", None), ("gradient_clip", None),
    ("weight_init", "auto"), ("augment", None), ("dtype", "auto"), ("standardize", False),
    ("monitor", "auto"), ("on_divergence", "raise"), ("record_health", False),
    ("checkpoint", None), ("shards", None),
]  # fmt: skip
OF_ONE_KIND = {
    "classifier": [("label_smoothing", 0.0), ("class_weight", None)],
    "regressor": [("huber_delta", 1.0), ("quantile", 0.5)],
}


def quick(task: str, **arguments: Any) -> Any:
    return ours(task, **{"hidden_layer_sizes": 4, "max_iter": 5, "random_state": 0, **arguments})


def fitted(task: str, **arguments: Any) -> Any:
    with unconverged():
        return quick(task, **arguments).fit(*data(task))


# --- arguments and attributes ------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_are_scikit_learns_in_their_order_and_then_ours(kind: str) -> None:
    mine, peers = (inspect.signature(cls.__init__).parameters for cls in (OURS[kind], THEIRS[kind]))
    given = [(p.name, p.kind, p.default) for p in mine.values()]
    assert given[: len(peers)] == [(p.name, p.kind, p.default) for p in peers.values()]
    assert given[len(peers) :] == [
        (name, inspect.Parameter.KEYWORD_ONLY, default)
        for name, default in [*OWN_ARGUMENTS, *OF_ONE_KIND[kind]]
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_methods_take_what_scikit_learns_take(kind: str) -> None:
    for name in ("fit", "predict", "predict_proba", "predict_log_proba", "score", "partial_fit"):
        if not hasattr(THEIRS[kind](), name):
            assert not hasattr(OURS[kind](), name)
            continue
        mine, peers = (
            list(inspect.signature(getattr(cls, name)).parameters.values())
            for cls in (OURS[kind], THEIRS[kind])
        )
        given = [(p.name, p.kind, p.default) for p in mine if p.kind != p.KEYWORD_ONLY]
        assert given == [(p.name, p.kind, p.default) for p in peers]
    assert is_classifier(OURS["classifier"]())
    assert is_regressor(OURS["regressor"]())


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_fitted_attributes_are_scikit_learns(kind: str, early_stopping: bool, solver: str) -> None:
    if kind == "classifier" and early_stopping and Version(sklearn.__version__) < Version("1.9"):
        pytest.skip("scikit-learn's own early stopping fails on labels that are texts before 1.9")
    task = "binary" if kind == "classifier" else "numbers"
    arguments = {"solver": solver, "early_stopping": early_stopping, "max_iter": 3}
    X, y = data(task)
    frame = pd.DataFrame(X, columns=list("abcd"))
    mine, peers = ours(task, **arguments), theirs(task, **arguments)
    with unconverged():
        mine.fit(frame, y)
        peers.fit(frame, y)
    expected = {n for n in vars(peers) if n.endswith("_") and not n.startswith("_")}
    assert expected <= {n for n in dir(mine) if hasattr(mine, n)}
    for name in expected - {"coefs_", "intercepts_"}:
        a, b = getattr(mine, name), getattr(peers, name)
        assert type(a) is type(b) or (isinstance(a, float) and isinstance(b, float)), name
    unfit = [n for n in expected if hasattr(ours(task), n)]
    assert unfit == []


@pytest.mark.parametrize(
    "bad",
    [
        {"alpha": -1.0}, {"batch_size": 0}, {"learning_rate_init": 0.0}, {"power_t": -1},
        {"max_iter": 0}, {"shuffle": "yes"}, {"random_state": "a"}, {"tol": -1.0},
        {"momentum": 1.5}, {"beta_1": 1.0}, {"beta_2": -0.1},
        {"epsilon": 0.0}, {"n_iter_no_change": 0}, {"max_fun": 0}, {"hidden_layer_sizes": 0},
        {"hidden_layer_sizes": "big"}, {"hidden_layer_sizes": (3, 0)}, {"warm_start": 2},
        {"early_stopping": None}, {"nesterovs_momentum": "yes"}, {"verbose": -1},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_bad_arguments_are_refused_in_scikit_learns_words(kind: str, bad: dict[str, Any]) -> None:
    X, y = data("binary" if kind == "classifier" else "numbers")
    with pytest.raises(ValueError) as mine:  # noqa: PT011
        OURS[kind](**bad).fit(X, y)
    with pytest.raises(ValueError) as peers:  # noqa: PT011
        THEIRS[kind](**bad).fit(X, y)
    # in a set of names the order changes from run to run
    assert sorted(re.split(r"[ ,{}.]+", str(mine.value))) == sorted(
        re.split(r"[ ,{}.]+", str(peers.value))
    )


def test_layer_sizes_must_be_whole() -> None:
    X, y = data("numbers")
    with pytest.raises(ValueError, match=r"hidden_layer_sizes must hold integers; got \[2\.5\]"):
        ours("numbers", hidden_layer_sizes=[2.5]).fit(X, y)


@pytest.mark.parametrize("sizes", [3, (3,), [3], np.array([3]), np.int64(3)], ids=repr)
def test_layer_sizes_come_in_many_shapes(sizes: Any) -> None:
    model = fitted("numbers", hidden_layer_sizes=sizes)
    assert [w.shape for w in model.coefs_] == [(4, 3), (3, 1)]
    assert_array_equal(parameters(model), parameters(fitted("numbers", hidden_layer_sizes=3)))


def test_no_hidden_layer_is_a_linear_model() -> None:
    X, y = data("numbers")
    model = quick("numbers", hidden_layer_sizes=(), solver="lbfgs", alpha=0.0, tol=1e-8)
    model.set_params(max_iter=200).fit(X, y)
    ones = np.column_stack([X, np.ones(len(X))])
    assert_allclose(model.predict(X), ones @ np.linalg.lstsq(ones, y)[0], atol=1e-6)
    assert model.n_layers_ == 2


@pytest.mark.parametrize("kind", KINDS)
def test_partial_fit_is_there_for_the_stochastic_solvers_only(kind: str) -> None:
    assert hasattr(OURS[kind](solver="sgd"), "partial_fit")
    assert hasattr(OURS[kind](), "partial_fit")
    assert not hasattr(OURS[kind](solver="lbfgs"), "partial_fit")
    task = "binary" if kind == "classifier" else "numbers"
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        fitted(task, early_stopping=True).partial_fit(*data(task))


@pytest.mark.parametrize("logit", [0.0, 1e-9, 40.0, 700.0, 5000.0])
def test_logarithms_of_probabilities_keep_their_digits(logit: float) -> None:
    """log p = −log(1 + e^−z) and log(1 − p) = −z + log p, also where 1 − p rounds to 0."""
    large, small = -np.log1p(np.exp(-logit)), -logit - np.log1p(np.exp(-logit))
    expected = {"binary": [small, large], "multilabel": [small] * 3}
    for task, values in expected.items():
        model = fitted(task, hidden_layer_sizes=())
        model.coefs_[0][:] = 0
        model.intercepts_[0][:] = logit if task == "binary" else -logit
        assert_allclose(model.predict_log_proba(np.ones((1, 4)))[0], values, rtol=1e-14)
    model = fitted("multiclass", hidden_layer_sizes=())
    model.coefs_[0][:] = 0
    model.intercepts_[0][:] = [0, logit, -1e6]
    found = model.predict_log_proba(np.ones((1, 4)))[0][:2]
    assert_allclose(found, [small, large], rtol=1e-14, atol=1e-16)
    assert_array_equal(model.predict(np.ones((1, 4))), model.classes_[[1 if logit else 0]])


@given(logits=arrays(float, 3, elements=st.floats(-800, 800)), tied=st.booleans())
def test_labels_rank_by_logarithm_as_by_probability(logits: Any, tied: bool) -> None:
    if tied:
        logits = np.abs(logits) + 40  # every probability rounds to 1
    model = fitted("multilabel", hidden_layer_sizes=())
    model.coefs_[0][:] = 0
    model.intercepts_[0][:] = logits
    probability = model.predict_proba(np.ones((1, 4)))[0]
    logarithm = model.predict_log_proba(np.ones((1, 4)))[0]
    assert_allclose(np.exp(logarithm), probability, rtol=1e-12, atol=1e-300)
    if probability.max() > 0.5:
        assert np.argmax(logarithm) == np.argmax(probability)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("label", [7, "cat"])
def test_a_single_class_is_always_predicted(solver: str, label: Any) -> None:
    X, y = data("binary")[0], [label] * 40
    with unconverged():
        model = quick("binary", solver=solver).fit(X, y)
    assert model.classes_.tolist() == [label]
    assert model.predict(X).tolist() == y
    assert_array_equal(model.predict_proba(X), np.ones((40, 1)))
    assert_array_equal(model.predict_log_proba(X), np.zeros((40, 1)))
    assert model.score(X, y) == 1
    model.intercepts_[-1][:] = 9.0  # even where the one output is sure of a second class
    assert model.predict(X).tolist() == y


def test_a_single_class_by_partial_fit() -> None:
    X = data("binary")[0]
    model = quick("binary").partial_fit(X, [1] * 40, classes=[1])
    assert model.predict(X).tolist() == [1] * 40
    with pytest.raises(ValueError, match=r"`y` has classes not in `self.classes_`"):
        model.partial_fit(X, [2] * 40)


# --- adam, whose ε is not scikit-learn's -------------------------------------------------------


@pytest.mark.parametrize("epsilon", [1e-8, 0.5, 20.0])
def test_a_constant_gradient_moves_adam_by_a_constant_step(epsilon: float) -> None:
    """With g constant m̂ = g and v̂ = g², so that T steps are −T η g/(|g| + ε), whatever β₁, β₂.

    scikit-learn's form divides by |g| + ε/√(1 − β₂ᵗ) instead.
    """
    rate, steps = 1e-9, 40
    arguments = {"hidden_layer_sizes": (), "learning_rate_init": rate, "alpha": 0.0,
                 "random_state": 0, "epsilon": epsilon}  # fmt: skip
    X, y = [[2.0]], [3.0]
    mine, peers = ours("numbers", **arguments), theirs("numbers", **arguments)
    mine.partial_fit(X, y)
    peers.partial_fit(X, y)
    w, b = mine.coefs_[0].item(), mine.intercepts_[0].item()
    w_peer = peers.coefs_[0].item()
    for _ in range(steps):
        mine.partial_fit(X, y)
        peers.partial_fit(X, y)
    residual = 2.0 * w + b - 3.0
    for moved, g in (
        (mine.coefs_[0].item() - w, 2 * residual),
        (mine.intercepts_[0].item() - b, residual),
    ):
        assert moved == pytest.approx(-steps * rate * g / (abs(g) + epsilon), rel=1e-5)
    if epsilon >= 0.5:
        assert abs(peers.coefs_[0].item() - w_peer) < 0.8 * abs(mine.coefs_[0].item() - w)


def test_at_the_usual_epsilon_the_two_adams_agree() -> None:
    X, y = data("numbers")
    arguments = {"hidden_layer_sizes": 4, "activation": "tanh", "random_state": 0, "max_iter": 50}
    mine, peers = ours("numbers", **arguments), theirs("numbers", **arguments)
    with unconverged():
        mine.fit(X, y)
        peers.fit(X, y)
    assert_allclose(mine.predict(X), peers.predict(X), atol=1e-5)


# --- more training: warm starts, early stopping, limits ------------------------------------------


def test_warm_start_goes_on_and_a_cold_one_begins_anew() -> None:
    X, y = data("numbers")
    with unconverged():
        cold = quick("numbers", solver="sgd", shuffle=False).fit(X, y)
        once = parameters(cold).copy()
        assert_array_equal(parameters(cold.fit(X, y)), once)
        warm = quick("numbers", solver="sgd", shuffle=False, warm_start=True).fit(X, y)
        assert_array_equal(parameters(warm), once)
        warm.fit(X, y)
    assert len(warm.loss_curve_) == 10
    assert warm.loss_ < cold.loss_
    assert warm.n_iter_ == 5


@pytest.mark.parametrize("change", ["layers", "targets"])
def test_warm_start_with_another_shape_is_refused(change: str) -> None:
    X, y = data("several numbers")
    model = fitted("several numbers", warm_start=True)
    before = parameters(model).copy()
    if change == "layers":
        model.set_params(hidden_layer_sizes=(7, 7))
    else:
        y = y[:, 0]
    with pytest.raises(ValueError, match=r"layers of \[4, 2\] units.*Set warm_start=False"):
        model.fit(X, y)
    assert_array_equal(parameters(model), before)


def test_early_stopping_restores_the_best_epoch() -> None:
    X, y = data("numbers", n=120)
    arguments = {"solver": "sgd", "learning_rate_init": 0.08, "batch_size": 4, "max_iter": 60,
                 "early_stopping": True, "n_iter_no_change": 4}  # fmt: skip
    with unconverged():
        model = quick("numbers", **arguments).fit(X, y)
    best = int(np.argmax(model.validation_scores_))
    assert best + 1 < model.n_iter_ < 60  # it continued, did not improve, and stopped
    assert model.best_validation_score_ == max(model.validation_scores_)
    with unconverged():
        shorter = quick("numbers", **{**arguments, "max_iter": best + 1}).fit(X, y)
    assert_array_equal(parameters(model), parameters(shorter))
    assert model.best_loss_ is None


def test_a_warm_fit_that_brings_nothing_keeps_the_best_parameters() -> None:
    X, y = data("numbers", n=120)
    model = quick("numbers", early_stopping=True, warm_start=True, max_iter=40, solver="sgd")
    with unconverged():
        model.fit(X, y)
        best, score = parameters(model).copy(), model.best_validation_score_
        model.set_params(learning_rate_init=0.5, max_iter=1).fit(X, -y)
    assert model.best_validation_score_ == score
    assert_array_equal(parameters(model), best)


@pytest.mark.parametrize("task", TASKS)
def test_own_validation_set(task: str) -> None:
    X, y = data(task, n=60)
    kept, held = slice(0, 45), slice(45, 60)
    with unconverged():
        model = quick(task, early_stopping=True, max_iter=12).fit(
            X[kept], y[kept], X_val=X[held], y_val=y[held]
        )
    assert len(model.validation_scores_) == model.n_iter_
    assert max(model.validation_scores_) == pytest.approx(model.score(X[held], y[held]), rel=1e-12)
    assert model.t_ == 45 * model.n_iter_  # nothing was held out of X


def test_own_validation_set_with_weights_and_sparse_rows() -> None:
    X, y = data("numbers", n=60)
    weight = np.linspace(0.1, 2, 15)
    with unconverged():
        model = quick("numbers", early_stopping=True).fit(
            X[:45], y[:45], X_val=sp.csr_array(X[45:]), y_val=y[45:], sample_weight_val=weight
        )
    expected = get_scorer("r2")(model, X[45:], y[45:], sample_weight=weight)
    assert max(model.validation_scores_) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        ({"early_stopping": True}, ["X_val"], "X_val and y_val go together"),
        ({"early_stopping": True}, ["y_val"], "X_val and y_val go together"),
        ({}, ["X_val", "y_val"], "set early_stopping=True"),
    ],
)
def test_half_a_validation_set_is_refused(
    arguments: dict[str, Any], given: list[str], message: str
) -> None:
    X, y = data("binary")
    both = {"X_val": X, "y_val": y}
    with pytest.raises(ValueError, match=message):
        quick("binary", **arguments).fit(X, y, **{name: both[name] for name in given})


def test_a_validation_set_that_does_not_fit_is_refused() -> None:
    X, y = data("binary")
    model = quick("binary", early_stopping=True)
    with pytest.raises(ValueError, match=r"same number of rows; got 40 and 5"):
        model.fit(X, y, X_val=X, y_val=y[:5])
    with pytest.raises(ValueError, match="X has 2 features, but MLPClassifier is expecting 4"):
        model.fit(X, y, X_val=X[:, :2], y_val=y)
    with pytest.raises(ValueError, match=r"has not seen: \['maybe'\]; known are \['no' 'yes'\]"):
        model.fit(X, y, X_val=X, y_val=np.full(40, "maybe"))


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_a_fit_cut_short_says_so_where_it_was_called(solver: str) -> None:
    with pytest.warns(ConvergenceWarning) as caught:
        quick("numbers", solver=solver, max_iter=2).fit(*data("numbers"))
    assert [w.filename for w in caught] == [__file__]


def test_a_batch_larger_than_the_data_says_so_where_it_was_called() -> None:
    with pytest.warns(UserWarning, match="Got `batch_size` less than 1") as caught, unconverged():
        quick("numbers", batch_size=41).fit(*data("numbers"))
    assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize("max_fun", [1, 4, 9])
def test_max_fun_limits_the_evaluations(max_fun: int) -> None:
    X, y = data("multiclass")
    arguments = {"solver": "lbfgs", "max_fun": max_fun, "max_iter": 1000, "random_state": 0}
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge after"):
        mine = ours("multiclass", **arguments).fit(X, y)
    with noisy():
        peers = theirs("multiclass", **arguments).fit(X, y)
    assert mine.n_iter_ == peers.n_iter_ <= max_fun


def test_verbose_prints_scikit_learns_lines(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = data("numbers")
    arguments = {"verbose": True, "solver": "sgd", "early_stopping": True, "max_iter": 3,
                 "random_state": 0}  # fmt: skip
    with unconverged():
        theirs("numbers", **arguments).fit(X, y)
        expected = capsys.readouterr().out
        ours("numbers", **arguments).fit(X, y)
        assert capsys.readouterr().out == expected
        ours("numbers", **{**arguments, "verbose": False}).fit(X, y)
    assert capsys.readouterr().out == ""
    assert expected.count("Iteration") == expected.count("Validation score") == 3
