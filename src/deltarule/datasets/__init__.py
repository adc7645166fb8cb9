"""Data sets: the table that ships with deltarule, and MNIST and Fashion-MNIST from their files.

The table's columns, units, licence and sources are in the ``README.md`` of this folder. The images
do not ship with deltarule: :func:`load_mnist` and :func:`load_fashion_mnist` read them from a data
folder, and say how to get them.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from deltarule.datasets.idx import read_idx
from deltarule.datasets.images import load_fashion_mnist, load_mnist

__all__ = ["load_fashion_mnist", "load_mnist", "penguins_path", "read_idx"]


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
