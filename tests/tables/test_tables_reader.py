"""Tables from files: what is read, and what is refused with file and line."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltarule.errors import TableError
from deltarule.tables import Plan, Settings, fit, open_source, prepare, read_table
from deltarule.tables.sources import csv as csv_source
from deltarule.tables.sources import text
from deltarule.tables.table import Table


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def columns(table: Table) -> dict[str, list[str]]:
    return {name: column.to_pylist() for name, column in table.columns.items()}


def test_reads_every_cell_as_its_text(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t.csv", "a, b\n1, x\n002,\n\n3.50,NA\n"))
    assert columns(table) == {"a": ["1", "002", "3.50"], "b": ["x", "", "NA"]}
    assert table.rows == 3
    assert table.place(2) == "line 5"


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators(tmp_path: Path, separator: str) -> None:
    table = read_table(write(tmp_path / "t.csv", "a,b\n1,2\n".replace(",", separator)))
    assert columns(table) == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_byte_order_mark_quotes_and_line_ends(tmp_path: Path, end: str) -> None:
    lines = end.join(['"a","b"', '"x, ""y""",1', '"two', 'lines",2', "é,3", ""])
    table = read_table(write(tmp_path / "t.csv", b"\xef\xbb\xbf" + lines.encode()))
    assert columns(table) == {"a": ['x, "y"', f"two{end}lines", "é"], "b": ["1", "2", "3"]}
    assert [table.place(row) for row in range(3)] == ["line 2", "line 3", "line 5"]


@given(st.lists(st.tuples(*[st.text(st.characters(codec="utf-8", exclude_characters="\0"))] * 2)))
def test_reads_what_pythons_csv_module_wrote(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    import csv

    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    blanks = " \t\n\r\v\f"
    read = columns(read_table(path))
    assert read["a"] or not rows
    for name, expected in zip("ab", zip(*rows, strict=True), strict=False):
        assert [t.strip(blanks) for t in read[name]] == [strip(t).strip(blanks) for t in expected]


def strip(text: str) -> str:
    """Strip as pyarrow does: by Unicode's idea of white space."""
    return str(pa.compute.utf8_trim_whitespace(pa.scalar(text)).as_py())


BROKEN = {
    "empty": (b"", "is empty"),
    "blank lines": (b"\n\n\n", "only blank lines"),
    "repeated name": (b"a,b,a\n1,2,3\n", "more than one column named 'a'"),
    "repeated name after stripping": (b"a,b, a\n1,2,3\n", "more than one column named 'a'"),
    "unnamed": (b",\n1,2\n", "no column has a name.*--no-header"),
    "an index only": (b'"", \n1,2\n', "no column has a name"),
    "too many cells": (b"a,b\n1,2\n1,2,3\n", "line 3: 3 cells, but the header names 2"),
    "too few cells": (b"a,b\n1,2\n\n\n1\n", "line 5: 1 cells, but the header names 2"),
    "ragged after a quoted line end": (b'a,b\n1,"x\ny"\n1\n', "line 4: 1 cells"),
    "ragged, and not UTF-8": (b"a,b\n1,2\n1,\xc8,3\n", "line 3"),
    "open quote": (b'a,b\n1,2\n3,"4\n5,6\n', "line 3, column 'b': .*never closed"),
    "two encodings": (b"\xc3\xa9,b\n1,2\ncaf\xe9,2\n", "line 3 is not UTF-8.*--encoding latin-1"),
    "half of a character": ("a,b\n1,2\n".encode("utf-16") + b"x", "line 3 is not utf-16"),
    "NUL": (b"a,b\n1,2\n3,\x004\n", "line 3 holds a NUL byte"),
    "half a gzip": (gzip.compress(b"a,b\n1,2\n" * 100)[:30], "damaged gzip"),
    "parquet in gzip": (gzip.compress(b"PAR1" + bytes(99)), "NUL byte"),
    "workbook": (b"PK\x03\x04rest", "save the sheet as CSV"),
    "many columns": (",".join(f"c{i}" for i in range(100_000)).encode(), "100000 columns"),
    "damaged parquet": (b"PAR1 and no more", "damaged Parquet"),
}


@pytest.mark.timeout(5)
@pytest.mark.parametrize("name", BROKEN)
def test_refuses_with_one_line(tmp_path: Path, name: str) -> None:
    data, message = BROKEN[name]
    path = write(tmp_path / "table.csv", data)
    with pytest.raises(TableError, match=message) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(TableError, match="holds no files; name a folder"):
        read_table(tmp_path)


def test_a_bomb_named_gz_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "HARMLESS_BYTES", 2**20)
    monkeypatch.setattr(text, "MAX_EXPANSION", 100)
    path = write(tmp_path / "t.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 1_000_000))
    with pytest.raises(TableError, match="would expand to more than 1048576 bytes"):
        read_table(path)


def test_parquet_keeps_numbers_and_texts(tmp_path: Path) -> None:
    table = pa.table(
        {
            "i": pa.array([1, None, 3]),
            "f": pa.array([0.1, float("nan"), None]),
            "b": pa.array([True, None, False]),
            "s": pa.array([" x", None, "y"]),
            "d": pa.array(["p", "q", "p"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    read = read_table(tmp_path / "t.parquet")
    assert columns(read)["i"] == [1.0, None, 3.0]
    assert read.columns["f"].type == pa.float64()
    assert columns(read)["b"] == ["true", None, "false"]
    assert columns(read)["s"] == ["x", None, "y"]
    assert columns(read)["d"] == ["p", "q", "p"]
    assert read.place(1) == "row 2"


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.long)])
def test_damaged_parquet_never_escapes_as_another_error(tmp_path: Path, step: int) -> None:
    pq.write_table(pa.table({"a": list(range(50)), "s": ["x", "y"] * 25}), tmp_path / "t.parquet")
    good = (tmp_path / "t.parquet").read_bytes()
    path = tmp_path / "damaged.parquet"
    for place in range(4, len(good), step):
        data = bytearray(good)
        data[place] ^= 0xFF
        path.write_bytes(data)
        with contextlib.suppress(TableError):
            read_table(path)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's list of open files")
@pytest.mark.parametrize(
    ("suffix", "fault"),
    [
        *itertools.product(["csv", "csv.gz"], ["ragged", "cell", "quote"]),
        ("parquet", "cell"),
    ],
)
def test_an_error_that_is_kept_keeps_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, fault: str
) -> None:
    """An error holds the frames that it went through, and they hold what was being read."""
    monkeypatch.setattr(csv_source, "CHUNK_BYTES", 64)
    rows = [f"{k},{k % 2}" for k in range(200)]
    sound = tmp_path / "sound.csv"
    sound.write_text("\n".join(["x,y", *rows, ""]))
    plan = Plan("y")
    model = fit(prepare(read_table(sound), plan), Settings(hidden=(2,), epochs=1))
    path = tmp_path / f"damaged.{suffix}"
    if suffix == "parquet":
        pq.write_table(
            pa.table({"x": ["oops" if k == 150 else "1" for k in range(200)], "y": [0] * 200}), path
        )
    else:
        rows[150] = {"ragged": "1,2,3", "cell": "oops,1", "quote": '1,"2'}[fault]
        data = "\n".join(["x,y", *rows, ""]).encode()
        path.write_bytes(gzip.compress(data) if suffix == "csv.gz" else data)
    kept = []
    for use in (
        lambda: model.predict(open_source(path)),
        lambda: model.evaluate(open_source(path)),
        *([] if fault == "cell" else [lambda: list(open_source(path).scan())]),
    ):
        with pytest.raises(TableError) as caught:
            use()
        kept.append(caught)
    links = {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}
    assert str(path) not in links
