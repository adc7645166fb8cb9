"""How should weights be initialised?
==================================

Symmetry, saturation, preserved signals (I1-I5).

With zero weights, tanh and ReLU networks do not train at all, and all sigmoid units change equally.
Large weights saturate. Glorot's and He's variances preserve a signal through ten layers.

Run it by::

    python examples/initialisation.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule import SGD, Dense, Network, Normal, network_health, train

SCALES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


def after_zeros(activation: str) -> np.ndarray:
    """Return W1 (3, 5) after ten epochs from zero weights."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    layers = [Dense(5, activation, "zeros"), Dense(1, "sigmoid", "zeros")]
    net = Network(3, layers, "binary_cross_entropy")
    state = net.initialize()
    train(net, state, X, (X[:, 0] * X[:, 1] > 0).astype(int), optimizer=SGD(0.5))
    return net.parameters(state)["W1"]


def deep(activation: str, initializer: object) -> tuple[list[float], list[float | None]]:
    """Return rms A_l and the saturated share of ten layers of 100 units, before training."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 100)), rng.normal(size=(200, 1))
    net = Network(100, [*[Dense(100, activation, initializer)] * 10, Dense(1)])
    health = network_health(net, net.initialize(), X, y)
    return (
        [layer.activation_norm for layer in health.layers[:-1]],
        [layer.saturated for layer in health.layers[:-1]],
    )


def main(output: Path = Path("examples-output")) -> None:
    """Print the effects of zero weights and of scales, and draw them."""
    for activation in ("tanh", "relu", "sigmoid"):
        W = after_zeros(activation)
        print(f"zeros, {activation}: largest weight {np.abs(W).max():.3g}, "
              f"largest difference between units {np.ptp(W, axis=1).max():.3g}")  # fmt: skip
    saturated = [deep("tanh", Normal(scale))[1][0] for scale in SCALES]
    for scale, share in zip(SCALES, saturated, strict=True):
        print(f"tanh, N(0, {scale:g}²): {share:.1%} of the first layer saturated")
    lines = {f"ReLU, {name}": deep("relu", f"{name}_normal")[0] for name in ("lecun", "he")}
    lines |= {
        f"tanh, {start!r}": deep("tanh", start)[0] for start in (Normal(0.01), "glorot_normal")
    }
    for name, norms in lines.items():
        print(f"{name}: rms 1 at the input, {norms[0]:.2g} in layer 1, {norms[-1]:.2g} in layer 10")

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.semilogx(SCALES, saturated, "o-", color="#c05621")
    left.set(xlabel="standard deviation of the weights", ylabel="share of saturated tanh units")
    for name, norms in lines.items():
        right.semilogy(range(1, 11), norms, "o-", markersize=4, label=name)
    right.set(xlabel="layer", ylabel="root mean square of A")
    right.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "initialisation.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
