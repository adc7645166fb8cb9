"""What does batch normalisation do in training and at prediction?
===============================================================

It normalises by the batch, and at prediction by what training has measured (N1-N3).

The output of each unit has mean β and variance γ²σ²/(σ² + ε); γ = √(σ² + ε), β = μ give the
identity. At prediction it is a fixed affine map that can be folded into the layer before (Matt R
§9).

Run it by::

    python examples/batch_norm.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule import Adam, BatchNorm, Dense, Network, fold_batch_norm, recompute_batch_norm, train
from deltarule.reference.normalization import batch_norm

EPSILON = 1e-5


def moments_and_identity() -> tuple[float, ...]:
    """Return the largest errors of mean, variance and identity on a random batch."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(64, 5)) * [0.1, 1, 5, 20, 100] + [3, -2, 0, 50, 7]
    gamma, beta, mu, variance = *rng.normal(size=(2, 5)), z.mean(axis=0), z.var(axis=0)
    out, _ = batch_norm(z, gamma, beta, EPSILON)
    same, _ = batch_norm(z, np.sqrt(variance + EPSILON), mu, EPSILON)
    expected = gamma**2 * variance / (variance + EPSILON)
    off = out.mean(axis=0) - beta, out.var(axis=0) - expected, same - z
    return tuple(float(np.abs(difference).max()) for difference in off)


def table(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs on very different scales, and a smooth target."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, 3)) * [0.05, 1.0, 20.0] + [1.0, 0.0, -30.0]
    return X, np.tanh(20 * (X[:, 0] - 1)) + np.sin(X[:, 1]) + (X[:, 2] + 30) / 20


def trained(norm: BatchNorm | None) -> tuple[Network, object, list[float]]:
    """Return a network and its state after 40 epochs, and the losses."""
    net = Network(3, [*[Dense(16, "tanh", batch_norm=norm)] * 2, Dense(1)])
    state = net.initialize(seed=0)
    return net, state, train(net, state, *table(), optimizer=Adam(0.005), epochs=40).loss


def main(output: Path = Path("examples-output")) -> None:
    """Print the identities, train with and without batch norm, and draw the losses."""
    print("errors: mean {:.1e}, variance {:.1e}, identity {:.1e}".format(*moments_and_identity()))
    X, y = table()
    ax = (figure := Figure(figsize=(6.4, 4.2), layout="constrained")).subplots()
    running = BatchNorm(inference_statistics="running")
    norms = {"none": None, "population": BatchNorm(), "running": running}
    for name, norm in norms.items():
        net, state, losses = trained(norm)
        loss = net.loss_of(state, X, y)
        print(f"{name}: training loss {losses[-1]:.4f}, at prediction {loss:.4f}")
        if name == "population":
            recompute_batch_norm(net, state, X, batch_size=32)
            folded, at = fold_batch_norm(net, state)
            difference = np.abs(folded.predict(at, X) - net.predict(state, X)).max()
            print(f"statistics recomputed: {net.loss_of(state, X, y):.4f}; folded, "
                  f"{net.tape.n_parameters} parameters become {folded.tape.n_parameters}, outputs "
                  f"differ by {difference:.1e}")  # fmt: skip
        if name != "running":
            ax.semilogy(range(1, 41), losses, label=f"batch norm: {'yes' if norm else 'no'}")
    ax.set(xlabel="epoch", ylabel="training loss")
    ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "batch_norm.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
