"""What is almost a table, or another file: the error says what it is, and its remedy works."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from deltarule.cli.run import run
from deltarule.errors import ModelFileError, TableError
from deltarule.tables import TableModel, csv_format, read_table


def test_a_title_line_is_told_from_ragged_rows(tmp_path: Path) -> None:
    """Each option that the error names is followed, until the rows themselves are at fault."""
    path = tmp_path / "t.csv"
    rows = "".join(f"{n},{n % 5},{'xy'[n % 2]}\n" for n in range(40))
    path.write_text(f"Report of sales\n\na,b,c\n{rows}4,5\n{rows}")
    with pytest.raises(TableError) as caught:
        read_table(path)
    assert str(caught.value) == (
        f"{path}: the header names 1 column, but 81 of 82 rows have 3 cells; say --skip 2 if the "
        "header is line 3; line 44 has 2 cells: add or remove cells, or quote cells that hold a "
        "separator"
    )
    with pytest.raises(TableError, match="line 44: 2 cells, but the header names 3 columns; add"):
        read_table(path, csv_format(skip=2))
    path.write_text(f"Report of sales\n\na,b,c\n{rows}")
    assert read_table(path, csv_format(skip=2)).names == ["a", "b", "c"]


def test_other_separators_are_suggested(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for separator in ("^", ":", " "):
        path.write_text(separator.join("abc") + "\n" + f"1{separator}2{separator}3\n" * 5)
        with pytest.raises(TableError, match=r"separates its cells, say --separator") as caught:
            read_table(path).check_column("a")
        option = shlex.split(str(caught.value))[-1]
        assert read_table(path, csv_format(option)).names == ["a", "b", "c"]
    path.write_text("a   b\n1   2\n")
    with pytest.raises(TableError, match="several characters separate"):
        read_table(path).check_column("a")


def test_models_and_other_files_are_no_tables(tmp_path: Path) -> None:
    table, model = tmp_path / "t.csv", tmp_path / "m"
    table.write_text("x,y\n" + "1,a\n2,b\n" * 20)
    assert run(["train", str(table), "-t", "y", "-o", str(model), "--epochs", "1", "-q"]) == 0
    with pytest.raises(TableError, match=r"m is a model file, not a table.*model first"):
        read_table(model)
    with pytest.raises(ModelFileError, match="not a deltarule model but text, such as a table"):
        TableModel.load(table)
    for begin, words in (
        ('{"a": 1}', "is JSON"), ("[{'a': 1}]", "is JSON"), ("<!DOCTYPE html>", "web page"),
    ):  # fmt: skip
        table.write_text(begin)
        with pytest.raises(TableError, match=words):
            read_table(table)
