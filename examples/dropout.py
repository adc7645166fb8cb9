"""What does dropout compute?
==========================

An average of many small networks (R3).

E[h̃] = h and Var(h̃) = h²(1 − p)/p. The prediction, which drops nothing, equals the mean over all
masks if all layers after the dropout are affine; after a nonlinearity it is an approximation
(Ayrapetyan §4.2; Matt R §5.2; errata E-q, E-r).

Run it by::

    python examples/dropout.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule import Dense, Dropout, Network, State, exact_dropout_mean, monte_carlo_dropout
from deltarule.reference.dropout import dropout, mask

X = np.linspace(-3, 3, 61)[:, None]


def worked_example() -> tuple[list[list[float]], list[list[float]]]:
    """Return Ayrapetyan's Z without a factor, and with the 1/p of inverted dropout, p = ½."""
    A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    W = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    kept = np.array([[True, False, True], [False, True, False]])
    return (A * kept @ W).tolist(), (dropout(A, kept, 0.5)[0] @ W).tolist()


def moments(h: float, keep: float, n: int = 100_000) -> tuple[float, float]:
    """Return the mean and the variance of h̃ over n draws."""
    kept = mask(keep, n, 1, seed=0, step=0, number=0)
    dropped = dropout(np.full((n, 1), h), kept, keep)[0]
    return float(dropped.mean()), float(dropped.var())


def small_network(output: str) -> tuple[Network, State]:
    """Return an untrained network whose eight hidden units are dropped with probability ½."""
    net = Network(1, [Dense(8, "tanh"), Dropout(0.5), Dense(1, output)])
    state = net.initialize(seed=3)
    state.theta[:] *= 2
    return net, state


def main(output: Path = Path("examples-output")) -> None:
    """Print the example, the moments and the averages, and draw the averages."""
    print("Z = {}, with p = ½ {}".format(*worked_example()))
    for keep in (0.5, 0.8):
        mean, variance = moments(3.0, keep)
        print(f"h = 3, p = {keep}: mean {mean:.3f}, variance {variance:.3f} "
              f"(h²(1 − p)/p = {9 * (1 - keep) / keep:.3f})")  # fmt: skip
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for ax, activation in zip(figure.subplots(1, 2), ("identity", "sigmoid"), strict=True):
        net, state = small_network(activation)
        at_prediction = net.predict(state, X)
        exact = exact_dropout_mean(net, state, X)
        drawn = monte_carlo_dropout(net, state, X, n_draws=400)
        print(f"{activation} output: prediction differs from the mean of all 256 networks by up to "
              f"{np.abs(at_prediction - exact.mean).max():.2g}, the mean of 400 draws by up to "
              f"{np.abs(drawn.mean - exact.mean).max():.2g}")  # fmt: skip
        x, mean, deviation = X[:, 0], exact.mean[:, 0], exact.deviation[:, 0]
        ax.fill_between(
            x, mean - deviation, mean + deviation, color="#bee3f8", label="± standard deviation"
        )
        ax.plot(x, mean, color="#2b6cb0", label="mean of all 256 networks")
        ax.plot(x, drawn.mean[:, 0], ".", color="#2d3748", markersize=3, label="mean of 400 draws")
        ax.plot(x, at_prediction[:, 0], "--", color="#c05621", label="prediction, nothing dropped")
        ax.set(title=f"{activation} output", xlabel="x")
        ax.legend(frameon=False, fontsize=8)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "dropout.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
