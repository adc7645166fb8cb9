"""Can one hidden layer approximate any function?
==============================================

Yes, unless g is a polynomial (M9).

Networks with one hidden layer are dense in C(K) iff the activation is not a polynomial (Mebsout §1;
erratum E-aa). Hidden weights are random and output weights fitted by least squares, so that any
function can be the activation g. Identity and square only reach the best line and parabola.

Run it by::

    python examples/universal_approximation.py [folder for the picture]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule.analysis import least_squares, polynomial_features

ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "ReLU": lambda z: np.maximum(z, 0.0),
    "identity": lambda z: z,
    "square": np.square,
}
WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
X = np.linspace(-1, 1, 1001)
F = np.abs(X) + 0.1 * np.sin(9 * X)


def rmse(features: np.ndarray) -> float:
    """Return the error of the best linear fit to F with these features."""
    return float(np.sqrt(np.mean((features @ least_squares(features, F) - F) ** 2)))


def errors(name: str) -> list[float]:
    """Return the error at each width; a wider network contains the narrower one."""
    rng = np.random.default_rng(0)
    weights = rng.normal(scale=8.0, size=WIDTHS[-1])
    kinks = rng.uniform(-1, 1, size=WIDTHS[-1])  # each unit's z is 0 at a point of K
    hidden = ACTIVATIONS[name](weights * (X[:, None] - kinks))
    return [rmse(np.column_stack([np.ones_like(X), hidden[:, :width]])) for width in WIDTHS]


def main(output: Path = Path("examples-output")) -> None:
    """Print the errors by width, and draw them with the limits of polynomials."""
    limits = {degree: rmse(polynomial_features(X, degree)) for degree in (1, 2)}
    curves = {name: errors(name) for name in ACTIVATIONS}
    print("RMSE on [-1, 1] of |x| + sin(9x)/10")
    print(f"{'width':>8}" + "".join(f"{name:>12}" for name in curves))
    for i, width in enumerate(WIDTHS):
        print(f"{width:>8}" + "".join(f"{curve[i]:>12.3e}" for curve in curves.values()))
    print(f"the best line has {limits[1]:.3e}, the best parabola {limits[2]:.3e}")

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    for limit in limits.values():
        ax.axhline(limit, color="#718096", linewidth=1, linestyle=":")
    for (name, curve), colour in zip(
        curves.items(), ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1"), strict=True
    ):
        ax.loglog(WIDTHS, curve, "o-", markersize=4, color=colour, label=name)
    ax.set_xlabel("width of the hidden layer")
    ax.set_ylabel("RMSE")
    ax.set_title("dotted: the best line and the best parabola", fontsize=10)
    ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "universal_approximation.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
