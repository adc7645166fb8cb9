"""How does a loss tell right from wrong?
======================================

By its gradient: with the output activation that belongs to it, the residual a − y (L1-L5).

Each of these losses is the negative log-likelihood of a distribution of y: Bernoulli, categorical,
normal. A cross-entropy is computed from the logit z, so that it stays exact where the probability
rounds to 0 or 1 (Khabar §4; Schönhuth eq. 21; erratum E-h).

Run it by::

    python examples/losses.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule.functions import (
    binary_cross_entropy,
    sigmoid,
    sigmoid_cross_entropy,
    softmax,
    softmax_cross_entropy,
    squared_error,
)


def residuals() -> dict[str, float]:
    """Return the largest difference of each gradient from a − y."""
    rng = np.random.default_rng(0)
    z, classes = rng.normal(size=(6, 3)), np.eye(3)[[0, 1, 2, 2, 1, 0]]
    labels = rng.integers(0, 2, (6, 3)).astype(float)
    found = {
        "L1, L4 sigmoid and binary cross-entropy": (
            sigmoid_cross_entropy.derivative(z, labels),
            sigmoid(z) - labels,
        ),
        "L2 softmax and categorical cross-entropy": (
            softmax_cross_entropy.derivative(z, classes),
            softmax(z) - classes,
        ),
        "L3 identity and squared error": (squared_error.derivative(z, classes), z - classes),
    }
    return {name: float(np.abs(a - b).max()) for name, (a, b) in found.items()}


def main(output: Path = Path("examples-output")) -> None:
    """Print gradients and likelihoods, and draw the losses of one output for y = 1."""
    for name, difference in residuals().items():
        print(f"{name}: the gradient differs from a - y by at most {difference:.0e}")
    a, y = np.array([0.2, 0.7, 0.9]), np.array([0.0, 1.0, 1.0])
    likelihood = np.prod(np.where(y == 1, a, 1 - a))  # Bernoulli
    loss = sum(binary_cross_entropy(p, t) for p, t in zip(a, y, strict=True))
    print(
        f"L5: the sum of losses is {loss:.12f}, -log of the likelihood {-np.log(likelihood):.12f}"
    )
    for z in (40.0, -1000.0):
        exact, rounded = sigmoid_cross_entropy(z, 1.0), sigmoid(z)
        print(f"z = {z:g}: loss {exact:.6g}, although the probability is {rounded:g}")

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    z = np.linspace(-6, 6, 200)
    entropy = [sigmoid_cross_entropy(v, 1.0) for v in z]
    square = [squared_error(sigmoid(v), 1.0) for v in z]
    ax.plot(z, entropy, color="#2b6cb0", label="binary cross-entropy")
    ax.plot(z, square, color="#c05621", linestyle="--", label="squared error of the sigmoid")
    ax.set(xlabel="z; the target is y = 1", ylabel="loss")
    ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "losses.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
