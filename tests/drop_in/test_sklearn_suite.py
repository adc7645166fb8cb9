"""scikit-learn's own tests, run on our estimators: its estimator checks, and its MLP's suite."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
import textwrap
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    estimator_checks_generator,
    parametrize_with_checks,
)

from support.estimators import KINDS, OURS, THEIRS, data

# --- the checks of an estimator ----------------------------------------------------------------

# What scikit-learn's checks provoke on purpose, or by asking for very few epochs.
PROVOKED = [
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:Can't check dok sparse matrix for nan or inf:UserWarning",
]


def provoked(function: Any) -> Any:
    for warning in PROVOKED:
        function = pytest.mark.filterwarnings(warning)(function)
    return function


@provoked
@parametrize_with_checks([OURS[kind](max_iter=100) for kind in KINDS])
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("kind", KINDS)
def test_no_check_is_left_out(kind: str) -> None:
    """At least the checks that scikit-learn's own estimator is put through."""

    def names(estimator: Any) -> set[str]:
        checks = estimator_checks_generator(estimator, mark=None)
        return {getattr(check, "func", check).__name__ for _, check in checks}

    assert names(OURS[kind]()) >= names(THEIRS[kind]())
    assert len(names(THEIRS[kind]())) > 40


@provoked
@pytest.mark.parametrize(
    "estimator",
    [
        OURS["classifier"](max_iter=100, solver="lbfgs"),
        OURS["regressor"](max_iter=100, solver="sgd", tol=1e-2, random_state=42),
    ],
    ids=KINDS,
)
def test_weights_equal_repetitions(estimator: Any) -> None:
    """The variants that scikit-learn checks for its MLP, where the others are not exact."""
    check_sample_weight_equivalence_on_dense_data(type(estimator).__name__, estimator)


# --- the suite of its multilayer perceptron ----------------------------------------------------

PRIVATE = {
    "test_fit": "sets attributes of an estimator that is not fitted; see test_one_step_by_hand",
    "test_gradient": "calls private methods; see test_estimator_gradients",
    "test_learning_rate_warmstart": "reads _optimizer; see test_estimator_parity",
    "test_adaptive_learning_rate": "reads _optimizer; see test_adaptive_ends_below_a_millionth",
    "test_n_iter_no_change": "reads _no_improvement_count; see test_patience",
    "test_n_iter_no_change_inf": "reads _no_improvement_count; see test_endless_patience",
}
"""The tests that reach into private attributes, and where ours stand that say the same."""


def borrowed() -> dict[str, Any]:
    """Return the tests of the installed scikit-learn, with our estimators for its own."""
    package = importlib.util.find_spec("sklearn.neural_network")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent / "tests" / "test_mlp.py"
    source = path.read_text(encoding="utf-8")
    imported = "from sklearn.neural_network import MLPClassifier, MLPRegressor\n"
    assert source.count(imported) == 1, "scikit-learn's suite no longer looks as expected"
    source = source.replace(imported, "from deltarule import MLPClassifier, MLPRegressor\n")
    module = types.ModuleType("borrowed_test_mlp")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    exec(compile(source, str(path), "exec"), vars(module))
    return {name: value for name, value in vars(module).items() if name.startswith("test_")}


@pytest.fixture
def global_random_seed() -> int:
    """Replace the fixture of scikit-learn's own test configuration."""
    return 42


def adopt(name: str, function: Any) -> Any:
    function = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")(function)
    if name in PRIVATE:
        function = pytest.mark.skip(reason=PRIVATE[name])(function)
    return function


BORROWED = borrowed()
globals().update({name: adopt(name, function) for name, function in BORROWED.items()})


def private_attributes(function: Any) -> set[str]:
    """Return the attributes with a leading underscore that a function's source names."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {name for name in names if name.startswith("_")}


def test_only_tests_that_reach_into_private_attributes_are_left_out() -> None:
    assert {name for name, function in BORROWED.items() if private_attributes(function)} == set(
        PRIVATE
    )
    assert len(BORROWED) >= 42


# --- what those mean ---------------------------------------------------------------------------


def test_one_step_by_hand() -> None:
    """scikit-learn's worked example of one step of gradient descent, its figures by hand."""
    X, y = np.array([[0.6, 0.8, 0.7]]), np.array([0])
    model = OURS["classifier"](
        hidden_layer_sizes=2, activation="logistic", solver="sgd", alpha=0.1,
        learning_rate_init=0.1, momentum=0, learning_rate="constant", random_state=1,
    )  # fmt: skip
    model.partial_fit(X, y, classes=[0, 1])
    model.coefs_ = [[[0.1, 0.2], [0.3, 0.1], [0.5, 0]], [[0.1], [0.2]]]
    model.intercepts_ = [[0.1, 0.1], [1.0]]
    model.partial_fit(X, y)
    first = [[0.098, 0.195756], [0.2956664, 0.096008], [0.4939998, -0.002244]]
    assert_allclose(model.coefs_[0], first, atol=1.5e-3)
    assert_allclose(model.coefs_[1], [[0.04706], [0.154089]], atol=1.5e-3)
    assert_allclose(model.intercepts_[0], [0.098333, 0.09626], atol=1.5e-3)
    assert_allclose(model.intercepts_[1], [0.9235], atol=1.5e-3)
    assert model.predict_proba(X)[0, 1] == pytest.approx(0.739, abs=1.5e-3)


def test_adaptive_ends_below_a_millionth() -> None:
    """η₀ is divided by 5 until it is 1e-6 or less, with a patience of two epochs at every rate."""
    X, y = [[3, 2], [1, 6]], [1, 0]
    model = OURS["classifier"](
        tol=0.5, max_iter=3000, solver="sgd", learning_rate="adaptive", n_iter_no_change=2,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    rates = 1 + int(np.ceil(np.log(1e-3 / 1e-6) / np.log(5)))  # 1e-3, 2e-4, …, 3.2e-7
    first_epoch_is_progress = 1
    assert model.n_iter_ == first_epoch_is_progress + 3 * rates


@pytest.mark.parametrize("patience", [2, 5, 10, 50])
def test_patience(patience: int) -> None:
    """Only the first epoch is an improvement: the fit ends after patience + 1 more epochs."""
    X, y = data("binary")
    model = OURS["classifier"](
        tol=1e3, max_iter=3000, solver="sgd", n_iter_no_change=patience, random_state=0
    ).fit(X, y)
    assert model.n_iter_ == 1 + patience + 1


def test_endless_patience() -> None:
    X, y = data("binary")
    model = OURS["classifier"](tol=1e9, max_iter=70, solver="sgd", n_iter_no_change=np.inf)
    with pytest.warns(match="Maximum iterations .70. reached"):
        model.fit(X, y)
    assert model.n_iter_ == 70
