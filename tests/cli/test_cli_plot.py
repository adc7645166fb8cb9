"""``deltarule plot``: pictures of a model and of its results on a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deltarule.cli.run import run

TABLES = {
    "two": [
        "x,colour,y",
        *(f"{i / 7:.3f},{'red' if i % 3 else 'blue'},{'ab'[i > 30]}" for i in range(60)),
    ],
    "three": ["x,y", *(f"{i / 7:.3f},{'abc'[i % 3]}" for i in range(60))],
    "number": ["x,y", *(f"{i / 7:.3f},{i**2 / 90:.2f}" for i in range(60))],
}  # fmt: skip
ALWAYS = {"learning-curve.png", "weights.png", "activations.png", "gradients.png"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, lines in TABLES.items():
        Path(f"{name}.csv").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("two", {"confusion-matrix.png", "thresholds.png"}),
        ("three", {"confusion-matrix.png"}),
        ("number", {"predictions.png"}),
    ],
)
def test_the_pictures_that_fit_are_drawn(
    folder: Path, name: str, more: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", f"{name}.csv", "-t", "y", "-o", "m", "--epochs", "2", "--hidden", "3", "-q"]
    assert run(train) == 0
    capsys.readouterr()
    assert run(["plot", "m", f"{name}.csv", "--json"]) == 0
    drawn = json.loads(capsys.readouterr().out)["pictures"]
    assert {Path(path).name for path in drawn} == ALWAYS | more
    for path in drawn:
        assert Path(path).parent == Path("m-plots")
        assert Path(path).read_bytes().startswith(b"\x89PNG")
    assert run(["plot", "m", f"{name}.csv"]) == 2
    assert "already exists" in capsys.readouterr().err
    assert run(["plot", "m", f"{name}.csv", "--overwrite"]) == 0
    assert "m-plots/weights.png" in capsys.readouterr().out


def test_a_table_of_one_row_is_drawn_without_a_warning(folder: Path) -> None:
    train = ["train", "two.csv", "-t", "y", "-o", "m", "--epochs", "2", "--hidden", "3", "-q"]
    assert run(train) == 0
    Path("row.csv").write_text("\n".join(TABLES["two"][:2]))
    assert run(["plot", "m", "row.csv", "--plots", "drawn"]) == 0
    assert Path("drawn/confusion-matrix.png").exists()


def test_what_cannot_be_drawn_is_one_line_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "two.csv", "-t", "y", "-o", "m", "--epochs", "1", "--hidden", "2", "-q"]
    assert run(train) == 0
    Path("new.csv").write_text("x,colour\n1.0,red\n")
    capsys.readouterr()
    for words, message in [
        (["m", "new.csv"], "y"),
        (["missing", "two.csv"], "missing"),
        (["m", "two.csv", "--plots", "two.csv"], "two.csv"),
    ]:
        assert run(["plot", *words]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not list(folder.glob("*/*.png"))
