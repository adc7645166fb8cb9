"""Predictions of one batch of rows: by a predictor, by an estimator, and by ONNX Runtime."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from speed.cases import Case, estimator_arguments
from speed.worker import Repetition

SECONDS = 0.02  # of one measurement, of which the shortest counts


def prepare(spec: dict[str, Any]) -> Repetition:
    """Return the function that measures a call of ``what`` on batches of the case."""
    what = spec.pop("what")
    case = Case.of(spec)
    model = _fitted(case)
    X = replace(case, rows=max(case.rows, case.widths[-1])).data()[0][: case.batch]
    calls: dict[int, Callable[[], object]] = {}

    def repetition(message: dict[str, Any]) -> dict[str, Any]:
        threads = message["threads"]
        if threads not in calls:
            calls[threads] = _call(what, model, X, threads)
            calls[threads]()
        return {"seconds": _shortest(calls[threads], message["epochs"]), "steps": 1}

    return repetition


def _fitted(case: Case) -> Any:
    from deltarule import MLPClassifier

    X, y = replace_rows(case).data()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MLPClassifier(**estimator_arguments(case, 1)).fit(X, y)


def replace_rows(case: Case) -> Case:
    """Return the case with as many rows as it takes to know every class."""
    return Case(case.name, case.widths, case.batch, max(64, 2 * case.widths[-1]))


def _call(what: str, model: Any, X: Any, threads: int) -> Callable[[], object]:
    if what in ("predictor", "interpreter", "kernels"):
        predict: Any = model.network_.predictor(model.state_, n_threads=threads)
        return _part_of(predict, what, X)
    if what in ("predict_proba", "predict"):
        model.set_params(n_threads=threads)
        method = getattr(model, what)
        return lambda: method(X)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    graph = model.to_onnx().SerializeToString()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    expected = model.predict_proba(X)
    np.testing.assert_allclose(session.run(["probabilities"], {"X": X})[0], expected, atol=1e-5)
    return lambda: session.run(["probabilities"], {"X": X})


def _part_of(predict: Any, what: str, X: Any) -> Callable[[], object]:
    """Return a predictor's call, or what is inside it: its interpreter's, or the kernels alone."""
    if what == "predictor":
        return lambda: predict(X)
    from deltarule.engine.work_plan import Mode
    from deltarule.program import Block

    interpreter, state, block = predict._interpreter, predict._state, Block(X)
    kept = [predict(X)]  # where the kernels read and write, after this call, stays allocated
    if what == "interpreter":
        return lambda: interpreter.forward(state, block)
    prediction = interpreter._predictions[Mode.OUTPUTS, False]
    lane = prediction._free[-1]

    def kernels() -> object:
        lane.context.output = kept[0].ctypes.data
        return lane.buffers.call()

    return kernels


def _shortest(call: Callable[[], object], tries: int) -> float:
    """Return the shortest time of a call; a clock's tick and a turn of the loop are shared."""
    start = time.perf_counter()
    call()
    count = max(1, int(SECONDS / 20 / max(time.perf_counter() - start, 1e-7)))
    best, end = float("inf"), time.perf_counter() + tries * SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(count):
            call()
        best = min(best, (time.perf_counter() - start) / count)
    return best
