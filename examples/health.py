"""How do you recognise an unhealthy network?
==========================================

Exploding, vanishing, dead, saturated (H1-H5).

In a deep linear network with weights 1.5·I (0.5·I), outputs and gradients grow (vanish) like
1.5^(L−1) (0.5^(L−1)) (Mebsout). A saturated sigmoid learns with cross-entropy, but not with
quadratic cost (Schönhuth eq. 13).

Run it by::

    python examples/health.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule import ConstantInitializer, Dense, Network, State, critical_point, network_health
from deltarule.analysis.health import Health

DEPTH = 12


def linear(factor: float) -> tuple[Health, np.ndarray]:
    """Return health and outputs at x = (1, 1) of DEPTH layers; all but the last are factor·I."""

    def scaled(rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
        return factor * np.eye(fan_in)

    identity = Dense(2, initializer=lambda rng, fan_in, fan_out: np.eye(fan_in))
    net = Network(2, [*[Dense(2, initializer=scaled)] * (DEPTH - 1), identity])
    state, X = net.initialize(), np.ones((1, 2))
    outputs = net.predict(state, X)
    return network_health(net, state, X, outputs - 1), outputs  # a − y = 1


def dying(bias: float) -> float | None:
    """Return the share of dead units of a ReLU layer whose biases are all ``bias``."""
    net = Network(10, [Dense(100, "relu"), Dense(1)])
    state = net.initialize()
    net.parameters(state)["b1"][...] = bias
    X = np.random.default_rng(0).normal(size=(200, 10))
    return network_health(net, state, X, X[:, 0]).layers[0].dead


def saturated(loss: str) -> float:
    """Return δ of a sigmoid neuron at z = −10, y = 1."""
    net, one = Network(1, [Dense(1, "sigmoid", ConstantInitializer(-10.0))], loss), np.ones((1, 1))
    return -network_health(net, net.initialize(), one, one).layers[0].delta_norm  # a < y


def main(output: Path = Path("examples-output")) -> None:
    """Print growth, dead units, δ and a critical point, and draw the growth."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for factor, colour in ((1.5, "#c05621"), (1.0, "#718096"), (0.5, "#2b6cb0")):
        health, outputs = linear(factor)
        print(f"{factor}·I: output {outputs[0, 0]:.6g} = {factor}^{DEPTH - 1}, "
              f"‖∂W‖ of layer 1 {health.layers[0].gradient_norm:.6g}")  # fmt: skip
        layers = range(1, DEPTH + 1)
        label = f"weights {factor:g}·I"
        for ax, name in ((left, "activation_norm"), (right, "delta_norm")):
            norms = [getattr(layer, name) for layer in health.layers]
            ax.semilogy(layers, norms, "o-", color=colour, markersize=4, label=label)
    left.set(xlabel="layer", title="root mean square of A")
    right.set(xlabel="layer", title="‖δ‖, backwards from the output")
    left.legend(frameon=False)
    for bias in (0.0, -3.0, -6.0, -9.0):
        print(f"ReLU, biases {bias:g}: {dying(bias):.0%} of the units dead")
    for name, loss in (("quadratic", "squared_error"), ("cross-entropy", "binary_cross_entropy")):
        print(f"sigmoid at z = −10, y = 1, {name} cost: δ = {saturated(loss):.2g}")
    two, X = Network(1, [Dense(1), Dense(1)]), np.array([[-1.0], [1.0]])
    print(f"two layers at zero weights: {critical_point(two, State(np.zeros(4)), X, X)}")
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "health.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
