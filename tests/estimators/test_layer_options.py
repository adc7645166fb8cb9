"""Layers that scikit-learn does not have, dropout and batch norm, in both engines."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.estimator_checks import parametrize_with_checks

from deltarule.errors import DataError, DivergenceError, SpecError
from deltarule.spec import BatchNorm, Dense, Dropout
from support.estimator_layers import BOTH, STILL, fitted, layered, new, outputs
from support.estimators import KINDS, OURS, TASKS, data, parameters, unconverged

# --- the network that is built ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "rates"),
    [
        (0.0, [None, None]), (0, [None, None]), (0.25, [0.75, 0.75]), ([0.0, 0.5], [None, 0.5]),
        ((0.1, 0), [0.9, None]), (np.array([0.5, 0.25]), [0.5, 0.75]),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_network_has_the_requested_layers(given: Any, rates: Any, batch_norm: bool) -> None:
    norm = BatchNorm() if batch_norm else None
    expected: list[Any] = []
    for size, keep in zip((5, 3), rates, strict=True):
        expected.append(Dense(size, "tanh", batch_norm=norm))
        if keep is not None:
            expected.append(Dropout(keep=keep))
    model = fitted(activation="tanh", dropout=given, batch_norm=batch_norm)
    assert model.network_.layers == (*expected, Dense(1, "identity"))


def test_without_hidden_layers_there_is_nothing_to_drop_or_normalise() -> None:
    X, _ = data("numbers")
    plain = fitted(hidden_layer_sizes=())
    for solver in ("adam", "lbfgs"):
        other = fitted(hidden_layer_sizes=(), solver=solver, **BOTH)
        if solver == "adam":
            assert_array_equal(other.predict(X), plain.predict(X))
        assert not hasattr(other, "batch_norm_scale_")


# --- random numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
def test_dropout_draws_one_number_after_the_parameters(early_stopping: bool) -> None:
    stream = np.random.RandomState(3)
    dropping = fitted(dropout=0.5, random_state=stream, learning_rate_init=STILL, max_iter=1,
                      shuffle=False, early_stopping=False)  # fmt: skip
    plain = fitted(random_state=3, learning_rate_init=STILL, max_iter=1)
    assert_array_equal(parameters(dropping), parameters(plain))
    alone = np.random.RandomState(3)
    alone.uniform(size=parameters(plain).size)
    assert dropping.state_.seed == alone.randint(2**31)
    assert stream.uniform() == alone.uniform()
    assert plain.state_.seed == 0


def test_batch_norm_draws_only_the_weights() -> None:
    model = fitted(batch_norm=True, random_state=3, learning_rate_init=STILL, max_iter=1)
    alone = np.random.RandomState(3)
    for w, (fan_in, fan_out) in zip(model.coefs_, [(4, 5), (5, 3), (3, 1)], strict=True):
        bound = np.sqrt(6 / (fan_in + fan_out))
        assert_array_equal(w, alone.uniform(-bound, bound, (fan_in, fan_out)))
    assert_array_equal(model.intercepts_[-1], alone.uniform(-bound, bound, 1))
    for beta, size in zip(model.intercepts_[:-1], (5, 3), strict=True):
        assert_allclose(beta, np.zeros(size), atol=1e-290)
    assert [g.tolist() for g in model.batch_norm_scale_] == [[1] * 5, [1] * 3]


@layered
@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_a_seed_repeats_a_fit_to_the_bit(arguments: dict[str, Any], engine: str) -> None:
    once, twice = (fitted("multiclass", engine=engine, **arguments) for _ in range(2))
    assert_array_equal(parameters(once), parameters(twice))
    assert once.loss_curve_ == twice.loss_curve_


def test_masks_differ_from_seed_to_seed() -> None:
    X, y = data("numbers")
    moved = []
    for seed in (0, 1, 1):
        model = new(dropout=0.5, random_state=seed, shuffle=False, solver="sgd", momentum=0.0)
        model.partial_fit(X, y)
        model.coefs_ = [np.full(w.shape, 0.3) for w in model.coefs_]
        model.intercepts_ = [np.full(b.shape, 0.1) for b in model.intercepts_]
        model.partial_fit(X, y)
        moved.append(parameters(model).copy())
    assert_array_equal(moved[1], moved[2])
    assert not np.array_equal(moved[0], moved[1])


def test_every_step_has_its_own_masks() -> None:
    """The loss of the same network on the same rows differs at every step."""
    model = fitted(dropout=0.5, learning_rate_init=STILL, max_iter=6, batch_size=40)
    assert len(set(model.loss_curve_)) == 6
    plain = fitted(learning_rate_init=STILL, max_iter=6, batch_size=40, shuffle=False)
    assert len(set(plain.loss_curve_)) == 1


# --- training and predicting --------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
@layered
def test_the_engines_agree(task: str, arguments: dict[str, Any]) -> None:
    X, _ = data(task)
    X_sparse = sp.csr_array(np.where(np.abs(X) < 0.3, 0, X))
    weight = np.random.default_rng(0).integers(0, 3, len(X)).astype(float)
    compiled, reference = (
        fitted(task, engine=engine, activation="tanh", early_stopping=True, n_threads=1,
               sample_weight=weight, **arguments)
        for engine in ("compiled", "reference")
    )  # fmt: skip
    close = {"rtol": 1e-9, "atol": 1e-9}
    assert_allclose(parameters(compiled), parameters(reference), **close)
    assert_allclose(compiled.loss_curve_, reference.loss_curve_, **close)
    assert_allclose(compiled.validation_scores_, reference.validation_scores_, **close)
    for rows in (X, X_sparse):
        assert_allclose(outputs(compiled, rows), outputs(reference, rows), **close)
    compiled.set_params(engine="reference")
    assert_allclose(outputs(compiled, X), outputs(reference, X), **close)


def test_prediction_drops_nothing() -> None:
    X, _ = data("numbers")
    model = fitted(dropout=0.6, activation="relu")
    h = X
    for w, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        h = np.maximum(h @ w + b, 0)
    expected = h @ model.coefs_[-1] + model.intercepts_[-1]
    assert_allclose(model.predict(X), expected.ravel(), rtol=1e-12)
    assert_array_equal(model.predict(X), model.predict(X))


def test_prediction_normalises_with_the_statistics_of_the_last_epoch() -> None:
    """The weights stay the same and each batch is the whole set: its mean and unbiased variance."""
    X, y = data("numbers")
    model = new(batch_norm=True, activation="tanh", batch_size=40, learning_rate_init=STILL)
    with unconverged():
        model.fit(X, y)
    model.batch_norm_scale_ = [np.arange(1.0, 6.0), np.array([0.5, -1.0, 2.0])]
    model.intercepts_ = [np.linspace(-1, 1, 5), np.ones(3), np.array([7.0])]
    model.partial_fit(X, y)
    seen = predicted = X
    for w, gamma, beta in zip(
        model.coefs_[:-1], model.batch_norm_scale_, model.intercepts_[:-1], strict=True
    ):
        z, z_predicted = seen @ w, predicted @ w
        mean, biased, unbiased = z.mean(axis=0), z.var(axis=0), z.var(axis=0, ddof=1)
        seen = np.tanh(gamma * (z - mean) / np.sqrt(biased + 1e-5) + beta)
        predicted = np.tanh(gamma * (z_predicted - mean) / np.sqrt(unbiased + 1e-5) + beta)
    expected = predicted @ model.coefs_[-1] + 7.0
    assert_allclose(model.predict(X), expected.ravel(), rtol=1e-9)


@pytest.mark.parametrize("task", TASKS)
def test_float32_stays_float32(task: str) -> None:
    X, y = data(task)
    model = new(task, **BOTH)
    with unconverged():
        model.fit(X.astype(np.float32), y)
    model.partial_fit(X, y)  # rows of another type are taken in θ's
    assert outputs(model, X.astype(np.float32)).dtype == np.float32
    assert {a.dtype for a in [*model.coefs_, *model.intercepts_, *model.batch_norm_scale_]} == {
        np.dtype(np.float32)
    }
    twin = pickle.loads(pickle.dumps(model))
    assert_array_equal(outputs(twin, X), outputs(model, X))


def test_gradients_are_checked_with_masks_and_batch_statistics() -> None:
    X, y = data("multiclass")
    model = fitted("multiclass", activation="tanh", **BOTH)
    assert model.check_gradients(X, y).verdict == "right"
    with pytest.raises(DataError, match="at least 2 rows"):
        model.check_gradients(X[:1], y[:1])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Can't check dok sparse matrix for nan or inf:UserWarning")
@parametrize_with_checks(
    [OURS[kind](max_iter=100, **BOTH) for kind in KINDS],
    expected_failed_checks=lambda estimator: {
        f"check_sample_weight_equivalence_on_{kind}_data": "masks go by row, b/(b - 1) by rows"
        for kind in ("dense", "sparse")
    },
)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


# --- parameters of batch norm -------------------------------------------------------------------


def test_scales_and_shifts_are_live_views() -> None:
    X, _ = data("numbers")
    model = fitted(batch_norm=True)
    assert [w.shape for w in model.coefs_] == [(4, 5), (5, 3), (3, 1)]
    assert [b.shape for b in model.intercepts_] == [(5,), (3,), (1,)]
    assert [g.shape for g in model.batch_norm_scale_] == [(5,), (3,)]
    before = model.predict(X)
    model.batch_norm_scale_[1][:] = 0
    assert np.ptp(model.predict(X)) < 1e-12  # the last hidden layer is β, whatever the row
    model.batch_norm_scale_ = [np.ones(5), np.ones(3)]
    model.intercepts_[1] = np.full(3, -1e9)
    assert_allclose(model.predict(X), np.full(40, model.intercepts_[2][0]))  # relu(−∞) = 0
    assert not np.array_equal(before, model.predict(X))
    with pytest.raises(ValueError, match="must have shape"):
        model.batch_norm_scale_[0] = np.ones(4)


@pytest.mark.parametrize("model", [new(batch_norm=True), fitted(), fitted(dropout=0.5)])
def test_without_batch_norm_there_are_no_scales(model: Any) -> None:
    assert not hasattr(model, "batch_norm_scale_")
    message = "'MLPRegressor' object has no attribute 'batch_norm_scale_'"
    with pytest.raises(AttributeError, match=message):
        _ = model.batch_norm_scale_


# --- more training ------------------------------------------------------------------------------


def test_a_warm_start_may_change_the_rates() -> None:
    X, y = data("numbers")
    model = fitted(warm_start=True)
    before = parameters(model).copy()
    with unconverged():
        model.set_params(dropout=[0.5, 0.0], learning_rate_init=STILL).fit(X, y)
        assert Dropout(0.5) in model.network_.layers
        seed = model.state_.seed
        assert seed > 0  # drawn, now that there are masks
        model.set_params(dropout=0.1).fit(X, y)
        assert model.state_.seed == seed
        model.set_params(dropout=0.0).fit(X, y)
    assert_array_equal(parameters(model), before)
    assert Dropout(0.5) not in model.network_.layers


@pytest.mark.parametrize("incremental", [False, True])
@pytest.mark.parametrize("begin", [False, True])
def test_batch_norm_cannot_be_changed_between_calls(begin: bool, incremental: bool) -> None:
    X, y = data("numbers")
    model = fitted(warm_start=True, batch_norm=begin)
    before = outputs(model, X)
    model.set_params(batch_norm=not begin)
    message = f"the fitted network has batch_norm={begin}, but batch_norm is now {not begin}"
    with pytest.raises(SpecError, match=f"{message}.*Set it back"):
        model.partial_fit(X, y) if incremental else model.fit(X, y)
    assert_array_equal(outputs(model, X), before)
    with unconverged():
        model.set_params(warm_start=False).fit(X, y)
    assert hasattr(model, "batch_norm_scale_") is not begin


def test_partial_fit_works_with_dropout_and_batch_norm() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(640, 4))
    y = X @ [1.0, -2.0, 0.5, 0.0]
    model = new(dropout=0.05, batch_norm=True, hidden_layer_sizes=(30,), learning_rate_init=0.01)
    for _ in range(30):
        for rows in np.split(np.arange(640), 10):
            model.partial_fit(X[rows], y[rows])
    assert model.score(X, y) > 0.9


# --- what is refused ----------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a rate of one": ({"dropout": 1.0}, "'dropout' parameter of MLPRegressor must be"),
    "a rate below zero": ({"dropout": -0.1}, "'dropout' parameter of MLPRegressor must be"),
    "a name": ({"dropout": "half"}, "'dropout' parameter of MLPRegressor must be"),
    "one rate for two layers": ({"dropout": [0.5]}, r"for each of the 2; got \[0\.5\]"),
    "no rates": ({"dropout": []}, r"for each of the 2; got \[\]"),
    "a rate of one in a list": ({"dropout": [0.5, 1.0]}, r"rates in \[0, 1\).*got \[0.5, 1.0\]"),
    "NaN": ({"dropout": [0.5, float("nan")]}, r"rates in \[0, 1\)"),
    "strings": ({"dropout": ["0.5", "0.5"]}, r"rates in \[0, 1\)"),
    "a number for batch norm": ({"batch_norm": 1}, "'batch_norm' parameter"),
    "an unknown engine": ({"engine": "auto"}, "'engine' parameter.*'compiled'|'reference'"),
    "no engine": ({"engine": None}, "'engine' parameter"),
    "no thread": ({"n_threads": 0}, "'n_threads' parameter of MLPRegressor must be an int"),
    "half a thread": ({"n_threads": 1.5}, "'n_threads' parameter of MLPRegressor must be an int"),
    "masks for lbfgs": (
        {"dropout": 0.5, "solver": "lbfgs"},
        r"dropout=\[0\.5, 0\.5\] does not go with solver='lbfgs'.*Set solver='adam'.*dropout=0",
    ),
    "statistics for lbfgs": (
        {"batch_norm": True, "solver": "lbfgs"},
        "batch_norm=True does not go with solver='lbfgs'.*or batch_norm=False",
    ),
    "batches of one row": (
        {"batch_norm": True, "batch_size": 1},
        "batch_size must be at least 2 with batch_norm=True; got 1: one row has no variance",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_arguments_are_refused(name: str) -> None:
    arguments, message = REFUSED[name]
    X, y = data("numbers")
    model = new(**arguments)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not hasattr(model, "coefs_")
    good = fitted()
    before = good.predict(X)
    with pytest.raises(ValueError, match=message):
        good.set_params(**arguments).fit(X, y)
    assert_array_equal(good.set_params(engine="compiled", n_threads=None).predict(X), before)


def test_one_row_has_no_variance() -> None:
    X, y = data("numbers")
    message = "at least 2 samples of non-zero weight.*got n_samples=1. Give more rows, or set"
    model = new(batch_norm=True)
    with pytest.raises(DataError, match=message):
        model.fit(X[:1], y[:1])
    with pytest.raises(DataError, match=message):
        model.partial_fit(X[:1], y[:1])
    assert not hasattr(model, "coefs_")
    with pytest.raises(DataError, match=message):
        model.fit(X, y, sample_weight=np.eye(40)[7])
    model.set_params(batch_size="auto").partial_fit(X[:2], y[:2])
    before = model.predict(X)
    with pytest.raises(DataError, match=message):
        model.partial_fit(X[:1], y[:1])
    assert_array_equal(model.predict(X), before)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_inputs_whose_variance_overflows_are_refused(engine: str) -> None:
    X, y = data("numbers")
    model = fitted(batch_norm=True, engine=engine, warm_start=True)
    before = model.predict(X)
    with pytest.raises(DivergenceError, match="standardise the inputs"):
        model.fit(X * 1e300, y)
    assert_array_equal(model.predict(X), before)


def test_rows_without_weight_join_batches_that_have_some() -> None:
    weight = np.zeros(40)
    weight[[3, 11, 30]] = 1.0
    model = fitted(batch_norm=True, sample_weight=weight, batch_size=2)
    assert np.isfinite(parameters(model)).all()
    odd = fitted(batch_norm=True, batch_size=39)  # the last row joins the first 39
    assert np.isfinite(odd.loss_curve_).all()
