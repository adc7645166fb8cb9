"""scikit-learn's own checks of estimators, with the arguments that only ours have."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from deltarule import Cosine, LeakyReLU, MLPClassifier, MLPRegressor
from support.faults import report

COMMON: dict[str, Any] = {
    "max_iter": 100, "standardize": True, "solver": "adamw", "learning_rate": Cosine(),
    "l1": 1e-4, "max_norm": 5.0, "gradient_clip": 1.0, "weight_init": "he_normal",
    "activation": LeakyReLU(0.1), "on_divergence": "recover", "learning_rate_init": 0.01,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Can't check dok sparse matrix for nan or inf:UserWarning")
@parametrize_with_checks(
    [
        MLPClassifier(label_smoothing=0.01, **COMMON),
        MLPRegressor(loss="huber", **COMMON),
        MLPRegressor(loss="quantile", max_iter=100, standardize=True, dtype="float64"),
    ],
)  # fmt: skip
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)
    report("scikit-learn's checks", checks=1)
