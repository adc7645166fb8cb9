"""deltarule: a complete ``fit`` of its classifier."""

from __future__ import annotations

import gc
import time
from dataclasses import replace
from threading import Thread
from typing import Any

from deltarule import MLPClassifier
from speed.cases import Case, estimator_arguments
from speed.memory import extra_memory
from speed.worker import Repetition

SMALL = 8  # widths of the fit that loads the kernels


def prepare(spec: dict[str, Any]) -> Repetition:
    """Return the function that times one fit or several at once, or measures a fit's memory."""
    engine = spec.pop("engine", "compiled")
    case = Case.of(spec)
    X, y = case.data()

    def model(of: Case, epochs: int, threads: int | None) -> MLPClassifier:
        return MLPClassifier(
            **estimator_arguments(of, epochs), **of.arguments, engine=engine, n_threads=threads
        )

    def repetition(message: dict[str, Any]) -> dict[str, Any]:
        epochs, threads = message["epochs"], message["threads"]
        models = [model(case, epochs, threads) for _ in range(message.get("at_once", 1))]
        if message.get("memory"):
            return {"bytes": _memory_of_fit(case, model, epochs, threads)}
        others = [Thread(target=m.fit, args=(X, y)) for m in models[1:]]
        start = time.perf_counter()
        for other in others:
            other.start()
        models[0].fit(X, y)
        for other in others:
            other.join()
        return {"seconds": time.perf_counter() - start, "steps": epochs * case.steps}

    def _memory_of_fit(of: Case, model: Any, epochs: int, threads: int | None) -> int:
        widths = (SMALL, *(SMALL for _ in of.widths[1:-1]), of.widths[-1])
        small = replace(of, widths=widths, batch=SMALL, rows=4 * SMALL)
        model(small, 1, threads).fit(*small.data())
        gc.collect()
        fresh = model(of, epochs, threads)
        return extra_memory(lambda: fresh.fit(X, y))

    return repetition
