"""Is a model too simple, or too free?
===================================

Its training error shows bias, its error on other rows variance (E3).

Bias is high if the training error is far above the target; variance is high if the dev error is
above the training error by the target or more. The remedies differ (Matt R §4; Mebsout; erratum
E-ag).

Run it by::

    python examples/diagnosis.py [folder for the picture]
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import make_moons
from sklearn.exceptions import ConvergenceWarning

from deltarule import MLPClassifier
from deltarule.metrics import BiasVarianceDiagnosis, compare_targets, diagnose_bias_variance

BAYES, TARGET = 0.0, 0.02  # the error that no model avoids, and the one above it that is good
X, Y = make_moons(1000, noise=0.15, random_state=0)
MODELS = {"no hidden layer": (), "2 units": (2,), "100 units": (100,)}


def errors(hidden: tuple[int, ...], n: int) -> tuple[float, float]:
    """Return the errors on the n training rows and on 500 dev rows."""
    model = MLPClassifier(hidden, solver="lbfgs", alpha=0.0, max_iter=500, random_state=0)
    model.fit(X[:n], Y[:n])
    return 1 - model.score(X[:n], Y[:n]), 1 - model.score(X[500:], Y[500:])


def diagnosed(train: float, dev: float) -> BiasVarianceDiagnosis:
    """Return the diagnosis of two errors."""
    return diagnose_bias_variance(train - BAYES, dev - BAYES, TARGET)


def main(output: Path = Path("examples-output")) -> None:
    """Print the diagnoses, and draw the errors."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # of a network that separates its rows
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    for ax, n in zip(figure.subplots(1, 2, sharey=True), (30, 500), strict=True):
        found = [errors(hidden, n) for hidden in MODELS.values()]
        for name, (train, dev) in zip(MODELS, found, strict=True):
            print(f"{name}, {n} rows: error {train:.3f} in training, {dev:.3f} on dev rows")
            print(f"  {diagnosed(train, dev)}")
        places = np.arange(len(MODELS))
        ax.bar(places - 0.2, [train for train, _ in found], 0.4, color="#2b6cb0", label="training")
        ax.bar(places + 0.2, [dev for _, dev in found], 0.4, color="#c05621", label="dev")
        ax.axhline(TARGET, color="#718096", linestyle=":", label="target")
        ax.set(xticks=places, xticklabels=MODELS, title=f"{n} training rows")
    ax.legend(frameon=False)
    print(compare_targets(Y[:500], Y[500:]))
    print(compare_targets(Y[:500], np.sort(Y[500:])[:300]))  # dev rows of another distribution
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "diagnosis.png", dpi=120)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
