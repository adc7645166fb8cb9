"""Messages name the argument, never the inside, and what they advise works."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, StackingRegressor, VotingRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import deltarule
from deltarule import SGD, Adam, Dense, MLPClassifier, MLPRegressor, Network, State, train
from deltarule.errors import (
    DataError,
    DeltaruleError,
    DivergenceError,
    FrozenTrainingWarning,
    ShapeError,
    SpecError,
)
from deltarule.estimators.parameter_constraints import CLASSIFIER, REGRESSOR
from deltarule.reference.gradient_check import check_function
from deltarule.schedules import Cosine
from support.estimators import unconverged
from support.faults import report
from support.public_calls import CALLS

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
y = X @ [1.0, 2.0, 3.0]
codes = (y > 0).astype(int)
FIT: dict[str, Any] = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}
INSIDE = re.compile(
    r"state\.|self\.|_model|optimizer_state|object has no attribute|not supported between|"
    r"could not be broadcast|operands|positional argument|float\(\) argument|subscriptable"
)


# --- arrays that cannot be written ---------------------------------------------------------------


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("solver", ["adam", "sgd", "rprop"])
def test_a_memory_mapped_model_trains_further(
    tmp_path: Path, solver: str, batch_norm: bool
) -> None:
    options = {**FIT, "solver": solver, "batch_norm": batch_norm, "standardize": True}
    with unconverged():
        model = MLPClassifier(**options).fit(X, codes)
        joblib.dump(model, tmp_path / "m")
        before = (tmp_path / "m").read_bytes()
        mapped = joblib.load(tmp_path / "m", mmap_mode="r")
        np.testing.assert_array_equal(mapped.predict_proba(X), model.predict_proba(X))
        for one in (model, mapped):
            one.partial_fit(X, codes)
        np.testing.assert_array_equal(mapped.predict_proba(X), model.predict_proba(X))
        warm = joblib.load(tmp_path / "m", mmap_mode="r").set_params(warm_start=True)
        warm.fit(X, codes)
        other = joblib.load(tmp_path / "m", mmap_mode="r")
        other.coefs_ = [2 * w for w in other.coefs_]
    assert (tmp_path / "m").read_bytes() == before


def test_a_read_only_state_is_refused_with_what_to_do() -> None:
    net = Network(3, [Dense(1)])
    state = net.initialize(0)
    state.theta.flags.writeable = False
    with pytest.raises(DataError, match=r"read-only\. Use state\.copy\(\)"):
        train(net, state, X, y)
    train(net, state.copy(), X, y)


# --- parameters of parameters --------------------------------------------------------------------


def test_a_search_sets_the_constants_of_an_optimizer() -> None:
    shared = SGD(0.1)
    model = MLPClassifier(**FIT, solver=shared, learning_rate=Cosine())
    assert model.get_params()["solver__learning_rate"] == 0.1
    assert "solver__learning_rate" not in model.get_params(deep=False)
    with unconverged():
        search = GridSearchCV(model, {"solver__learning_rate": [1e-9, 0.2]}, cv=2).fit(X, codes)
        assert search.best_estimator_.solver == SGD(0.2)
        pipe = make_pipeline(StandardScaler(), clone(model))
        pipe.set_params(mlpclassifier__solver__momentum=0.9)
    assert pipe[-1].solver == SGD(0.1, 0.9)
    assert shared == SGD(0.1)  # it may be another estimator's, too
    model.set_params(solver=Adam(), solver__beta1=0.5)
    assert model.solver == Adam(beta1=0.5)
    assert {k: v for k, v in model.get_params().items() if k.startswith("solver__beta")} == {
        "solver__beta1": 0.5, "solver__beta2": 0.999,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("solver", "name", "said"),
    [("sgd", "learning_rate", "learning_rate_init"), (SGD(), "rate", "learning_rate, momentum")],
)
def test_constants_that_a_solver_lacks_are_refused(solver: Any, name: str, said: str) -> None:
    with pytest.raises(SpecError, match=rf"solver__{name}.*{said}"):
        MLPClassifier(solver=solver).set_params(**{f"solver__{name}": 0.1})


# --- early stopping ------------------------------------------------------------------------------


def test_bagging_with_early_stopping_never_watches_rows_of_weight_zero() -> None:
    weight = np.zeros(40)
    weight[:3] = 1
    early = {**FIT, "early_stopping": True}
    fits = 0
    with unconverged():
        for seed in range(20):
            MLPRegressor(**early | {"random_state": seed}).fit(X, y, sample_weight=weight)
            fits += 1
        for bag, base, targets in (
            (BaggingRegressor, MLPRegressor, y), (BaggingClassifier, MLPClassifier, codes),
        ):  # fmt: skip
            bag(base(**early), n_estimators=10, random_state=0).fit(X[:20], targets[:20])
    weight[1:3] = 0
    with pytest.raises(DataError, match=r"sample_weight has 1\..*early_stopping=False"):
        MLPRegressor(**early).fit(X, y, sample_weight=weight)
    with unconverged():
        MLPRegressor(**FIT, early_stopping=False).fit(X, y, sample_weight=weight)
    with pytest.raises(DataError, match="sample_weight_val is 0 for every row"):
        MLPRegressor(**early).fit(X, y, X_val=X, y_val=y, sample_weight_val=np.zeros(40))
    report("messages", checked=fits)


@pytest.mark.parametrize("returned", [None, "0.5", [0.5], np.ones(2), 1j])
def test_a_monitor_that_returns_no_number(returned: Any) -> None:
    model = MLPRegressor(**FIT, early_stopping=True, monitor=lambda est, X, y: returned)
    with pytest.raises(SpecError, match=r"monitor=.* must return a number.*Return a float"):
        model.fit(X, y)


def test_a_monitor_with_other_parameters() -> None:
    with pytest.raises(SpecError, match=r"monitor=.*monitor\(estimator, X, y\)"):
        MLPRegressor(**FIT, early_stopping=True, monitor=lambda est: 1.0).fit(X, y)


# --- NumPy's scalars -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_parameters_take_numpy_scalars(kind: Any) -> None:
    """Every number of a constructor, as a NumPy scalar, gives the fit of the Python number."""
    numbers = {
        "alpha": 0.25, "learning_rate_init": 0.0625, "power_t": 0.5, "tol": 0.125, "momentum": 0.5,
        "validation_fraction": 0.2, "beta_1": 0.5, "beta_2": 0.75, "epsilon": 0.125, "dropout": 0.5,
        "input_dropout": 0.25, "l1": 0.125, "max_norm": 2.0, "gradient_clip": 1.0,
        "huber_delta": 0.5,
    }  # fmt: skip
    counts = {
        "hidden_layer_sizes": 4, "batch_size": 8, "max_iter": 3, "n_iter_no_change": 2,
        "max_fun": 99, "n_threads": 1, "random_state": 0,
    }  # fmt: skip
    flags = dict.fromkeys(("shuffle", "nesterovs_momentum", "early_stopping", "standardize"), True)
    plain = numbers | counts | flags
    scalars = {k: kind(v) for k, v in numbers.items()} | {k: np.int32(v) for k, v in counts.items()}
    scalars |= {k: np.bool_(v) for k, v in flags.items()}
    for solver in ("adam", "sgd"):
        with unconverged():
            one = MLPRegressor("huber", **plain, solver=solver).fit(X, y)
            other = MLPRegressor("huber", **scalars, solver=solver).fit(X, y)
        np.testing.assert_array_equal(one.predict(X), other.predict(X))
    assert set(plain) <= set(REGRESSOR)


# --- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["adam", "sgd", "rprop", "nadam", "adadelta"])
def test_partial_fit_after_a_change_of_solver(first: str) -> None:
    model = MLPRegressor(**FIT, solver=first).partial_fit(X, y)
    for solver in ("sgd", "adam", "adamw", "adagrad", "rmsprop", "ema_momentum"):
        fresh = clone(model).set_params(solver=solver).partial_fit(X, y)
        fresh.coefs_, fresh.intercepts_ = model.coefs_, model.intercepts_
        fresh.state_.optimizer_state = None
        assert np.isfinite(model.set_params(solver=solver).partial_fit(X, y).loss_)


def test_a_stream_that_begins_with_one_row_cannot_learn_scales() -> None:
    with pytest.raises(DataError, match=r"standardize=True.*got 1 row.*at least 2 rows"):
        MLPRegressor(**FIT, standardize=True).partial_fit(X[:1], y[:1])
    weight = np.eye(40)[0]
    with pytest.raises(DataError, match="got 1 row of non-zero weight"):
        MLPRegressor(**FIT, standardize=True).partial_fit(X, y, sample_weight=weight)
    model = MLPRegressor(**FIT, standardize=True).partial_fit(X[:20], y[:20])
    np.testing.assert_allclose(model.scales_.X_scale, X[:20].std(axis=0))
    model.partial_fit(X[:1], y[:1])
    MLPRegressor(**FIT, standardize=False).partial_fit(X[:1], y[:1])


# --- the rest of the list ------------------------------------------------------------------------


@pytest.mark.parametrize("ensemble", [VotingRegressor, StackingRegressor])
def test_ensembles_refuse_a_list_of_quantiles(ensemble: Any) -> None:
    listed = MLPRegressor("quantile", **FIT, quantile=[0.1, 0.9])
    with pytest.raises(ValueError, match="should be a regressor"):
        ensemble([("a", listed)]).fit(X, y)
    with unconverged():
        single = VotingRegressor([("a", listed.set_params(quantile=0.5))]).fit(X, y)
    assert single.predict(X).shape == y.shape


@pytest.mark.parametrize("sizes", [(6,), 6, [6, 3], np.array([6])])
def test_sizes_given_as_the_loss(sizes: Any) -> None:
    with pytest.raises(ValueError, match=r"'loss' parameter .* write\s+hidden_layer_sizes="):
        MLPRegressor(sizes).fit(X, y)


@pytest.mark.parametrize("wrong", [[0.0, 0.0], None, "θ", 3])
def test_states_that_are_none(wrong: Any) -> None:
    net = Network(3, [Dense(1)])
    for state in (wrong, State(wrong)):
        calls: list[Callable[[], Any]] = [
            lambda state=state: net.predict(state, X),
            lambda state=state: net.predictor(state),
            lambda state=state: net.score(state, X, y),
            lambda state=state: net.loss_of(state, X, y),
            lambda state=state: net.losses(state, X, y),
            lambda state=state: net.log_likelihood(state, X, y),
            lambda state=state: net.parameters(state),
            lambda state=state: train(net, state, X, y),
        ]
        for call in calls:
            with pytest.raises(DataError, match=r"state.* must be .*; got .*net\.initialize"):
                call()
    net.predict(State(np.asarray([0.0, 0.0, 0.0, 0.0])), X)


def test_check_function_takes_a_vector() -> None:
    f, gradient = lambda x: float((x**2).sum()), lambda x: 2 * x
    column = np.ones((5, 1))
    with pytest.raises(ShapeError, match=r"x must be a vector.*\(5, 1\).*numpy\.ravel"):
        check_function(f, gradient, column)
    assert check_function(f, gradient, np.ravel(column)).verdict == "right"
    with pytest.raises(ShapeError, match=r"gradient\(x\) must have shape"):
        check_function(f, lambda x: 2 * x[:2], np.ones(5))


def test_train_takes_names_and_minimizers_their_iterations() -> None:
    net = Network(3, [Dense(1)])
    history = train(net, net.initialize(0), X, y, optimizer="adam", schedule="cosine")
    assert history.n_epochs == 10
    assert train(net, net.initialize(0), X, y, optimizer="lbfgs").converged


# --- wrong values for every argument -------------------------------------------------------------

WRONG: list[Any] = [
    None, "wrong", "", -1, -0.5, np.nan, np.inf, 0, object(), [], {}, (1, "a"),
    np.zeros((2, 2)), 1j, b"x", [None], lambda: None, np.datetime64("2020"),
]  # fmt: skip


def names_argument(error: Exception, name: str) -> bool:
    text = str(error)
    stem = {"epsilon": "epsilon|eps", "quantile": "quantile|levels"}.get(name, re.escape(name))
    return bool(re.search(stem, text)) and not INSIDE.search(text.split("got", maxsplit=1)[0])


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_every_wrong_argument_of_a_constructor_is_named(kind: str) -> None:
    made, constraints = (
        (MLPClassifier, CLASSIFIER) if kind == "classifier" else (MLPRegressor, REGRESSOR)
    )
    targets, refused, unnamed = (codes if kind == "classifier" else y), 0, []
    for name in constraints:
        for value in WRONG:
            options = {**FIT, "max_iter": 1, name: value}
            if name in ("n_threads", "verbose", "checkpoint"):  # 0 and "wrong" may be right
                continue
            if callable(value) and name in ("weight_init", "augment"):  # the user's own code
                continue
            try:
                with unconverged():
                    made(**options).fit(X, targets)
            except (ValueError, TypeError) as error:
                refused += 1
                if not names_argument(error, name):
                    unnamed.append((name, value, type(error).__name__, str(error)[:200]))
    assert not unnamed
    report("messages", checked=refused)


def test_every_wrong_argument_of_train_is_named() -> None:
    net = Network(3, [Dense(2, "tanh"), Dense(1)])
    names = [
        "state",
        "X",
        "y",
        "optimizer",
        "batch_size",
        "epochs",
        "seed",
        "sample_weight",
        "stopping",
        "schedule",
        "clipping",
        "n_threads",
        "engine",
        "resume",
    ]
    refused, unnamed = 0, []
    for name in names:
        for value in WRONG:
            given = {"state": net.initialize(0), "X": X, "y": y, "epochs": 1, name: value}
            try:
                train(net, **given)
            except DeltaruleError as error:
                refused += 1
                if not re.search(rf"\b{name}", str(error)):
                    unnamed.append((name, value, str(error)[:200]))
            except Exception as error:
                unnamed.append((name, value, type(error).__name__, str(error)[:200]))
    assert not unnamed
    report("messages", checked=refused)


# --- every public callable -----------------------------------------------------------------------

ANYTHING: list[Any] = [
    None, "wrong", "", -1, -0.5, 0, np.nan, np.inf, True, object(), [], {}, (1, "a"), 1j, b"x",
    [None], lambda: None, np.datetime64("2020"), date(2020, 1, 1), [[1.0], [1.0, 2.0]], 10**400,
    1e308, np.zeros((2, 2)), np.zeros(0), np.zeros((0, 3)), np.zeros((3, 4, 5)), np.array(["a"]),
    np.full(24, np.nan), np.full((24, 3), np.nan), np.array(2.0),
]  # fmt: skip
NEVER = (object, dict, bytes, complex, date, np.datetime64)  # what no argument takes

# scikit-learn's own words about X, y and weights, which the estimators share with it.
SHARED = re.compile(
    r"Expected 2D array|inconsistent numbers of samples|Found array with|could not convert string|"
    r"argument must be a string or a real number|at least 1 dimension|Complex data not supported|"
    r"inhomogeneous shape|not fitted with multilabel|multilabel|fits failed|Unknown label type|"
    r"int too large|Input contains NaN|has classes not in"
)
ALIASES = {
    "given": "schedule", "path": "path|file", "folder": "folder|file", "checkpoint": "folder",
    "count": "count|shards",
    "net": "net|layers", "sample_weight": "sample_weight|Sample weights",
    "sample_weight_val": "sample_weight_val|Sample weights",
}  # fmt: skip


def numbers_of(result: Any) -> list[float]:
    """Return the floating-point numbers in a result, wherever they stand."""
    if isinstance(result, float | np.floating):
        return [float(result)]
    if isinstance(result, np.ndarray):
        return result.ravel().tolist() if result.dtype.kind == "f" else []
    if is_dataclass(result) and not isinstance(result, type):
        result = [getattr(result, field.name) for field in fields(result)]
    if isinstance(result, list | tuple):
        return [number for item in result for number in numbers_of(item)]
    return []


def is_named(error: Exception, name: str, argument: str) -> bool:
    """Whether an error is one for users, which names the argument."""
    text = str(error)
    of_estimator = name.startswith(("MLP", "Tabular", "tuning.retune", "metrics.")) or (
        name.endswith("from_estimator")
    )
    if of_estimator and SHARED.search(text):
        return isinstance(error, ValueError | TypeError | OverflowError)
    if isinstance(error, DivergenceError | FrozenTrainingWarning):
        return True
    if not isinstance(error, ValueError | TypeError | DeltaruleError):
        return False
    words = ALIASES.get(argument, re.escape(argument))
    if name == "State":
        text = text.replace("state.", "")
    return bool(re.search(words, text)) and not INSIDE.search(text.split("got", maxsplit=1)[0])


@pytest.mark.parametrize(
    "share", [pytest.param(9, id="short"), pytest.param(1, id="full", marks=pytest.mark.long)]
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
@pytest.mark.filterwarnings("error")
def test_every_wrong_argument_of_every_public_callable_is_named(
    share: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that names the argument, or a result without NaN."""
    monkeypatch.chdir(tmp_path)  # some of the values are names of files
    refused, number, wrong = 0, 0, []
    for name, call in CALLS.items():
        right = call.arguments()
        for argument in right:
            for place, value in enumerate(ANYTHING):
                number += 1
                if number % share or argument in call.free or name == "MLPClassifier.score":
                    continue
                if value is None and call.default(argument) is None:
                    continue
                case = (name, argument, place)
                try:
                    result = call.function(**{**right, argument: value})
                except Exception as error:
                    refused += 1
                    if not is_named(error, name, argument):
                        wrong.append((*case, f"{type(error).__name__}: {error}"[:200]))
                    continue
                missing = isinstance(value, np.ndarray) and "nan" in value.astype(str)
                if name.startswith("functions."):  # NaN stays NaN, and ∞ − ∞ is NaN
                    missing |= isinstance(value, float) and not np.isfinite(value)
                if not missing and np.isnan(numbers_of(result)).any():
                    wrong.append((*case, "NaN"))
                flag = isinstance(right[argument], bool) and value is not True
                if flag or (type(value) in NEVER and argument != "buffers"):
                    wrong.append((*case, "taken"))
    assert not wrong, "\n".join(map(str, wrong))
    report("messages", checked=refused)


@pytest.mark.parametrize(
    "share", [pytest.param(4, id="short"), pytest.param(1, id="full", marks=pytest.mark.long)]
)
def test_every_public_callable_takes_numpy_scalars(
    share: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They give what the numbers of Python give."""
    monkeypatch.chdir(tmp_path)
    for place, (name, call) in enumerate(CALLS.items()):
        right = call.arguments()
        for argument, value in right.items():
            if place % share or not isinstance(value, int | float) or argument == "resume":
                continue
            kind = {bool: np.bool_, int: np.int32, float: np.float64}[type(value)]
            plain = numbers_of(call.function(**right))
            scalar = numbers_of(call.function(**{**right, argument: kind(value)}))
            np.testing.assert_array_equal(plain, scalar, err_msg=f"{name} {argument}")


def test_the_calls_are_of_every_public_callable() -> None:
    results = {  # what functions return
        "BiasVarianceDiagnosis", "CapacityTable", "ClassificationReport", "CriticalPoint",
        "CrossValidation", "Decomposition", "GeneralizationError", "GradientCheck", "Health",
        "History", "InformationCriteria", "LearningCurve", "PlateauMemory", "Position",
        "PrecisionRecallCurve", "RegressionReport", "Retuning", "Shrinkage", "TargetComparison",
        "StrengthChoice", "ThresholdChoice", "Trace", "LayerTrace", "ACTIVATIONS", "LOSSES",
        "Activation", "LossFunction", "Softmax",
    }  # fmt: skip
    others = {"Augmenter", "EpochSchedule", "Schedule", "Rates", "SCHEDULES"}  # to implement
    downloads = {"load_mnist", "load_fashion_mnist"}
    elsewhere = {  # have tests of their own
        "tables", "errors",
    }  # fmt: skip
    called = {part for name in CALLS for part in name.split(".")}
    for module in [deltarule, *(getattr(deltarule, name) for name in deltarule.__all__)]:
        if not isinstance(module, ModuleType) or module.__name__.split(".")[-1] in elsewhere:
            continue
        names = {n for n in module.__all__ if not isinstance(getattr(module, n), ModuleType)}
        names -= elsewhere
        assert names <= called | results | others | downloads, module.__name__


# --- the engine that was asked for ---------------------------------------------------------------


def test_validation_is_measured_by_the_engine_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = Network(3, [Dense(4, "tanh"), Dense(1)])

    def never(*args: Any, **options: Any) -> Any:
        raise AssertionError("the compiled engine was made")

    monkeypatch.setattr("deltarule.engine.Engine", never)
    history = train(net, net.initialize(0), X, y, engine="reference", validation=(X, y), epochs=2)
    monkeypatch.undo()
    state = net.initialize(0)
    compiled = train(net, state, X, y, engine="compiled", validation=(X, y), epochs=2)
    np.testing.assert_allclose(history.validation_loss, compiled.validation_loss, rtol=1e-12)
