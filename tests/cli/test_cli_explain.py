"""``deltarule explain``: rows of a table on their way through a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deltarule.cli.run import run
from deltarule.tables import TableModel, read_table

ROWS = [f"{'red' if i % 3 else 'blue'},{i / 7:.3f},{'xyz'[i % 3]}" for i in range(60)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("\n".join(["colour,size,kind", *ROWS]))
    Path("new.csv").write_text("\n".join(["size,colour", "1.5,red"]))
    assert run(["train", "t.csv", "-t", "kind", "-o", "m", "--epochs", "2", "--hidden", "3"]) == 0
    return tmp_path


def test_the_numbers_are_those_of_the_predictions(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["explain", "m", "t.csv", "--row", "7", "--row", "2"]) == 0
    text = capsys.readouterr().out
    probabilities = TableModel.load("m").predict(read_table(Path("t.csv"))).probabilities
    assert probabilities is not None
    part = text[text.index("activation softmax") : text.index("\nLoss")]
    shown = part[part.index("A2 (2, 3) = ") :].replace("[", " ").replace("]", " ").split()[4:]
    np.testing.assert_allclose(
        np.array(shown, dtype=float), probabilities[[6, 1]].ravel(), rtol=1e-3
    )
    assert "Outputs: 'x', 'y', 'z'." in text
    assert "size, colour_" in text
    for title in ("Forward", "Loss", "Backward", "Gradients", "One step of the optimiser"):
        assert f"\n{title}\n" in text


def test_with_dropout_the_pass_that_predicts_unless_training_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--epochs", "2", "--hidden", "9", "--dropout", "0.5"]
    assert run(["train", "t.csv", "-t", "kind", "-o", "d", *words]) == 0
    probabilities = TableModel.load("d").predict(read_table(Path("t.csv"))).probabilities
    assert probabilities is not None
    shown = {}
    for option in ([], ["--training"]):
        capsys.readouterr()
        assert run(["explain", "d", "t.csv", "--row", "7", *option]) == 0
        text = capsys.readouterr().out
        part = text[text.index("activation softmax") : text.index("\nLoss")]
        numbers = part[part.index("A2 (1, 3) = ") :].replace("[", " ").replace("]", " ").split()[4:]
        shown[bool(option)] = np.array(numbers, dtype=float)
        assert ("\nOne step of the optimiser\n" in text) == bool(option)
        assert ("Dropout keeps each unit" in text) == bool(option)
        assert "\nGradients\n" in text
    np.testing.assert_allclose(shown[False], probabilities[6], rtol=1e-3)
    assert not np.allclose(shown[True], probabilities[6], rtol=1e-3)


def test_files_of_every_kind_and_rows_without_a_target(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, begin in (("a.html", "<!DOCTYPE html>"), ("a.md", "# The net"), ("a.txt", "The net")):
        assert run(["explain", "m", "new.csv", "-o", name]) == 0
        assert Path(name).read_text(encoding="utf-8").startswith(begin)
    assert "Backward" not in Path("a.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["t.csv", "--row", "61"], "t.csv has rows 1 to 60; got 61"),
        (["t.csv", "-o", "a.pdf"], "must end in .html, .md or .txt; got 'a.pdf'"),
        (["t.csv", "-o", "t.csv", "-f"], "t.csv"),
        (["t.csv", "--json"], "--output"),
        (["missing.csv"], "missing.csv"),
        (["t.csv", "--member", "2"], "the model has one network; got 2 (--member)"),
    ],
)
def test_what_cannot_be_explained_is_one_line(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.iterdir())
    capsys.readouterr()
    assert run(["explain", "m", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(folder.iterdir()) == before
