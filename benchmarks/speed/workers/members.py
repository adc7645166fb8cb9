"""deltarule: training steps of a network with members, by ``train``."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from deltarule import Dense, Network, train
from speed.cases import Case
from speed.worker import Repetition


def prepare(spec: dict[str, Any]) -> Repetition:
    """Return the function that trains the network of ``members`` for some epochs."""
    members = spec.pop("members")
    case = Case.of(spec)
    X, y = case.data()
    *hidden, last = case.widths[1:]
    output, loss = (
        ("sigmoid", "binary_cross_entropy")
        if last == 1
        else ("softmax", "categorical_cross_entropy")
    )
    layers = [*(Dense(units, "relu") for units in hidden), Dense(last, output)]
    net = Network(case.widths[0], layers, loss, members=members, dtype=case.dtype)
    targets = y.astype(np.float64) if last == 1 else y
    state = net.initialize(0)

    def repetition(message: dict[str, Any]) -> dict[str, Any]:
        epochs, threads = message["epochs"], message["threads"]
        start = time.thread_time() if threads == 1 else time.perf_counter()
        train(
            net, state, X, targets, optimizer="adam", epochs=epochs, batch_size=case.batch,
            n_threads=threads,
        )  # fmt: skip
        end = time.thread_time() if threads == 1 else time.perf_counter()
        return {"seconds": end - start, "steps": epochs * case.steps}

    return repetition
