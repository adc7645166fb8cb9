"""The cost of an epoch of one step, in processor time: ``python -m speed.epochs ROUNDS``.

It prints microseconds an epoch, without early stopping and with it: the difference between fits of
1100 and of 100 epochs, so that the fixed cost of a fit does not count. Each fit runs on one thread,
the shortest of all rounds counts.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np

__all__ = ["epoch_cost"]

_FEW, _MANY = 100, 1100


def epoch_cost(rounds: int, *, early_stopping: bool) -> float:
    """Return the seconds of an epoch of a fit of 150 x 4 rows, hidden layer (10,)."""
    from deltarule import MLPClassifier

    X = np.random.default_rng(0).normal(size=(150, 4))
    y = np.arange(150) % 3

    def seconds(epochs: int) -> float:
        model = MLPClassifier(
            (10,), max_iter=epochs, n_iter_no_change=epochs, tol=0.0, random_state=0,
            early_stopping=early_stopping, n_threads=1,
        )  # fmt: skip
        start = time.thread_time()
        model.fit(X, y)
        return time.thread_time() - start

    seconds(10)
    best = [min(seconds(epochs) for _ in range(rounds)) for epochs in (_FEW, _MANY)]
    return (best[1] - best[0]) / (_MANY - _FEW)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for early_stopping in (False, True):
        print(f"{epoch_cost(int(sys.argv[1]), early_stopping=early_stopping) * 1e6:.1f}")
