"""Why do gradients vanish?
========================

The product of slopes in a chain of single neurons (M2).

f = a h_J + b, h_j = tanh(B_j h_{j−1} + c_j), h_0 = x (Ayrapetyan §1):
∂f/∂B_j = a Π_{l≥j} u'(z_l) Π_{l>j} B_l h_{j−1}, and the same without the last factor for c_j.
Gradients vanish because of this product: tanh' ≤ 1, and larger weights saturate tanh.

Run it by::

    python examples/chain.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule import Dense, Network, State
from deltarule.program import Block
from deltarule.reference import Reference


def chain(theta: np.ndarray, x: float) -> tuple[np.ndarray, np.ndarray]:
    """Return ∂f/∂θ by the product and by backpropagation; θ = (B_1, c_1, …, B_J, c_J, a, b)."""
    B, c, a = theta[:-2:2], theta[1:-2:2], theta[-2]
    h = [x]
    for j in range(len(B)):
        h.append(np.tanh(B[j] * h[-1] + c[j]))
    slopes = 1 - np.square(h[1:])
    factors = [a * np.prod(slopes[j:]) * np.prod(B[j + 1 :]) for j in range(len(B))]
    closed = [v for j, d in enumerate(factors) for v in (d * h[j], d)] + [h[-1], 1.0]
    net = Network(1, [*[Dense(1, "tanh")] * len(B), Dense(1)])
    f = net.predict(State(theta), np.array([[x]]))
    block = Block(np.array([[x]]), f - 1)  # a − y = 1: the loss has the gradient of f
    return np.array(closed), Reference(net.tape).gradient(State(theta), block).gradient


def main(output: Path = Path("examples-output")) -> None:
    """Print the differences of both, and draw the gradient along a long chain."""
    rng = np.random.default_rng(0)
    for J in (1, 2, 4, 8):
        closed, backward = chain(rng.normal(size=2 * J + 2), 0.7)
        print(f"J = {J}: largest derivative {np.abs(closed).max():.4g}, largest difference "
              f"{np.abs(closed - backward).max():.1e}")  # fmt: skip

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    J = 20
    for factor, colour in ((0.5, "#2b6cb0"), (1.0, "#718096"), (1.5, "#c05621")):
        theta = np.tile([factor, 0.1], J + 1)
        theta[-2:] = 1.0, 0.0
        closed, backward = chain(theta, 0.7)
        print(f"weights {factor:g}, J = {J}: ∂f/∂c_1 {closed[1]:.3g}, ∂f/∂c_{J} {closed[-3]:.3g}")
        ax.semilogy(range(1, J + 1), backward[1:-2:2], color=colour, label=f"weights {factor:g}")
        ax.semilogy(range(1, J + 1), closed[1:-2:2], "o", color=colour, markersize=4)
    ax.set(
        xticks=range(2, J + 1, 2),
        xlabel="j",
        ylabel="∂f/∂c_j",
        title="dots: product form; lines: backpropagation",
    )
    ax.title.set_fontsize(10)
    ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "chain.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
