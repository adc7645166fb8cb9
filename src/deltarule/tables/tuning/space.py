"""The arguments that a search tries, and the range of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from deltarule.errors import SpecError
from deltarule.utils.checks import check_call, shown

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = ["DEFAULT_NAMES", "FIRST", "Space", "check_space", "default_space", "proposed"]

Space: TypeAlias = Callable[[Any], Mapping[str, Any]]
"""A function of an Optuna trial, which returns arguments of the estimator by name."""

ACTIVATIONS = ("relu", "silu", "gelu", "selu", "tanh")

DEFAULT_NAMES = frozenset(
    {"hidden_layer_sizes", "activation", "alpha", "batch_size", "dropout", "learning_rate_init"}
)
"""The arguments that `default_space` returns."""

FIRST: dict[str, Any] = {
    "layers": 2,
    "width": 128,
    "activation": "relu",
    "alpha": 0.3,
    "batch_size": "auto",
    "dropout": 0.0,
    "learning_rate_init": 0.001,
}
"""The first point of `default_space`, near the defaults: a search begins with a good one."""


def default_space(trial: BaseTrial) -> dict[str, Any]:
    """Return arguments of a tabular estimator, drawn from ranges that suit most tables.

    Parameters
    ----------
    trial : optuna.trial.BaseTrial
        Whose ``suggest_…`` methods draw.

    Returns
    -------
    arguments : dict
        `hidden_layer_sizes`: 1 to 4 layers of 32 to 512 units; `activation`: one of five; `alpha`:
        10⁻⁴ to 10; `batch_size`: "auto" or 32 to 512; `dropout`: 0 to 0.5; `learning_rate_init`:
        3·10⁻⁴ to 10⁻².

    Examples
    --------
    >>> import optuna
    >>> from deltarule.tables.tuning import default_space
    >>> trial = optuna.trial.FixedTrial({
    ...     "layers": 2, "width": 64, "activation": "relu", "alpha": 0.3, "batch_size": "auto",
    ...     "dropout": 0.0, "learning_rate_init": 0.001})
    >>> default_space(trial)["hidden_layer_sizes"]
    (64, 64)
    """
    layers = trial.suggest_int("layers", 1, 4)
    width = trial.suggest_int("width", 32, 512, log=True)
    return {
        "hidden_layer_sizes": (width,) * layers,
        "activation": trial.suggest_categorical("activation", ACTIVATIONS),
        "alpha": trial.suggest_float("alpha", 1e-4, 10.0, log=True),
        "batch_size": trial.suggest_categorical("batch_size", ("auto", 32, 64, 128, 256, 512)),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5, step=0.05),
        "learning_rate_init": trial.suggest_float("learning_rate_init", 3e-4, 1e-2, log=True),
    }


def check_space(space: Any) -> None:
    """Raise ``SpecError`` unless this is a function of a trial."""
    check_call("space", space, "space(trial)", 1)


def proposed(space: Space, trial: Any, known: Any) -> dict[str, Any]:
    """Return the arguments that a space gives for a trial, or ``SpecError`` for unknown names."""
    given = space(trial)
    if not isinstance(given, Mapping):
        raise SpecError(
            "space must return a dict of arguments, such as {'alpha': trial.suggest_float('alpha', "
            f"0.01, 1.0)}}; got {shown(given)}."
        )
    unknown = [str(name) for name in given if name not in known]
    if unknown:
        raise SpecError(
            f"space returned {', '.join(unknown)}, which is no argument of the estimator; it has "
            f"{', '.join(sorted(known))}."
        )
    return dict(given)
