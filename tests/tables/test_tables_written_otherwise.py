"""A model reads tables whose cells are written otherwise than those of its training."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deltarule.cli.run import run
from deltarule.errors import TableError
from deltarule.tables import ReadOptions, TableModel, read_table
from support.estimators import unconverged

N = 200


def table() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    days = np.datetime64("2024-01-01") + draw.integers(0, 300, N)
    frame = pd.DataFrame(
        {
            "x": draw.normal(1000, 400, N).round(2),
            "whole": draw.integers(0, 5000, N),
            "when": days,
            "place": draw.choice(["a", "b"], N),
        }
    )
    frame.loc[5, "x"] = None
    frame["y"] = (2 * frame["x"].fillna(900) + frame["whole"] / 10).round(2)
    return frame


def german(numbers: pd.Series, thousands: str) -> list[str]:
    swapped = [f"{v:,.2f}".translate(str.maketrans(",.", thousands + ",")) for v in numbers]
    return ["k.A." if text == "nan" else text for text in swapped]


def otherwise(frame: pd.DataFrame, order: str, thousands: str = ".") -> pd.DataFrame:
    return frame.assign(
        x=german(frame["x"], thousands),
        y=german(frame["y"], thousands),
        when=frame["when"].dt.strftime(order),
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one table, written in several ways, and a model of each."""
    folder = tmp_path_factory.mktemp("written")
    frame = table()
    frame.to_csv(folder / "plain.csv", index=False)
    german_way = otherwise(frame, "%d.%m.%Y")
    german_way.to_csv(folder / "german.csv", index=False, sep=";")
    us = otherwise(frame, "%m/%d/%Y", "'")
    us.to_csv(folder / "mixed.csv", index=False, sep=";")
    for name in ("plain", "german"):
        marks = ["--missing", "k.A."] if name == "german" else []
        words = ["train", str(folder / f"{name}.csv"), "-t", "y", "-o", str(folder / name), *marks]
        with unconverged():
            assert run([*words, "--epochs", "5", "--hidden", "4", "-q"]) == 0
    return folder


@pytest.mark.parametrize(
    ("model", "data", "options"),
    [
        ("plain", "german.csv", "--missing k.A. --decimal , --thousands ."),
        ("plain", "mixed.csv", """--missing k.A. --decimal , --thousands "'" --month-first"""),
        ("german", "plain.csv", "--decimal ."),
        ("german", "mixed.csv", """--thousands "'" --month-first"""),
    ],
)
def test_the_same_rows_give_the_same_predictions(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str, data: str,
    options: str,
) -> None:  # fmt: skip
    """The options come from the errors alone, one after the other, and lead to the same bits."""
    own, found = tmp_path / "own.csv", tmp_path / "found.csv"
    assert run(["predict", str(place / model), str(place / f"{model}.csv"), "-o", str(own)]) == 0
    predict = ["predict", str(place / model), str(place / data), "-o", str(found), "--separator"]
    predict.append("," if data == "plain.csv" else ";")
    said: list[str] = []
    for _ in range(6):
        capsys.readouterr()
        if run([*predict, *said]) == 0:
            break
        assert not found.exists()
        error = capsys.readouterr().err
        way = re.search(r"say how this table is written: (.+)", error)
        said += shlex.split(way[1]) if way else ["--missing", "k.A."]
        assert way or "'k.A.' is not a number" in error
    assert sorted(said) == sorted(shlex.split(options))
    assert found.read_bytes() == own.read_bytes()
    for command in ("evaluate", "check"):
        words = [command, str(place / model), str(place / data), *predict[-2:], *said, "-q"]
        assert run(words) == 0


def test_in_python(place: Path) -> None:
    model, german = TableModel.load(place / "plain"), read_table(place / "german.csv")
    with pytest.raises(TableError, match=r"--decimal , --thousands [.]"):
        model.predict(german)
    again = model.reading(ReadOptions(missing=("k.A.",), decimal=",", thousands="."))
    expected = model.predict(read_table(place / "plain.csv")).values
    assert again.predict(german).values.tolist() == expected.tolist()
    # A mark that is given takes the other's place where both would be the same.
    notations = [
        model.reading(options).preprocessing.columns[0].notation
        for options in (ReadOptions(decimal=","), ReadOptions(thousands="."))
    ]
    assert [(n.decimal, n.thousands) for n in notations] == [(",", ""), (",", ".")]


def test_marks_that_are_the_same_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(place / "plain"), str(place / "german.csv")]
    assert run([*words, "--decimal", ",", "--thousands", ","]) == 2
    assert "must differ" in capsys.readouterr().err
