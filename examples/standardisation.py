"""Why standardise inputs?
=======================

The Hessian's condition number and the number of steps (D2).

Bill depth (mm) and body mass (kg) of penguins predict sex and flipper length. With step 1/λ_max,
about λ_max/λ_min · ln(10⁶) steps reduce the gradient by a factor of a million (Mebsout §6).

Run it by::

    python examples/standardisation.py [folder for the picture]
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.special import expit

from deltarule.datasets import penguins_path

MOST, GOAL = 30_000, 1e-6


def penguins() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return X (n, 2), the flipper length in standard units, and the sex as 0/1."""
    with penguins_path().open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["sex"] != "NA"]
    names = ("bill_depth_mm", "body_mass_g", "flipper_length_mm")
    depth, mass, flipper = np.array([[float(row[name]) for name in names] for row in rows]).T
    sex = np.array([row["sex"] == "male" for row in rows])
    return np.column_stack([depth, mass / 1000]), (flipper - flipper.mean()) / flipper.std(), sex


def gradient(A: np.ndarray, y: np.ndarray, theta: np.ndarray, logistic: bool) -> np.ndarray:
    """Return the gradient Aᵀ(a − y)/n, which is the same for both costs."""
    return A.T @ ((expit(A @ theta) if logistic else A @ theta) - y) / len(y)


def hessian(A: np.ndarray, theta: np.ndarray, logistic: bool) -> np.ndarray:
    """Return the Hessian Aᵀ diag(g'(z)) A/n, with g' = 1 for least squares."""
    return (A.T * expit(A @ theta) * expit(-A @ theta) if logistic else A.T) @ A / len(A)


def descend(A: np.ndarray, y: np.ndarray, logistic: bool, step: float) -> list[float]:
    """Return the norms of the gradient relative to the first, until GOAL is reached."""
    theta, norms = np.zeros(3), list[float]()
    while len(norms) < MOST and (not norms or norms[-1] > GOAL * norms[0]):
        g = gradient(A, y, theta, logistic)
        norms.append(float(np.sqrt(g @ g)))
        theta -= step * g
    return [norm / norms[0] for norm in norms]


def main(output: Path = Path("examples-output")) -> None:
    """Print condition numbers and steps, and draw the descent."""
    raw, *targets = penguins()
    inputs = {"raw": raw, "standardised": (raw - raw.mean(axis=0)) / raw.std(axis=0)}
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for ax, logistic, y in zip(figure.subplots(1, 2), (False, True), targets, strict=True):
        title = "logistic regression" if logistic else "least squares"
        for name, X in inputs.items():
            A, best = np.column_stack([X, np.ones(len(X))]), np.zeros(3)
            largest = np.linalg.eigvalsh(hessian(A, best, logistic))[-1]  # the maximum over all θ
            for _ in range(30):  # Newton steps to the minimum
                best -= np.linalg.solve(hessian(A, best, logistic), gradient(A, y, best, logistic))
            low, _, high = np.linalg.eigvalsh(hessian(A, best, logistic))
            norms = descend(A, y, logistic, 1 / largest)
            steps = f"{'>' if norms[-1] > GOAL else ''}{len(norms):,} steps"
            label = f"{name}: condition number {high / low:,.1f}"
            print(f"{title}, {label}, {steps} (expected: {-np.log(GOAL) * largest / low:,.0f})")
            ax.loglog(range(1, len(norms) + 1), norms, label=label)
        ax.set(xlabel="step", ylabel="|gradient| / first", title=title, ylim=(GOAL / 2, 20))
        ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "standardisation.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
