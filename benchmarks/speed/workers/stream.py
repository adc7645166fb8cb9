"""deltarule on rows that are generated chunk by chunk and are never in memory all at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from deltarule import Adam, Dense, Network, State
from deltarule.network.backend import interpreter_of
from deltarule.program import BatchSchedule, Block
from speed.cases import Case
from speed.memory import extra_memory
from speed.worker import Repetition

CHUNK = 64_000  # rows, at most


def prepare(spec: dict[str, Any]) -> Repetition:
    """Return the function that times passes over the rows, or measures the first one's memory."""
    engine = spec.pop("engine", "compiled")
    case = Case.of(spec)
    stream = GeneratedRows(case)

    def repetition(message: dict[str, Any]) -> dict[str, Any]:
        if message.get("memory"):
            small = GeneratedRows(replace(case, widths=(8, 8, 8, 1), batch=8, rows=64))
            small.train(small.begin(engine))
            return {"bytes": extra_memory(lambda: stream.train(stream.begin(engine)))}
        begun = stream.begin(engine)
        seconds = sum(stream.train(begun) for _ in range(message["epochs"]))
        return {"seconds": seconds, "steps": message["epochs"] * stream.steps}

    return repetition


class GeneratedRows:
    """Generator of a case's rows, one chunk at a time in the same memory."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._rng = np.random.default_rng(0)
        chunk = min(CHUNK // case.batch * case.batch, case.rows)
        self._x = np.zeros((chunk, case.widths[0]), dtype=case.dtype)
        self._y = np.zeros((chunk, 1), dtype=case.dtype)
        self._x[...] = self._y[...] = (
            1  # touch the pages now, so that they do not count as training memory
        )
        self.steps = sum(-(-rows // case.batch) for rows in self._chunks())

    def begin(self, engine: str) -> tuple[Any, State]:
        """Return an interpreter of the case's network and an initial state."""
        *hidden, last = self._case.widths[1:]
        layers = [*(Dense(units, "relu") for units in hidden), Dense(last, "sigmoid")]
        net = Network(
            self._case.widths[0], layers, loss="binary_cross_entropy", dtype=self._case.dtype
        )
        return interpreter_of(net.tape, Adam(), engine=engine), net.initialize(0)

    def train(self, begun: tuple[Any, State]) -> float:
        """Train one pass; return its seconds, without the time to generate the rows."""
        interpreter, state = begun
        seconds = 0.0
        for block in self._blocks():
            start = time.perf_counter()
            n, batch = block.n_rows, self._case.batch
            bounds = np.append(np.arange(0, n, batch), n).astype(np.int64)
            rates = np.full(len(bounds) - 1, 1e-3)
            order = BatchSchedule(self._rng.permutation(n), bounds, rates)
            done = 0
            while done < order.n_batches:
                steps = interpreter.train_steps(state, block, order, range(done, order.n_batches))
                done += len(steps.loss)
            seconds += time.perf_counter() - start
        return seconds

    def _chunks(self) -> Iterator[int]:
        for first in range(0, self._case.rows, len(self._x)):
            yield min(len(self._x), self._case.rows - first)

    def _blocks(self) -> Iterator[Block]:
        for rows in self._chunks():
            x, y = self._x[:rows], self._y[:rows]
            self._rng.standard_normal(out=x, dtype=x.dtype)
            np.greater(x[:, :1], 0, out=y)
            yield Block(x, y)
