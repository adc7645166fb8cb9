"""The options of a search for recipes of networks"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deltarule.cli.options import parse_path

if TYPE_CHECKING:
    from deltarule.tables import Plan
    from deltarule.tables.tuning import Budget

__all__ = ["SearchOptions"]


@dataclass(frozen=True)
class SearchOptions:
    """Search."""

    time: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="How long it may take: the fits of the defaults and of the best recipes count, "
            "reading the table does not. The defaults are always fitted.",
        ),
    ] = 600.0
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many recipes are tried at most.")
    ] = None
    study: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=parse_path,
            help="Remember every trial there; the same command again goes on with it.",
        ),
    ] = None
    ensemble: Annotated[
        int | None,
        typer.Option(
            min=1, max=1000, metavar="K", help="How many networks are averaged, as for train."
        ),
    ] = None
    seed: Annotated[int, typer.Option(min=0, help="All randomness follows from it.")] = 0

    def budget(self) -> Budget:
        """Return how long the search goes on."""
        if not 0 < self.time < float("inf"):
            raise typer.BadParameter(f"{self.time} must be above 0", param_hint="--time")
        from deltarule.tables.tuning import Budget

        return Budget(self.time, self.trials)

    def applied(self, plan: Plan) -> Plan:
        """Return the plan with the number of networks."""
        return replace(plan, ensemble=self.ensemble)
