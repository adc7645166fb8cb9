"""How do running averages work?
=============================

A moving mean, an exponential average, its correction (O8).

The weights of V_t = β V_{t−1} + (1 − β) x_t sum to 1 − βᵗ, those of V_t/(1 − βᵗ) to 1; Adam uses
this correction. The average covers about 1/(1 − β) values (Matt R §7.1; errata E-m, E-ah).

Run it by::

    python examples/averages.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule.analysis import (
    bias_corrected,
    effective_window,
    exponential_average,
    moving_average,
)

BETA = 0.95


def weighted(x: np.ndarray, beta: float, t: int) -> float:
    """Return Σ_{j<t} βʲ x_{t−j} / Σ_{j<t} βʲ, computed directly."""
    powers = beta ** np.arange(t)
    return float(powers @ x[t - 1 :: -1] / powers.sum())


def main(output: Path = Path("examples-output")) -> None:
    """Print the identities and draw the three averages."""
    rng, times = np.random.default_rng(0), np.arange(1, 201)
    x = 10 + 3 * np.sin(times / 30) + rng.normal(size=len(times))
    average = exponential_average(x, BETA)
    corrected = bias_corrected(average, BETA)
    for t in (1, 2, 50, 200):
        print(f"t = {t}: V {average[t - 1]:.6f}, corrected {corrected[t - 1]:.12f}, "
              f"computed directly {weighted(x, BETA, t):.12f}")  # fmt: skip
    for beta in (0.9, 0.999, 0.9995):
        print(f"β = {beta}: about {effective_window(beta):.0f} values")
    window = round(effective_window(BETA))

    figure = Figure(figsize=(7.6, 4), layout="constrained")
    ax = figure.subplots()
    ax.plot(times, x, ".", color="#a0aec0", markersize=4, label="x")
    ax.plot(times[window - 1 :], moving_average(x, window), color="#2f855a",
            label=f"mean of the last {window}")  # fmt: skip
    ax.plot(times, average, color="#c05621", linestyle="--", label=f"V, β = {BETA}")
    ax.plot(times, corrected, color="#2b6cb0", label="V, corrected")
    ax.set(xlabel="t", ylim=(0, None))
    ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "averages.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
