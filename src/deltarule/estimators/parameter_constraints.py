"""The types and ranges of every constructor argument, for scikit-learn's parameter validation.

Bounds that scikit-learn has are repeated here, so that a bad value is refused in its words.
``compatibility.py`` says which arguments go together.
"""

from __future__ import annotations

from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import HasMethods, Interval, Options, StrOptions

from deltarule.schedules import SCHEDULES
from deltarule.spec import (
    ACTIVATIONS,
    ELU,
    INITIALIZERS,
    ConstantInitializer,
    LeakyReLU,
    Normal,
    Uniform,
)
from deltarule.spec.optimizers import LBFGS, OPTIMIZERS, LineSearch, Optimizer
from deltarule.training import Checkpoint

__all__ = ["CLASSIFIER", "COMMON", "REGRESSOR"]

_SHARE = Interval(Real, 0, 1, closed="left")
_STRENGTH = Interval(Real, 0, None, closed="left")
_LIMIT = Interval(Real, 0, None, closed="neither")
_COUNT = Interval(Integral, 1, None, closed="left")

COMMON: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", _COUNT],
    "activation": [StrOptions({*ACTIVATIONS, "logistic"}), LeakyReLU, ELU, "array-like"],
    "solver": [StrOptions(set(OPTIMIZERS)), *Optimizer.__args__, LBFGS, LineSearch],
    "alpha": [_STRENGTH],
    "batch_size": [StrOptions({"auto"}), _COUNT],
    "learning_rate": [
        StrOptions(set(SCHEDULES)),
        HasMethods(["rates", "observe", "on_plateau"]),
    ],
    "learning_rate_init": [_LIMIT],
    "power_t": [_STRENGTH],
    "max_iter": [_COUNT],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [_STRENGTH],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [_SHARE, HasMethods(["split", "get_n_splits"])],
    "beta_1": [_SHARE],
    "beta_2": [_SHARE],
    "epsilon": [_LIMIT],
    "n_iter_no_change": [_COUNT, Options(Real, {np.inf})],
    "max_fun": [_COUNT],
    "dropout": [_SHARE, "array-like"],
    "batch_norm": ["boolean"],
    "engine": [StrOptions({"compiled", "reference"})],
    "n_threads": [_COUNT, None],
    "input_dropout": [_SHARE],
    "l1": [_STRENGTH],
    "max_norm": [_LIMIT, None],
    "gradient_clip": [_LIMIT, tuple, list, None],
    "weight_init": [
        StrOptions({"auto", *INITIALIZERS}),
        Normal,
        Uniform,
        ConstantInitializer,
        callable,
    ],
    "augment": [callable, None],
    "dtype": [StrOptions({"auto", "float32", "float64"})],
    "standardize": ["boolean"],
    "monitor": [StrOptions({"auto", "loss", *get_scorer_names()}), callable],
    "on_divergence": [StrOptions({"raise", "recover"})],
    "record_health": ["boolean"],
    "checkpoint": [str, PathLike, Checkpoint, None],
}
"""Arguments that both estimators have."""

CLASSIFIER = COMMON | {
    "label_smoothing": [_SHARE],
    "class_weight": [StrOptions({"balanced"}), dict, list, None],
}

REGRESSOR = COMMON | {
    "loss": [
        StrOptions({"squared_error", "absolute_error", "huber", "quantile", "poisson"}),
    ],
    "huber_delta": [_LIMIT],
    "quantile": [Interval(Real, 0, 1, closed="neither"), "array-like"],
}
