"""What are bias and variance?
===========================

The parts of the expected squared error, by refitting (E6).

E = noise + bias² + variance (Mebsout §6; erratum E-ac), for polynomials of increasing degree and
for two small networks with strong and weak regularisation.

Run it by::

    python examples/bias_variance.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from deltarule import MLPRegressor
from deltarule.metrics import Decomposition, decompose_error

NOISE, N = 0.5, 20
AT = np.linspace(-1, 1, 101)[:, None]


def truth(x: np.ndarray) -> np.ndarray:
    """Return f(x) = sin(4x)."""
    return np.sin(4 * x[:, 0])


def decompose(estimator: object, refits: int) -> Decomposition:
    """Return the decomposition from refits with new noise at N points."""
    rows = np.linspace(-1, 1, N)[:, None]
    return decompose_error(estimator, truth, rows, AT, noise=NOISE, refits=refits)


def main(output: Path = Path("examples-output")) -> None:
    """Print both tables and draw the parts for the polynomials."""
    degrees = list(range(13))
    parts = []
    for degree in degrees:
        model = make_pipeline(PolynomialFeatures(degree), LinearRegression(fit_intercept=False))
        parts.append(decompose(model, 150))
        print(f"degree {degree:>2}: {parts[-1]} (observed {parts[-1].observed:.6g})")
    for alpha in (10.0, 0.001):
        net = MLPRegressor(
            hidden_layer_sizes=(10,), activation="tanh", solver="lbfgs", alpha=alpha,
            max_iter=2000, tol=3e-3, random_state=0,
        )  # fmt: skip
        print(f"network, alpha {alpha:g}: {decompose(net, 10)}")

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    stack = [[p.noise for p in parts], [p.bias_squared for p in parts], [p.variance for p in parts]]
    ax.stackplot(
        degrees,
        *stack,
        labels=["noise", "bias²", "variance"],
        colors=["#cbd5e0", "#90cdf4", "#fbd38d"],
    )
    ax.plot(degrees, [p.observed for p in parts], "o", color="#2d3748", markersize=4,
            label="error for new targets")  # fmt: skip
    ax.set(xlabel="degree", ylabel="expected squared error", xlim=(0, degrees[-1]))
    ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "bias_variance.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
