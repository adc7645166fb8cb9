"""One row of named columns through the model of a table: reading, checking, encoding, networks."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import pandas as pd

from deltarule import TabularRegressor
from speed.worker import Repetition

CALLS = 100  # in one "epoch"
ROWS = 600  # of the training table


def prepare(spec: dict[str, Any]) -> Repetition:
    """Return the function that predicts one row many times, which answers with the shortest.

    The model has so many ``members``, and the table so many columns of ``numbers`` and of
    ``categories``; the row comes as a "DataFrame" or as a "dict" of lists.
    """
    rng = np.random.default_rng(0)
    table = pd.DataFrame({f"n{i}": rng.normal(size=ROWS) for i in range(spec["numbers"])})
    y = table["n0"].to_numpy() + rng.normal(size=ROWS)
    for i in range(spec["categories"]):
        table[f"c{i}"] = rng.choice(list("uvwxyz"), ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few epochs
        model = TabularRegressor(ensemble=spec["members"], max_iter=2).fit(table, y)
    row: Any = table.iloc[[3]]
    if spec["dress"] == "dict":
        row = row.to_dict("list")

    def repetition(message: dict[str, Any]) -> dict[str, Any]:
        shortest = float("inf")
        for _ in range(message["epochs"] * CALLS):
            start = time.perf_counter()
            model.predict(row)
            shortest = min(shortest, time.perf_counter() - start)
        return {"seconds": shortest, "steps": 1}

    return repetition
