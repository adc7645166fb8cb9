"""What can a network see in one number, or in one category?
=========================================================

Waves of a number and vectors of categories, learned before the first dense layer (B2).

A step that is narrow in one feature is hard for a dense layer on that feature: its units are wide.
A Periodic layer gives it waves cos 2π(c x + φ) with learned frequencies. An Embedding gives every
category a vector, which the product with its one-hot columns picks.

Run it by::

    python examples/embeddings.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule import AdamW, Dense, Embedding, Network, Periodic, check_gradients, train

LAYERS = [Dense(32, "relu"), Dense(1)]


def target(x: np.ndarray) -> np.ndarray:
    """Return steps that are a quarter wide."""
    return np.sign(np.sin(2 * np.pi * 2 * x[:, 0]))


def fit(first: list[Periodic | Embedding], x: np.ndarray, y: np.ndarray) -> tuple[Network, object]:
    """Return a network with these layers first, and its state after 80 epochs."""
    net = Network(x.shape[1], [*first, *LAYERS])
    state = net.initialize(0)
    train(net, state, x, y, optimizer=AdamW(3e-3), epochs=80, batch_size=32, stopping=None)
    return net, state


def main(output: Path = Path("examples-output")) -> None:
    """Print the losses with and without both layers, and draw the fits."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(600, 1))
    at = np.linspace(-1, 1, 400)[:, None]
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    ax.plot(at[:, 0], target(at), color="#a0aec0", label="target")
    periodic = Periodic(frequencies=16, units=4, deviation=1.0)
    for name, first in (("dense alone", []), ("with waves", [periodic])):
        net, state = fit(first, x, target(x))
        print(f"{name}: loss {net.loss_of(state, at, target(at)):.4f}, {net.tape.n_parameters} "
              "parameters")  # fmt: skip
        ax.plot(at[:, 0], net.predict(state, at)[:, 0], label=name)
        if first:
            print(check_gradients(net, state, x[:20], target(x[:20])))

    # Twelve categories of three kinds, and a number whose sign the kind decides.
    category = rng.integers(0, 12, 600)
    number = rng.normal(size=(600, 1))
    y = number[:, 0] * np.array([-1.0, 0.0, 1.0])[category % 3]
    one_hot = np.hstack([number, np.eye(12)[category]])
    net, state = fit([Embedding([(1, 13)], units=2)], one_hot, y)
    n_rows = net.parameters(state)["embedding1"].shape[0]
    print(f"{n_rows} categories as vectors: loss {net.loss_of(state, one_hot, y):.4f}")

    ax.set(xlabel="x", ylabel="y")
    ax.legend(frameon=False, ncols=3)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "embeddings.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
