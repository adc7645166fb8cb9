"""What can be done when training diverges?
========================================

Clip the gradient, or bound the weights; the best finite parameters are never lost (H4, R5).

A learning rate that is too large makes the loss grow without end. Training stops at the first loss
that is not finite. Clipping bounds the norm of a step's gradient (Pascanu et al. 2013), max-norm
the weights into each unit (Ayrapetyan §4.1).

Run it by::

    python examples/divergence.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deltarule import SGD, ClipNorm, Dense, History, MaxNorm, Network, train
from deltarule.errors import DivergenceError

RATE, EPOCHS = 0.1, 40


def fit(clipping: ClipNorm | None = None, bound: float | None = None) -> tuple[History, float]:
    """Return the history of a training at a large rate, and the largest norm into a unit."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3)) * 3
    y = X @ [1.0, -1.0, 0.5]
    constraints = [] if bound is None else [MaxNorm(bound)]
    net = Network(3, [Dense(16, "relu"), Dense(1)], constraints=constraints)
    state = net.initialize()
    try:
        history = train(net, state, X, y, optimizer=SGD(RATE), clipping=clipping, epochs=EPOCHS)
    except DivergenceError as error:
        history = error.history
    assert np.isfinite(state.theta).all()
    return history, float(np.linalg.norm(net.parameters(state)["W1"], axis=0).max())


def main(output: Path = Path("examples-output")) -> None:
    """Print how each training ended, and draw the losses."""
    runs = {
        "as it is": fit(),
        "gradients of norm 0.5 at most": fit(ClipNorm(0.5)),
        "and weights of norm 1 at most": fit(ClipNorm(0.5), bound=1.0),
    }
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    for name, (history, norm) in runs.items():
        print(f"{name}: {history.n_epochs} epochs, largest norm into a unit {norm:.3f}")
        if history.stopped_by == "divergence":
            ax.set_title(f"{name}, the loss is not finite in epoch {history.n_epochs}", fontsize=10)
            continue
        print(
            f"  loss {history.loss[0]:.3g} in the first epoch, {history.loss[-1]:.3g} in the last"
        )
        ax.semilogy(range(1, EPOCHS + 1), history.loss, "o-", markersize=3, label=name)
    ax.set(xlabel="epoch", ylabel="training loss")
    ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "divergence.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
