"""Any combination of arguments: both engines agree, and files and repeated fits are exact."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import KFold

from deltarule import ELU, SGD, AdamW, Cosine, Nadam, Normal
from deltarule.estimators import from_record
from support.estimator_layers import outputs
from support.estimators import TASKS, data, ours, parameters

SMOOTH = ["tanh", "gelu", "silu", "mish", "softplus", "logistic", "elu", "softsign", ELU(0.5)]
"""No kinks: there both engines must agree, though rounding may put them on different sides."""


@st.composite
def fits(draw: st.DrawFn) -> tuple[str, dict[str, Any], bool, bool]:
    """Draw a task, arguments of all kinds together, and whether rows are sparse and weighted."""
    task = draw(st.sampled_from(sorted(TASKS)))
    pick = lambda *options: draw(st.sampled_from(options))  # noqa: E731
    arguments: dict[str, Any] = {
        "hidden_layer_sizes": (4, 3),
        "activation": pick(pick(*SMOOTH), [pick(*SMOOTH), pick(*SMOOTH)]),
        "solver": pick("sgd", "adam", "ema_momentum", SGD(0.02, 0.5), AdamW(0.01), Nadam(0.01)),
        "learning_rate": pick("constant", "adaptive", "cosine", "inverse_time", Cosine(warm_up=1)),
        "learning_rate_init": 0.01,
        "batch_size": pick(8, 17, "auto"),
        "shuffle": pick(True, False),
        "max_iter": pick(1, 4),
        "early_stopping": pick(True, False),
        "monitor": pick("auto", "loss"),
        "validation_fraction": pick(0.2, KFold(4)),
        "alpha": pick(0.0, 0.1),
        "l1": pick(0.0, 0.01),
        "max_norm": pick(None, 0.8),
        "gradient_clip": pick(None, 0.5, ("value", 0.05)),
        "dropout": pick(0.0, 0.3, [0.0, 0.5]),
        "input_dropout": pick(0.0, 0.2),
        "batch_norm": pick(True, False),
        "weight_init": pick("auto", "he_uniform", "orthogonal", Normal(0.3)),
        "standardize": pick(True, False),
        "on_divergence": pick("raise", "recover"),
        "record_health": pick(True, False),
    }
    if TASKS[task] == "classifier":
        arguments["label_smoothing"] = pick(0.0, 0.1)
        arguments["class_weight"] = pick(None, "balanced")
    elif not task.endswith("counts"):
        arguments["loss"] = pick("squared_error", "huber")
    return task, arguments, draw(st.booleans()), draw(st.booleans())


def fit(task: str, arguments: dict[str, Any], rows: Any, weight: Any, engine: str) -> Any:
    model = ours(task, random_state=0, n_threads=1, engine=engine, **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(rows, data(task)[1], sample_weight=weight)


def check_any_arguments(drawn: tuple[str, dict[str, Any], bool, bool]) -> None:
    task, arguments, sparse, weighted = drawn
    X, _ = data(task)
    rows = sp.csr_array(np.where(np.abs(X) < 0.4, 0, X)) if sparse else X
    weight = np.random.default_rng(1).integers(0, 3, 40).astype(float) if weighted else None
    model = fit(task, arguments, rows, weight, "compiled")
    again = fit(task, arguments, rows, weight, "compiled")
    assert_array_equal(parameters(again), parameters(model))
    slow = fit(task, arguments, rows, weight, "reference")
    close = {"rtol": 1e-6, "atol": 1e-8}
    assert_allclose(parameters(slow), parameters(model), **close)
    assert_allclose(outputs(slow, rows), outputs(model, rows), **close)
    assert_allclose(slow.loss_curve_, model.loss_curve_, **close)
    if arguments["early_stopping"]:
        assert_allclose(slow.validation_loss_curve_, model.validation_loss_curve_, **close)
    model.set_params(validation_fraction=0.1)
    record, tensors = model.to_record()
    twin = from_record(json.loads(json.dumps(record, allow_nan=False)), tensors)
    assert_array_equal(outputs(twin, rows), outputs(model, rows))
    assert model.input_gradients(rows).shape == (40, model.n_outputs_, 4)
    assert twin.network_ == model.network_


@settings(deadline=None, max_examples=25)
@given(fits())
def test_any_arguments_together(drawn: tuple[str, dict[str, Any], bool, bool]) -> None:
    check_any_arguments(drawn)


@pytest.mark.long
@settings(deadline=None, max_examples=600)
@given(fits())
def test_any_arguments_together_many_times(
    drawn: tuple[str, dict[str, Any], bool, bool],
) -> None:
    check_any_arguments(drawn)
