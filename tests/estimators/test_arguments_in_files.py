"""Every argument survives cloning, searching, pickling and files, or is refused by its name."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.utils._param_validation import (
    InvalidParameterError,
    validate_parameter_constraints,
)

import deltarule
from deltarule import (
    ELU,
    LBFGS,
    Adam,
    AdamW,
    Cosine,
    LeakyReLU,
    LineSearch,
    Normal,
    PiecewiseConstant,
    Uniform,
)
from deltarule.augmentation import Compose, GaussianNoise
from deltarule.errors import ModelFileError
from deltarule.estimators import RecordedEstimator, from_record
from deltarule.estimators.parameter_constraints import (
    CLASSIFIER,
    REGRESSOR,
    fits,
    for_scikit_learn,
)
from support.estimator_layers import fitted, new, outputs
from support.estimators import data, parameters, unconverged

EVERY: dict[str, tuple[str, dict[str, Any]]] = {
    "activations": ("numbers", {"activation": ["gelu", LeakyReLU(0.2)]}),
    "an activation": ("numbers", {"activation": ELU(0.5)}),
    "a solver": ("numbers", {"solver": AdamW(0.01, weight_decay=0.1)}),
    "a solver by name": ("numbers", {"solver": "nadam"}),
    "a minimiser": ("numbers", {"solver": LBFGS(memory=5)}),
    "a line search": ("numbers", {"solver": LineSearch()}),
    "a schedule": ("numbers", {"learning_rate": Cosine(warm_up=1.0)}),
    "a table": ("numbers", {"learning_rate": PiecewiseConstant([1, 2], [0.1, 0.01])}),
    "a schedule by name": ("numbers", {"learning_rate": "one_cycle"}),
    "penalties": ("numbers", {"l1": 0.1, "max_norm": 2.0, "gradient_clip": 1.0}),
    "clipping": ("numbers", {"gradient_clip": ("value", 0.5)}),
    "beginnings": ("numbers", {"weight_init": Normal(0.1)}),
    "uniform beginnings": ("numbers", {"weight_init": Uniform(0.1)}),
    "beginnings by name": ("numbers", {"weight_init": "orthogonal"}),
    "dropped inputs": ("numbers", {"input_dropout": 0.2, "dropout": [0.1, 0.0]}),
    "a type": ("numbers", {"dtype": "float32"}),
    "scales": ("numbers", {"standardize": True}),
    "scales of several": ("several numbers", {"standardize": True}),
    "scales of inputs": ("multiclass", {"standardize": True, "batch_norm": True}),
    "scales of counts": ("counts", {"standardize": True}),
    "the loss watched": ("numbers", {"early_stopping": True, "monitor": "loss"}),
    "a score watched": ("binary", {"early_stopping": True, "monitor": "roc_auc"}),
    "recovery": ("numbers", {"on_divergence": "recover"}),
    "health": ("numbers", {"record_health": True}),
    "smoothing": ("multiclass", {"label_smoothing": 0.1}),
    "weights of classes": ("multiclass", {"class_weight": {3: 1.0, 5: 2.0, 8: 0.5}}),
    "weights of names": ("binary", {"class_weight": {"yes": 2.0}}),
    "balanced": ("multilabel", {"class_weight": "balanced"}),
    "weights of labels": ("multilabel", {"class_weight": [{0: 1, 1: 2}] * 3}),
    "huber": ("numbers", {"loss": "huber", "huber_delta": 0.5}),
    "a quantile": ("several numbers", {"loss": "quantile", "quantile": 0.2}),
    "quantiles": ("numbers", {"loss": "quantile", "quantile": [0.9, 0.1], "standardize": True}),
    "absolute error": ("numbers", {"loss": "absolute_error"}),
}  # fmt: skip
every = pytest.mark.parametrize("name", EVERY)


@every
def test_clones_have_the_same_arguments(name: str) -> None:
    task, arguments = EVERY[name]
    model = fitted(task, **arguments)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    with unconverged():
        twin.fit(*data(task))
    assert_array_equal(parameters(twin), parameters(model))
    again = new(task).set_params(**model.get_params())
    assert again.get_params() == model.get_params()


@every
def test_pickles_are_the_same_model(name: str) -> None:
    task, arguments = EVERY[name]
    X, y = data(task)
    model = fitted(task, **arguments)
    twin = pickle.loads(pickle.dumps(model))
    assert twin.get_params() == model.get_params()
    assert_array_equal(outputs(twin, X), outputs(model, X))
    if hasattr(model, "partial_fit") and arguments.get("class_weight") != "balanced":
        for each in (model, twin):
            each.set_params(early_stopping=False).partial_fit(X, y)
        assert_array_equal(parameters(twin), parameters(model))


@every
def test_a_file_restores_the_same_model(name: str, tmp_path: Path) -> None:
    task, arguments = EVERY[name]
    X, y = data(task)
    model = fitted(task, **arguments)
    twin = deltarule.load(deltarule.save(model, tmp_path / "model.safetensors"))
    assert twin.get_params() == model.get_params()
    assert_array_equal(outputs(twin, X), outputs(model, X))
    assert twin.score(X, y) == model.score(X, y)
    assert_array_equal(twin.input_gradients(X), model.input_gradients(X))
    assert twin.validation_loss_curve_ == model.validation_loss_curve_
    assert twin.network_ == model.network_
    with unconverged():
        assert_array_equal(parameters(clone(twin).fit(X, y)), parameters(model))


@every
def test_setting_arguments_does_not_change_the_fitted_model(name: str) -> None:
    task, arguments = EVERY[name]
    X, _ = data(task)
    model = fitted(task, **arguments)
    expected = outputs(model, X)
    model.set_params(**{k: new(task).get_params()[k] for k in arguments if k != "loss"})
    record, tensors = model.to_record()
    twin = from_record(json.loads(json.dumps(record, allow_nan=False)), tensors)
    assert_array_equal(outputs(model, X), expected)
    assert_array_equal(outputs(twin, X), expected)


REFUSED: dict[str, dict[str, Any]] = {
    "augment": {"augment": Compose([GaussianNoise(0.1)])},
    "weight_init": {"weight_init": lambda rng, m, n: np.zeros((m, n))},
    "monitor": {"monitor": lambda estimator, X, y: 0.0},
    "validation_fraction": {"validation_fraction": GroupKFold(2)},
}


@pytest.mark.parametrize("name", REFUSED)
def test_functions_cannot_be_stored_in_a_file(name: str, tmp_path: Path) -> None:
    model = fitted(**REFUSED[name])
    with pytest.raises(ModelFileError, match=f"{name}=.* cannot be stored in a file.*set_params"):
        deltarule.save(model, tmp_path / "model.safetensors")
    model.set_params(**{name: new().get_params()[name]})
    X, _ = data("numbers")
    twin = deltarule.load(deltarule.save(model, tmp_path / "model.safetensors"))
    assert_array_equal(twin.predict(X), model.predict(X))


@pytest.mark.parametrize(
    "value",
    [
        {"=": "os.system", "command": "true"}, {"=": "SGD"}, {"=": ["SGD"]}, {}, {"=": "dict"},
        {"=": "dict", "items": [[1]]}, {"=": "LeakyReLU", "fields": {"slope": "x"}},
        {"=": "SGD", "fields": {"learning_rate": -1.0, "momentum": 0.0, "nesterov": False}},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("name", ["solver", "activation", "learning_rate", "weight_init"])
def test_an_object_of_unknown_type_is_refused(name: str, value: Any) -> None:
    record, tensors = fitted().to_record()
    record["parameters"][name] = value
    with pytest.raises(ModelFileError):
        from_record(record, tensors)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("scale.X_mean", None, "scales are not those"),
        ("scale.X_scale", np.zeros(4), "not above 0"),
        ("scale.X_scale", np.ones(3), r"must be float64 of shape \(4,\)"),
        ("scale.y_mean", None, "scales are not those"),
        ("scale.y_mean", np.full(1, np.nan), "NaN or infinity"),
        ("scale.z", np.ones(4), "scales are not those"),
        ("validation_loss_curve_", np.zeros((2, 2)), "one dimension"),
    ],
)
def test_errors_name_the_wrong_tensor(name: str, value: Any, message: str) -> None:
    record, tensors = fitted(standardize=True).to_record()
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    with pytest.raises(ModelFileError, match=message):
        from_record(record, tensors)


def test_strings_that_look_like_numbers_stay_strings() -> None:
    X, y = data("binary")
    labels = np.where(y == "yes", "=inf", "==")
    with unconverged():
        model = new("binary", class_weight={"=inf": 2.0, "==": 1.0}).fit(X, labels)
    twin = from_record(*model.to_record())
    assert twin.class_weight == {"=inf": 2.0, "==": 1.0}
    assert_array_equal(twin.predict(X), model.predict(X))


def test_a_grid_search_over_all_arguments() -> None:
    X, y = data("numbers", n=60)
    grid = [
        {"activation": ["gelu", ["relu", "tanh"], LeakyReLU(0.1)], "solver": ["adam", AdamW(0.01)]},
        {"learning_rate": ["cosine", Cosine()], "standardize": [False, True], "l1": [0.0, 0.1]},
        {"loss": ["huber", "absolute_error"], "gradient_clip": [None, 1.0, ("value", 0.1)]},
        {"max_norm": [None, 1.0], "weight_init": ["auto", "he_normal"], "dtype": ["float32"]},
        {
            "early_stopping": [True],
            "monitor": ["loss", "r2"],
            "validation_fraction": [0.2, KFold(3)],
        },
    ]
    with unconverged():
        search = GridSearchCV(new(max_iter=2), grid, cv=2).fit(X, y)
    assert len(search.cv_results_["params"]) == 28
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# --- the arguments in a file ----------------------------------------------------------------------

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**40, 0.0, 0.5, 1.0, 1.5, -0.5, float("inf"), float("nan")),
    *("auto", "adam", "relu", "loss", "accuracy", "constant", "compiled", "nothing", "", [], (3,)),
    *(
        [1, 2],
        {"a": 1},
        {},
        Adam(),
        Cosine(),
        LeakyReLU(0.1),
        np.float64(0.3),
        np.int64(3),
        "raise",
    ),
]


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_arguments_are_checked_as_scikit_learn_checks_them(kind: str) -> None:
    rules = CLASSIFIER if kind == "classifier" else REGRESSOR
    theirs = for_scikit_learn(rules)
    accepted = 0
    for name in set(rules) - {"checkpoint"}:
        for value in VALUES:
            try:
                validate_parameter_constraints(theirs, {name: value}, kind)
                fine = True
            except InvalidParameterError:
                fine = False
            assert fits(value, rules[name]) == fine, (name, value)
            accepted += fine
    assert accepted > 100


@pytest.mark.parametrize("target", ["numbers", "binary", "multiclass", "multilabel"])
def test_a_recorded_estimator_predicts_as_the_estimator(target: str) -> None:
    X, y = data(target)
    model = fitted(target)
    recorded = RecordedEstimator(*model.to_record())
    assert recorded.predict(X).tobytes() == model.predict(X).tobytes()
    if target == "numbers":
        assert not hasattr(recorded, "classes_")
    else:
        assert recorded.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()
        assert_array_equal(recorded.classes_, model.classes_)
    assert_array_equal(recorded.coefs_[0], model.coefs_[0])
    made = recorded.estimator
    assert made is recorded.estimator
    assert type(made) is type(model)
    made.partial_fit(X, y)  # and what it learns is what the record predicts
    assert recorded.predict(X).tobytes() == made.predict(X).tobytes()
    assert_array_equal(recorded.coefs_[0], made.coefs_[0])
    assert not np.array_equal(recorded.coefs_[0], model.coefs_[0])
    copied = pickle.loads(pickle.dumps(recorded))
    assert copied.predict(X).tobytes() == recorded.predict(X).tobytes()
