"""The networks of an ensemble: four recipes in turn, so different that their average gains."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from deltarule.tables.record import Strict

__all__ = ["RECIPES", "Positive", "Recipe", "Some"]

Positive = Annotated[float, Field(gt=0)]
Some = Annotated[int, Field(ge=1)]


class Recipe(Strict):
    """What the networks of an ensemble differ in, under the names of the estimators' arguments."""

    hidden_layer_sizes: Annotated[list[Some], Field(min_length=1, max_length=1000)]
    activation: Annotated[str, Field(max_length=100)]
    learning_rate_init: Positive
    dropout: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]


def _recipe(
    widths: list[int], activation: str, rate: float, dropout: float, decay: float
) -> Recipe:
    return Recipe(
        hidden_layer_sizes=widths,
        activation=activation,
        learning_rate_init=rate,
        dropout=dropout,
        weight_decay=decay,
    )


RECIPES = (
    _recipe([128, 128], "silu", 2e-3, 0.15, 0.01),
    _recipe([192, 192], "silu", 3e-3, 0.3, 0.01),
    _recipe([256, 128], "relu", 1e-3, 0.15, 0.01),
    _recipe([128, 128], "selu", 3e-3, 0.0, 0.1),
)
"""Chosen on the development tables (docs/tables.md); network i has recipe i mod 4."""
