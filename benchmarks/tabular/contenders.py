"""Who is compared: estimators by name, and the preprocessing that all of them share."""

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

__all__ = ["CONTENDERS", "build", "describe", "preprocessing"]

OURS, PEER, RECIPE, TREES = "deltarule", "scikit-learn", "recipe", "HistGradientBoosting"
CONTENDERS = (OURS, PEER, RECIPE, TREES)

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
"""The tabular recipe: what both estimators are given, and what one of them is given besides."""


def arguments(contender: str, regression: bool) -> dict[str, Any]:
    """Return a contender's arguments beside the defaults; ``random_state`` comes later."""
    own = {"n_threads": 1} if contender in (OURS, RECIPE) else {}
    if contender == RECIPE:
        kind = "regressor" if regression else "classifier"
        return RECIPE_ARGUMENTS["both"] | RECIPE_ARGUMENTS[kind] | own
    return own


def build(contender: str, *, regression: bool, several: bool, seed: int) -> Any:
    """Return a contender's estimator; ``several`` says that there is more than one target."""
    given = arguments(contender, regression) | {"random_state": seed}
    if contender == TREES:
        trees = (HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier)(
            **given
        )
        return MultiOutputRegressor(trees) if several else trees
    module = peer if contender == PEER else deltarule
    return (module.MLPRegressor if regression else module.MLPClassifier)(**given)


def describe(contender: str) -> str:
    """Return what tells results of a contender apart from those of another setting of it."""
    return "; ".join(
        f"{kind}: {arguments(contender, kind == 'regressor')}"
        for kind in ("classifier", "regressor")
    )


def preprocessing() -> Any:
    """Return what makes a table's columns numbers: medians, scales, one column a category."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    categories = OneHotEncoder(drop="if_binary", handle_unknown="ignore", sparse_output=False)
    is_number = make_column_selector(dtype_include="number")
    return make_column_transformer(
        (numbers, is_number), (categories, make_column_selector(dtype_exclude="number"))
    )
