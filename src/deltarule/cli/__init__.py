"""The command line: ``deltarule train``, ``evaluate``, ``predict``, ``export`` and ``check``.

It has no logic of its own: it parses, calls `deltarule.tables` and `deltarule.storage`, and prints.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; docs/cli.md has the codes.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``deltarule``; by default those that the process was given.
    """
    from deltarule.cli.run import run

    raise SystemExit(run(arguments))
