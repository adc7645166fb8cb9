"""What the drop-in tests share: real tables, and pairs of our estimators with scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_linnerud, load_wine
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from support.estimators import OURS, THEIRS

LOADERS = {
    "iris": ("classifier", load_iris),
    "wine": ("classifier", load_wine),
    "breast cancer": ("classifier", load_breast_cancer),
    "diabetes": ("regressor", load_diabetes),
    "linnerud": ("regressor", load_linnerud),
}
TABLES = pytest.mark.parametrize("table", ["wine", "diabetes"])
"""One of each kind."""

EXACT = {"hidden_layer_sizes": (5,), "activation": "tanh", "solver": "sgd", "max_iter": 8,
         "learning_rate_init": 0.05, "random_state": 0}  # fmt: skip
"""Arguments under which both libraries do the same sums: no kinks, and no Adam, whose ε differs."""


def real(table: str, *, as_frame: bool = False) -> tuple[Any, Any]:
    """Return (X, y) of a table that comes with scikit-learn; numbers are standardised."""
    kind, load = LOADERS[table]
    X, y = load(return_X_y=True, as_frame=as_frame)
    return (X, y) if kind == "classifier" else (X, (y - np.mean(y, axis=0)) / np.std(y, axis=0))


def pair(table: str, **arguments: Any) -> tuple[Any, Any]:
    """Return our estimator for a table, and scikit-learn's with the same arguments."""
    kind = LOADERS[table][0]
    given = {**EXACT, **arguments}
    return OURS[kind](**given), THEIRS[kind](**given)


def scaled(net: Any) -> Pipeline:
    """Return a pipeline that standardises and then fits the network."""
    return Pipeline([("scale", StandardScaler()), ("net", net)])
