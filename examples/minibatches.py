"""How noisy is the gradient of a mini-batch?
==========================================

Its variance over all subsets (O2).

The gradient of a mini-batch is unbiased. Over all subsets of b of n rows its variance is
(S/b)(n − b)/(n − 1), where S is the variance of single rows; it is 0 for the full batch
(Khabar §7).

Run it by::

    python examples/minibatches.py [folder for the picture]
"""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule import Dense, Network
from deltarule.program import Block
from deltarule.reference import Reference

N = 12


def row_gradients() -> np.ndarray:
    """Return the gradient (12, p) of every row of a small classifier."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, 3)), rng.integers(0, 2, (N, 1)).astype(float)
    net = Network(3, [Dense(4, "tanh"), Dense(1, "sigmoid")], "binary_cross_entropy")
    state, reference = net.initialize(), Reference(net.tape)
    rows = [reference.gradient(state, Block(X[i : i + 1], y[i : i + 1])) for i in range(N)]
    return np.array([row.gradient for row in rows])


def variances(gradients: np.ndarray, b: int) -> tuple[float, float, float]:
    """Return the largest bias, the variance over all subsets of b rows, and the formula's."""
    n = len(gradients)
    means = np.array([gradients[list(rows)].mean(axis=0) for rows in combinations(range(n), b)])
    bias = np.abs(means.mean(axis=0) - gradients.mean(axis=0)).max()
    single = gradients.var(axis=0).sum()
    return float(bias), float(means.var(axis=0).sum()), float(single / b * (n - b) / (n - 1))


def main(output: Path = Path("examples-output")) -> None:
    """Print bias and variance by batch size, and draw the variance."""
    gradients = row_gradients()
    found = [variances(gradients, b) for b in range(1, N + 1)]
    for b, (bias, over_all, formula) in enumerate(found, start=1):
        print(f"b = {b:>2}: bias {bias:.0e}, variance {over_all:.6g}, formula {formula:.6g}")

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    b = np.arange(1, N + 1)
    ax.plot(b, [row[2] for row in found], color="#2b6cb0", label="(S/b)(n − b)/(n − 1)")
    ax.plot(b, [row[1] for row in found], "o", color="#c05621", label="over all subsets")
    ax.plot(b, found[0][1] / b, ":", color="#718096", label="with replacement: S/b")
    ax.set(xlabel="rows in a batch, of 12", ylabel="variance of the gradient", ylim=(0, None))
    ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "minibatches.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
