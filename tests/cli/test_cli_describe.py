"""``deltarule describe``: what training would take the columns for, and the picture of a table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from deltarule.cli.data_picture import draw_data
from deltarule.cli.run import run
from deltarule.tables import (
    ReadOptions,
    Source,
    collect_values,
    describe,
    open_source,
    read_table,
)
from deltarule.tables.sources import csv as csv_source

N = 400
OPTIONS: list[list[str]] = [
    [],
    ["--no-dates"],
    ["--ignore", "cit*", "--category", "size"],
    ["--missing", "3", "--number", "code"],
    ["--stream"],
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    frame(tmp_path / "t.csv")
    return tmp_path


def frame(path: Path) -> pd.DataFrame:
    """Write a table with a column of every kind, and a class of one row."""
    draw = np.random.default_rng(0)
    made = pd.DataFrame(
        {
            "when": (np.datetime64("2022-01-01") + draw.integers(0, 500, N)).astype(str),
            "size": draw.integers(1, 9, N).astype(str),
            "price $x_1$": [f"{x:.2f} €" for x in draw.lognormal(3, 1, N)],
            "city": draw.choice([f"town {i}" for i in range(12)], N),
            "sold": draw.choice(["true", "FALSE"], N),
            "code": [f"{i:05d}" for i in draw.integers(0, 30, N)],
            "opens": [f"{hour:02d}:30" for hour in draw.integers(6, 12, N)],
            "nothing": "",
            "名\u200b前": draw.choice(["猫", "犬"], N),
            "label": draw.choice(["lo", "hi", ""], N, p=[0.6, 0.3, 0.1]),
        }
    )
    made.loc[draw.random(N) < 0.2, "size"] = "?"
    made.loc[7, "label"] = "once"
    made.to_csv(path, index=False)
    return made


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*words, "--json"]) == 0, capsys.readouterr().err
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_it_says_what_training_says(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    options: list[str],
) -> None:  # fmt: skip
    made = pd.read_csv("t.csv", dtype=str)  # a class of one row may miss the training part in files
    made[made["label"] != "once"].to_csv("t.csv", index=False)
    monkeypatch.setattr(csv_source, "CHUNK_BYTES", 10_000)
    described = told(capsys, "describe", "t.csv", "-t", "label", *options)
    train = ["train", "t.csv", "-t", "label", *options, "--epochs", "1", "--hidden", "2", "-f"]
    trained = told(capsys, *train)
    assert described["columns"] == trained["columns"]
    assert described["task"] == trained["task"]
    assert list(described["classes"]) == trained["classes"]
    assert described["rows"] == len(made) - 1
    for words in (["describe", "t.csv", "-t", "label", *options], train):
        assert run(words) == 0
    first, second = capsys.readouterr().out.split("t.csv: ")[1:]
    grid = re.compile(r"^(?:column|when|size|price|code|opens|nothing|名).*$", re.MULTILINE)
    assert grid.findall(first) == grid.findall(second) != []


def test_it_prints_kinds_missing_cells_and_classes(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")  # a narrow terminal cuts no names and no counts
    assert run(["describe", "t.csv", "--target", "label"]) == 0
    out = capsys.readouterr().out
    made = pd.read_csv("t.csv", dtype=str)
    marks = (made["size"] == "?").sum()
    for line in (
        r"t.csv: 400 rows, 10 columns",
        r"column +holds +missing +of them",
        r"when +date +0",
        rf"size +number +{marks} +'\?' {marks}",
        r"price \$x_1\$ +number, in € +0",
        r"city +category \(12\) +0",
        r"sold +yes/no +0",
        r"code +category \(30\) +0",
        r"opens +date, time +0",
        r"nothing +left out: is empty +400",
        rf"classification of 'label': the target holds texts; {made['label'].isna().sum()} rows",
        rf"3 classes: 'lo' {(made['label'] == 'lo').sum()}, 'hi' .*, 'once' 1",
        r"note: class 'once' has a single row",
    ):
        assert re.search(f"^{line}", out, re.MULTILINE), line
    assert not (here / "t.safetensors").exists()
    assert run(["describe", "t.csv"]) == 0
    assert re.search(r"^label +category \(3\)", capsys.readouterr().out, re.MULTILINE)
    assert run(["describe", "t.csv", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_what_training_refuses_is_described(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each problem is in its column's row, the error of training in a line, the rest as ever."""
    made = pd.read_csv("t.csv", dtype=str)
    made["width"] = [f"{i}x" if i % 100 == 3 else str(i % 7) for i in range(N)]
    made["number"] = [str(2**60 + 1) if i == 5 else str(3 * i % 1000) for i in range(N)]
    made["review"] = [f"it was a fine {i} indeed" for i in range(N)]
    made["ordered"] = ["03/04/2021", "05/06/2021"] * (N // 2)
    made.to_csv("t.csv", index=False)
    found = told(capsys, "describe", "t.csv", "-t", "label", "--plots", "pictures")
    columns = {column["name"]: column for column in found["columns"]}
    unclear = {name for name, column in columns.items() if column["kind"] == "unclear"}
    assert unclear == {"width", "number", "review", "ordered"}
    assert columns["width"]["reason"].startswith("'3x' is not a number, but 396 of the column's")
    assert columns["number"]["reason"].startswith("'1152921504606846977' would be rounded")
    assert columns["review"]["reason"] == "holds free text"
    assert columns["city"]["kind"] == "category"
    assert found["classes"]["once"] == 1
    assert run(["train", "t.csv", "-t", "label"]) == 2
    assert capsys.readouterr().err == f"error: {found['problem']}\n"
    assert run(["describe", "t.csv", "-t", "label"]) == 0
    out = capsys.readouterr().out
    assert re.search("^review +unclear: holds free text +0", out, re.MULTILINE)
    assert f"problem: training would refuse this table: {found['problem']}" in out
    # The remedies that it names lead to a table that is described without a problem.
    ways = ["--category", "width", "--ignore", "number", "--category", "review", "--day-first"]
    for option in ways[1::2][:3]:
        assert option in found["problem"]
    assert "problem" not in told(capsys, "describe", "t.csv", "-t", "label", *ways)


@pytest.mark.parametrize(
    ("cells", "target", "message"),
    [
        ("nothing", "nothing", "the target 'nothing' is empty in every row"),
        ("width", "width", "'3x' is not a number"),
        ("same", "same", "is '1' in every row"),
        ("nothing", "sold", "no column left to learn 'sold' from"),
    ],
)
def test_a_target_that_training_refuses_is_described(
    here: Path, capsys: pytest.CaptureFixture[str], cells: str, target: str, message: str
) -> None:
    made = pd.read_csv("t.csv", dtype=str)
    made["width"] = [f"{i}x" if i % 100 == 3 else str(i % 7) for i in range(N)]
    made["same"] = "1"
    made["city"] = [f"town {i}" for i in range(N)] if target == "sold" else made["city"]
    made[["city", "sold", cells]].to_csv("t.csv", index=False)
    found = told(capsys, "describe", "t.csv", "-t", target)
    assert message in found["problem"]
    assert ("classes" in found) == (target == "sold")
    assert run(["train", "t.csv", "-t", target]) == 2
    assert found["problem"] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("describe t.csv -t lable", "did you mean 'label'?"),
        ("describe none.csv", "no file none.csv"),
        ("describe t.csv --ignore nix", "no column 'nix'"),
        ("describe t.csv -t label --ignore label", "the target 'label' is given with --ignore"),
        ("train t.csv -t label --ignore lab*", "no column 'lab*' (given with --ignore)"),
        ("describe t.csv --plots t.csv", "t.csv/data.png is inside the table"),
        ("describe folder --plots folder", "inside the table"),
        ("describe t.csv --plots full", "data.png already exists"),
    ],
)
def test_errors_are_one_line_and_write_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    for name in ("full", "folder"):
        (here / name).mkdir()
    (here / "full" / "data.png").write_text("precious")
    (here / "folder" / "a.csv").write_text("x,y\n1,2\n")
    assert run(words.split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert (here / "full" / "data.png").read_text() == "precious"
    assert sorted(path.name for path in here.rglob("*")) == [
        "a.csv", "data.png", "folder", "full", "t.csv",
    ]  # fmt: skip


# --- the picture ---------------------------------------------------------------------------------


def test_both_commands_draw_the_same_picture(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = told(capsys, "describe", "t.csv", "-t", "label", "--plots", "a")
    assert drawn["pictures"] == ["a/data.png"]
    for setting in ("axes.facecolor", "savefig.facecolor"):
        monkeypatch.setitem(mpl.rcParams, setting, "black")
    words = ["train", "t.csv", "-t", "label", "--epochs", "1", "--hidden", "2", "--plots", "b"]
    assert run([*words, "-q"]) == 0
    picture = (here / "a" / "data.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert (here / "b" / "data.png").read_bytes() == picture
    assert capsys.readouterr().err == ""  # letters that the font lacks are no warning


def figure_of(source: Source, target: str | None = None, **options: Any) -> Any:
    reading = ReadOptions(**options)
    found = describe(source, target=target, reading=reading)
    task = found.decision and found.decision.task
    values = collect_values(
        source, found.understanding, target=target, task=task, missing=reading.missing
    )
    return draw_data(values)


def panels_of(figure: Any) -> dict[str, Any]:
    return {ax.get_title(loc="left"): ax for ax in figure.axes}


@pytest.mark.parametrize("streamed", [False, True])
def test_the_picture_shows_every_value(
    here: Path, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    monkeypatch.setattr(csv_source, "CHUNK_BYTES", 2000)
    made = pd.read_csv("t.csv", dtype=str, keep_default_na=False)
    panels = panels_of(figure_of((open_source if streamed else read_table)("t.csv"), "label"))
    expected = ["label", "when", "size", "price $x_1$", "city", "sold", "code", "opens", "名 前"]
    assert list(panels) == [*expected, "missing cells"]
    counts = made["label"].value_counts()
    bars = panels["label"].patches
    assert [bar.get_width() for bar in bars] == [counts["lo"], counts["hi"], counts["once"]]
    assert [label.get_text() for label in panels["label"].get_yticklabels()] == ["lo", "hi", "once"]
    assert {bar.get_facecolor() for bar in bars}.isdisjoint(
        bar.get_facecolor() for bar in panels["city"].patches
    )
    for name in ("when", "price $x_1$", "opens"):
        heights = [bar.get_height() for bar in panels[name].patches]
        assert sum(heights) >= 0.99 * N
    sizes = made["size"][made["size"] != "?"].astype(int).value_counts().sort_index()
    assert [bar.get_height() for bar in panels["size"].patches] == sizes.tolist()
    codes = made["code"].value_counts()
    widths = [bar.get_width() for bar in panels["code"].patches]
    assert widths == [*codes.iloc[:7], codes.iloc[7:].sum()]
    assert panels["code"].get_yticklabels()[-1].get_text() == "23 others"
    missing = panels["missing cells"]
    assert [label.get_text() for label in missing.get_yticklabels()] == ["nothing", "size", "label"]
    shares = [bar.get_width() for bar in missing.patches]
    assert_allclose(shares, [100, *(100 * (made[c] == v).mean() for c, v in
                                    (("size", "?"), ("label", "")))])  # fmt: skip


def test_the_picture_of_a_wide_table_says_what_is_not_drawn(here: Path) -> None:
    draw = np.random.default_rng(0)
    wide = pd.DataFrame(draw.normal(size=(50, 40)), columns=[f"f{i}" for i in range(40)])
    wide.to_csv("wide.csv", index=False)
    figure = figure_of(read_table("wide.csv"), "f39")
    panels = panels_of(figure)
    assert len(panels) == 25
    assert next(iter(panels)) == "f39"
    assert "no cell is missing" in panels
    assert "16 more columns are not drawn" in figure.get_suptitle()


def test_the_picture_of_a_large_table_in_files_is_of_a_sample(here: Path) -> None:
    draw = np.random.default_rng(0)
    large = pd.DataFrame({"x": draw.normal(size=40_000), "y": draw.choice(["a", "b"], 40_000)})
    large.to_csv("large.csv", index=False)
    figure = figure_of(open_source("large.csv"), "y")
    assert "a sample of 16384 rows" in figure.get_suptitle()
    panels = panels_of(figure)
    assert 16_200 <= sum(bar.get_height() for bar in panels["x"].patches) <= 16_384
    assert [bar.get_width() for bar in panels["y"].patches] == large["y"].value_counts().tolist()


def test_odd_columns_can_be_drawn(here: Path) -> None:
    odd = pd.DataFrame(
        {
            "constant": [7.5] * 60,
            "huge": np.linspace(-1e300, 1e300, 60),
            "tail": [*range(59), 1e12],
            "blank": ["a", "b", " "] * 20,
            "y": np.linspace(0.5, 1, 60),
        }
    )
    odd.to_csv("odd.csv", index=False)
    panels = panels_of(figure_of(read_table("odd.csv"), "y"))
    assert {"constant", "huge", "tail", "blank", "y"} <= set(panels)
    assert sum(bar.get_height() for bar in panels["constant"].patches) == 60
