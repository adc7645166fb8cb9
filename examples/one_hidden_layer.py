"""What can a hidden layer do?
===========================

Separate classes that no straight line separates (M1, M3).

The data are exclusive or and two rings. Without a hidden layer the decision boundary is a line, and
half of the points are on the wrong side; with eight tanh units it is a curve (Matt R §2).

Run it by::

    python examples/one_hidden_layer.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import make_circles

from deltarule import L2, LBFGS, Dense, Network, State, train

MODELS = {"no hidden layer": [], "8 tanh units": [Dense(8, "tanh")]}


def tables() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return exclusive or (four clouds) and rings: X (200, 2), y (200,)."""
    rng = np.random.default_rng(0)
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    which = np.repeat(np.arange(4), 50)
    clouds = corners[which] + 0.25 * rng.normal(size=(200, 2))
    rings = make_circles(200, noise=0.06, factor=0.5, random_state=0)
    return {"exclusive or": (clouds, np.isin(which, (1, 2)).astype(int)), "rings": rings}


def fit(hidden: list[Dense], X: np.ndarray, y: np.ndarray) -> tuple[Network, State]:
    """Return a trained network with a sigmoid output."""
    layers = [*hidden, Dense(1, "sigmoid")]
    net = Network(2, layers, "binary_cross_entropy", penalties=[L2(1e-3)])
    state = net.initialize(seed=1)
    train(net, state, X, y, optimizer=LBFGS(tol=1e-3), epochs=300)
    return net, state


def main(output: Path = Path("examples-output")) -> None:
    """Print accuracies, and draw probabilities with the decision boundary."""
    figure = Figure(figsize=(7.6, 7.4), layout="constrained")
    axes = figure.subplots(2, 2)
    ticks = np.linspace(-2, 2, 161)
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    for row, (table, (X, y)) in zip(axes, tables().items(), strict=True):
        for ax, (model, hidden) in zip(row, MODELS.items(), strict=True):
            net, state = fit(hidden, X, y)
            accuracy = net.score(state, X, y)
            print(f"{table}, {model}: accuracy {accuracy:.3f}, "
                  f"log-loss {net.loss_of(state, X, y):.4f}")  # fmt: skip
            shape = (len(ticks), len(ticks))
            probability = net.predict(state, grid)[:, 0].reshape(shape)
            ax.contourf(ticks, ticks, probability, np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.6)
            if probability.min() < 0.5 < probability.max():
                ax.contour(ticks, ticks, probability, [0.5], colors="black")
            ax.scatter(*X.T, c=y, cmap="RdBu_r", s=12, edgecolors="black", linewidths=0.4)
            ax.set(title=f"{table}, {model}: {accuracy:.0%} correct", aspect="equal")
            ax.set(xticks=[-2, 0, 2], yticks=[-2, 0, 2])
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "one_hidden_layer.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
