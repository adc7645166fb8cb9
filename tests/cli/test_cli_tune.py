"""``deltarule tune``: what it prints and saves, and how it goes on."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deltarule import load
from deltarule.cli.json_schema import OUTPUT
from deltarule.cli.progress_bar import SearchBar
from deltarule.cli.run import run
from deltarule.tables.tuning import Tried, Watcher

pytest.importorskip("optuna")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.normal(size=60), "b": draw.choice(["red", "blue"], 60)})
    frame["y"] = np.where(frame["a"] > 0, "yes", "no")
    frame.to_csv("t.csv", index=False)
    return tmp_path


def tuned(*options: str, code: int = 0) -> None:
    command = ["tune", "t.csv", "-t", "y", "--ensemble", "1", "--test", "0.2", "--trials", "2"]
    assert run([*command, *options]) == code


def test_it_saves_the_best_model_and_goes_on(here: Path, capsys: Any) -> None:
    tuned("--study", "s.db")
    text = capsys.readouterr().out
    assert "tried 2 recipes: 2 complete" in text
    assert "with the defaults" in text
    assert "saved the model: t.safetensors" in text
    tuned("--study", "s.db", "--trials", "3", "--json", "-o", "again.safetensors")
    found = json.loads(capsys.readouterr().out)
    OUTPUT.validate_python(found)
    assert [one["number"] for one in found["search"]["trials"]] == [0, 1, 2]
    recipes = load("again.safetensors").get_params()["recipes"]
    assert (recipes or []) == found["search"]["recipes"]
    assert run(["predict", "again.safetensors", "t.csv", "-o", "p.csv", "-q"]) == 0


def test_ctrl_c_in_the_first_trial_saves_the_defaults(
    here: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = Watcher.on_fit_task_end

    def interrupted(self: Any, estimator: Any, context: Any) -> bool:
        if self.steps == 2:
            signal.raise_signal(signal.SIGINT)
        return ends(self, estimator, context)

    monkeypatch.setattr(Watcher, "on_fit_task_end", interrupted)
    tuned(code=130)
    out, err = capsys.readouterr()
    assert "tried 1 recipe: 1 stopped by the end of the search\n" in out
    assert "the model is that of the defaults, with loss" in out
    assert "found recipes" not in out
    assert "saved the model: t.safetensors" in out
    assert err == "note: interrupted; what was printed above is what there is\n"
    assert load("t.safetensors").get_params()["recipes"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--time", "0"], "--time"),
        (["--time", "nan"], "--time"),
        (["--trials", "0"], "--trials"),
        (["--study", "t.csv"], "t.csv"),
        (["--study", "t.safetensors"], "t.safetensors"),
        (["--study", "none/s.db"], "(--study)"),
    ],
)
def test_what_is_refused(here: Path, capsys: Any, options: list[str], message: str) -> None:
    before = Path("t.csv").read_bytes()
    tuned(*options, code=2)
    error = capsys.readouterr().err
    assert error.count("\n") == 1 or "Usage" in error
    assert message in error
    assert Path("t.csv").read_bytes() == before
    assert not Path("t.safetensors").exists()


def test_a_bar_shows_the_best(capsys: Any) -> None:
    from rich.console import Console

    with SearchBar(10.0, Console(force_terminal=True, width=100)) as bar:
        one = Tried(3, {}, 0.25, "complete")
        bar.show(one, one)
    assert "4 tried, best loss 0.25 (trial 4)" in capsys.readouterr().out
