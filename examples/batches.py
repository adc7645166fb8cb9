"""How do rows become batches?
===========================

Split once into training, dev and test rows; then in a new order in every epoch (D1, D3).

Every training row is in exactly one batch of an epoch; the last batch may be smaller and is not
dropped (Matt R §4, §7; Mebsout §6; erratum E-u).

Run it by::

    python examples/batches.py [folder for the picture]
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule.training import split_rows
from deltarule.training.batches import batch_bounds
from deltarule.training.splits import default_fractions

N, BATCH, EPOCHS = 50, 16, 3


def orders(seed: int = 0) -> np.ndarray:
    """Return the number of the batch of every row, epoch by epoch."""
    rng, bounds = np.random.default_rng(seed), batch_bounds(N, BATCH)
    batch_of = np.empty((EPOCHS, N), dtype=int)
    for epoch in range(EPOCHS):
        order = rng.permutation(N)
        for k, (start, end) in enumerate(pairwise(bounds)):
            batch_of[epoch, order[start:end]] = k
    return batch_of


def main(output: Path = Path("examples-output")) -> None:
    """Print sizes and shares, and draw which batch each row is in."""
    for n in (1000, 100_000):
        parts = split_rows(n, seed=0)
        print(f"{n} rows: fractions {default_fractions(n)}, {[len(part) for part in parts]} rows")
    labels = np.arange(1000) % 10 == 0  # one row in ten is positive
    parts = split_rows(1000, (0.6, 0.2, 0.2), labels=labels, seed=0)
    print(f"stratified: shares of positives {[float(labels[part].mean()) for part in parts]}")
    print(f"{N} rows in batches of {BATCH}: {np.diff(batch_bounds(N, BATCH)).tolist()} rows")
    batch_of = orders()

    figure = Figure(figsize=(8, 2.6), layout="constrained")
    ax = figure.subplots()
    ax.imshow(batch_of, aspect="auto", cmap="viridis")
    ax.set(xlabel="row", ylabel="epoch", yticks=range(EPOCHS), yticklabels=range(1, EPOCHS + 1))
    ax.set_title("colours: the batch that a row is in", fontsize=10)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "batches.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
