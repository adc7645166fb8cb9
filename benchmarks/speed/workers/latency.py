"""Small calls: one row predicted and 32 rows learned by an estimator, one row by a predictor."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from speed.cases import Case, estimator_arguments
from speed.worker import Turn

CALLS = 50  # of an "epoch"


def prepare(spec: dict[str, Any]) -> Turn:
    """Return what takes turns: many calls of ``what``, by the estimator of ``library``."""
    what, library = spec.pop("what"), spec.pop("library", None)
    case = Case.of(spec)
    call = _predictor(case) if what == "predictor" else _method(case, what, library)

    def turn(message: dict[str, Any]) -> dict[str, Any]:
        calls = message["epochs"] * CALLS
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return {"seconds": time.perf_counter() - start, "steps": calls}

    return turn


def _method(case: Case, what: str, library: str) -> Callable[[], object]:
    X, y = case.data()
    X, y = X[: case.batch], y[: case.batch]
    arguments = estimator_arguments(case, 1)
    if library == "deltarule":
        from deltarule import MLPClassifier

        model = MLPClassifier(**arguments, engine="compiled")
    else:
        from sklearn.neural_network import MLPClassifier as TheirClassifier

        model = TheirClassifier(**arguments)
    model.partial_fit(X, y, classes=np.arange(max(2, case.widths[-1])))
    if what == "partial_fit":
        return lambda: model.partial_fit(X, y)
    row = X[:1]
    return lambda: model.predict_proba(row)


def _predictor(case: Case) -> Callable[[], object]:
    from deltarule import Dense, Network

    *hidden, last = case.widths[1:]
    layers = [*(Dense(units, "relu") for units in hidden), Dense(last, "sigmoid")]
    net = Network(case.widths[0], layers, loss="binary_cross_entropy", dtype=case.dtype)
    predict = net.predictor(net.initialize(0))
    row = case.data()[0][:1]
    return lambda: predict(row)
