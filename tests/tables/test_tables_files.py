"""Tables in files of every dress: encodings, compressions, separators, folders, options."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import shlex
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

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
    Settings,
    Shares,
    Table,
    TableModel,
    csv_format,
    fit,
    open_source,
    prepare,
    read_table,
    score_parts,
    understand,
)
from deltarule.tables.sources import csv as csv_source
from deltarule.tables.understanding import ReadOptions
from support import networks as support

QUICK = ("--hidden", "4", "--epochs", "2", "-q")
ROWS = [[f"{n}", f"{n / 7:.2f}", "Zürich" if n % 3 else "Genf, alt", "ja" if n % 2 else "nein"]
        for n in range(60)]  # fmt: skip
NAMES = ["Nr", "Größe", "Ort", "y"]
TABLE = dict(zip(NAMES, map(list, zip(*ROWS, strict=True)), strict=True))


def cells(table: Table) -> dict[str, list[Any]]:
    return {name: column.to_pylist() for name, column in table.columns.items()}


def both(path: Path, **options: Any) -> dict[str, list[Any]]:
    """Read a table whole and in pieces, which must be the same."""
    form = csv_format(**options)
    whole = read_table(path, form)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_source, "CHUNK_BYTES", 256)
        source = open_source(path, form)
        pieces = [piece.table for piece in source.scan()]
        again = [piece.table for place in source.places for piece in source.read(place)]
    assert (source.names, source.notes) == (whole.names, whole.notes)
    for found in (pieces, again):
        joined: dict[str, list[Any]] = {name: [] for name in whole.names}
        for piece in found:
            for name, values in cells(piece).items():
                joined[name] += values
        assert joined == cells(whole)
    assert [pieces[-1].place(pieces[-1].rows - 1)] == [whole.place(whole.rows - 1)]
    return cells(whole)


def csv_text(separator: str = ",", end: str = "\n", extra: str = "", rows: Any = None) -> str:
    def line(row: list[str]) -> str:
        return separator.join(f'"{c}"' if separator in c else c for c in row)

    return "".join(line(row) + extra + end for row in [NAMES, *(rows or ROWS)])


ENCODED: dict[str, Callable[[], bytes]] = {
    "utf-8 with a mark": lambda: csv_text().encode("utf-8-sig"),
    "utf-16": lambda: csv_text("\t").encode("utf-16"),
    "utf-16, big": lambda: b"\xfe\xff" + csv_text(";").encode("utf-16-be"),
    "utf-16 without a mark": lambda: csv_text().encode("utf-16-le"),
    "utf-16, big, without a mark": lambda: csv_text().encode("utf-16-be"),
    "utf-32": lambda: csv_text().encode("utf-32"),
    "latin-1": lambda: csv_text(";").encode("latin-1"),
    "gzip": lambda: gzip.compress(csv_text().encode()),
    "gzip in members": lambda: b"".join(
        gzip.compress(line.encode()) for line in csv_text().splitlines(keepends=True)
    ),
    "gzip with a mark": lambda: gzip.compress(csv_text().encode("utf-8-sig")),
    "gzip, latin-1": lambda: gzip.compress(csv_text().encode("latin-1")),
    "bz2": lambda: bz2.compress(csv_text().encode("utf-16")),
    "xz": lambda: lzma.compress(csv_text().encode()),
    "zstd": lambda: pa.compress(csv_text().encode(), "zstd", asbytes=True),
    "lz4": lambda: pa.compress(csv_text().encode(), "lz4", asbytes=True),
    "semicolon": lambda: csv_text(";").encode(),
    "tab": lambda: csv_text("\t").encode(),
    "bar": lambda: csv_text("|").encode(),
    "sep=": lambda: ("sep=;\r\n" + csv_text(";", "\r\n")).encode(),
    "sep= in quotes, with a mark": lambda: ('\ufeff"sep=|"\n' + csv_text("|")).encode(),
    "separators at the ends": lambda: csv_text(extra=",").encode(),
    "many separators at the ends": lambda: csv_text(";", extra=";;;").encode(),
    "at the ends of rows": lambda: csv_text(extra=",").replace(",\n", "\n", 1).encode(),
    "old line ends": lambda: csv_text(end="\r").encode(),
    "blank lines": lambda: ("\n  \n" + csv_text(end="\n\n")).encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", ENCODED)
def test_one_table_in_every_dress(tmp_path: Path, name: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(ENCODED[name]())
    assert both(path) == TABLE
    notes = read_table(path).notes
    assert bool(notes) == any(word in name for word in ("utf-16", "utf-32", "latin-1", "bz2"))
    assert all("--encoding" in note for note in notes)


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("cp1252", ["Müller 5 €", "Jörg", "Zoë"]),
        ("latin-1", ["Orléans", "Nîmes", "Besançon"]),
        ("latin-1", ["señal", "año"]),
        ("cp1250", ["Kraków", "Wrocław", "Częstochowa"]),
        ("cp1250", ["Plzeň", "Chruď", "Olomouť"]),
        ("cp1252", ["20 m³", "10 €", "café – bar", "Nº 5", "t CO²eq"]),
        ("cp1252", ["col·lecció", "Çelik", "Málaga"]),
        ("cp1251", ["Москва", "Казань", "Санкт-Петербург"]),
        ("shift_jis", ["東京", "大阪", "名古屋"]),
        ("gb18030", ["北京", "上海", "广州"]),
        ("euc_kr", ["서울", "부산"]),
        ("utf-8", ["東京", "é", "😀"]),
    ],
)
def test_encodings_are_told_apart(tmp_path: Path, encoding: str, words: list[str]) -> None:
    lines = [f"{n},{words[n % len(words)]}" for n in range(90)]
    path = tmp_path / "t.csv"
    path.write_bytes("\n".join(["n,word", *lines]).encode(encoding))
    assert both(path)["word"][: len(words)] == words
    assert both(path, encoding=encoding)["word"][: len(words)] == words
    late = b"n,word\n" + b"1,plain\n" * 200_000 + f"2,{words[0]}\n".encode(encoding)
    path.write_bytes(late)
    if encoding == "cp1252":
        assert read_table(path).columns["word"][-1].as_py() == words[0]


CASES: dict[str, tuple[str, dict[str, Any], dict[str, list[str]]]] = {
    "commas in the header": (
        "Area, sqm;Price, EUR;y\n8.5;12;a\n7;13.25;b\n",
        {}, {"Area, sqm": ["8.5", "7"], "Price, EUR": ["12", "13.25"], "y": ["a", "b"]},
    ),
    "as many commas in header and rows": (
        "Area, sqm;y\n8,5;12\n7,25;13\n", {}, {"Area, sqm": ["8,5", "7,25"], "y": ["12", "13"]},
    ),
    "semicolons in a cell": ("a,b\n1,x;y\n2,z\n", {}, {"a": ["1", "2"], "b": ["x;y", "z"]}),
    "tabs beside commas": (
        "a, b\tc, d\n1, 2\t3, 4\n", {}, {"a, b": ["1, 2"], "c, d": ["3, 4"]},
    ),
    "a wrapped header": (
        '"Area\n(m2)","Price,\r\n EUR",y\n1,2,a\n', {},
        {"Area (m2)": ["1"], "Price, EUR": ["2"], "y": ["a"]},
    ),
    "separators in quotes only": (
        '"a;b;c","d"\n"1;2;3","4"\n', {}, {"a;b;c": ["1;2;3"], "d": ["4"]},
    ),
    "lines to skip": ("Report, of\n\n\nx,y\n1,2\n", {"skip": 3}, {"x": ["1"], "y": ["2"]}),
    "comments": (
        '# "odd, 5" x\nx,y\n#"3,4\n1,"#2\n#3"\n\n4,5#\n#', {"comment": "#"},
        {"x": ["1", "4"], "y": ["#2\n#3", "5#"]},
    ),
    "no header": (
        "1;a;\n2;b;\n", {"header": False},
        {"column_1": ["1", "2"], "column_2": ["a", "b"], "column_3": ["", ""]},
    ),
    "a separator of its own": ("a^b]\n1^2\n", {"separator": "^"}, {"a": ["1"], "b]": ["2"]}),
    "a backslash": ("a\\b\n1\\2\n", {"separator": "\\"}, {"a": ["1"], "b": ["2"]}),
    "blanks": ('a b\n1 "2 3"\n', {"separator": " "}, {"a": ["1"], "b": ["2 3"]}),
    "a tab by name": ("a\tb\n1,5\t2\n", {"separator": "tab"}, {"a": ["1,5"], "b": ["2"]}),
    "sep= against the option": (
        "sep=;\na,b\n1;5,2\n", {"separator": ","}, {"a": ["1;5"], "b": ["2"]},
    ),
    "an index without a name": (",a,b\n0,1,2\n1,3,4\n", {}, {"a": ["1", "3"], "b": ["2", "4"]}),
    "other columns without names": (
        "a,,c,\n1,2,3,4\n", {}, {"a": ["1"], "column_2": ["2"], "c": ["3"], "column_4": ["4"]},
    ),
    "a named separator beside a comment": (
        "%x\nsep=|\n%y\na|b\n1|2\n", {"comment": "%"}, {"a": ["1"], "b": ["2"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_headers_and_separators(tmp_path: Path, name: str) -> None:
    text, options, expected = CASES[name]
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    assert both(path, **options) == expected
    found = understand(read_table(path, csv_format(**options)), ReadOptions())
    if name.startswith("an index"):
        assert found.columns["column_1"].reason.startswith("has no name")


CELL = st.text(st.sampled_from("ab1,;|\t.\n\"' é"), max_size=5)


@support.proves(
    short=20,
    full=3000,
    rows=st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=6),
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_pandas_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[str]],
    separator: str,
    encoding: str,
    end: str,
) -> None:
    """The options of pandas' writer, with quotes where needed; the separator is told."""
    path = tmp_path_factory.mktemp("pandas") / "t.csv"
    frame = pd.DataFrame([[*row, "."] for row in rows], columns=["a", "b", "c", "d"])
    frame.to_csv(path, sep=separator, encoding=encoding, lineterminator=end, index=False)
    expected = {name: [cell.strip() for cell in frame[name]] for name in frame}
    got = both(path)
    assert {name: [c.replace("\r\n", "\n") for c in column] for name, column in got.items()} == {
        name: [c.replace("\r\n", "\n") for c in column] for name, column in expected.items()
    }


# --- folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "parquet", "csv.gz"])
def test_hive_folders_of_spark(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "t"
    rng = np.random.default_rng(0)
    for year in (2019, 2020):
        for town in ("Genf/alt", None):
            cell = "__HIVE_DEFAULT_PARTITION__" if town is None else quote(town, safe="")
            place = root / f"year={year}" / f"town={cell}"
            place.mkdir(parents=True)
            frame = pd.DataFrame({"x": rng.normal(size=40), "y": ["ja", "nein"] * 20})
            if kind == "parquet":
                frame.to_parquet(place / "part-0.parquet", index=False)
            else:
                frame.to_csv(place / f"part-0.{kind}", index=False)
            (place / f"part-1.{kind}").touch()
            (place / "_SUCCESS").touch()
            (place / f".part-0.{kind}.crc").write_bytes(b"crc")
    source = open_source(root)
    assert source.names == ["x", "y", "year", "town"]
    found = [
        row for piece in source.scan() for row in zip(*cells(piece.table).values(), strict=True)
    ]
    assert len(found) == 160
    assert {row[2:] for row in found} == {
        (year, town) for year in ("2019", "2020") for town in ("Genf/alt", None)
    }
    columns = understand(open_source(root), ReadOptions()).columns
    assert [c.in_words for c in columns.values()][2:] == ["number", "category (1)"]
    model = tmp_path / "m"
    assert run(["train", str(root), "-t", "y", "-fo", str(model), *QUICK]) == 0
    out = tmp_path / "p.csv"
    assert run(["predict", str(model), str(root), "-qo", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 161


# --- the command line ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a file in Latin-1 with points, without a header, below two lines."""
    place = tmp_path_factory.mktemp("trained")
    text = "Bericht\nüber Orte\n" + csv_text("^").partition("\n")[2]
    (place / "t.txt").write_bytes(text.encode("latin-1"))
    way = ["--no-header", "--skip", "2", "--separator", "^", "--encoding", "latin-1"]
    words = ["train", str(place / "t.txt"), "-t", "column_4", "-o", str(place / "m"), *way, *QUICK]
    assert run(words) == 0
    return place


def test_a_model_keeps_how_its_files_are_written(trained: Path, tmp_path: Path) -> None:
    record = TableModel.load(trained / "m").preprocessing.file
    assert record == csv_format("^", "latin-1", header=False, skip=2)
    assert run(["evaluate", str(trained / "m"), str(trained / "t.txt"), "-q"]) == 0
    assert run(["check", str(trained / "m"), str(trained / "t.txt"), "-q"]) == 0
    assert (
        run(
            ["predict", str(trained / "m"), str(trained / "t.txt"), "-o", str(tmp_path / "p"), "-q"]
        )
        == 0
    )
    other = tmp_path / "other.csv"
    other.write_text(csv_text().partition("\n")[2], encoding="utf-8")
    way = ["--skip", "0", "--separator", ",", "--encoding", "utf-8"]
    words = ["predict", str(trained / "m"), str(other), "-o", str(tmp_path / "q"), "-q", *way]
    assert run(words) == 0
    assert (tmp_path / "p").read_text() == (tmp_path / "q").read_text()
    named = tmp_path / "named.csv"
    header = "column_1,column_2,column_3\n"
    named.write_text(
        header + csv_text().partition("\n")[2].replace(",ja\n", "\n").replace(",nein\n", "\n")
    )
    assert (
        run(
            [
                "predict",
                str(trained / "m"),
                str(named),
                "-o",
                str(tmp_path / "r"),
                "-q",
                "--header",
                *way,
            ]
        )
        == 0
    )
    assert (tmp_path / "p").read_text() == (tmp_path / "r").read_text()


@pytest.mark.parametrize("kind", ["csv", "parquet", "csv.gz", "folder"])
def test_an_empty_batch_predicts_nothing(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pd.DataFrame(TABLE).to_csv(tmp_path / "t.csv", index=False)
    model, out = str(tmp_path / "m"), tmp_path / "p.csv"
    assert run(["train", str(tmp_path / "t.csv"), "-t", "y", "-o", model, *QUICK]) == 0
    none = pd.DataFrame(TABLE).iloc[:0]
    path = tmp_path / f"none.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pandas(pd.DataFrame(TABLE)).slice(0, 0), path)
    elif kind == "folder":
        path.mkdir()
        none.to_csv(path / "a.csv", index=False)
        (path / "b.csv").touch()
    else:
        none.to_csv(path, index=False)
    assert run(["predict", model, str(path), "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"] == 0
    assert out.read_text() == "prediction,probability_ja,probability_nein\n"
    assert len(TableModel.load(model).predict(open_source(path)).values) == 0
    for words in (
        ["evaluate", model, str(path)],
        ["train", str(path), "-t", "y", "-o", str(tmp_path / "n")],
    ):
        assert run(words) == 2
        error = capsys.readouterr().err
        assert "has a header but no rows; add data" in error
        assert error.count("\n") == 1
    assert not (tmp_path / "n").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--separator", ",,"], "cannot be the separator"),
        (["--separator", '"'], "cannot be the separator"),
        (["--separator", "é"], "one ASCII character"),
        (["--separator", "1"], "belongs to numbers and words"),
        (["--comment", "ab"], "cannot be the comment"),
        (["--comment", ";", "--separator", ";"], "it separates cells"),
        (["--encoding", "latin-99"], "is no encoding"),
        (["--encoding", "base64"], "is no encoding"),
        (["--encoding", "utf-16"], "is not utf-16"),
        (["--skip", "-1"], "--skip"),
        (["--skip", "99"], "no line left after the 99 of --skip"),
    ],
)
def test_options_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,y\n1,2\n3,4\n5", encoding="utf-8")
    out = tmp_path / "m"
    assert run(["train", str(path), "-t", "y", "-o", str(out), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert not out.exists()


# --- remedies ------------------------------------------------------------------------------------

BODY = csv_text().partition("\n")[2]
PLAIN = csv_text()
AWRY: dict[str, bytes] = {
    "a report above the header": f"Report of 2024\nmade by hand\n\n{PLAIN}".encode(),
    "comments between the rows": PLAIN.replace("\n", "\n# checked\n").encode(),
    "comments at the top": f"% made by a machine\n{PLAIN}".encode(),
    "two encodings": PLAIN.partition("\n")[0].encode() + b"\n" + BODY.encode("latin-1"),
    "an encoding that cannot be told": PLAIN.encode("latin-1").replace(b"\xfc", b"\x81\x90"),
    "no header": "".join(f"{n},{n / 7:.2f},{n % 3},{n % 2}\n" for n in range(60)).encode(),
    "no header, no name twice": "".join(f"{n},{n / 7 + 1:.2f},{n}.5\n" for n in range(60)).encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", AWRY)
def test_the_remedies_of_the_reader_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(AWRY[name])
    out = str(tmp_path / "m")
    target = "y"
    words = ["train", str(path), "-o", out, *QUICK]
    assert run([*words, "-t", target]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not Path(out).exists()
    found = re.search(
        r"(?<!name their )(--(?:skip|comment|encoding|no-header)(?: (?!if)[^ ,;]+)?)", error
    )
    assert found is not None, error
    way = shlex.split(found[1])
    if way[0] == "--no-header":
        way, target = way[:1], "column_3"
    assert run([*words, "-t", target, *way]) == 0, capsys.readouterr().err


def test_all_ragged_rows_are_in_one_error(tmp_path: Path) -> None:
    lines = ["a,b", *(["1,2"] * 40)]
    for n in range(3, 33, 2):
        lines[n] = "1,2,3" if n % 4 == 1 else '"1\n,2"'
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines))
    messages = []
    for read in (read_table, lambda p: list(open_source(p).scan())):
        with pytest.raises(TableError) as caught:
            read(path)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "line 4: 1 cells (line 7 3, line 9 1, " in messages[0]
    assert ", 5 lines more), but the header names 2 columns" in messages[0]
    assert "\n" not in messages[0]


def test_columns_that_only_count_are_left_out_unless_they_are_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"sorted": range(60), "mixed": rng.permutation(60) + 100,
                          "name": [f"K{n}" for n in range(60)], "empty": [None] * 60,
                          "x": rng.integers(0, 60, 60), "y": rng.normal(size=60)})  # fmt: skip
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    for source in (read_table(path), open_source(path)):
        found = understand(source, ReadOptions(), target="y")
        left = {c.name for c in found.columns.values() if c.kind == "left out"}
        assert left == {"sorted", "mixed", "name", "empty"}
        assert any("'mixed' only numbers the rows; --number mixed" in note for note in found.notes)
    kept = understand(read_table(path), ReadOptions(number=("sorted",)), target="y").columns
    assert kept["sorted"].kind == "number"
    frame[["sorted", "y"]].to_csv(path, index=False)
    only = understand(read_table(path), ReadOptions(), target="y").columns
    assert only["sorted"].kind == "number"
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    columns = understand(open_source(tmp_path / "t.parquet"), ReadOptions(), target="y").columns
    assert columns["mixed"].kind == "left out"


def test_a_table_that_is_used_once_gives_the_same_model(tmp_path: Path) -> None:
    """Texts and cells that are forgotten on the way change nothing."""
    rng = np.random.default_rng(0)
    n = 400
    frame = pd.DataFrame({
        "x": rng.normal(size=n).round(3), "whole": rng.integers(0, 9, n),
        "zip": ["01234", "2"] * (n // 2),
        "points": [f"{a}.{b:03}" for a, b in rng.integers(1, 999, (n, 2))],
        "comma": [f"{a},{b:02}" for a, b in rng.integers(1, 99, (n, 2))],
        "holes": rng.normal(size=n).round(2), "y": rng.integers(0, 3, n),
    })  # fmt: skip
    frame.loc[::7, "holes"] = None
    path = tmp_path / "t.csv"
    frame.to_csv(path, sep=";", index=False)
    for options in ({}, {"decimal": ","}, {"category": ("whole",)}, {"missing": ("5", "0.5")}):
        if options == {"decimal": ","}:
            frame.drop(columns=["x", "holes"]).to_csv(path, sep=";", index=False)
        plan = Plan("y", shares=Shares(0.2, 0.2), reading=ReadOptions(**options))
        models = []
        for once in (False, True):
            table = replace(read_table(path), used_once=once)
            prepared = prepare(table, plan)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = fit(prepared, Settings(hidden=(4,), epochs=2))
            scores = score_parts(model, prepared)
            models.append((model.preprocessing, model.estimator.coefs_[0].tobytes(),
                           {name: part.scores for name, part in scores.items()}))  # fmt: skip
            assert once == (len(table.columns["whole"]) == 0)
        assert models[0] == models[1]
