"""The table that ships with deltarule, for the demo, the examples and the tests.

The columns, their units, the licence and the sources are in the ``README.md`` of this folder.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

__all__ = ["penguins_path"]


def penguins_path() -> Path:
    """Return where the Palmer penguins table lies on this disk.

    Returns
    -------
    path : Path
        ``penguins.csv``: 344 rows, 8 columns, one row a penguin, ``NA`` for a missing value.
        The usual target is ``species`` (Adelie, Chinstrap or Gentoo).

    Notes
    -----
    deltarule is installed as plain files, so the path stays valid. It belongs to the package:
    read it, do not write to it.
    """
    with as_file(files(__name__) / "penguins.csv") as path:
        return path
