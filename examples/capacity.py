"""What is overfitting?
====================

Training and test error of polynomials by degree and by λ (M8).

The training error decreases with the degree; the error on new data decreases, then increases
(Khabar §9-10).

Run it by::

    python examples/capacity.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule.analysis import capacity_table, least_squares, polynomial_features, ridge

STRENGTHS = (0.0, 1e-6, 1e-3, 1e-1, 10.0)


def data(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n points of sin(πx) with noise of standard deviation 0.2."""
    x = rng.uniform(-1, 1, n)
    return x, np.sin(np.pi * x) + 0.2 * rng.standard_normal(n)


def main(output: Path = Path("examples-output")) -> None:
    """Print the table of errors, and draw three fits and the errors."""
    print("x = 2, degree 2 becomes", polynomial_features(2, 2).tolist())
    rng = np.random.default_rng(0)
    training, unseen = data(rng, 20), data(rng, 2000)
    table = capacity_table(training, unseen, range(1, 16), STRENGTHS)
    print(table)
    print("lowest error on new data at degree {}, λ = {:g}".format(*table.best))
    beta = ridge(polynomial_features(training[0], 15), training[1], 1e-3)
    print(f"ridge, degree 15: {np.count_nonzero(beta == 0)} of {len(beta)} coefficients are zero")

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    x = np.linspace(-1, 1, 400)
    left.plot(*training, "o", color="#718096", markersize=4)
    for degree, colour in ((1, "#2f855a"), (4, "#2b6cb0"), (15, "#c05621")):
        beta = least_squares(polynomial_features(training[0], degree), training[1])
        left.plot(x, polynomial_features(x, degree) @ beta, color=colour, label=f"degree {degree}")
    left.set(ylim=(-2, 2), xticks=[-1, 0, 1], xlabel="x", ylabel="y", title="least squares")
    left.legend(frameon=False)
    right.semilogy(table.degrees, table.train_rmse[:, 0], label="training, λ = 0", color="#c05621")
    for j, style in ((0, "--"), (2, ":")):
        label = f"new data, λ = {STRENGTHS[j]:g}"
        right.semilogy(table.degrees, table.unseen_rmse[:, j], style, label=label, color="#2b6cb0")
    right.set(xlabel="degree", ylabel="RMSE", title="capacity")
    right.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "capacity.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
