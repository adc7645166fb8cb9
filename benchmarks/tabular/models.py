"""Models that are compared, by name, and the preprocessing that all of them share."""

from __future__ import annotations

from typing import Any

import sklearn.neural_network as peer
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import deltarule

__all__ = ["MODELS", "build", "describe", "preprocessing"]

OURS, PEER, RECIPE, TREES = "deltarule", "scikit-learn", "recipe", "HistGradientBoosting"
MODELS = (OURS, PEER, RECIPE, TREES)

RECIPE_ARGUMENTS: dict[str, dict[str, Any]] = {
    "both": {
        "hidden_layer_sizes": (128, 128),
        "activation": "silu",
        "solver": "adamw",
        "learning_rate": "cosine",
        "learning_rate_init": 3e-3,
        "batch_size": 32,
        "max_iter": 60,
        "dropout": 0.2,
        "standardize": True,
        "dtype": "float32",
    },
    "classifier": {"label_smoothing": 0.1},
    "regressor": {},
}
"""The tabular recipe: arguments of both estimators, and those of one of them."""


def arguments(model: str, regression: bool) -> dict[str, Any]:
    """Return the arguments of a model that are not defaults, without ``random_state``."""
    own = {"n_threads": 1} if model in (OURS, RECIPE) else {}
    if model == RECIPE:
        kind = "regressor" if regression else "classifier"
        return RECIPE_ARGUMENTS["both"] | RECIPE_ARGUMENTS[kind] | own
    return own


def build(model: str, *, regression: bool, several: bool, seed: int) -> Any:
    """Return the estimator of a model; ``several`` means more than one target."""
    given = arguments(model, regression) | {"random_state": seed}
    if model == TREES:
        trees = (HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier)(
            **given
        )
        return MultiOutputRegressor(trees) if several else trees
    module = peer if model == PEER else deltarule
    return (module.MLPRegressor if regression else module.MLPClassifier)(**given)


def describe(model: str) -> str:
    """Return a text that identifies a model's arguments, to invalidate results of others."""
    return "; ".join(
        f"{kind}: {arguments(model, kind == 'regressor')}" for kind in ("classifier", "regressor")
    )


def preprocessing() -> Any:
    """Return the transformer of columns to numbers: imputation, scaling, one-hot encoding."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    categories = OneHotEncoder(drop="if_binary", handle_unknown="ignore", sparse_output=False)
    is_number = make_column_selector(dtype_include="number")
    return make_column_transformer(
        (numbers, is_number), (categories, make_column_selector(dtype_exclude="number"))
    )
