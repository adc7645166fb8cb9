"""Benchmark cases: networks, batch sizes, random data, and the estimators' arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["CASES", "Case", "estimator_arguments", "variants"]


@dataclass(frozen=True)
class Case:
    """A fit: a network of ReLU layers, batch size, number of rows and of epochs.

    One output is a sigmoid with log-loss; several are a softmax with cross-entropy.
    """

    name: str
    widths: tuple[int, ...]  # inputs, hidden layers, outputs
    batch: int
    rows: int
    epochs: int = 1  # of one repetition
    dtype: str = "float32"
    arguments: Mapping[str, Any] = field(
        default_factory=dict
    )  # additional arguments of our estimator

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Case:
        """Return the case that ``spec`` describes."""
        return cls(**{**spec, "widths": tuple(spec["widths"])})

    def spec(self) -> dict[str, Any]:
        """Return the case as a JSON object."""
        return asdict(self)

    @property
    def steps(self) -> int:
        """Number of steps per epoch."""
        return -(-self.rows // self.batch)

    @property
    def layers(self) -> list[tuple[int, int]]:
        """The shape of every weight matrix."""
        return list(pairwise(self.widths))

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases."""
        return sum(p * q + q for p, q in self.layers)

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs (n, d) and class numbers (n,); every class occurs."""
        rng = np.random.default_rng(0)
        n_classes = max(2, self.widths[-1])
        X = rng.standard_normal((self.rows, self.widths[0]), dtype=self.dtype)
        y = rng.integers(0, n_classes, self.rows)
        y[:n_classes] = np.arange(n_classes)
        return X, y

    def __str__(self) -> str:
        network = "-".join(map(str, self.widths))
        extra = "".join(f", {name}={value}" for name, value in self.arguments.items())
        return (
            f"{self.name} {self.dtype}: {network}{extra}, batch {self.batch}; a fit of "
            f"{self.epochs} epochs of {self.rows:,} rows"
        )


# Repetitions take a second (W: some), long enough that the fixed cost of a fit is small.
CASES = {
    "S": Case("S", (30, 64, 64, 1), 32, 12_800, 15),
    "S2": Case("S2", (30, 64, 64, 1), 200, 40_000, 15),
    "M": Case("M", (784, 128, 10), 128, 12_800, 10),
    "L": Case("L", (784, 1024, 1024, 10), 256, 6_400, 3),
    "W": Case("W", (1024, 4096, 4096, 10), 256, 6_400, 2),
    "T": Case("T", (10, 80, 80, 80, 80, 1), 32, 12_800, 6),
    "D": Case("D", (64, *[128] * 8, 10), 128, 12_800, 5),
    "B1": Case("B1", (30, 64, 64, 1), 1, 4_000, 5),
}


def variants(case: Case) -> dict[str, Case]:
    """Return the case with other hidden layers, by name; the first is the case itself."""
    changes: dict[str, dict[str, Any]] = {
        "relu": {},
        "tanh": {"activation": "tanh"},
        "sigmoid": {"activation": "logistic"},
        "batch norm": {"batch_norm": True},
        "dropout": {"dropout": 0.2},
    }
    return {name: replace(case, arguments=change) for name, change in changes.items()}


def estimator_arguments(case: Case, epochs: int) -> dict[str, Any]:
    """Return the arguments shared by scikit-learn's estimator and ours; no fit stops early."""
    return {
        "hidden_layer_sizes": case.widths[1:-1],
        "alpha": 0.0,
        "batch_size": case.batch,
        "max_iter": epochs,
        "random_state": 0,
        "tol": 0.0,
        "n_iter_no_change": 10**9,
    }
