"""The way in: a table of 10⁶ rows and 21 columns read, prepared and scored: ``KIND FILE``.

Prints seconds and the peak of the process's memory in megabytes. The training between preparing
and scoring is not counted.
"""

from __future__ import annotations

import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

COLUMNS = 21


def write_tables(folder: Path, rows: int) -> tuple[Path, Path]:
    """Write one table as CSV and as Parquet: numbers, whole numbers, texts, and true or false."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(rows, COLUMNS - 5)).round(4)
    columns: dict[str, Any] = {f"x{j}": column for j, column in enumerate(numbers.T)}
    columns |= {"age": rng.integers(18, 90, rows), "count": rng.integers(0, 5000, rows)}
    columns["colour"] = np.array(["red", "green", "blue", "black"])[rng.integers(0, 4, rows)]
    columns["flag"] = rng.random(rows) < 0.3
    score = numbers[:, 0] + numbers[:, 1] * numbers[:, 2] + rng.normal(size=rows) * 0.3
    columns["label"] = np.where(score > 0, "yes", "no")
    table = pa.table(columns)
    pyarrow.csv.write_csv(table, folder / "t.csv")
    pyarrow.parquet.write_table(table, folder / "t.parquet")
    return folder / "t.csv", folder / "t.parquet"


def deltarule(path: Path) -> float:
    """Read, understand, learn, encode; train; score the dev rows."""
    from deltarule.cli.inputs import opened
    from deltarule.tables import CsvFormat, Plan, Settings, fit, prepare, score_parts

    start = time.perf_counter()
    with opened(path, CsvFormat(), stream=False) as table:
        prepared = prepare(table, Plan("label"))
        fit_start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = fit(prepared, Settings(hidden=(8,), epochs=1))
        fitted = time.perf_counter()
        score_parts(model, prepared)
    return time.perf_counter() - fitted + fit_start - start


def deltarule_describe(path: Path) -> float:
    """Read and understand, as ``deltarule describe`` does."""
    from deltarule.cli.inputs import opened
    from deltarule.tables import CsvFormat, describe

    def described() -> None:
        with opened(path, CsvFormat()) as table:
            describe(table, target="label")

    return seconds(described)


def deltarule_reader(path: Path) -> float:
    """Read only."""
    from deltarule.tables import read_table

    return seconds(lambda: read_table(path))


def pandas(path: Path) -> float:
    """Read only."""
    import pandas as pd

    reader = pd.read_csv if path.suffix == ".csv" else pd.read_parquet
    return seconds(lambda: reader(path))


def arrow(path: Path) -> float:
    """Read only."""
    reader = pyarrow.csv.read_csv if path.suffix == ".csv" else pyarrow.parquet.read_table
    return seconds(lambda: reader(path))


def lightgbm(path: Path) -> float:
    """Read with pandas, and make LightGBM's own table."""
    import lightgbm as lgb
    import pandas as pd

    def prepared() -> None:
        frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        labels = frame.pop("label") == "yes"
        lgb.Dataset(
            frame.astype({"colour": "category"}), labels, params={"verbose": -1}
        ).construct()

    return seconds(prepared)


def seconds(call: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


KINDS: dict[str, Callable[[Path], float]] = {
    "deltarule": deltarule,
    "deltarule describe": deltarule_describe,
    "deltarule's reader": deltarule_reader,
    "pandas": pandas,
    "pyarrow": arrow,
    "LightGBM": lightgbm,
}

if __name__ == "__main__":
    taken = KINDS[sys.argv[1]](Path(sys.argv[2]))
    print(taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
