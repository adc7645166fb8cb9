"""Small calls: ``predict_proba`` of one row, ``partial_fit`` of 32 rows, a predictor's row."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from speed.cases import Case, estimator_arguments
from speed.worker import Repetition

CALLS = 50  # in one "epoch"


def prepare(spec: dict[str, Any]) -> Repetition:
    """Return the function that calls ``what`` of the ``library``'s estimator many times."""
    what, library = spec.pop("what"), spec.pop("library", None)
    case = Case.of(spec)
    call = _predictor(case) if what == "predictor" else _method(case, what, library)

    def repetition(message: dict[str, Any]) -> dict[str, Any]:
        calls = message["epochs"] * CALLS
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return {"seconds": time.perf_counter() - start, "steps": calls}

    return repetition


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
