"""Processor time of a step on one thread, beside its bare products: ``python -m speed.cpu_time …``.

Where other work keeps the machine busy, times on the clock say nothing: this compares processor
time, of the engine's steps and of BLAS (``workers.blas_baseline``), in turn, the shortest of all
rounds. ``python -m speed.cpu_time S,S2,T 40`` compares cases; ``… S 25 1,8,16`` compares members.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from speed.cases import Case
from speed.workers import blas_baseline

__all__ = ["CASES"]

CASES: dict[str, tuple[tuple[int, ...], int]] = {
    "S": ((30, 64, 64, 1), 32),
    "S2": ((30, 64, 64, 1), 200),
    "M": ((784, 128, 10), 128),
    "T": ((10, 80, 80, 80, 80, 1), 32),
    "D": ((64, *(128,) * 8, 10), 128),
    "B1": ((30, 64, 64, 1), 1),
}
_BATCHES = 64  # of an epoch
_OPERATIONS = 3e8  # of a round


def engine_steps(widths: tuple[int, ...], batch: int, members: int) -> Callable[[int], None]:
    """Return a function that takes a number of steps, rounded up to whole epochs."""
    from deltarule import Adam, Dense, Network
    from deltarule.engine.engine import Engine
    from deltarule.program import BatchSchedule, Block

    *hidden, last = widths[1:]
    output, loss = (
        ("sigmoid", "binary_cross_entropy")
        if last == 1
        else ("softmax", "categorical_cross_entropy")
    )
    layers = [*(Dense(units, "relu") for units in hidden), Dense(last, output)]
    net = Network(widths[0], layers, loss, dtype="float32", members=members)
    engine, state = Engine(net.tape, Adam(1e-3), n_threads=1), net.initialize(0)
    rows, rng = batch * _BATCHES, np.random.default_rng(0)
    X = rng.standard_normal((rows, widths[0]), dtype="float32")
    y: Any = np.eye(max(2, last), dtype="float32")[rng.integers(0, max(2, last), rows)]
    block = Block(X, np.ascontiguousarray(y[:, :1]) if last == 1 else y)
    bounds = np.arange(0, rows + 1, batch)
    order = BatchSchedule(rng.permutation(rows), bounds, np.full(_BATCHES, 1e-3))

    def run(steps: int) -> None:
        for _ in range(-(-steps // _BATCHES)):
            done = 0
            while done < _BATCHES:
                done += len(engine.train_steps(state, block, order, range(done, _BATCHES)).loss)

    return run


def bare_products(widths: tuple[int, ...], batch: int) -> Callable[[int], None]:
    """Return a function that computes the products of a number of steps by BLAS."""
    products, alive = blas_baseline._products(Case("", widths, batch, batch))
    run, address = blas_baseline._runner("float32"), blas_baseline._address("sgemm")

    def repeat(steps: int) -> None:
        assert alive  # the arrays of the products
        run(address, steps, products)

    return repeat


def shortest(timed: dict[str, tuple[Callable[[int], None], int]], rounds: int) -> dict[str, float]:
    """Return the seconds of a step of each, run in turn for so many steps."""
    best = dict.fromkeys(timed, float("inf"))
    for turn in range(rounds + 1):
        for name, (run, steps) in timed.items():
            start = time.thread_time()
            run(steps)
            if turn > 0:
                best[name] = min(best[name], (time.thread_time() - start) / steps)
    return best


def main(names: list[str], rounds: int, members: list[int]) -> None:
    """Print the microseconds of a step, and their ratio to the products of one member."""
    for name in names:
        widths, batch = CASES[name]
        work = 6 * batch * sum(p * q for p, q in itertools.pairwise(widths))
        timed: dict[str, tuple[Callable[[int], None], int]] = {}
        for k in members:
            steps = _BATCHES * max(1, int(_OPERATIONS / (work * k) / _BATCHES))
            timed[f"{k}"] = engine_steps(widths, batch, k), steps
            timed[f"bare {k}"] = bare_products(widths, batch * k), steps
        best = shortest(timed, rounds)
        first = best[f"{members[0]}"]
        for k in members:
            ours, bare = best[f"{k}"], best[f"bare {k}"]
            print(
                f"{name} k={k}: {ours * 1e6:.1f} µs, bare products {bare * 1e6:.1f} µs, "
                f"{ours / bare:.2f} of these; {ours / first / k:.2f} k of the first, "
                f"bare products {bare / first / k:.2f} k"
            )


if __name__ == "__main__":
    given = sys.argv[3].split(",") if len(sys.argv) > 3 else ["1"]
    main(sys.argv[1].split(","), int(sys.argv[2]), [int(k) for k in given])
