"""Data sets: the penguins table, which comes with deltarule, and MNIST and Fashion-MNIST.

The ``README.md`` of this folder describes the table's columns, units, licence and sources. The
images do not come with deltarule: :func:`load_mnist` and :func:`load_fashion_mnist` read them from
a data folder, or download them.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from deltarule.datasets.idx import read_idx
from deltarule.datasets.images import load_fashion_mnist, load_mnist

__all__ = ["load_fashion_mnist", "load_mnist", "penguins_path", "read_idx"]


def penguins_path() -> Path:
    """Return the path of the Palmer penguins table.

    Returns
    -------
    path : Path
        ``penguins.csv``: 344 rows (one per penguin) and 8 columns; ``NA`` is a missing value.
        The usual target is ``species`` (Adelie, Chinstrap or Gentoo).

    Notes
    -----
    deltarule is installed as plain files, so the path stays valid. The file belongs to the package:
    do not write to it.
    """
    with as_file(files(__name__) / "penguins.csv") as path:
        return path
