"""What does an activation do to its input?
========================================

Its value g, and its slope g', which every gradient is multiplied by (A1-A7).

A difference quotient of g is the slope, except at a kink. No value overflows, however large z is.
Softmax makes probabilities of several numbers, and adding a constant to all of them changes nothing
(Matt R §2; Ayrapetyan §6.3).

Run it by::

    python examples/activations.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule import Dense, Network, Parametric, train
from deltarule.functions import ACTIVATIONS, softmax
from deltarule.plots import ActivationDisplay

SHOWN = ["identity", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]


def quotient_error(name: str, step: float = 1e-6) -> float:
    """Return the largest difference between g' and a central difference quotient of g."""
    g, z = ACTIVATIONS[name], np.linspace(-4.0, 4.0, 100)  # 0, where a kink may be, is not in it
    return float(np.abs((g(z + step) - g(z - step)) / (2 * step) - g.derivative(z)).max())


def main(output: Path = Path("examples-output")) -> None:
    """Print slopes and extreme values, and draw the activations of items A1 to A5 and A7."""
    print("activation   g(-1000)   g'(-1000)   g'(0)    g' - difference quotient")
    for name in SHOWN:
        g = ACTIVATIONS[name]
        print(f"{name:<12} {g(-1000):<10.5g} {g.derivative(-1000):<11.5g} "
              f"{g.derivative(0):<8.5g} {quotient_error(name):.0e}")  # fmt: skip
    z = np.array([1.0, 2.0, 3.0])
    print(f"softmax of {z}: {softmax(z).round(4)}, of {z + 1000}: {softmax(z + 1000).round(4)}")
    print(f"its Jacobian at {z}:\n{softmax.derivative(z).round(4)}")

    # A learned mixture of g and z: training on |x| bends relu beyond itself.
    x = np.linspace(-1.0, 1.0, 201)[:, None]
    net = Network(1, [Dense(8, Parametric("relu")), Dense(1)])
    state = net.initialize(0)
    train(net, state, x, np.abs(x[:, 0]), optimizer="adam", epochs=30, stopping=None)
    print(f"alpha of eight units after training: {net.parameters(state)['alpha1'].round(2)}")

    figure = Figure(figsize=(9, 5.4), layout="constrained")
    for ax, name in zip(figure.subplots(2, 3).ravel(), SHOWN, strict=True):
        ActivationDisplay.from_name(name, ax=ax)
        ax.set_title(name, fontsize=10)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "activations.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
