"""How do optimisers move?
=======================

Paths of six of them on a quadratic (O1, O3-O6).

On a quadratic with Hessian H, exact line search uses t = gᵀg/gᵀHg, and each gradient is
orthogonal to the previous one (Mebsout §6; erratum E-ac).

Run it by::

    python examples/optimisers.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule import SGD, Adam, RMSprop
from deltarule.reference.optimizers import rule_of
from deltarule.training.line_search import Point, minimize_line

H, START = np.diag([1.0, 12.0]), np.array([10.0, 1.2])


def searched(steps: int) -> tuple[np.ndarray, list[float], list[float]]:
    """Return the path of exact line search on ½ θᵀHθ, its t, and gᵀg/gᵀHg."""
    path, found, exact = [START], list[float](), list[float]()
    for _ in range(steps):
        theta, g = path[-1], H @ path[-1]

        def along(t: float, theta: np.ndarray = theta, g: np.ndarray = g) -> tuple[float, float]:
            at = theta - t * g
            return float(at @ H @ at / 2), float(-g @ H @ at)

        found.append(minimize_line(along, Point(0.0, *along(0.0))).t)
        exact.append(float(g @ g / (g @ H @ g)))
        path.append(theta - found[-1] * g)
    return np.array(path), found, exact


def stepped(optimizer: SGD | RMSprop | Adam, steps: int) -> np.ndarray:
    """Return the path of an optimiser on the same quadratic."""
    rule, path = rule_of(optimizer), [START]
    state = rule.begin(START)
    for _ in range(steps):
        taken = rule.step(state, H @ path[-1], optimizer.learning_rate, path[-1])
        state = taken.state
        path.append(path[-1] + taken.change)
    return np.array(path)


def main(output: Path = Path("examples-output")) -> None:
    """Print steps and costs, and draw the paths."""
    line, found, exact = searched(30)
    print(f"line search: t = {found[0]:.12g} and {found[1]:.12g}; gᵀg/gᵀHg = {exact[0]:.12g} "
          f"and {exact[1]:.12g}")  # fmt: skip
    paths = {"exact line search": line, "gradient descent, η 0.15": stepped(SGD(0.15), 30)}
    paths["momentum 0.7, η 0.1"] = stepped(SGD(0.1, momentum=0.7), 30)
    paths["Nesterov 0.7, η 0.1"] = stepped(SGD(0.1, momentum=0.7, nesterov=True), 30)
    paths["RMSprop, η 0.4"] = stepped(RMSprop(0.4), 30)
    paths["Adam, η 1"] = stepped(Adam(1.0), 30)
    figure = Figure(figsize=(12, 6), layout="constrained")
    ticks = np.linspace(-3, 11, 200), np.linspace(-1.6, 1.6, 100)
    level = ticks[0][None, :] ** 2 / 2 + 6 * ticks[1][:, None] ** 2
    for ax, (name, path) in zip(figure.subplots(2, 3).ravel(), paths.items(), strict=True):
        cost = path[-1] @ H @ path[-1] / 2
        print(f"{name}: cost {cost:.3g} after {len(path) - 1} steps")
        ax.contour(*ticks, level, 15, colors="#cbd5e0", linewidths=0.8)
        ax.plot(*path.T, "o-", markersize=3, color="#2b6cb0")
        ax.set(title=f"{name}: cost {cost:.1e}", xlim=(-3, 11), ylim=(-1.6, 1.6))
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "optimisers.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
