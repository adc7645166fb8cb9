"""Fits as users run them, beside scikit-learn: ``python -m speed.fits CASE ROUNDS [EPOCHS]``.

One process times both libraries in turn; the shortest time of each counts. Another process does the
same with BLAS on one thread, and scikit-learn's better time of the two counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

__all__ = ["FITS", "Fit", "time_fit"]

_ROOT = Path(__file__).resolve().parent.parent
_LONG = 10**9  # epochs without progress, which never end a fit


@dataclass(frozen=True)
class Fit:
    """A fit of random data, and how many times as fast as scikit-learn's it must be."""

    what: str
    target: float
    rows: int
    features: int
    hidden: tuple[int, ...]
    epochs: int
    classes: int = 3  # 0: regression
    outputs: int = 1
    density: float | None = None  # of sparse inputs
    texts: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)

    def data(self) -> tuple[Any, Any]:
        """Return inputs and targets."""
        rng = np.random.default_rng(0)
        if self.density is None:
            X: Any = rng.normal(size=(self.rows, self.features))
        else:
            shape = (self.rows, self.features)
            X = sparse.random_array(shape, density=self.density, format="csr", rng=rng)
        if self.classes == 0:
            return X, np.squeeze(rng.normal(size=(self.rows, self.outputs)))
        y = np.arange(self.rows) % self.classes
        return X, np.char.add("class ", y.astype(str)) if self.texts else y

    def estimators(self, epochs: int | None) -> tuple[Any, Any]:
        """Return our estimator and scikit-learn's, with the same arguments."""
        from sklearn import neural_network

        import deltarule

        name = "MLPClassifier" if self.classes else "MLPRegressor"
        arguments = {
            "hidden_layer_sizes": self.hidden, "max_iter": epochs or self.epochs, "tol": 0.0,
            "n_iter_no_change": _LONG, "random_state": 0, **self.arguments,
        }  # fmt: skip
        return getattr(deltarule, name)(**arguments), getattr(neural_network, name)(**arguments)


_FLOWERS: dict[str, Any] = {"rows": 150, "features": 4, "hidden": (10,)}
_STOPPING = {"early_stopping": True}

FITS: dict[str, Fit] = {
    "1": Fit("150 x 4 rows, 1 epoch", 1.0, **_FLOWERS, epochs=1),
    "50": Fit("150 x 4 rows, 50 epochs", 3.0, **_FLOWERS, epochs=50),
    "1000": Fit("150 x 4 rows, 1000 epochs", 5.0, **_FLOWERS, epochs=1000),
    "20000": Fit("150 x 4 rows, 20 000 epochs", 6.0, **_FLOWERS, epochs=20_000),
    "stopping": Fit(
        "150 x 4 rows, 1000 epochs, early stopping", 4.0, **_FLOWERS, epochs=1000,
        arguments=_STOPPING,
    ),
    "outputs": Fit("1000 outputs", 1.5, 2000, 20, (100,), 5, classes=0, outputs=1000),
    "features": Fit("10 000 features", 1.5, 2000, 10_000, (100,), 5, classes=2),
    "classes": Fit("5000 classes", 1.5, 10_000, 20, (50,), 2, classes=5000),
    "sparse": Fit("10^6 sparse features", 1.5, 1000, 10**6, (10,), 2, classes=2, density=3e-5),
    "layers": Fit("200 layers", 1.5, 1000, 20, (20,) * 200, 5, classes=2),
    "texts": Fit("50 000 text labels", 1.5, 50_000, 5, (10,), 1, classes=20, texts=True),
}  # fmt: skip


def time_fit(name: str, rounds: int, epochs: int | None) -> tuple[float, float]:
    """Return the seconds of our fit and of scikit-learn's better one."""
    times = []
    for threads in ({}, {"OPENBLAS_NUM_THREADS": "1"}):
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "speed.fits",
                name,
                str(rounds),
                *([str(epochs)] * bool(epochs)),
            ],
            env={**os.environ, "PYTHONPATH": path, **threads},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or ["no error message"])[-1])
        times.append(json.loads(done.stdout))
    return min(ours for ours, _ in times), min(theirs for _, theirs in times)


def _in_turn(fit: Fit, rounds: int, epochs: int | None) -> Iterator[float]:
    X, y = fit.data()
    best = [float("inf"), float("inf")]
    estimators = fit.estimators(epochs)
    fit.estimators(1)[0].fit(X, y)  # kernels are compiled, or read from the cache
    for _ in range(rounds):
        for place, estimator in enumerate(estimators):
            start = time.perf_counter()
            estimator.fit(X, y)
            best[place] = min(best[place], time.perf_counter() - start)
    yield from best


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    given = [int(text) for text in sys.argv[2:]]
    print(json.dumps(list(_in_turn(FITS[sys.argv[1]], given[0], given[1] if given[1:] else None))))
