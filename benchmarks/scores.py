"""Compare test scores of deltarule's estimators and scikit-learn's with the same arguments.

For every data set and seed the rows are split once, the inputs (and in regression the targets) are
standardised on the training part, and both estimators are fitted with the same arguments and the
same ``random_state``. The table has the mean ± standard deviation over the seeds, the mean of the
paired differences (deltarule − scikit-learn) and its standard error.

    python benchmarks/scores.py [--seeds 5]
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn
import sklearn.neural_network as peer
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import deltarule

CLASSES: dict[str, Callable[..., Any]] = {
    "digits": load_digits,
    "breast cancer": load_breast_cancer,
    "wine": load_wine,
    "iris": load_iris,
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.02},
    "lbfgs": {"solver": "lbfgs", "alpha": 1.0},
    "early stopping": {"early_stopping": True, "max_iter": 400, "learning_rate_init": 3e-3},
}
TEST_SIZE = 0.25


def score(module: Any, data: Callable[..., Any], arguments: dict[str, Any], seed: int) -> float:
    """Return the score on a held-out quarter: accuracy, or R²."""
    X, y = data(return_X_y=True)
    regression = data is load_diabetes
    X, X_test, y, y_test = train_test_split(
        X, y, test_size=TEST_SIZE, random_state=seed, stratify=None if regression else y
    )
    kind = module.MLPRegressor if regression else module.MLPClassifier
    model = make_pipeline(StandardScaler(), kind(random_state=seed, **arguments))
    if regression:
        model = TransformedTargetRegressor(model, transformer=StandardScaler())
    return float(model.fit(X, y).score(X_test, y_test))


def line(name: str, label: str, ours: Any, theirs: Any) -> str:
    """Return a row of the table."""
    difference = ours - theirs
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return (
        f"{name:<16}{label:<16}{ours.mean():7.4f} ± {ours.std(ddof=1):.4f}   "
        f"{theirs.mean():7.4f} ± {theirs.std(ddof=1):.4f}   {difference.mean():+.5f} ± {error:.5f}"
    )


def main() -> None:
    """Print the arguments and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (at least 2)")
    seeds = range(parser.parse_args().seeds)
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"deltarule {deltarule.__version__}, scikit-learn {sklearn.__version__}; seeds {seeds}")
    print(f"inputs standardised, test part {TEST_SIZE:.0%}, arguments other than the defaults:")
    for label, arguments in ARGUMENTS.items():
        print(f"  {label:<16}{arguments}")
    print("scores: accuracy; for diabetes R², with standardised targets\n")
    print(
        f"{'data':<16}{'arguments':<16}{'deltarule':<19}{'scikit-learn':<19}"
        "difference ± its standard error"
    )
    for name, data in [*CLASSES.items(), ("diabetes", load_diabetes)]:
        for label, arguments in ARGUMENTS.items():
            ours, theirs = (
                np.array([score(module, data, arguments, seed) for seed in seeds])
                for module in (deltarule, peer)
            )
            print(line(name, label, ours, theirs), flush=True)


if __name__ == "__main__":
    main()
