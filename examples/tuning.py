"""How do you choose hyperparameters, and when is an earlier choice outdated?
==========================================================================

By a grid, by random draws, and by comparing an earlier choice again (T1-T4).

Grid and random search: train on the training rows, choose on the dev rows by the unpenalised
loss, and report once on the test rows (Matt R §5, §8). After data have been added, the best
candidates of the earlier study are compared again.

Run it by::

    python examples/tuning.py [folder for the picture]
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, PredefinedSplit, RandomizedSearchCV

from deltarule import MLPClassifier
from deltarule.training import split_rows
from deltarule.tuning import LogMomentum, LogUniform, retune

MODEL = MLPClassifier(solver="sgd", learning_rate_init=0.1, max_iter=60, random_state=0)
GRID = {"hidden_layer_sizes": [(4,), (16,), (8, 8)], "activation": ["tanh", "relu"],
        "alpha": [1e-4, 1e-1]}  # fmt: skip
SPACE = {**GRID, "alpha": LogUniform(1e-5, 1e0), "learning_rate_init": LogUniform(1e-2, 1e0),
        "momentum": LogMomentum(0.5, 0.99)}  # fmt: skip


def every_third(n: int) -> PredefinedSplit:
    """Return the split that uses every third row as a dev row."""
    return PredefinedSplit(np.where(np.arange(n) % 3 == 1, 0, -1))


def study(kind: str, X: np.ndarray, y: np.ndarray, grid: object = GRID) -> object:
    """Return a finished search."""
    shared = {"scoring": "neg_log_loss", "cv": every_third(len(X)), "refit": False}
    if kind == "grid":
        return GridSearchCV(MODEL, grid, **shared).fit(X, y)
    return RandomizedSearchCV(MODEL, SPACE, n_iter=8, random_state=0, **shared).fit(X, y)


def main(output: Path = Path("examples-output")) -> None:
    """Print both searches, the test scores, and the comparison with more data."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # 60 epochs are intended
    X, y = make_moons(900, noise=0.25, random_state=0)
    rest, _, test = split_rows(len(X), (0.7, 0.0, 0.3), labels=y, seed=0)
    few = rest[:210]
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    for kind in ("grid", "random"):
        search = study(kind, X[few], y[few])
        print(f"{kind}: dev log-loss {-search.best_score_:.4f} by {search.best_params_}")
        fitted = MLPClassifier(**{**MODEL.get_params(), **search.best_params_}).fit(X[few], y[few])
        tried = search.cv_results_
        ax.plot([float(params["alpha"]) for params in tried["params"]], -tried["mean_test_score"],
                "o" if kind == "grid" else "s", label=f"{kind} search")  # fmt: skip
        print(f"  on the test rows: {log_loss(y[test], fitted.predict_proba(X[test])):.4f}")
        if kind == "grid":
            grid = search
    print(f"with {len(rest)} rows in place of {len(few)}:")
    print(retune(grid, X[rest], y[rest], cv=every_third(len(rest))))
    ax.set(xscale="log", xlabel="alpha", ylabel="log-loss on the dev rows")
    ax.legend(frameon=False)
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "tuning.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
