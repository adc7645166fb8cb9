"""The benchmark on real tables reads them, resumes, and computes its statistics correctly."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from support.paths import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def filled(tmp_path: Path, scores: dict[str, dict[str, list[float]]]) -> Any:
    """Return results of every table with the given scores, a second a fit."""
    from tabular.measurements import Results
    from tabular.models import describe

    saved = {
        "sizes": {table: [100, 4] for table in scores},
        "arguments": {name: describe(name) for fits in scores.values() for name in fits},
        "fits": {
            table: {
                name: {f"0/{k}": [score, 1.0] for k, score in enumerate(several)}
                for name, several in fits.items()
            }
            for table, fits in scores.items()
        },
    }
    (tmp_path / "results.json").write_text(json.dumps(saved))
    return Results(tmp_path / "results.json")


def test_every_table_that_is_installed_can_be_read() -> None:
    from tabular.catalogue import CATALOGUE, is_installed
    from tabular.models import preprocessing

    tables = [table for table in CATALOGUE.values() if is_installed(table)]
    assert len(tables) >= 7  # scikit-learn's and ours
    for table in tables:
        X, y = table.load()
        assert isinstance(X, pd.DataFrame)
        assert len(X) == len(y) >= 20
        assert type(y) is np.ndarray
        assert np.isfinite(preprocessing().fit_transform(X)).all()
        assert pd.notna(y).all()
        assert (y.dtype.kind in "if") or not table.regression


def test_there_are_enough_tables_for_both_comparisons() -> None:
    from tabular.catalogue import CATALOGUE

    assert len(CATALOGUE) >= 12
    assert 0 < sum(table.development for table in CATALOGUE.values()) < len(CATALOGUE) / 2


def test_an_interrupted_run_resumes(tmp_path: Path) -> None:
    from tabular.catalogue import CATALOGUE
    from tabular.measurements import Results, measure
    from tabular.models import OURS

    file, table = tmp_path / "results.json", CATALOGUE["linnerud"]
    measure(table, [OURS], [0], Results(file))
    first = json.loads(file.read_text())
    assert len(first["fits"]["linnerud"][OURS]) == 5
    measure(table, [OURS], [0, 1], Results(file))
    second = json.loads(file.read_text())
    assert len(second["fits"]["linnerud"][OURS]) == 10
    saved = first["fits"]["linnerud"][OURS]
    assert (
        second["fits"]["linnerud"][OURS].items() >= saved.items()
    )  # seconds too: not fitted again


def test_results_of_other_arguments_or_another_table_are_deleted(tmp_path: Path) -> None:
    from tabular.measurements import Results
    from tabular.models import OURS, RECIPE

    results = filled(tmp_path, {"iris": {OURS: [0.9], RECIPE: [0.9]}})
    results.arguments[RECIPE] = "other"
    results.save()
    again = Results(tmp_path / "results.json")
    assert len(again.of("iris", OURS)) == 1
    assert again.of("iris", RECIPE) == {}
    again.begin("iris", [100, 4])
    assert len(again.of("iris", OURS)) == 1
    again.begin("iris", [100, 3])
    assert again.of("iris", OURS) == {}


def test_differences_and_their_errors(tmp_path: Path) -> None:
    from tabular.models import OURS, PEER
    from tabular.report import compare_defaults

    page = compare_defaults(
        filled(
            tmp_path,
            {
                "iris": {OURS: [0.9, 0.8], PEER: [0.9, 0.8]},
                "wine": {OURS: [0.7, 0.8], PEER: [0.9, 0.9]},
            },
        )
    )
    assert [row[5] for row in page.rows] == ["+0.00000 ± 0.00000 ✓", "-0.15000 ± 0.05000 ✗"]
    assert "on 1 of 2 tables" in page.note
    assert "1.00× the time of deltarule's" in page.note


@pytest.mark.parametrize(
    ("difference", "error", "good"),
    [(0.0, 0.0, True), (0.01, 0.0, True), (-0.02, 0.01, True), (-0.021, 0.01, False)],
)
def test_a_difference_of_two_standard_errors_is_accepted(
    difference: float, error: float, good: bool
) -> None:
    from tabular.report import is_as_good

    assert is_as_good(difference, error) is good


def test_ranks_share_a_tie(tmp_path: Path) -> None:
    from tabular.models import PEER, RECIPE, TREES
    from tabular.report import ranks

    page = ranks(
        filled(
            tmp_path,
            {
                "iris": {RECIPE: [0.9], PEER: [0.9], TREES: [0.8]},
                "wine": {RECIPE: [0.9], PEER: [0.7], TREES: [0.8]},
            },
        )
    )
    assert [row[-1] for row in page.rows] == ["1.5 1.5 3", "1 3 2"]
    assert "all tables (2): recipe 1.25, scikit-learn 2.25, HistGradientBoosting 2.50" in page.note


@pytest.mark.long
def test_the_command_runs(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "tables.py", "--tables=linnerud", "--seeds=1",
         f"--json={file}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mean paired difference" in done.stdout
    assert "Mean ranks" in done.stdout
    wrong = subprocess.run(
        [sys.executable, BENCHMARKS / "tables.py", "--tables=irises"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "irises: choose from iris, wine" in wrong.stderr


def test_the_document_shows_the_recipe_that_is_measured() -> None:
    from tabular.models import RECIPE, build

    text = (BENCHMARKS.parent / "docs" / "tables.md").read_text(encoding="utf-8")
    shown: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "docs/tables.md", "exec"), shown)
    for regression, name in [(False, "classifier"), (True, "regressor")]:
        measured = build(RECIPE, regression=regression, several=False, seed=0)
        own = {"n_threads": 1, "random_state": 0}
        assert measured.get_params() == shown[name].get_params() | own
