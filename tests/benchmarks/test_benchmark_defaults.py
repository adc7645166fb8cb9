"""The comparison of defaults reads tables, resumes, and prints means as they are defined."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from support.paths import ROOT


def write_table(folder: Path) -> None:
    """Write a table of two classes, and the index of the folder."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=90), "c": rng.choice(["a", "b", None], 90)})
    frame["y"] = np.where(frame["x"] + rng.normal(size=90) > 0, "yes", "no")
    frame.to_parquet(folder / "t.parquet")
    index = [{"name": "t", "task": "classification", "target": "y"}]
    (folder / "index.json").write_text(json.dumps(index))


@pytest.fixture(autouse=True)
def _benchmarks_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def test_it_measures_a_folder_and_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import defaults

    write_table(tmp_path)
    results = tmp_path / "fits.json"
    line = ["defaults.py", "--folder", str(tmp_path), "--json", str(results), "--rows", "80",
            "--only", "HistGradientBoosting;deltarule"]  # fmt: skip
    monkeypatch.setattr("sys.argv", line)
    defaults.main()
    first = capsys.readouterr().out
    (fits,) = json.loads(results.read_text())["t"].values()
    assert set(fits) == {"HistGradientBoosting", "deltarule"}
    assert 0 < fits["deltarule"]["error"] < 0.5
    defaults.main()
    again = capsys.readouterr().out
    assert again.strip() == first[first.index("\n\n") :].strip()  # nothing was measured again


def test_means_are_geometric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import defaults

    def fit(error: float, seconds: float) -> dict[str, float]:
        return {"error": error, "log_loss": error, "seconds": seconds}

    fits = {
        "a": {"0/9": {defaults.FIRST: fit(0.1, 1.0), "deltarule": fit(0.2, 4.0)}},
        "b": {"0/9": {defaults.FIRST: fit(0.4, 1.0), "deltarule": fit(0.1, 9.0) | {"auc": 0.75}}},
    }
    learners = [defaults.FIRST, "deltarule"]
    found = defaults.report(fits, learners)
    mean = (2 * 0.25) ** 0.5
    assert found["deltarule"][:4] == pytest.approx((mean, mean, 2, 6.0))
    assert found["deltarule"].ranks == (1.5, 1.5)
    lines = capsys.readouterr().out.strip().splitlines()
    words = lines[2].split()
    assert words == [
        "deltarule",
        f"{mean:.3f}",
        f"{mean:.3f}",
        "2",
        "6.00",
        "1.50,",
        "1.50",
        "0.7500",
    ]
    assert lines[3] == "behind the best of the trees: a, 2.000"
    picture = tmp_path / "picture.png"
    defaults.draw(found, picture)
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_a_search_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    import tuned

    write_table(tmp_path)
    line = ["tuned.py", "--folder", str(tmp_path), "--tables", "t", "--seconds", "1", "--learner",
            "deltarule"]  # fmt: skip
    monkeypatch.setattr("sys.argv", line)
    tuned.main()
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 < found["error"] < 0.5
    assert found["log_loss"] < 0.8
