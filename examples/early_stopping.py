"""When should training end?
=========================

When the rows that it does not train on stop getting better (O9, R4, E7).

The loss of the training rows goes on falling, that of the validation rows begins to rise. Training
ends with the parameters of the best epoch (Ayrapetyan §4.3; erratum E-z). More rows close the gap.

Run it by::

    python examples/early_stopping.py [folder for the picture]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import make_moons

from deltarule import Adam, Dense, EarlyStopping, History, MLPClassifier, Network, train
from deltarule.metrics import LearningCurve, plot_learning_curves, separation_epoch, size_curve

X, Y = make_moons(600, noise=0.35, random_state=0)


def fit(stopping: EarlyStopping | None) -> tuple[History, float]:
    """Return the history of a training on 60 rows, and its final loss on 200 others."""
    net = Network(2, [Dense(64, "relu"), Dense(1, "sigmoid")], "binary_cross_entropy")
    state, unseen = net.initialize(), (X[200:400], Y[200:400])
    history = train(net, state, X[:60], Y[:60], optimizer=Adam(0.02), epochs=150,
                    validation=unseen, stopping=stopping)  # fmt: skip
    return history, float(np.mean(net.losses(state, *unseen)))


def by_size() -> LearningCurve:
    """Return the log-loss by number of training rows."""
    model = MLPClassifier((16,), solver="lbfgs", alpha=1.0, max_iter=1000, random_state=0)
    return size_curve(model, X, Y, sizes=[0.1, 0.3, 1.0], folds=3)


def main(output: Path = Path("examples-output")) -> None:
    """Print both trainings and the curve by size, and draw them."""
    history, end = fit(None)
    stopped, best = fit(EarlyStopping(tol=0.0, patience=10))
    print(f"{history.n_epochs} epochs: validation loss {end:.3f}; the losses separate in epoch "
          f"{separation_epoch(history)}")  # fmt: skip
    print(f"early stopping: {stopped.n_epochs} epochs ({stopped.stopped_by}), validation loss "
          f"{best:.3f} of epoch {stopped.best_epoch}")  # fmt: skip
    sizes = by_size()
    print(sizes)

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(history.loss, color="#2b6cb0", label="training")
    left.plot(history.validation_loss, color="#c05621", label="validation")
    left.axvline(stopped.n_epochs - 1, color="#718096", linestyle=":", label="early stopping")
    left.set(xlabel="epoch", ylabel="log-loss", ylim=(0, None))
    left.legend(frameon=False)
    plot_learning_curves(sizes, ax=right)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "early_stopping.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
