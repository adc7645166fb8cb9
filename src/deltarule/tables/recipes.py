"""The networks of an ensemble: four settings in turn, so different that their average gains."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from deltarule.errors import SpecError
from deltarule.estimators import MLPClassifier, MLPRegressor
from deltarule.spec.optimizers import AdamW
from deltarule.tables.record import Classes, Quantity
from deltarule.tables.settings import Settings

__all__ = ["RECIPES", "Recipe", "member_estimator"]


class Recipe(NamedTuple):
    """What the networks of an ensemble differ in."""

    hidden: tuple[int, ...]
    activation: str
    learning_rate: float
    dropout: float
    weight_decay: float


RECIPES = (
    Recipe((128, 128), "silu", 2e-3, 0.15, 0.01),
    Recipe((192, 192), "silu", 3e-3, 0.3, 0.01),
    Recipe((256, 128), "relu", 1e-3, 0.15, 0.01),
    Recipe((128, 128), "selu", 3e-3, 0.0, 0.1),
)
"""Chosen on the development tables (docs/tables.md); network i has the setting i mod 4."""
EPOCHS, PATIENCE = 100, 20


def member_estimator(
    number: int, target: Classes | Quantity, settings: Settings, rows: int, seed: int
) -> Any:
    """Return the network of a fold, not yet fitted; what the settings say holds for every one.

    AdamW with a cosine of the rate over the epochs, about n/40 rows a batch, in float32 on one
    thread. Training watches the loss on the fold.
    """
    recipe = RECIPES[number % len(RECIPES)]
    hidden = recipe.hidden if settings.hidden is None else settings.hidden
    if not hidden or min(hidden) < 1:
        raise SpecError("hidden must be widths of at least 1, such as 64,32 (--hidden)")
    rate, decay = settings.learning_rate or recipe.learning_rate, recipe.weight_decay
    if settings.alpha is not None:  # the user's penalty, instead of the decoupled decay
        decay = 0.0
    kind: type[Any] = MLPClassifier if isinstance(target, Classes) else MLPRegressor
    return kind(
        hidden_layer_sizes=hidden,
        activation=settings.activation or recipe.activation,
        solver=AdamW(rate, weight_decay=decay),
        learning_rate="cosine",
        alpha=settings.alpha or 0.0,
        batch_size=min(settings.batch_size or int(np.clip(rows // 40, 16, 256)), rows),
        max_iter=settings.epochs or EPOCHS,
        n_iter_no_change=settings.patience or PATIENCE,
        dropout=recipe.dropout if settings.dropout is None else settings.dropout,
        random_state=seed,
        early_stopping=True,
        monitor="loss",
        dtype="float32",
        verbose=settings.verbose,
        n_threads=1,
    )
