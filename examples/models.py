"""Which model is a network?
=========================

Any number of layers, and an output and a loss that fit the targets (M4-M7).

Softmax for one of several classes, a sigmoid for each of several labels, no activation for numbers.
In every case a baseline that knows only the targets is worse (Ayrapetyan §3; Schönhuth eq. 21;
Khabar §4.3).

Run it by::

    python examples/models.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule import Adam, Dense, History, Network, train

Task = tuple[Network, np.ndarray, np.ndarray]


def tasks() -> dict[str, Task]:
    """Return networks with the data that they fit."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 2))
    angle = np.arctan2(X[:, 1], X[:, 0])
    several = np.column_stack([X[:, 0] > 0, X[:, 1] > 0, X.sum(axis=1) > 0]).astype(float)
    smooth = np.column_stack([np.sin(3 * X[:, 0]), X[:, 0] * X[:, 1]])
    hidden = [Dense(16, "tanh"), Dense(16, "tanh")]
    return {
        "M5 one of three classes": (
            Network(2, [*hidden, Dense(3, "softmax")], "categorical_cross_entropy"),
            X,
            np.digitize(angle, [-1.0, 1.0]),
        ),
        "M6 three labels at once": (
            Network(2, [*hidden, Dense(3, "sigmoid")], "binary_cross_entropy"),
            X,
            several,
        ),
        "M7 two numbers": (Network(2, [*hidden, Dense(2)], "squared_error"), X, smooth),
    }


def baseline(net: Network, y: np.ndarray) -> float:
    """Return the loss of the best constant output: frequencies, or means."""
    if net.loss == "categorical_cross_entropy":
        shares = np.bincount(y) / len(y)
        return float(-shares @ np.log(shares))
    mean = y.mean(axis=0)
    if net.loss == "binary_cross_entropy":
        return float(-(mean * np.log(mean) + (1 - mean) * np.log(1 - mean)).sum())
    return float(0.5 * ((y - mean) ** 2).mean(axis=0).sum())


def fit(net: Network, X: np.ndarray, y: np.ndarray) -> History:
    """Return the history of a training."""
    return train(net, net.initialize(), X, y, optimizer=Adam(0.01), epochs=60)


def main(output: Path = Path("examples-output")) -> None:
    """Print networks and losses, and draw the losses by epoch."""
    print(Network(5, [Dense(3, "relu"), Dense(3, "relu"), Dense(2)]).summary())  # M4: 38 in all
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    for ax, (name, (net, X, y)) in zip(figure.subplots(1, 3), tasks().items(), strict=True):
        history, constant = fit(net, X, y), baseline(net, y)
        print(f"{name}: loss {history.loss[-1]:.3f}, of the best constant {constant:.3f}")
        ax.plot(range(1, 61), history.loss, color="#2b6cb0", label="network")
        ax.axhline(constant, color="#718096", linestyle=":", label="best constant")
        ax.set(xlabel="epoch", ylabel="loss", title=name, ylim=(0, None))
        ax.title.set_fontsize(10)
    ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "models.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
