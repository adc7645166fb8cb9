"""The objects of ``--json`` follow their schema, and the remedies of messages work."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.metrics import average_precision_score

from deltarule.cli.json_schema import OUTPUT, json_schema
from deltarule.cli.run import run
from deltarule.datasets import penguins_path
from support.paths import ROOT

QUICK = ["--hidden", "4", "--epochs", "3", "--learning-rate", "0.01", "-f"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "penguins.csv").write_bytes(penguins_path().read_bytes())
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """Run a command with --json; return its object, which must follow the schema."""
    capsys.readouterr()
    assert run([*words, "--json"]) == 0, capsys.readouterr().err
    found = json.loads(capsys.readouterr().out)
    OUTPUT.validate_python(found)
    return dict(found)


def test_the_published_schema_is_the_one_of_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["--json-schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json_schema()
    assert printed == json.loads((ROOT / "docs/cli.schema.json").read_text(encoding="utf-8"))


def test_what_does_not_follow_the_schema_is_found(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(capsys, "describe", "penguins.csv")
    for wrong in ({**found, "R²": 1.0}, {**found, "rows": "many"}, {"command": "describe"}):
        with pytest.raises(ValidationError):
            OUTPUT.validate_python(wrong)


TARGETS = {
    "species": {"accuracy", "macro_f1", "log_loss"},
    "sex": {"accuracy", "roc_auc", "average_precision", "log_loss"},
    "body_mass_g": {"r2", "rmse", "mae"},
}


@pytest.mark.parametrize(
    ("target", "stream"),
    [("species", "--no-stream"), ("sex", "--stream"), ("body_mass_g", "--no-stream")],
)
def test_every_command_follows_the_schema(
    here: Path, capsys: pytest.CaptureFixture[str], target: str, stream: str
) -> None:
    train = ["train", "penguins.csv", "-t", target, "--test", "0.2", "-o", "m", stream, *QUICK]
    trained = told(capsys, *train, *(["--plots", "p"] if stream == "--stream" else []))
    for part in ("dev", "test"):
        scores = trained["scores"][part]
        keys = TARGETS[target]
        assert keys | {f"baseline_{key}" for key in keys} <= set(scores)
        assert all(re.fullmatch(r"[a-z_0-9]+", key) for key in scores)
        assert scores["rows"] == trained["rows"][part]
        assert ("positive_class" in scores) == (target == "sex")
    timed = told(capsys, *train, "--split", "time:year")
    assert timed["split"] == {"time": "year", "dev_from": "2008", "test_from": "2009"}
    told(capsys, "describe", "penguins.csv", "-t", target)
    assert set(told(capsys, "evaluate", "m", "penguins.csv")["scores"]) == {"penguins.csv"}
    told(capsys, "predict", "m", "penguins.csv", "-o", "p.csv", "-f")
    told(capsys, "export", "m", "m.onnx", "-f")
    told(capsys, "check", "m", "penguins.csv")


def test_scores_that_rows_do_not_define_are_null(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv("penguins.csv")
    for target, keep in (("sex", frame["sex"] == "male"), ("body_mass_g", frame.index == 0)):
        assert run(["train", "penguins.csv", "-t", target, "-o", "m", "-q", *QUICK]) == 0
        frame[keep].to_csv("few.csv", index=False)
        found = told(capsys, "evaluate", "m", "few.csv")
        scores = found["scores"]["few.csv"]
        assert scores["roc_auc" if target == "sex" else "r2"] is None
        assert scores["beats_baseline"] is None
        assert "they tell nothing about the model" in found["notes"][0]
        assert run(["evaluate", "m", "few.csv"]) == 0
        assert "nan" not in capsys.readouterr().out


# --- remedies ------------------------------------------------------------------------------------


def imbalanced(path: Path) -> None:
    draw = np.random.default_rng(0)
    X = draw.normal(size=(6000, 3))
    frame = pd.DataFrame(X, columns=list("abc"))
    chance = np.minimum(0.001 * np.exp(1.5 * X.sum(axis=1)), 0.4)  # never the likelier class
    frame["fraud"] = (draw.random(6000) < chance).astype(int)
    frame.to_csv(path, index=False)


def test_the_remedy_of_rare_classes_is_as_good_as_it_says(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imbalanced(here / "t.csv")
    words = [
        "train",
        "t.csv",
        "-t",
        "fraud",
        "--test",
        "0.3",
        "--epochs",
        "8",
        "--learning-rate",
        "0.01",
    ]
    found = told(capsys, *words, "-o", "m")
    said = [note for note in found["notes"] if "probability_" in note]
    assert len(said) == 1
    assert found["scores"]["test"]["beats_baseline"]
    column = re.search(r"order rows by '(.+?)'", said[0])
    assert column is not None
    told(capsys, "predict", "m", "t.csv", "-o", "p.csv")
    order = pd.read_csv("p.csv")[column[1]]
    whole = told(capsys, "evaluate", "m", "t.csv")["scores"]["t.csv"]
    expected = average_precision_score(pd.read_csv("t.csv")["fraud"], order)
    assert whole["average_precision"] == pytest.approx(expected, rel=1e-9)
    assert whole["average_precision"] > 5 * whole["baseline_average_precision"]


def series(n: int = 120) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    days = np.arange(n)
    return pd.DataFrame(
        {
            "date": (np.datetime64("2024-01-01") + days).astype(str),
            "half": np.where(days < n // 2, 1, 2),
            "weekday": np.array(["mon", "tue", "wed"])[days % 3],
            "x": draw.normal(size=n),
            "y": np.array(["lo", "hi"])[draw.integers(0, 2, n)],
        }
    )


Edit = Callable[[pd.DataFrame], pd.DataFrame]


def edited(column: str, rows: Any, value: Any) -> Edit:
    def edit(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(**{column: frame[column].mask(frame.index.isin(rows), value)})

    return edit


def without(rows: Any) -> Edit:
    return lambda frame: frame.drop(index=rows)


TIMED = "--split time:date"
CASES: list[tuple[Edit, str, str, list[tuple[str, Edit | None, str]]]] = [
    (
        edited("date", range(20), None), TIMED, "the time is missing",
        [
            ("write the times into the cells", edited("date", range(20), "2024-01-05"), TIMED),
            ("remove the rows", without(range(20)), TIMED),
            ("leave --split out", None, ""),
        ],
    ),
    (
        edited("x", [], 0), "--split time:half --test 0.2", "too few different times",
        [
            ("name a column with finer times", None, f"{TIMED} --test 0.2"),
            ("leave --split out", None, "--test 0.2"),
        ],
    ),
    (
        edited("x", [], 0), "--split time:weekday", "needs dates or numbers",
        [
            ("correct its cells", lambda frame: frame.assign(weekday=range(len(frame))),
             "--split time:weekday"),
            ("name another column", None, TIMED),
            ("leave --split out", None, ""),
        ],
    ),
    (
        edited("x", [], 0), "--split time:dato", "did you mean 'date'", [("'date'", None, TIMED)],
    ),
    (
        edited("y", range(110, 120), "new"), f"{TIMED} --dev 0.2", "no row of class 'new'",
        [
            ("add rows of it", edited("y", [3, 4], "new"), f"{TIMED} --dev 0.2"),
            ("leave --split out", None, ""),
            ("hold out less (--dev", None, f"{TIMED} --dev 0.04"),
        ],
    ),
    (
        lambda frame: frame.assign(review=[f"a fine thing {i} and more" for i in frame.index]),
        "", "column 'review' holds free text",
        [
            ("--category review", None, "--category review"),
            ("--ignore review", None, "--ignore review"),
            ("convert to numbers", lambda frame: frame.assign(review=range(len(frame))), ""),
        ],
    ),
    (
        edited("x", [], 0), "--split 3", "time:COL",
        [("auto", None, "--split auto"), ("70/15/15", None, "--split 70/15/15"),
         ("time:COL", None, TIMED)],
    ),
    (
        edited("x", [], 0), "--split 70/15/10", "the shares 70/15/10 add up to 95",
        [("73.68/15.79/10.53", None, "--split 73.68/15.79/10.53"),
         ("add up to 100", None, "--split 70/20/10"), ("or 1", None, "--split 0.7/0.2/0.1")],
    ),
    (
        edited("x", [], 0), "--split 3/1/1", "the shares 3/1/1 add up to 5",
        [("60/20/20", None, "--split 60/20/20")],
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case[2] for case in CASES])
def test_every_remedy_comes_through(
    here: Path, capsys: pytest.CaptureFixture[str],
    case: tuple[Edit, str, str, list[tuple[str, Edit | None, str]]],
) -> None:  # fmt: skip
    break_it, options, problem, remedies = case
    train = ["train", "t.csv", "-t", "y", *QUICK]
    broken = break_it(series())
    broken.to_csv("t.csv", index=False)
    assert run([*train, *shlex.split(options)]) == 2
    error = capsys.readouterr().err
    assert problem in error
    for words, repair, other in remedies:
        assert words.lower() in error.lower()
        (broken if repair is None else repair(broken)).to_csv("t.csv", index=False)
        assert run([*train, *shlex.split(other)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("kind", ["date", "number"])
def test_the_named_options_say_which_times_are_wrong(
    here: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    series().to_csv("t.csv", index=False)
    words = ["train", "t.csv", "-t", "y", "--split", "time:weekday", *QUICK]
    assert run(words) == 2
    assert f"--{kind} weekday" in capsys.readouterr().err
    assert run([*words, f"--{kind}", "weekday"]) == 2
    error = capsys.readouterr().err
    assert f"'mon' (40 cells) is not a {kind}" in error
