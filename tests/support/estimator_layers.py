"""What the tests of dropout, batch norm and the engines of the estimators share."""

from __future__ import annotations

from typing import Any

import pytest

from support.estimators import data, ours, unconverged

STILL = 1e-300
"""A learning rate that leaves every parameter where it began."""


def new(task: str = "numbers", **arguments: Any) -> Any:
    defaults = {"hidden_layer_sizes": (5, 3), "random_state": 0, "max_iter": 4, "batch_size": 8}
    return ours(task, **{**defaults, **arguments})


def fitted(task: str = "numbers", *, sample_weight: Any = None, **arguments: Any) -> Any:
    with unconverged():
        return new(task, **arguments).fit(*data(task), sample_weight)


def outputs(model: Any, X: Any) -> Any:
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


BOTH = {"dropout": 0.3, "batch_norm": True}
LAYERS = {"dropout": {"dropout": [0.0, 0.4]}, "batch norm": {"batch_norm": True}, "both": BOTH}
layered = pytest.mark.parametrize("arguments", LAYERS.values(), ids=LAYERS)
