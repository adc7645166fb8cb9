"""scikit-learn: a complete ``fit`` of its classifier, with the same arguments."""

from __future__ import annotations

import time
from typing import Any

from sklearn.neural_network import MLPClassifier
from threadpoolctl import ThreadpoolController

from speed.cases import Case, estimator_arguments
from speed.worker import Repetition


def prepare(spec: dict[str, Any]) -> Repetition:
    """Return the function that times a fit."""
    case = Case.of(spec)
    X, y = case.data()
    controller = ThreadpoolController()

    def repetition(message: dict[str, Any]) -> dict[str, Any]:
        model = MLPClassifier(**estimator_arguments(case, message["epochs"]), **case.arguments)
        with controller.limit(limits=message["threads"]):
            start = time.perf_counter()
            model.fit(X, y)
            seconds = time.perf_counter() - start
        return {"seconds": seconds, "steps": message["epochs"] * case.steps}

    return repetition
