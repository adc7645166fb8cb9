"""What columns are taken for, and how the useless and the mistaken are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from deltarule.errors import TableError
from deltarule.tables import Plan, ReadOptions, Table, prepare, read_table, understand
from deltarule.tables.kinds import BooleanKind, NumberKind
from deltarule.tables.preprocessing import transform
from deltarule.tables.record import Classes, NumberColumn
from deltarule.tables.target_codes import encode_target
from support.tables import decision_of, kinds_of


def column(tmp_path: Path, *texts: str) -> Table:
    path = tmp_path / "t.csv"
    lines = ['"' + text.replace('"', '""') + '"' for text in ["x", *texts]]
    path.write_text("\n".join(lines) + "\n")
    return read_table(path)


def plain(name: str) -> NumberColumn:
    return NumberColumn(kind="number", name=name, fill=0, mean=0, scale=1, flag=False)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "2", "-3.5e2", "+.5", "7."], "number"),
        (["1", "", "NA", "N/A", "NaN", "null"], "number"),
        (["true", "FALSE", "True", ""], "boolean"),
        (["a", "b", "a", "None"], "category"),
        (["yes", "no"], "category"),
        (["1", "a", "b"], "category"),
        ([f"name {i}" for i in range(20)], "category"),
    ],
)
def test_kinds(tmp_path: Path, texts: list[str], kind: str) -> None:
    assert kinds_of(column(tmp_path, *texts)) == {"x": kind}


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ([f"K{i:05}" for i in range(40)], "is different in nearly every row, like an id"),
        ([f"K{i % 1500:05}" for i in range(4500)], "has 1500 categories"),
        ([f"K{i % 10_001:05}" for i in range(30_000)], "has more than 10000 different texts"),
        (["", "NA", "nan"], "is empty"),
        (["?", "", "?"], "holds only '?'"),
    ],
)
def test_what_cannot_be_learned_is_left_out_with_a_note(
    tmp_path: Path, texts: list[str], reason: str
) -> None:
    found = understand(column(tmp_path, *texts), ReadOptions())
    assert (found.columns["x"].kind, found.columns["x"].reason) == ("left out", reason)
    assert found.notes == [f"left out: 'x' {reason}"]
    lines = ["x,y", *(f"{text},{i % 2}" for i, text in enumerate(texts))]
    (tmp_path / "u.csv").write_text("\n".join(lines) + "\n")
    table, message = read_table(tmp_path / "u.csv"), "has no column left to learn 'y' from; 'x' "
    with pytest.raises(TableError, match=message + reason[:5]):
        prepare(table, Plan("y"))


def test_free_text_is_refused_with_all_other_problems(tmp_path: Path) -> None:
    lines = ["the text,n,odd"] + [f"the {i} quick brown foxes,{i},{i}" for i in range(40)]
    lines[3] = "see,oops,12 kg"
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(TableError) as caught:
        kinds_of(read_table(tmp_path / "t.csv"))
    message = str(caught.value)
    for part in (
        "t.csv, line 4, column 'n': 'oops' is not a number, but 39 of the column's 40 cells are",
        "line 4, column 'odd': '12 kg' is not a number",
        "column 'the text' holds free text",
        "--missing oops --missing '12 kg'",
        "--category n --category odd",
        "--ignore 'the text'",
    ):
        assert part in message


@pytest.mark.parametrize("odd", ["oops", "1,5", "12 kg", "0x10", "1_000", "inf", "٣"])
def test_a_mistake_among_numbers_is_reported_at_training(tmp_path: Path, odd: str) -> None:
    table = column(tmp_path, "1", "2", "3", odd, "5")
    with pytest.raises(
        TableError, match=r"t\.csv, line 5, column 'x': .*is not a number"
    ) as caught:
        kinds_of(table)
    assert odd in str(caught.value)


@pytest.mark.parametrize("odd", ["oops", "1,5", "1e999", "-1e999", "inf", "true"])
def test_a_mistake_among_numbers_is_reported_at_prediction(tmp_path: Path, odd: str) -> None:
    table = column(tmp_path, "1", "", odd)
    with pytest.raises(TableError, match=r"t\.csv, line 4, column 'x'") as caught:
        NumberKind().parse(table.column("x"))
    assert odd in str(caught.value)


def test_a_mistake_among_booleans(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="line 3, column 'x': 'maybe' is not true or false"):
        BooleanKind().parse(column(tmp_path, "true", "maybe").column("x"))


def test_numbers_are_those_of_python(tmp_path: Path) -> None:
    texts = [
        "0.1",
        "1e-320",
        "1.7976931348623157e308",
        "-0.0",
        "3.141592653589793238",
        "  7 ",
        "NA",
    ]
    table = column(tmp_path, *texts)
    parsed = NumberKind().parse(table.column("x"))
    np.testing.assert_array_equal(parsed, [*map(float, texts[:-1]), np.nan])
    assert np.signbit(parsed[3])


def test_missing_spellings(tmp_path: Path) -> None:
    table = column(tmp_path, "", " ", "NA", "nan", "NULL", "None", "na", "-")
    assert table.column("x").not_missing.tolist() == [False] * 5 + [True] * 3


def test_slices_with_missing_cells_keep_every_text() -> None:
    """Arrow arrays that begin or end within another, as batches of a Parquet file do."""
    cells = ["Adelie", "", "Gentoo", "Chinstrap", "NA", None, "3.25", "true", "a longer text", ""]
    whole = pa.array(cells, pa.string())
    for first in range(len(cells)):
        for last in range(first + 1, len(cells) + 1):
            some = whole.slice(first, last - first)
            table = Table(Path("t.csv"), {"x": some}, len(some), lambda row: f"row {row}")
            column = table.column("x")
            column.texts.validate(full=True)
            expected = [None if text in ("", "NA", None) else text for text in cells[first:last]]
            assert column.texts.to_pylist() == expected
            assert column.not_missing.tolist() == [text is not None for text in expected]
            assert column.numbers().fits.tolist() == [text == "3.25" for text in expected]
            assert column.is_boolean.tolist() == [text == "true" for text in expected]


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    table = column(tmp_path, "1")
    with pytest.raises(TableError, match=r"lacks 1 of the 2 columns .*'y'"):
        transform([plain("x"), plain("y")], table)
    with pytest.raises(TableError, match="did you mean 'x'"):
        table.column("X")


def test_row_counters_are_noticed(tmp_path: Path) -> None:
    for texts, counts in ((map(str, range(30)), True), (["1", "2"] * 15, False)):
        notes = understand(column(tmp_path, *texts), ReadOptions()).notes
        assert notes == ["'x' only numbers the rows, but there is nothing else"] * counts


# --- the target ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "task"),
    [
        (["a", "b"] * 3, "classification"),
        (["true", "false"] * 3, "classification"),
        ([str(i) for i in range(20)] * 2, "classification"),
        ([str(i) for i in range(21)] * 2, "regression"),
        (["1.0", "2.0", ""] * 2, "classification"),
        (["0.5", "1.5"] * 2, "regression"),
    ],
)
def test_task_rule(tmp_path: Path, texts: list[str], task: str) -> None:
    assert decision_of(column(tmp_path, *texts), "x").task == task


def test_rows_without_a_target_are_dropped_and_counted(tmp_path: Path) -> None:
    table = column(tmp_path, "a", "", "b", "NA", "a", "b")
    record = Classes(task="classification", name="x", numeric=False, labels=["a", "b"])
    codes, rows = encode_target(record, table)
    assert (codes.tolist(), rows.tolist()) == ([0, 1, 0, 1], [0, 2, 4, 5])
    lines = "\n".join(["x,y", *(f"{i}.5,{'ab'[i % 2]}" for i in range(40)), "1,", "2,NA"])
    (tmp_path / "u.csv").write_text(lines + "\n")
    prepared = prepare(read_table(tmp_path / "u.csv"), Plan("y"))
    assert prepared.notes == ["2 rows without a target were left out"]
    assert prepared.provenance.training_rows + prepared.provenance.dev_rows == 40


def test_whole_numbers_are_labelled_without_a_point(tmp_path: Path) -> None:
    table = column(tmp_path, "1.0", "10", "1", "10.0")
    labels = decision_of(table, "x").labels
    assert labels == ["1", "10"]
    record = Classes(task="classification", name="x", numeric=True, labels=labels)
    assert encode_target(record, table)[0].tolist() == [0, 1, 0, 1]


def test_task_can_be_overruled(tmp_path: Path) -> None:
    table = column(tmp_path, *["1", "2", "3"] * 2)
    assert decision_of(table, "x").task == "classification"
    assert decision_of(table, "x", "regression").task == "regression"
    with pytest.raises(TableError, match="regression cannot learn"):
        decision_of(column(tmp_path, "a", "b", "a"), "x", "regression")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", "a", "a"], "'a' in every row"),
        (["a", "b", "rare"], "classes with a single row: 'a', 'b', 'rare'; add rows"),
        (["", "NA"], "is empty in every row"),
        (["1.5"] * 5, "1.5 in every row"),
        (["2024-01-01", "2024-01-02"], "holds dates"),
        (["1", "2", "3", "oops"], "line 5, column 'x': 'oops' is not a number"),
        ([f"{i}.5" for i in range(9)] + ["1e999"], "line 11, column 'x': '1e999'"),
    ],
)
def test_targets_that_cannot_be_learned(tmp_path: Path, texts: list[str], message: str) -> None:
    with pytest.raises(TableError, match=message):
        decision_of(column(tmp_path, *texts), "x")
