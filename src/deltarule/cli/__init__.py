"""The command line: ``deltarule describe``, ``train``, ``evaluate``, ``predict`` and others.

It parses options, calls `deltarule.tables` and `deltarule.storage`, and prints. It has no logic of
its own.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; docs/cli.md lists the exit codes.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``deltarule``; by default those of the process.
    """
    # Imports make no garbage: looking for it at every 700th object would take a tenth of a start.
    gc.set_threshold(50_000, 10, 10)
    from deltarule.cli.run import run

    raise SystemExit(run(arguments))
