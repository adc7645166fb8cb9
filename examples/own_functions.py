"""Can a network have your own functions?
======================================

An activation and a loss of your own, and whether their derivatives are right (B4).

Snake, z + sin² z (Ziyin et al. 2020), continues a periodic function where ReLU continues a line.
Its derivative, and that of the loss log cosh(a − y), come from a complex step, Im f(z + ih)/h. That
step is silent about ``abs``: the gradient check finds it, and ``derivative=`` mends it.

Run it by::

    python examples/own_functions.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from deltarule import CustomActivation, CustomLoss, Dense, Network, check_gradients, train


def snake(z: Any) -> Any:
    """Return z + sin² z."""
    return z + np.sin(z) ** 2


LOG_COSH = CustomLoss(lambda a, y: np.log(np.cosh(a - y)))
BENT = {
    "z |z|, by the complex step": CustomActivation(lambda z: z * np.abs(z)),
    "z |z|, derivative given": CustomActivation(
        lambda z: z * np.abs(z), derivative=lambda z: 2 * np.abs(z)
    ),
}


def fitted(activation: Any, X: np.ndarray, y: np.ndarray) -> tuple[Network, Any]:
    """Return a network with one hidden layer, trained."""
    net = Network(1, [Dense(24, activation), Dense(1)], loss=LOG_COSH)
    state = net.initialize(seed=0)
    train(net, state, X, y, optimizer="adam", epochs=1500, batch_size=len(X), seed=0)
    return net, state


def main(output: Path = Path("examples-output")) -> None:
    """Print the verdicts and the errors outside of the training rows, and draw both functions."""
    rng = np.random.default_rng(0)
    X = np.linspace(-4, 4, 80)[:, None]
    y = X[:, 0] + np.sin(2 * X[:, 0]) + 0.05 * rng.normal(size=80)
    far = np.linspace(-7, 7, 281)[:, None]
    truth, outside = far[:, 0] + np.sin(2 * far[:, 0]), np.abs(far[:, 0]) > 4
    for name, activation in BENT.items():
        net = Network(1, [Dense(4, activation), Dense(1)], loss=LOG_COSH)
        print(f"{name}: the gradient is {check_gradients(net, net.initialize(0), X, y).verdict}")

    figure = Figure(figsize=(7.6, 3.8), layout="constrained")
    ax = figure.subplots()
    ax.plot(far, truth, color="#a0aec0", linewidth=4, label="x + sin 2x")
    for name, activation, colour in (("snake", snake, "#2b6cb0"), ("ReLU", "relu", "#c05621")):
        net, state = fitted(activation, X, y)
        found = net.predict(state, far)[:, 0]
        error = np.sqrt(np.mean((found - truth)[outside] ** 2))
        verdict = check_gradients(net, state, X, y).verdict
        print(f"{name}: the gradient is {verdict}; RMSE beyond the training rows {error:.3f}")
        ax.plot(far, found, color=colour, label=name)
    ax.plot(X, y, ".", color="#2d3748", markersize=3, label="training rows")
    ax.set(xlabel="x", ylabel="y")
    ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "own_functions.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
