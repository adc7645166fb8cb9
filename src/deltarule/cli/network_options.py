"""The options that say which networks are trained, and how they take numbers.

A group is a panel of ``--help`` (`deltarule.cli.groups`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from deltarule.tables import Plan, Settings
    from deltarule.tables.encoding import Scaling

__all__ = ["NetworkOptions"]


class Activation(StrEnum):
    """The activations of hidden layers."""

    relu = "relu"
    silu = "silu"
    gelu = "gelu"
    selu = "selu"
    elu = "elu"
    mish = "mish"
    leaky_relu = "leaky_relu"
    softplus = "softplus"
    softsign = "softsign"
    tanh = "tanh"
    hard_tanh = "hard_tanh"
    logistic = "logistic"
    sigmoid = "sigmoid"
    hard_sigmoid = "hard_sigmoid"
    softmax = "softmax"
    exp = "exp"
    identity = "identity"


class NumberScaling(StrEnum):
    """How columns of numbers are scaled."""

    standard = "standard"
    quantiles = "quantiles"


class Transform(StrEnum):
    """What is learned of a number that is the target."""

    none = "none"
    sqrt = "sqrt"
    log = "log"


_SCALINGS: dict[NumberScaling, Scaling] = {
    NumberScaling.standard: "standard",
    NumberScaling.quantiles: "quantiles",
}


@dataclass(frozen=True)
class NetworkOptions:
    """Network."""

    ensemble: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1000,
            metavar="K",
            help="Average K networks, each trained without another of K folds. By default 8; 4 "
            "from 20000 rows on; 1 from 100000 on, below 100, and if an option describes it.",
        ),
    ] = None
    hidden: Annotated[
        str | None, typer.Option(help="Widths of the hidden layers [default of one: 128,64].")
    ] = None
    activation: Annotated[
        Activation | None,
        typer.Option(help="The activation of the hidden layers [default of one: relu]."),
    ] = None
    dropout: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Probability that training drops a hidden unit, below 1 [default of one: 0].",
        ),
    ] = None
    scaling: Annotated[
        NumberScaling | None,
        typer.Option(
            help="Numbers: standardised, or normal scores by quantiles; by default the latter"
            " for an ensemble."
        ),
    ] = None
    bins: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=1000,
            help="Piecewise-linear bins beside each number; by default 24 for an ensemble, else 0.",
        ),
    ] = None

    target_transform: Annotated[
        Transform | None,
        typer.Option(
            help="What is learned of a number: itself, its root or its logarithm; by default what"
            " suits a skewed one for an ensemble."
        ),
    ] = None

    def applied(self, plan: Plan, settings: Settings) -> Plan:
        """Return the plan with the number of networks and the encoding of numbers."""
        return replace(
            plan,
            ensemble=self.ensemble,
            one_network=settings.describe_one,
            scaling=None if self.scaling is None else _SCALINGS[self.scaling],
            bins=self.bins,
            target_transform=None if self.target_transform is None else self.target_transform.value,
        )

    def shape(self) -> dict[str, Any]:
        """Return the fields of `Settings` that say what a network is."""
        dropout = self.dropout
        if dropout is not None and not 0 <= dropout < 1:
            raise typer.BadParameter(
                f"{dropout} must be at least 0 and below 1", param_hint="--dropout"
            )
        return {
            "hidden": None if self.hidden is None else _parse_widths(self.hidden),
            "activation": self.activation and self.activation.value,
            "dropout": dropout,
        }


def _parse_widths(text: str) -> tuple[int, ...]:
    """Return the widths of the hidden layers in a text such as "128,64"."""
    try:
        widths = tuple(int(part) for part in text.split(","))
    except ValueError:
        widths = (0,)
    if min(widths) < 1 or max(widths) > 1_000_000 or len(widths) > 1000:
        raise typer.BadParameter(
            f"{text!r} is not a list of widths; give whole numbers of at least 1, such as 128,64",
            param_hint="--hidden",
        )
    return widths
