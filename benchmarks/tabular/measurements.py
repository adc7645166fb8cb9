"""Fits over folds and seeds, with the models alternating; results are saved in a file."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler

from tabular.catalogue import Table
from tabular.models import build, describe, preprocessing

__all__ = ["Results", "folds_of", "measure"]

LARGE = 3000
"""Number of rows from which there are three folds instead of five."""


def folds_of(n_rows: int) -> int:
    """Return the number of folds of a table."""
    return 3 if n_rows >= LARGE else 5


class Results:
    """Score and seconds of every fit, by table, model, seed and fold, in a JSON file.

    Results of other arguments of a model, or of a table of another size, are deleted.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        saved = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        self.sizes: dict[str, list[int]] = saved.get("sizes", {})
        self.arguments: dict[str, str] = saved.get("arguments", {})
        self.fits: dict[str, dict[str, dict[str, list[float]]]] = saved.get("fits", {})

    def of(self, table: str, model: str) -> dict[str, list[float]]:
        """Return the mutable mapping {"seed/fold": [score, seconds]}."""
        if self.arguments.get(model) != describe(model):
            for others in self.fits.values():
                others.pop(model, None)
            self.arguments[model] = describe(model)
        return self.fits.setdefault(table, {}).setdefault(model, {})

    def begin(self, table: str, size: list[int]) -> None:
        """Record the table's rows and columns; delete fits to a table of another size."""
        if self.sizes.get(table) != size:
            self.fits.pop(table, None)
        self.sizes[table] = size

    def save(self) -> None:
        """Write the file atomically."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(".part")
        saved = {"arguments": self.arguments, "sizes": self.sizes, "fits": self.fits}
        partial.write_text(json.dumps(saved, indent=1) + "\n", encoding="utf-8")
        os.replace(partial, self._file)


def measure(table: Table, models: Sequence[str], seeds: Sequence[int], results: Results) -> None:
    """Run the fits that are not in ``results`` yet; save them after every seed."""
    X, y = table.load()
    begun: set[str] = set()
    results.begin(table.name, [len(X), X.shape[1]])
    for seed in seeds:
        for number, (train, test) in enumerate(_folds(table, X, y, seed)):
            key = f"{seed}/{number}"
            order = models if number % 2 == 0 else models[::-1]
            todo = [name for name in order if key not in results.of(table.name, name)]
            if not todo:
                continue
            X_train, y_train, X_test, y_test = _prepare(table, X, y, train, test)
            for name in todo:
                own = {"regression": table.regression, "several": y.ndim == 2, "seed": seed}
                if name not in begun:
                    _begin(build(name, **own), X_train, y_train)
                    begun.add(name)
                model = build(name, **own)
                seconds = _fit(model, X_train, y_train)
                results.of(table.name, name)[key] = [float(model.score(X_test, y_test)), seconds]
        results.save()


def _prepare(table: Table, X: Any, y: Any, train: Any, test: Any) -> tuple[Any, ...]:
    """Return both parts of a fold, with preprocessing fitted on the training part."""
    inputs = preprocessing()
    X_train = inputs.fit_transform(X.iloc[train])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # categories that the training part lacks
        X_test = inputs.transform(X.iloc[test])
    if not table.regression:
        return X_train, y[train], X_test, y[test]
    scale = StandardScaler().fit(y[train].reshape(len(train), -1))
    y_train, y_test = (
        scale.transform(y[part].reshape(len(part), -1)).reshape(len(part), *y.shape[1:])
        for part in (train, test)
    )
    return X_train, y_train, X_test, y_test


def _begin(model: Any, X: Any, y: Any) -> None:
    """Fit once before times are measured, because the first fit may compile or load code."""
    if "max_iter" in model.get_params():
        _fit(model.set_params(max_iter=1), X, y)


def _folds(table: Table, X: Any, y: Any, seed: int) -> Iterator[tuple[Any, Any]]:
    kind = KFold if table.regression else StratifiedKFold
    return iter(kind(folds_of(len(X)), shuffle=True, random_state=seed).split(X, y))


def _fit(model: Any, X: Any, y: Any) -> float:
    """Fit the model and return the seconds that it took."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begin = perf_counter()
        model.fit(X, y)
        return perf_counter() - begin
