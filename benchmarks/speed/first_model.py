"""Models for first predictions: ``python -m speed.first_model FOLDER`` writes them there."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

from deltarule import MLPClassifier, save
from deltarule.datasets import penguins_path
from deltarule.tables import Plan, Settings, fit, prepare, read_table
from speed.cases import CASES, estimator_arguments


def main() -> None:
    """Write a model of the penguins, ten rows of them, and a classifier."""
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    prepared = prepare(read_table(penguins_path()), Plan("species"))
    fit(prepared, Settings(epochs=3)).save(folder / "table")
    lines = penguins_path().read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "ten.csv").write_text("".join(lines[:11]), encoding="utf-8")
    case = CASES["S"]
    X, y = case.data()
    model = MLPClassifier(**estimator_arguments(case, 1)).fit(X[:200], y[:200])
    save(model, folder / "classifier")
    print(json.dumps({}))


if __name__ == "__main__":
    main()
