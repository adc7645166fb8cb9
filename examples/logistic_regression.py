"""Why does logistic regression use the log-loss?
==============================================

It is convex (M1).

The Hessian of the log-loss is (1/n) Xᵀ diag(a(1 − a)) X, which has no negative eigenvalue at any θ.
Squared error on a sigmoid is not convex: at x = y = 1, w = −4 the curvature is −0.016 (Matt R §1).

Run it by::

    python examples/logistic_regression.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule import Dense, Network, State
from deltarule.analysis.curvature import hessian_matrix

LOSSES = {"log-loss": "binary_cross_entropy", "squared error": "squared_error"}
ONE = np.array([[1.0]])  # x = y = 1


def smallest_eigenvalue(loss: str, draws: int = 200) -> float:
    """Return the smallest Hessian eigenvalue over random data and parameters."""
    rng, lowest = np.random.default_rng(0), np.inf
    net = Network(3, [Dense(1, "sigmoid")], loss)
    for _ in range(draws):
        X, y = rng.normal(size=(20, 3)), rng.integers(0, 2, 20)
        state = State(rng.normal(scale=3.0, size=4))
        lowest = min(lowest, np.linalg.eigvalsh(hessian_matrix(net, state, X, y))[0])
    return float(lowest)


def along(loss: str, w: float) -> tuple[float, float]:
    """Return the cost and its second derivative in w at x = y = 1, b = 0."""
    net, state = Network(1, [Dense(1, "sigmoid")], loss), State(np.array([w, 0.0]))
    return net.loss_of(state, ONE, ONE), float(hessian_matrix(net, state, ONE, ONE)[0, 0])


def main(output: Path = Path("examples-output")) -> None:
    """Print eigenvalues and curvatures, and draw both costs as functions of w."""
    for name, loss in LOSSES.items():
        print(f"{name}: smallest eigenvalue {smallest_eigenvalue(loss):.3g}, "
              f"C''(−4) = {along(loss, -4.0)[1]:.4f}")  # fmt: skip

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    ws = np.linspace(-8, 4, 121)
    for ax, (name, loss) in zip(figure.subplots(1, 2), LOSSES.items(), strict=True):
        cost, curvature = np.array([along(loss, w) for w in ws]).T
        ax.plot(ws, cost, color="#2b6cb0", label="cost")
        ax.plot(ws, curvature, color="#c05621", label="second derivative")
        ax.axhline(0, color="#718096", linewidth=1)
        ax.set(xlabel="w", title=f"{name}, x = y = 1")
        ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "logistic_regression.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
