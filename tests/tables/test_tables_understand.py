"""What tables are taken for as they come: notations, marks, codes, dates, and the way in."""

from __future__ import annotations

import json
import random
import re
import shlex
import warnings
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from deltarule.cli.run import run
from deltarule.errors import TableError
from deltarule.tables import (
    Plan,
    ReadOptions,
    Settings,
    Shares,
    TableModel,
    Understanding,
    fit,
    open_source,
    prepare,
    read_table,
    score_parts,
    understand,
)
from deltarule.tables.preprocessing import transform
from deltarule.tables.sources import csv as csv_source
from support import networks as support

ROWS = 300
QUICK = ("--hidden", "4", "--epochs", "2")


@pytest.fixture(scope="module")
def fuzz_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cells")


def table(path: Path, separator: str = ",", **columns: Any) -> Path:
    """Write columns of texts as they are, cells with the separator in quotes."""
    quoted = [
        [f'"{cell}"' if separator in str(cell) else str(cell) for cell in cells]
        for cells in columns.values()
    ]
    lines = [separator.join(columns), *map(separator.join, zip(*quoted, strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def understood(path: Path, **options: Any) -> Understanding:
    """Understand a table in memory and from its file, which must be the same."""
    found = understand(read_table(path), ReadOptions(**options))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_source, "CHUNK_BYTES", 256)
        assert understand(open_source(path), ReadOptions(**options)) == found
    return found


def trouble(path: Path, **options: Any) -> str:
    """Return the error of a table, which is the same in memory and from its file."""
    messages = []
    for read in (read_table, open_source):
        source = read(path)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(csv_source, "CHUNK_BYTES", 256)
            with pytest.raises(TableError) as caught:
                understand(source, ReadOptions(**options))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "\n" not in messages[0]
    return messages[0]


def ways_in(message: str) -> list[list[str]]:
    """Return the options of each way that an error names."""
    ways = []
    for sentence in re.split(r"\. (?=[A-Z])", message)[-1].split("; "):
        for way in sentence.split(" or ") if sentence.lower().startswith("say --") else [sentence]:
            if "--" in way:
                ways.append(shlex.split(way[way.index("--") :]))
    return ways


NUMBERS = np.random.default_rng(0).uniform(1, 99_999, ROWS).round(2)
WHOLE = np.random.default_rng(1).integers(1000, 99_999, ROWS)
LABEL = np.where(NUMBERS > 50_000, "high", "low")


def german(x: float) -> str:
    return f"{x:,.2f}".translate(str.maketrans(",.", ".,"))


DRESSES: dict[str, tuple[str, Callable[[float], str], str]] = {
    "decimal comma": (";", lambda x: f"{x:.2f}".replace(".", ","), "decimal comma"),
    "decimal comma in quotes": (",", lambda x: f"{x:.2f}".replace(".", ","), "decimal comma"),
    "German": (";", german, "decimal comma"),
    "English": (",", lambda x: f"{x:,.2f}", "thousands with commas"),
    "English, tab": ("\t", lambda x: f"{x:,.2f}", "thousands with commas"),
    "French": (";", lambda x: f"{x:,.2f}".replace(",", "\u202f").replace(".", ","), "thousands"),
    "blanks": (",", lambda x: f"{x:,.2f}".replace(",", " "), "thousands with blanks"),
    "Swiss": (",", lambda x: f"{x:,.2f}".replace(",", "'"), "thousands with apostrophes"),
    "per cent": (",", lambda x: f"{x:.2f} %", "per cent"),
    "euros": (",", lambda x: f"{x:.2f} €", "in €"),
    "dollars": (",", lambda x: f"${x:,.2f}", "in $"),
    "accounts": (",", lambda x: f"({x:.2f})", ""),
    "kilograms": (";", lambda x: f"{x:.2f} kg".replace(".", ","), "in kg"),
    "square metres": (",", lambda x: f"{x:.2f}m²", "in m²"),
    "plain": (",", lambda x: f"{x:.2f}", ""),
}


@pytest.mark.parametrize("name", DRESSES)
def test_numbers_in_every_dress_give_the_same_bits(tmp_path: Path, name: str) -> None:
    separator, dress, how = DRESSES[name]
    cells = [dress(x) for x in NUMBERS]
    cells[5:8] = ["", "n.a.", "?"]
    path = table(tmp_path / "t.csv", separator, x=cells, y=LABEL)
    found = understood(path)
    column = found.columns["x"]
    assert (column.kind, column.missing, column.marks) == ("number", 3, {"n.a.": 1, "?": 1})
    assert how in column.in_words
    assert any("'x'" in note and how in note for note in found.notes)
    record = prepare(read_table(path), Plan("y")).preprocessing
    sign = -1 if name == "accounts" else 1
    given = transform(record.columns, read_table(path))
    plain = [*map(str, sign * NUMBERS)]
    plain[5:8] = ["", "", ""]
    other = table(tmp_path / "u.csv", x=plain, y=LABEL)
    prepared = prepare(read_table(other), Plan("y")).preprocessing
    np.testing.assert_array_equal(given, transform(prepared.columns, read_table(other)))


def test_a_mark_that_could_mean_both_is_decided_by_the_table_or_asked_for(tmp_path: Path) -> None:
    both = [f"{n // 1000},{n % 1000:03}" for n in WHOLE]
    comma = [f"{x:.2f}".replace(".", ",") for x in NUMBERS]
    point = [str(x) for x in NUMBERS]
    path = tmp_path / "t.csv"
    first = read_first(table(path, ",", x=both))
    assert first == WHOLE[0]
    assert "as the file is separated by commas" in understood(path).notes[1]
    assert read_first(table(path, ";", x=both, other=point)) == WHOLE[0]
    assert read_first(table(path, ";", x=both, other=comma)) == WHOLE[0] / 1000
    message = trouble(table(path, ";", x=both, z=both))
    assert "column 'x' holds commas that may mean thousands" in message
    assert "column 'z'" in message
    assert ways_in(message) == [["--decimal", "."], ["--decimal", ","]]
    assert read_first(path, decimal=".") == WHOLE[0]
    assert read_first(path, decimal=",") == WHOLE[0] / 1000
    dotted = [cell.replace(",", ".") for cell in both]
    assert read_first(table(path, ";", x=dotted)) == WHOLE[0] / 1000
    assert read_first(table(path, ";", x=dotted, other=comma)) == WHOLE[0]
    assert "points in 'x' are taken for thousands" in " ".join(understood(path).notes)


def read_first(path: Path, **options: Any) -> float:
    """Return the number in the first cell of the first column, as it is understood."""
    notation = understood(path, **options).columns["x"].notation
    return float(read_table(path).column("x").numbers(notation).values[0])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["42%", "0.5"], "is not a number (per cent), but 150 of the column's 300"),
        (["$5", "€6"], "(150 cells) is not a number (in "),
        (["13/05/2021", "05/13/2021"], "is not a date, but 150 of the column's 300"),
        (["21-03-04", "21-03-05"], "holds years of two digits that may come first or last"),
        (["0000-00-00", "2021-01-02", "2021-01-03"], "--missing 0000-00-00"),
        (["1.5", "2.5", "-inf"], "'-inf' (100 cells) is not a number"),
        (["1e999", "2.5", "1"], "'1e999' is not a finite number"),
    ],
)
def test_what_is_nearly_understood_is_asked_for(
    tmp_path: Path, cells: list[str], message: str
) -> None:
    said = trouble(table(tmp_path / "t.csv", x=cells * (ROWS // len(cells))))
    assert message in said
    assert "--ignore x" in said


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["5-", "7.5"], "number"), (["–5", "5"], "number"), (["#DIV/0!", "1.5"], "number"),
        (["?", "-"], "left out"), (["none", "unknown"], "category (2)"), (["Y"], "category (1)"),
        (["1.2.3", "1.10.0"], "category (2)"), (["18-24", "25-34"], "category (2)"),
        (["2021-Q1", "2021-Q2"], "date, month"), (["1990", "2005"], "number"),
        (["01.5", "02.5"], "number"), (["01", "02"], "category (2)"),
        (["1,5E+03", "1,5"], "number, decimal comma"), (["no", "5"], "category (2)"),
        (["TRUE", "?"], "yes/no"), (["1", "a", "b"], "category (3)"), (["07", "x"], "category (2)"),
    ],
)  # fmt: skip
def test_cells_of_two_kinds(tmp_path: Path, cells: list[str], words: str) -> None:
    path = table(tmp_path / "t.csv", ";", x=cells * (ROWS // len(cells)), y=LABEL)
    assert understood(path).columns["x"].in_words == words


def test_units_are_one_a_column_or_categories(tmp_path: Path) -> None:
    terms = ["36 months", "60 months", "1 month"] * 100
    seats = [f"{n}{'ABCDEF'[n % 6]}" for n in range(ROWS)]
    worked = ["10+ years", "1 year", "< 1 year", "3 years", "n/a", "6 months"] * 50
    path = table(tmp_path / "t.csv", term=terms, seat=seats, worked=worked, y=LABEL)
    found = understood(path).columns
    assert found["term"].in_words == "number, in month"
    assert found["seat"].kind == "left out"  # as ids
    assert found["worked"].in_words == "category (5)"
    # Among many numbers another unit, and another notation, are mistakes.
    heavy = [f"{x:.2f} {'lb' if n == 7 else 'kg'}" for n, x in enumerate(NUMBERS)]
    marks = [german(x) if n % 2 else f"{x:.2f}" for n, x in enumerate(NUMBERS)]
    message = trouble(table(tmp_path / "t.csv", ";", weight=heavy, mixed=marks, y=LABEL))
    assert "line 9, column 'weight'" in message
    assert "is not a number (in kg), but 299 of the column's 300 cells are" in message
    assert "column 'mixed'" in message


def test_codes_and_declared_texts_stay_categories(tmp_path: Path) -> None:
    codes = [f"{n % 7:05}" for n in range(ROWS)]
    path = table(tmp_path / "t.csv", zip=codes, y=LABEL)
    found = understood(path)
    assert found.columns["zip"].in_words == "category (7)"
    assert "leading zeros make 'zip' categories" in found.notes[0]
    assert understood(path, number=("zip",)).columns["zip"].kind == "number"
    assert understood(path, category=("z*",)).columns["zip"].kind == "category"
    frame = pd.DataFrame(
        {
            "text": [str(n % 7) for n in range(ROWS)],
            "codes": pd.Categorical([n % 7 for n in range(ROWS)]),
            "words": pd.Categorical([str(n % 7) for n in range(ROWS)], ordered=True),
            "halves": pd.Categorical([n % 3 / 2 for n in range(ROWS)]),
            "whole": [n % 7 for n in range(ROWS)],
            "day": [f"2021-01-{1 + n % 28:02}" for n in range(ROWS)],
            "order": [f"0{1 + n % 9}/0{1 + n % 8}/2021" for n in range(ROWS)],
        },
        index=pd.Index([*range(7, 6 + ROWS), 3], name="key"),
    )
    frame.to_parquet(tmp_path / "t.parquet")
    found = understood(tmp_path / "t.parquet")
    assert {name: column.kind for name, column in found.columns.items()} == {
        "text": "category", "codes": "category", "words": "category", "halves": "category",
        "whole": "number", "day": "date", "order": "category", "key": "left out",
    }  # fmt: skip
    assert "left out: 'key' is the index of pandas" in found.notes
    record = prepare(read_table(tmp_path / "t.parquet"), Plan("whole")).preprocessing
    halves = next(column for column in record.columns if column.name == "halves")
    assert halves.kept == ["0", "0.5", "1"]
    number = understood(tmp_path / "t.parquet", number=("text",)).columns["text"]
    assert number.kind == "number"


def test_all_problems_are_one_error_and_each_way_in_works(tmp_path: Path) -> None:
    rng = random.Random(0)
    columns: dict[str, list[str]] = {}
    for number in range(4):
        cells = [f"{rng.gauss(0, 1):.3f}" for _ in range(ROWS)]
        cells[10 * number] = f"odd {number}"
        cells[10 * number + 1] = "it's broken"
        columns[f"col {number}"] = cells
    days = [(date(2021, 1, 1) + timedelta(n)).isoformat() for n in range(ROWS)]
    days[7] = "someday"
    path = table(tmp_path / "t.csv", **columns, day=days, n=NUMBERS, y=LABEL)
    message = trouble(path)
    for number in range(4):
        assert (
            f"line {10 * number + 2}, column 'col {number}': 'odd {number}' is not a number"
            in message
        )
    assert "line 9, column 'day': 'someday' is not a date, but 299 of the column's 300" in message
    ways = ways_in(message)
    assert [way[0] for way in ways] == ["--missing", "--category", "--ignore"]
    for way in ways:
        out = ["-qo", str(tmp_path / "m"), "-f", *QUICK]
        assert run(["train", str(path), "--target", "y", *way, *out]) == 0, way


def test_more_problems_than_are_shown_are_counted(tmp_path: Path) -> None:
    columns = {f"c{n}": [*map(str, NUMBERS[:-1]), f"bad{n}"] for n in range(15)}
    message = trouble(table(tmp_path / "t.csv", **columns))
    assert message.count("is not a number") == 10
    assert "; and 5 more. " in message
    assert "--missing bad9 and so on for 5 more" in message
    assert all(f"--category c{n}" in message for n in range(15))


CELLS = st.sampled_from(
    [
        "1",
        "2.5",
        "-3",
        "1,5",
        "8,300",
        "1.234",
        "1 234",
        "1'234.5",
        "42%",
        "$5",
        "5 €",
        "(7)",
        "1e9",
        "007",
        "9007199254740993",
        "1e999",
        "inf",
        "",
        "NA",
        "?",
        "-",
        "None",
        "#DIV/0!",
        "unknown",
        "true",
        "False",
        "red",
        "blue",
        "oops",
        "it's",
        "a b c d e",
        "2021-03",
        "14:30",
        "2 pm",
        "2021-01-31",
        "31/01/2021",
        "01/31/2021",
        "01/02/2021",
        "31.1.21",
        "Jan 3, 2021",
        "é",
        "−4",
    ]
)
COLUMNS = st.lists(CELLS, min_size=1, max_size=4, unique=True).flatmap(
    lambda pool: st.lists(st.sampled_from(pool), min_size=24, max_size=24)
)


@support.proves(
    short=15,
    full=3000,
    first=COLUMNS,
    second=COLUMNS,
    separator=st.sampled_from(",;"),
    parquet=st.booleans(),
)
def test_whatever_the_cells_are_what_is_understood_can_be_read(
    fuzz_place: Path, first: list[str], second: list[str], separator: str, parquet: bool
) -> None:
    """In memory as from the file; what is not understood is one line."""
    if parquet:
        path = fuzz_place / "t.parquet"
        columns = {"a": first, "b": second, "n": range(24), "y": ["u", "v", "w"] * 8}
        pq.write_table(pa.table(columns), path, row_group_size=10)
    else:
        columns = {"a": first, "b": second, "n": map(str, range(24)), "y": ["u", "v", "w"] * 8}
        path = table(fuzz_place / "t.csv", separator, **columns)
    said: list[Any] = []
    for read in (read_table, open_source):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(csv_source, "CHUNK_BYTES", 64)
            try:
                said.append(understand(read(path), ReadOptions(), target="y"))
            except TableError as error:
                said.append(str(error))
                assert "\n" not in said[-1]
                assert str(path) in said[-1]
    assert said[0] == said[1]
    if isinstance(said[0], str):
        return
    prepared = prepare(read_table(path), Plan("y", shares=Shares(0.2, 0.2)))
    record = prepared.preprocessing
    assert np.isfinite(transform(record.columns, read_table(path))).all()


# --- dates ---------------------------------------------------------------------------------------

DAYS = [datetime(2020, 1, 1) + timedelta(days=37 * n % 1100, minutes=7 * n) for n in range(ROWS)]
DATE_DRESSES: dict[str, str] = {
    "iso": "%Y-%m-%d", "iso time": "%Y-%m-%d %H:%M:%S", "rfc": "%a, %d %b %Y %H:%M:%S +0000",
    "day": "%d/%m/%Y", "month": "%m/%d/%Y", "German": "%d.%m.%Y", "short": "%d.%m.%y",
    "name": "%d-%b-%Y", "American": "%B %d, %Y", "zone": "%Y-%m-%dT%H:%M:%S+02:00",
}  # fmt: skip


@pytest.mark.parametrize("name", DATE_DRESSES)
def test_dates_in_every_dress_give_the_same_inputs(tmp_path: Path, name: str) -> None:
    form = DATE_DRESSES[name]
    cells = [day.strftime(form) for day in DAYS]
    cells[3] = "unknown"
    found = understood(table(tmp_path / "t.csv", when=cells, y=LABEL))
    column = found.columns["when"]
    assert (column.kind, column.in_words, column.missing) == ("date", "date", 1)
    record = prepare(read_table(tmp_path / "t.csv"), Plan("y")).preprocessing
    given = transform(record.columns, read_table(tmp_path / "t.csv"))
    days = [
        day if "%H" in form else datetime.combine(day.date(), datetime.min.time()) for day in DAYS
    ]
    stored = pa.array([None if n == 3 else day for n, day in enumerate(days)], pa.timestamp("ns"))
    pq.write_table(pa.table({"when": stored, "y": LABEL}), tmp_path / "t.parquet")
    stored_record = prepare(read_table(tmp_path / "t.parquet"), Plan("y")).preprocessing
    np.testing.assert_array_equal(
        given, transform(stored_record.columns, read_table(tmp_path / "t.parquet"))
    )


def test_the_order_of_day_and_month_is_decided_or_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    both = [f"{1 + n % 12:02}/{1 + n % 11:02}/2021" for n in range(ROWS)]
    day = [f"{1 + n % 28:02}/{1 + n % 11:02}/2021" for n in range(ROWS)]
    month = [f"{1 + n % 11:02}/{1 + n % 28:02}/2021" for n in range(ROWS)]
    message = trouble(table(path, a=both, b=both))
    assert ways_in(message) == [["--day-first"], ["--month-first"]]
    for first in (True, False):
        found = understood(path, day_first=first).columns["a"]
        assert found.notation.day_first is first  # type: ignore[union-attr]
    for other, first in ((day, True), (month, False)):
        found = understood(table(path, a=both, b=other)).columns["a"]
        assert found.notation.day_first is first  # type: ignore[union-attr]
    dotted = [cell.replace("/", ".") for cell in both]
    assert understood(table(path, a=dotted)).columns["a"].notation.day_first  # type: ignore[union-attr]
    assert understood(path, dates=False).columns["a"].reason == "holds dates (--no-dates)"


def test_dates_as_numbers_are_read_on_request(tmp_path: Path) -> None:
    seconds = [int(day.replace(tzinfo=UTC).timestamp()) for day in DAYS]
    columns: dict[str, list[Any]] = {
        "seconds": seconds,
        "milliseconds": [1000 * s for s in seconds],
        "YYYYMMDD": [day.strftime("%Y%m%d") for day in DAYS],
    }
    path = table(tmp_path / "t.csv", **columns)
    assert {c.kind for c in understood(path).columns.values()} == {"number"}
    found = understood(path, date=("*s", "YYYYMMDD"))
    assert all(c.notation.form == name for name, c in found.columns.items())  # type: ignore[union-attr]
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert understood(tmp_path / "t.parquet", date=("*s",)).columns["seconds"].kind == "date"


def test_numbers_that_could_be_dates_are_mentioned(tmp_path: Path) -> None:
    days = [date(2019, 1, 1) + timedelta(5 * k) for k in range(40)]
    compact = [f"{day:%Y%m%d}" for day in days]
    path = table(tmp_path / "t.csv", day=compact, holes=[*compact[:30], *[""] * 10], y=range(40))
    found = understand(open_source(path), ReadOptions(), target="y")
    assert [found.columns[name].kind for name in ("day", "holes")] == ["number"] * 2
    hints = [note for note in found.notes if "could all be dates" in note]
    assert len(hints) == 2
    dated = re.search(r"--date (\w+)", hints[0])
    assert dated is not None
    asked = understand(open_source(path), ReadOptions(date=(dated[1],)), target="y")
    assert asked.columns["day"].kind == "date"
    other = table(tmp_path / "u.csv", n=[20190000 + 3 * k for k in range(1, 41)], y=range(40))
    assert not understand(open_source(other), ReadOptions(), target="y").notes


def test_years_are_no_seconds(tmp_path: Path) -> None:
    """Read as seconds, all years would be the first hour of 1970."""
    path = table(tmp_path / "t.csv", year=[2000 + k % 20 for k in range(40)], y=range(40))
    with pytest.raises(TableError, match="'year' holds numbers up to 2019, too small") as caught:
        understand(open_source(path), ReadOptions(date=("year",)), target="y")
    assert "say --number year instead of --date year or --ignore year" in str(caught.value).lower()
    assert understand(open_source(path), ReadOptions(number=("year",))).columns["year"].kind == (
        "number"
    )


def test_times_of_day_and_months_are_dates_without_the_rest(tmp_path: Path) -> None:
    path = table(
        tmp_path / "t.csv",
        clock=[f"{n % 24:02}:{n % 60:02}" for n in range(ROWS)],
        month=[f"{2015 + n % 5}-{1 + n % 12:02}" for n in range(ROWS)],
        y=LABEL,
    )
    columns = {c.name: c for c in prepare(read_table(path), Plan("y")).preprocessing.columns}
    assert columns["clock"].parts == ["hour", "sin day", "cos day"]
    expected = ["elapsed", "calendar year", "month", "sin year", "cos year"]
    assert columns["month"].parts == expected


def sales(path: Path, first: int, days: int, form: str = "%Y-%m-%d") -> Path:
    """A year's season and a trend, which only dates tell."""
    rng = np.random.default_rng(first)
    when = [datetime(2019, 1, 1) + timedelta(days=first + int(d)) for d in rng.permutation(days)]
    level = [
        100 + 30 * np.sin(2 * np.pi * d.timetuple().tm_yday / 365) + 10 * (d.weekday() > 4)
        for d in when
    ]
    noise = rng.normal(0, 1, days)
    cells = [f"{x + e:.2f}" for x, e in zip(level, noise, strict=True)]
    return table(path, when=[d.strftime(form) for d in when], sales=cells)


def test_dates_are_learned_from_and_predictions_beyond_training_behave(tmp_path: Path) -> None:
    path = sales(tmp_path / "t.csv", 0, 1000)
    prepared = prepare(read_table(path), Plan("sales", shares=Shares(0.1, 0.2)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fit(prepared, Settings(hidden=(32,), epochs=80, learning_rate=0.01))
    assert score_parts(model, prepared)["test"].scores["r2"] > 0.95
    later = read_table(sales(tmp_path / "later.csv", 1000, 365))
    assert model.evaluate(later).scores["r2"] > 0.9
    ages = table(tmp_path / "ages.csv", when=["1600-02-29", "9999-12-31"], sales=["1.5", "2.5"])
    far = model.predict(read_table(ages)).values
    assert ((far > 0) & (far < 250)).all()
    again = TableModel.load(model.save(tmp_path / "m"))
    np.testing.assert_array_equal(again.predict(later).values, model.predict(later).values)


# --- the command line ----------------------------------------------------------------------------


def test_what_was_understood_is_printed_and_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [*map(str, NUMBERS[:-2]), "-999", "?"]
    path = table(
        tmp_path / "t.csv", x=cells, flag=["True", "false"] * (ROWS // 2), empty=[""] * ROWS,
        name=[f"K{n}" for n in range(ROWS)], day=[d.strftime("%d.%m.%Y") for d in DAYS],
        colour=["red", "green", "blue"] * (ROWS // 3), y=LABEL,
    )  # fmt: skip
    words = ["train", str(path), "--target", "y", "-fo", str(tmp_path / "m"), *QUICK]
    assert run([*words, "--missing", "-999"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in (
        "column holds missing of them", "x number 2 '?' 1",
        "flag yes/no 0", "empty left out: is empty 300", "day date 0",
        "name left out: is different in nearly every row, like an id 0", "colour category (3) 0",
        "note: taken as missing: '?' in 'x' (1 cells)", "note: left out: 'empty' is empty",
    ):  # fmt: skip
        assert line in lines
    assert run([*words, "--missing", "-999", "--json"]) == 0
    columns = {c["name"]: c for c in json.loads(capsys.readouterr().out)["columns"]}
    assert columns["x"]["kind"] == "number"
    assert (columns["x"]["missing"], columns["x"]["marks"]) == (2, {"?": 1})
    assert columns["name"]["kind"] == "left_out"
    assert columns["colour"]["categories"] == 3
    assert columns["day"]["notation"] == {"form": "calendar", "day_first": True}
    new = table(tmp_path / "new.csv", x=["-999"], flag=["TRUE"], day=["1.2.2030"], colour=["red"])
    assert run(["predict", str(tmp_path / "m"), str(new), "-qo", str(tmp_path / "p.csv")]) == 0


@pytest.mark.parametrize("way", ["csv", "parquet"])
def test_the_users_marks_are_missing_everywhere(tmp_path: Path, way: str) -> None:
    frame = pd.DataFrame({"n": NUMBERS, "c": ["red", "none given"] * (ROWS // 2), "y": LABEL})
    frame.loc[:9, "n"] = -999
    frame.loc[:4, "y"] = "none given"
    path = tmp_path / f"t.{way}"
    frame.to_csv(path, index=False) if way == "csv" else frame.to_parquet(path, index=False)
    marks = ("-999.0", "none given")
    found = understood(path, missing=marks)
    assert [column.missing for column in found.columns.values()] == [10, ROWS // 2, 5]
    plan = Plan("y", reading=ReadOptions(missing=marks))
    for source in (read_table(path), open_source(path)):
        prepared = prepare(source, plan)
        assert prepared.preprocessing.target.labels == ["high", "low"]
        assert prepared.preprocessing.columns[0].flag
        assert prepared.preprocessing.columns[1].kept == ["red", None]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = fit(prepared, Settings(hidden=(4,), epochs=3))
        blank = frame.replace({"n": {-999: np.nan}, "c": {"none given": None}})
        blank.to_csv(tmp_path / "blank.csv", index=False)
        given = model.predict(read_table(path)).probabilities
        expected = model.predict(read_table(tmp_path / "blank.csv")).probabilities
        np.testing.assert_array_equal(given, expected)
        assert model.evaluate(source).rows == ROWS - 5


def test_many_columns_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path / "t.csv", **{f"c{n}": NUMBERS for n in range(80)}, y=LABEL)
    assert run(["train", str(path), "--target", "y", "-fo", str(tmp_path / "m"), *QUICK]) == 0
    out = capsys.readouterr().out
    assert "and 31 more columns: 31 number" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--decimal", ",", "--thousands", ","], "must differ"),
        (["--category", "nope"], "no column 'nope' (given with --category)"),
        (["--ignore", "nope*"], "no column 'nope*' (given with --ignore)"),
        (["--category", "x", "--number", "x"], "--category and with --number; decide for one"),
        (["--date", "x"], "is not a date, but 0 of the column's 300 cells are"),
        (["--number", "y"], "is not a number, but 0 of the column's 300 cells are"),
    ],
)
def test_options_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    path = table(tmp_path / "t.csv", x=[f"{n % 9},5 km" for n in range(ROWS)], y=LABEL)
    assert run(["train", str(path), "--target", "y", *options, "-o", str(tmp_path / "m")]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "m").exists()


def test_booleans_are_one_target_in_every_spelling(tmp_path: Path) -> None:
    for words in (("True", "False"), ("true", "false"), ("TRUE", "False")):
        path = table(tmp_path / "t.csv", x=NUMBERS, y=np.where(NUMBERS > 50_000, *words))
        prepared = prepare(read_table(path), Plan("y"))
        assert prepared.preprocessing.target.labels == ["false", "true"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fit(prepared, Settings(hidden=(4,), epochs=3))
    pq.write_table(pa.table({"x": NUMBERS, "y": NUMBERS > 50_000}), tmp_path / "t.parquet")
    in_csv, in_parquet = (
        model.evaluate(read_table(path)),
        model.evaluate(read_table(tmp_path / "t.parquet")),
    )
    assert in_csv.scores == in_parquet.scores


def test_a_target_in_another_notation_is_read_and_its_marks_are_missing(tmp_path: Path) -> None:
    cells = [german(x) for x in NUMBERS]
    cells[4] = "n/a"
    path = table(tmp_path / "t.csv", ";", x=LABEL, y=cells)
    prepared = prepare(read_table(path), Plan("y"))
    target = prepared.preprocessing.target
    assert (target.task, target.notation.decimal) == ("regression", ",")
    assert prepared.provenance.training_rows + prepared.provenance.dev_rows == ROWS - 1
    streamed = prepare(open_source(path), Plan("y"))
    facts = streamed.provenance
    assert facts.training_rows + facts.dev_rows + facts.test_rows == ROWS - 1
    assert abs(streamed.preprocessing.target.mean - target.mean) < target.scale
