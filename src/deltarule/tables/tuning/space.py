"""What a search tries, and the range of each setting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from deltarule.errors import SpecError
from deltarule.utils.checks import check_call, shown

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = ["FIRST", "Space", "check_space", "default_space", "proposed"]

Space: TypeAlias = Callable[[Any], Mapping[str, Any]]
"""A function of an Optuna trial, which returns a recipe: settings by name."""

ACTIVATIONS = ("silu", "relu", "selu", "gelu", "mish")


def _point(
    width: int, shape: str, activation: str, rate: float, dropout: float, decay: float
) -> dict[str, Any]:
    return {
        "layers": 2,
        "width": width,
        "shape": shape,
        "activation": activation,
        "learning_rate_init": rate,
        "dropout": dropout,
        "weight_decay": decay,
    }


FIRST: tuple[dict[str, Any], ...] = (
    _point(128, "level", "silu", 2e-3, 0.15, 0.01),
    _point(192, "level", "silu", 3e-3, 0.3, 0.01),
    _point(256, "halving", "relu", 1e-3, 0.15, 0.01),
    _point(128, "level", "selu", 3e-3, 0.0, 0.1),
)
"""The first points of `default_space`: the recipes of an ensemble that is not tuned."""


def default_space(trial: BaseTrial) -> dict[str, Any]:
    """Return the recipe of a network, drawn from ranges that suit most tables.

    Parameters
    ----------
    trial : optuna.trial.BaseTrial
        Whose ``suggest_…`` methods draw.

    Returns
    -------
    recipe : dict
        `hidden_layer_sizes`: 1 to 4 layers, the first of 32 to 512 units, the others as wide, or
        each half as wide as the one before; `activation`: one of five; `learning_rate_init`:
        5·10⁻⁴ to 10⁻²; `dropout`: 0 to 0.5; `weight_decay`: 10⁻³ to 0.3.

    Examples
    --------
    >>> import optuna
    >>> from deltarule.tables import default_space
    >>> trial = optuna.trial.FixedTrial({
    ...     "layers": 3, "width": 64, "shape": "halving", "activation": "relu",
    ...     "learning_rate_init": 0.001, "dropout": 0.0, "weight_decay": 0.01})
    >>> default_space(trial)["hidden_layer_sizes"]
    [64, 32, 16]
    """
    layers = trial.suggest_int("layers", 1, 4)
    width = trial.suggest_int("width", 32, 512, log=True)
    halving = trial.suggest_categorical("shape", ("level", "halving")) == "halving"
    return {
        "hidden_layer_sizes": [max(width >> (i * halving), 8) for i in range(layers)],
        "activation": trial.suggest_categorical("activation", ACTIVATIONS),
        "learning_rate_init": trial.suggest_float("learning_rate_init", 5e-4, 1e-2, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5, step=0.05),
        "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.3, log=True),
    }


def check_space(space: Any) -> None:
    """Raise ``SpecError`` unless this is a function of a trial."""
    check_call("space", space, "space(trial)", 1)


def proposed(space: Space, trial: Any) -> dict[str, Any]:
    """Return what a space gives for a trial; ``SpecError`` unless it is a dict."""
    given = space(trial)
    if not isinstance(given, Mapping):
        raise SpecError(
            "space must return a dict of settings, such as {'dropout': "
            f"trial.suggest_float('dropout', 0.0, 0.5)}}; got {shown(given)}."
        )
    return dict(given)
