"""What do L2, L1 and early stopping do to the weights?
====================================================

The case of a quadratic (R1-R6).

With the Hessian H = QDQᵀ, L2 of strength s multiplies each eigendirection by D/(D + s), and τ
steps from 0 multiply it by 1 − (1 − ηD)^τ. L1 sets small weights to exactly zero (Schönhuth eqs
29-38).

Run it by::

    python examples/regularisation.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule import L2, LBFGS, Dense, Network, shrinkage_table, train
from deltarule.analysis.shrinkage import quadratic_shrinkage

S, RATE, STEPS = 0.1, 0.05, 200


def minimised(D: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the weights of L2, L1 and early stopping by descent on ½ Σ D (v − w)²."""
    v2, v1, stopped = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for step in range(20_000):
        v2 -= RATE * (D * (v2 - w) + S * v2)
        v1 -= RATE * D * (v1 - w)
        v1 = np.sign(v1) * np.maximum(np.abs(v1) - RATE * S, 0.0)
        if step < STEPS:
            stopped -= RATE * D * (stopped - w)
    return v2, v1, stopped


def linear_network() -> tuple[float, str]:
    """Return the largest difference of a trained network's table from L2 training; the table."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4)) * [3.0, 1.0, 0.3, 0.1] + 1.0  # non-zero means, so that b matters
    y = X @ [1.0, -2.0, 1.5, 3.0] + 0.1 * rng.normal(size=200)
    weights = {}
    for strength in (0.0, S):
        net = Network(4, [Dense(1)], penalties=[L2(strength)])
        state = net.initialize()
        train(net, state, X, y, optimizer=LBFGS(tol=1e-10), epochs=1000)
        weights[strength] = net.parameters(state)["W1"][:, 0].copy()
        if strength == 0.0:
            table = shrinkage_table(net, state, X, y, S, learning_rate=RATE, steps=STEPS)
    return float(np.abs(table.l2_weights - weights[S]).max()), str(table)


def main(output: Path = Path("examples-output")) -> None:
    """Print formulas and descent, and a network's table; draw the factors."""
    D, w = np.logspace(1, -3, 9), np.full(9, 1.0)
    table = quadratic_shrinkage(np.diag(D), w, S, learning_rate=RATE, steps=STEPS)
    v2, v1, stopped = minimised(D, w)
    print("eigenvalue    L2       descended  L1       descended  stopped  descended")
    for row in zip(D, table.l2_weights, v2, table.l1_weights, v1, table.stopping_factors, stopped,
                   strict=True):  # fmt: skip
        print("{:<12.4g}  {:.4f}   {:.4f}     {:.4f}   {:.4f}     {:.4f}   {:.4f}".format(*row))
    off, shown = linear_network()
    print(f"\na linear network of four inputs:\n{shown}")
    print(f"its L2 weights differ from those of training with the penalty by {off:.1e}")

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    ax.semilogx(D, table.l2_factors, "o-", color="#2b6cb0", label=f"L2, s = {S:g}")
    ax.semilogx(D, table.stopping_factors, "s--", color="#c05621",
                label=f"early stopping, η = {RATE:g}, τ = {STEPS}")  # fmt: skip
    ax.semilogx(D, table.l1_weights, "^:", color="#2f855a", label=f"L1, s = {S:g}, w* = 1")
    ax.set(xlabel="curvature D of the direction", ylabel="remaining share of w*")
    ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "regularisation.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
