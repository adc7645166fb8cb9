"""Sums that overflow, NaN that disappears, and integers where fractions are meant."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier as ScikitLearnClassifier
from tests.support.faults import report

from deltarule import (
    LBFGS,
    BatchNorm,
    ClipNorm,
    Dense,
    Dropout,
    MLPClassifier,
    MLPRegressor,
    Network,
    State,
    analysis,
    metrics,
    network_health,
    train,
)
from deltarule.errors import DataError, FrozenTrainingWarning
from deltarule.network.backend import interpreter_of
from deltarule.program import Block
from deltarule.reference.activations import ELEMENTWISE, log_softmax, softmax
from deltarule.reference.losses import LOSSES
from deltarule.spec import ACTIVATIONS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)
LARGEST = {"float64": 1e308, "float32": 3e38}


def logistic(dtype: str) -> Network:
    return Network(3, [Dense(1, "sigmoid")], "binary_cross_entropy", dtype=dtype)


# --- weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_train_refuses_weights_whose_sum_overflows(engine: str, dtype: str) -> None:
    many, net = np.full(40, LARGEST[dtype]), logistic(dtype)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"sample_weight": many}, "sample_weight: the sum of the weights overflows"),
        ({"sample_weight": many, "optimizer": LBFGS()}, "sample_weight: the sum"),
        ({"class_weight": {0: many[0], 1: many[0]}}, "class_weight.*overflows"),
        ({"class_weight": {0: many[0], 1: 1.0}, "sample_weight": np.full(40, 1e4)}, "times sample"),
        ({"class_weight": {0: 0.0, 1: 0.0}}, "class_weight.*no row with a weight above 0"),
        ({"class_weight": {0: 5e-324, 1: 5e-324}}, "class_weight.*(too small|above 0)"),
        ({"sample_weight": np.full(40, 5e-324)}, "sample_weight.*(too small|above 0)"),
        ({"sample_weight": np.zeros(40)}, "sample_weight must be .* not all zero"),
        ({"sample_weight": -np.ones(40)}, "sample_weight must be .* not negative"),
        ({"validation": (X, Y, many)}, "sample_weight: the sum"),
    ]
    for arguments, message in cases:
        state = net.initialize(0)
        with pytest.raises(DataError, match=message):
            train(net, state, X, Y, epochs=2, engine=engine, **arguments)
        report("weights", cases=1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", [{}, {"solver": "lbfgs"}, {"early_stopping": True}])
def test_estimators_refuse_weights_whose_sum_overflows(options: dict[str, Any], dtype: str) -> None:
    many, rows = np.full(40, LARGEST[dtype]), X.astype(dtype)
    common = {"hidden_layer_sizes": (2,), "max_iter": 2, "dtype": dtype, **options}
    weights = {0: many[0], 1: many[0]}
    calls: list[Callable[[], Any]] = [
        lambda: MLPClassifier(**common).fit(rows, Y, many),
        lambda: MLPRegressor(**common).fit(rows, X[:, 0], many),
        lambda: MLPClassifier(**common, class_weight=weights).fit(rows, Y),
        lambda: MLPClassifier(**common, class_weight=weights).fit(rows, Y, np.full(40, 1e4)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"weight.*overflows"):
            call()
        report("weights", cases=1)


def test_scikit_learn_refuses_these_weights_too() -> None:
    model = ScikitLearnClassifier((2,), max_iter=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="non-finite"):
            model.fit(X, Y, np.full(40, 1e308))


def test_large_weights_with_a_finite_sum_train_as_their_ratios_do() -> None:
    """Weights are relative: without a penalty, any factor gives the same network."""
    weight, net = RNG.uniform(1, 2, 40), logistic("float64")
    thetas = []
    for factor in (1.0, 2.0**900, 2.0**-900):
        state = net.initialize(0)
        train(net, state, X, Y, epochs=3, sample_weight=factor * weight)
        thetas.append(state.theta)
    np.testing.assert_allclose(thetas[1], thetas[0], rtol=1e-12)
    np.testing.assert_allclose(thetas[2], thetas[0], rtol=1e-12)


# --- NaN ------------------------------------------------------------------------------------------

LOSS_OF = {"sigmoid": "binary_cross_entropy", "softmax": "categorical_cross_entropy"}


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"softmax"}))
def test_nan_stays_nan(activation: str) -> None:
    """A NaN in a weight or a row reaches every output, loss and gradient that depends on it."""
    inputs = RNG.uniform(0.1, 1, size=(21, 4))
    for dtype, output, norm in (
        ("float64", "softmax", None),
        ("float32", "identity", BatchNorm()),
        ("float32", "sigmoid", None),
        ("float64", "identity", None),
    ):
        layers = [Dense(19, activation, batch_norm=norm), Dropout(0.2), Dense(2, output)]
        net = Network(4, layers, LOSS_OF.get(output, "squared_error"), dtype=dtype)
        for engine in ("compiled", "reference"):
            interpreter = interpreter_of(net.tape, engine=engine)
            for name in ("W1", "W2"):
                state = net.initialize(0)
                net.parameters(state)[name].flat[0] = np.nan
                block = Block(inputs.astype(dtype), np.tile(np.array([[0, 1]], dtype), (21, 1)))
                assert np.isnan(interpreter.forward(state, block)[:, 0]).all()
                assert not np.isfinite(interpreter.losses(state, block)).any()
                assert not np.isfinite(interpreter.gradient(state, block).loss)
                report("NaN", cases=1)
            state, block.x[5, 1] = net.initialize(0), np.nan
            outputs = interpreter.forward(state, block)
            assert np.isnan(outputs[5]).all()
            assert np.isfinite(np.delete(outputs, 5, axis=0)).all()
            report("NaN", cases=1)
    code = net.tape.instructions[1].code
    if code in ELEMENTWISE:
        values = ELEMENTWISE[code].value(np.array([[np.nan, 1.0]]), 1.0)
        assert np.isnan(values[0, 0])
        assert np.isfinite(values[0, 1])


# --- an optimiser's memory ------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("name", ["adam", "adamw", "nadam", "rmsprop", "adagrad", "adadelta"])
def test_frozen_training_is_reported(name: str, engine: str) -> None:
    layers = [Dense(2, "relu"), Dense(1, "sigmoid")]
    net = Network(3, layers, "binary_cross_entropy", dtype="float32")
    huge = (X * 1e25).astype("float32")
    with pytest.warns(FrozenTrainingWarning, match="overflow float32.*Standardise"):
        train(net, net.initialize(0), huge, Y, optimizer=name, epochs=2, engine=engine)
    for remedy in ({"clipping": ClipNorm(1.0)}, {}):  # each remedy of the message works
        rows = huge if remedy else X
        train(net, net.initialize(0), rows, Y, optimizer=name, epochs=2, engine=engine, **remedy)
    report("frozen", cases=1)


def test_frozen_fits_are_reported() -> None:
    huge = (X * 1e25).astype("float32")
    options: dict[str, Any] = {"hidden_layer_sizes": (2,), "max_iter": 2, "dtype": "float32"}
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        MLPClassifier(**options).fit(huge, Y)
    frozen = [w for w in seen if w.category is FrozenTrainingWarning]
    assert [w.filename for w in frozen] == [__file__]
    for remedy in ({"gradient_clip": 1.0}, {"standardize": True}):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            MLPClassifier(**options, **remedy).fit(huge, Y)
        assert not [w for w in seen if w.category is FrozenTrainingWarning]
    report("frozen", cases=1)


# --- other types than float64 ---------------------------------------------------------------------

NET = Network(3, [Dense(4, "tanh"), Dense(1)])
STATE = NET.initialize(0)
ROWS, NUMBERS = RNG.integers(0, 2, (12, 3)), RNG.integers(0, 2, 12)
SERIES, MATRIX = [1, 2, 3, 1, 0, 2], [[1, 2], [3, 4], [0, 7]]
Cast = Callable[[Any], Any]

FUNCTIONS: dict[str, Callable[[Cast], Any]] = {
    "moving_average": lambda c: analysis.moving_average(c(SERIES), 2),
    "exponential_average": lambda c: analysis.exponential_average(c(SERIES), 0.9),
    "bias_corrected": lambda c: analysis.bias_corrected(c(SERIES), 0.9),
    "polynomial_features": lambda c: analysis.polynomial_features(c(SERIES), 9),
    "least_squares": lambda c: analysis.least_squares(c(MATRIX), c([1, 2, 3])),
    "ridge": lambda c: analysis.ridge(c(MATRIX), c([1, 2, 3]), 0.5),
    "hessian_vector_product": lambda c: analysis.hessian_vector_product(
        NET, STATE, c(ROWS), c(NUMBERS), c(np.arange(NET.tape.n_parameters) % 3)
    ),
    "network_health": lambda c: [
        h.gradient_norm for h in network_health(NET, STATE, c(ROWS), c(NUMBERS)).layers
    ],
    "predict": lambda c: NET.predict(STATE, c(ROWS)),
    "losses": lambda c: NET.losses(STATE, c(ROWS), c(NUMBERS)),
    "loss_of": lambda c: NET.loss_of(STATE, c(ROWS), c(NUMBERS), c(NUMBERS + 1)),
    "log_likelihood": lambda c: NET.log_likelihood(STATE, c(ROWS), c(NUMBERS)),
    "predictor": lambda c: NET.predictor(STATE)(c(ROWS)),
    "measure_regression": lambda c: metrics.measure_regression(c([1, 2, 3]), c([2, 2, 4])).rmse,
    "choose_threshold": lambda c: metrics.choose_threshold(NUMBERS, c(ROWS.sum(axis=1))).cost,
    "generalization": lambda c: metrics.estimate_generalization_error(c([1, 2, 5])).mean,
    "softmax": lambda c: softmax(c(MATRIX))[0],
    "log_softmax": lambda c: log_softmax(c(MATRIX)),
    **{
        f"activation {code}: {kind}": lambda c, g=g: g(c(MATRIX), 1.5)
        for code, entry in ELEMENTWISE.items()
        for kind, g in entry._asdict().items()
        if callable(g)
    },
    **{
        f"loss {code}": lambda c, value=entry.value: value(c(MATRIX), c(MATRIX)[::-1], (0.3,))[0]
        for code, entry in LOSSES.items()
    },
}
CASTS: dict[str, Cast] = {
    **{
        kind: lambda values, kind=kind: np.asarray(values).astype(kind)
        for kind in ("int8", "int32", "int64", "uint8", "uint64", "bool", "float16", "float32")
    },
    "list": lambda values: np.asarray(values).tolist(),
    "Decimal": lambda values: np.vectorize(lambda v: Decimal(int(v)), [object])(values),
    "Fraction": lambda values: np.vectorize(lambda v: Fraction(int(v)), [object])(values),
}


@pytest.mark.parametrize("kind", CASTS)
def test_functions_of_other_types_return_what_they_do_for_float64(kind: str) -> None:
    """All functions of arrays have fractions; objects are numbers or refused by name."""
    cast = CASTS[kind]

    def as_float(values: Any) -> Any:
        return np.asarray(np.asarray(values).astype(bool) if kind == "bool" else values, float)

    for name, function in FUNCTIONS.items():
        with np.errstate(all="ignore"):
            expected = np.asarray(function(as_float))
            try:
                found = np.asarray(function(cast))
            except DataError as error:
                if kind not in ("Decimal", "Fraction") or "number" not in str(error):
                    raise
                found = expected
        np.testing.assert_allclose(
            found.astype(float), expected, rtol=1e-5, atol=1e-6, err_msg=f"{name} of {kind}"
        )
        report("types", cases=1)


@pytest.mark.parametrize("kind", ["int8", "int64", "bool", "float16"])
def test_parameters_of_other_types_are_refused(kind: str) -> None:
    state = State(np.ones(NET.tape.n_parameters, dtype=kind))
    for call in (
        lambda: network_health(NET, state, ROWS, NUMBERS),
        lambda: NET.predict(state, ROWS),
        lambda: train(NET, state, ROWS, NUMBERS, engine="reference"),
        lambda: analysis.check_gradients(NET, state, ROWS, NUMBERS),
    ):
        with pytest.raises(DataError, match=r"state.theta must be an array of float32 or float64"):
            call()
