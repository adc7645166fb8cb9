"""The options that say on which cluster a network is trained, and on how many shards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deltarule.cli.stdio import is_stream

if TYPE_CHECKING:
    from deltarule.tables import Plan

__all__ = ["ClusterOptions"]

_SHARDS = 8


@dataclass(frozen=True)
class ClusterOptions:
    """Cluster."""

    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|local:N",
            help="Read and train on the workers of a Dask cluster: the address of its scheduler, "
            "or local:N for N processes on this machine.",
        ),
    ] = None
    shards: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Cut every batch into so many shards, a power of two: the same model on any "
            "number of workers and on one machine [default with --dask: 8].",
        ),
    ] = None

    @property
    def used(self) -> bool:
        """Whether a network is trained on shards."""
        return self.dask is not None or self.shards is not None

    def applied(self, plan: Plan) -> Plan:
        """Return what to learn, on shards if they are asked for."""
        from deltarule.spec.shards import Shards

        if not self.used:
            return plan
        return replace(plan, shards=Shards(self.shards or _SHARDS).count)

    def stream(self, given: bool | None) -> bool | None:
        """Return whether the table stays in its files, which shards need."""
        if self.used and given is False:
            raise typer.BadParameter(
                "--dask and --shards leave the table in its files; leave --no-stream out",
                param_hint="--no-stream",
            )
        return True if self.used else given

    def path(self, table: Path) -> Path:
        """Return the path by which workers find the table, too."""
        return table.absolute() if self.dask is not None and not is_stream(table) else table
