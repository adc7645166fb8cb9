"""Tables read piece by piece are the tables read whole; what is kept of a pass is right."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from deltarule.errors import TableError
from deltarule.tables import (
    ReadOptions,
    Shares,
    Table,
    is_large,
    open_source,
    read_table,
    understand,
)
from deltarule.tables.evidence import DAY_FIRST
from deltarule.tables.sources import csv as csv_source
from deltarule.tables.sources import dataset as dataset_module
from deltarule.tables.sources import parquet
from deltarule.tables.sources.dataset import Dataset
from deltarule.tables.split import Split
from deltarule.tables.statistics import CappedCounter, Moments, Sample, row_hash
from deltarule.tables.table import Piece
from deltarule.utils.limits import free_memory
from support import networks as support


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chunks")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_source, "CHUNK_BYTES", 16)
    monkeypatch.setattr(parquet, "BATCH_CELLS", 6)


def rows_of(tables: list[Table]) -> list[tuple[Any, ...]]:
    return [
        row
        for table in tables
        for row in zip(*(column.to_pylist() for column in table.columns.values()), strict=True)
    ]


def check_same(path: Path, source: Dataset) -> None:
    """The pieces are the whole, in any order of reading, and know their lines; or both fail."""
    try:
        whole = read_table(path)
    except TableError:
        with pytest.raises(TableError):
            list(source.scan())
        return
    pieces = list(source.scan())
    assert rows_of([piece.table for piece in pieces]) == rows_of([whole])
    assert source.rows == whole.rows
    assert source.names == list(whole.columns)
    again = [piece for place in reversed(source.places) for piece in source.read(place)]
    for piece in [*pieces, *again]:
        for row in (0, piece.table.rows - 1):
            assert piece.table.place(row) == whole.place(piece.first + row)
    again.sort(key=lambda piece: piece.first)
    assert rows_of([piece.table for piece in again]) == rows_of([whole])


CELLS = st.text(st.sampled_from('a,;"\n\r é'), max_size=6) | st.sampled_from(["", "1", '5"', '""'])


@support.proves(
    short=50,
    full=2_000,
    rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=30),
    style=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    end=st.sampled_from(["\n", "\r\n"]),
    mark=st.booleans(),
    closed=st.booleans(),
)
def test_chunks_of_csv_are_the_file(
    place: Path, rows: list[tuple[str, str]], style: Any, end: str, mark: bool, closed: bool
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=style, lineterminator=end).writerows([("a", "b"), *rows])
    data = text.getvalue().removesuffix("" if closed else end).encode()
    path = place / "t.csv"
    path.write_bytes(b"\xef\xbb\xbf" * mark + data)
    check_same(path, open_source(path))


@support.proves(
    short=70,
    full=2_000,
    lines=st.lists(
        st.text(st.sampled_from('ab,"'), max_size=8).map(lambda t: t.replace('"', '5"')),
        min_size=1,
        max_size=20,
    ),
)
def test_quotes_in_the_middle_of_cells(place: Path, lines: list[str]) -> None:
    """Whatever the whole file gives, rows or an error, its chunks give too."""
    path = place / "q.csv"
    path.write_text("\n".join(["a,b", *lines]) + "\n")
    check_same(path, open_source(path))


PIECES = st.sampled_from(["1,2", ",", "\n", "\r\n", "\r", "a", '"', '""', '5"', ',"', '",', '"\n'])


def judged(text: str, separator: str) -> list[tuple[str, tuple[str, ...]]] | None:
    """Return lines and rows of two columns by Python's own reader; None if the table is broken."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows, before = [], 0
    try:
        for row in reader:
            if row:
                rows.append((f"line {before + 1}", tuple(cell.strip() for cell in row)))
            before = reader.line_num
    except csv.Error:
        return None
    data = rows[1:]
    if data and all(len(row) == len(data[0][1]) and not any(row[2:]) for _, row in data):
        data = [(place, row[:2]) for place, row in data]  # separators at every line's end
    return data if all(len(row) == 2 for _, row in data) else None


@support.proves(
    short=70, full=20_000, body=st.lists(PIECES, max_size=30), separator=st.sampled_from(",;\t|")
)
def test_quotes_mean_what_they_mean_to_pythons_strict_reader(
    place: Path, body: list[str], separator: str
) -> None:
    text = "".join(["a,b\n", *body]).replace(",", separator)
    path = place / "judged.csv"
    path.write_bytes(text.encode())
    expected = judged(text, separator)
    if expected is None:
        with pytest.raises(TableError):
            read_table(path)
    else:
        table = read_table(path)
        places = [table.place(row) for row in range(table.rows)]
        assert list(zip(places, rows_of([table]), strict=True)) == expected
    check_same(path, open_source(path))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [False, True])
def test_line_ends_around_a_cell_are_trimmed(place: Path, end: str, last: bool) -> None:
    path = place / "ends.csv"
    for cell in ("\n", "\r", "\r\n", "x\n", "\rx", "\nx\r\n"):
        path.write_bytes(f'a,b{end}"{cell}",1{end * last}'.encode())
        assert rows_of([read_table(path)]) == [(cell.strip(), "1")]


def test_two_cells_that_are_never_closed_swallow_no_rows(place: Path) -> None:
    path = place / "swallowed.csv"
    path.write_text('x,y\n1,"foo\n2,b\n3,"bar\n4,c')
    for read in (read_table, lambda p: list(open_source(p).scan())):
        with pytest.raises(TableError, match=r"line 2, column 'y': .* line 4, but 'bar' follows"):
            read(path)


@pytest.mark.parametrize("quotes", ["", 'b"', 'b"c"'])
def test_long_cells_beside_quotes(
    place: Path, monkeypatch: pytest.MonkeyPatch, quotes: str
) -> None:
    """No limit of Python's reader (csv.field_size_limit, 128 KiB) is taken for an open quote."""
    monkeypatch.setattr(csv_source, "CHUNK_BYTES", 2**20)
    long = "x" * 200_000
    path = place / "long.csv"
    path.write_text(f'a,b\n1,{long}\n\n2,"{long}\n"\n3,{quotes}\n')
    check_same(path, open_source(path))
    table = read_table(path)
    assert rows_of([table]) == [("1", long), ("2", long), ("3", quotes)]
    assert [table.place(row) for row in range(3)] == ["line 2", "line 4", "line 6"]


@pytest.mark.parametrize("group", [1, 4, 100])
def test_row_groups_are_the_file(place: Path, group: int) -> None:
    path = place / "t.parquet"
    table = pa.table({"n": [*range(9), None], "s": [*"abcdefgh ", None], "b": [True, None] * 5})
    pq.write_table(table, path, row_group_size=group)
    check_same(path, open_source(path))


def test_whole_numbers_that_are_no_floats_make_texts_of_all_pieces(place: Path) -> None:
    path = place / "whole.parquet"
    numbers = [1, None, -20, 2**53 + 1, 5, 6, 7]
    pq.write_table(pa.table({"n": pa.array(numbers, pa.int64())}), path, row_group_size=2)
    texts = [None if number is None else str(number) for number in numbers]
    assert read_table(path).columns["n"].to_pylist() == texts
    pieces = [piece.table.column("n").texts.to_pylist() for piece in open_source(path).scan()]
    assert [text for piece in pieces for text in piece] == texts


def test_a_column_is_parsed_once(place: Path) -> None:
    path = place / "once.csv"
    path.write_text("a,b\n1,x\n2,y\n")
    table = read_table(path)
    (piece,) = table.scan()
    for name, reading in (("a", "usable"), ("a", "not_missing"), ("b", "texts"), ("b", "booleans")):
        parsed = table.column(name)
        assert piece.table.column(name) is parsed
        assert getattr(parsed, reading) is getattr(parsed, reading)
        assert parsed.numbers() is parsed.numbers()
        assert parsed.dates(DAY_FIRST) is parsed.dates(DAY_FIRST)


BROKEN = {
    "too many cells": (b"a,b\n" + b"1,2\n" * 20 + b"1,2,3\n", "line 22: 3 cells"),
    "ragged after a quoted line end": (
        b'a,b\n1,"x\ny"\n' + b"1,2\n" * 20 + b"1\n", "line 24: 1 cells",
    ),
    "open quote": (
        b"a,b\n" + b"1,2\n" * 20 + b'3,"4\n5,6\n', "line 22, column 'b': .*never closed",
    ),
    "two open quotes": (
        b"a,b\n" + b"1,2\n" * 20 + b'3,"4\n5,6\n7,"8\n', "line 22, .* line 24, but '8' follows",
    ),
    "NUL": (b"a,b\n" + b"1,2\n" * 20 + b"3,\x004\n", "line 22 holds a NUL byte"),
    "latin-1": (b"a,b\n" + b"1,2\n" * 20 + b"caf\xc3\xa9,1\ncaf\xe9,2\n", "line 23 is not UTF-8"),
    "utf-16": (b"\xff\xfea\0,\0b\0\n\0" + b"1\0,\0\0\xd8\n\0", "line 2 is not utf-16"),
    "repeated name": (b"a,a\n1,2\n", "more than one column"),
    "gzip": (b"\x1f\x8b\x08rest", "damaged gzip file"),
    "damaged parquet": (b"PAR1 and no more", "damaged Parquet"),
    "empty": (b"", "is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_with_their_line(place: Path, name: str) -> None:
    data, message = BROKEN[name]
    path = place / "broken.csv"
    path.write_bytes(data)
    with pytest.raises(TableError, match=message) as caught:
        list(open_source(path).scan())
    assert str(caught.value).startswith(str(path))


def test_an_endless_row_is_not_read_to_its_end(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_source, "BLOCK_BYTES", 100)
    path = place / "long.csv"
    path.write_bytes(b"a,b\n1,2\n1," + b"x" * 10_000)
    with pytest.raises(TableError, match="a row of more than 100 bytes"):
        list(open_source(path).scan())


def test_folders(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,4\n")
    (tmp_path / "inner" / "b.csv").write_text("y;x\n6;5\n")
    (tmp_path / "inner" / "empty.csv").write_text("x,y\n")
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / ".hidden").write_text("z")
    source = open_source(tmp_path)
    assert rows_of([piece.table for piece in source.scan()]) == [("1", "2"), ("3", "4"), ("5", "6")]
    last = next(source.read(source.places[-1]))
    assert (last.first, last.table.place(0), last.table.path.name) == (2, "line 2", "b.csv")


def test_a_folder_in_memory_is_the_same_table(tmp_path: Path) -> None:
    for name, text in {
        "day=1/a.csv": "x,y\n1,2\n3,4\n", "day=1/empty.csv": "", "day=2/b.csv": "y;x\n6;5\n",
        "day=2/c.csv": "x,y\n", "day=2/d.csv": "x,y\n7,8\nz,10\n",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    table, source = read_table(tmp_path), open_source(tmp_path)
    assert rows_of([table]) == rows_of([piece.table for piece in source.scan()])
    assert table.names == source.names == ["x", "y", "day"]
    assert table.notes == source.notes
    assert "left out: an empty file" in table.notes[0]
    assert "empty.csv" in table.notes[0]
    assert [table.place(row) for row in range(5)] == [
        "day=1/a.csv, line 2", "day=1/a.csv, line 3", "day=2/b.csv, line 2", "day=2/d.csv, line 2",
        "day=2/d.csv, line 3",
    ]  # fmt: skip
    column = table.column("x")
    assert (
        str(column.fault(4, "'z' is odd"))
        == f"{tmp_path}, day=2/d.csv, line 3, column 'x': 'z' is odd"
    )


@pytest.mark.parametrize("others", [pa.array(["a", "b"]), pa.array([1.5, None]), pa.nulls(2)])
def test_a_folder_of_columns_of_several_types_in_memory(tmp_path: Path, others: Any) -> None:
    lists = pa.array([[1], [2]])
    for number, column in enumerate((others, lists, others)):
        pq.write_table(pa.table({"x": column}), tmp_path / f"{number}.parquet")
    assert "list" in read_table(tmp_path).column("x").unsupported
    (tmp_path / "1.parquet").unlink()
    assert len(read_table(tmp_path).column("x")) == 4


@pytest.mark.parametrize(
    "columns",
    [
        ([1.5, 2.5, 3.5] * 20, ["u", "v", "w"] * 20),
        (list(range(60)), ["u", "v", "w"] * 20),
        ([1, 2, 3] * 20, [True, False, None] * 20),
        (pa.array(["7", "8"] * 30).dictionary_encode(), [7.0, 8.0] * 30),
        ([1.5] * 60, [None] * 60),
    ],
)
def test_columns_that_are_numbers_in_one_file_and_texts_in_another(
    tmp_path: Path, columns: tuple[Any, Any]
) -> None:
    z = np.random.default_rng(0).normal(size=60)
    for order in (columns, columns[::-1]):
        for number, column in enumerate(order):
            table = pa.table({"c": column, "z": z, "t": ["p", "q"] * 30})
            pq.write_table(table, tmp_path / f"{number}.parquet")
        whole = understand(read_table(tmp_path), ReadOptions(), target="t", refuse=False)
        piecewise = understand(open_source(tmp_path), ReadOptions(), target="t", refuse=False)
        assert piecewise.columns == whole.columns


@pytest.mark.parametrize("streams", [False, True])
def test_files_of_several_separators_do_not_say_what_a_comma_is(
    tmp_path: Path, streams: bool
) -> None:
    plain, german = "a,t\n" + "5,0\n7,1\n" * 30, "a;t\n" + "8,300;0\n1,250;1\n" * 30
    for first, second in ((plain, german), (german, plain), ("a,t\n", german)):
        (tmp_path / "1.csv").write_text(first)
        (tmp_path / "2.csv").write_text(second)
        source = open_source(tmp_path) if streams else read_table(tmp_path)
        with pytest.raises(TableError, match=r"holds commas that may mean thousands .*--decimal"):
            understand(source, ReadOptions(), target="t")
    understand(source, ReadOptions(decimal=","), target="t")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="links and pipes of POSIX")
def test_links_in_a_folder(tmp_path: Path) -> None:
    folder, other = tmp_path / "table", tmp_path / "other"
    for place, cell in ((folder / "year=1", 1), (other / "inner", 2)):
        place.mkdir(parents=True)
        (place / "a.csv").write_text(f"x\n{cell}\n")
    (folder / "year=2").symlink_to(other / "inner", target_is_directory=True)
    (folder / "year=1" / "up").symlink_to(folder, target_is_directory=True)  # never ends
    (other / "inner" / "b.csv").symlink_to(folder / "year=1" / "a.csv")
    for table in (read_table(folder), *(p.table for p in open_source(folder).scan())):
        assert table.names == ["x", "year"]
    assert rows_of([read_table(folder)]) == [("1", "1"), ("2", "2"), ("1", "2")]
    (folder / "nothing.csv").symlink_to(tmp_path / "none")
    with pytest.raises(TableError, match=r"no file .*nothing\.csv"):
        open_source(folder)
    (folder / "nothing.csv").unlink()
    os.mkfifo(tmp_path / "pipe")
    (folder / "pipe.csv").symlink_to(tmp_path / "pipe")
    with pytest.raises(TableError, match=r"pipe\.csv is not a regular file"):
        open_source(folder)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"a.csv": "x,y\n1,2\n", "b.csv": "x,z\n1,2\n"}, "b.csv lacks 'y' and has also 'z'"),
        ({"a.csv": "x,y\n1,2\n", "b.csv": "x\n1\n"}, "b.csv lacks 'y', unlike"),
        ({"a.csv": "", "b.csv": ""}, "holds only empty files"),
        ({"a.csv": "x\n1\n", "b.csv": "PAR1"}, "Parquet files beside others"),
        ({"day=1/a.csv": "x\n1\n", "a.csv": "x\n1\n"}, "folders of other columns"),
        ({"=1/a.csv": "x\n1\n"}, "a folder without a name"),
        ({".a": ""}, "holds no files"),
    ],
)
def test_folders_that_are_no_table(tmp_path: Path, names: dict[str, str], message: str) -> None:
    for name, text in names.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(TableError, match=message):
        list(open_source(tmp_path).scan())


def test_files_that_change_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n2\n")
    source = open_source(path)
    list(source.scan())
    path.write_text("a\n1\n2\n3\n")
    with pytest.raises(TableError, match="was changed while it was in use"):
        list(source.read(source.places[0]))
    path.unlink()
    with pytest.raises(TableError, match="was changed"):
        list(source.scan())


def test_missing_columns_are_suggested(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Name,y\n1,2\n")
    with pytest.raises(TableError, match=r"no column 'name'.*did you mean 'Name'"):
        open_source(tmp_path / "t.csv").check_column("name")
    with pytest.raises(TableError, match="no file"):
        open_source(tmp_path / "none.csv")


# --- row hashes and statistics -------------------------------------------------------------------


def test_row_hashes_follow_from_the_row_alone() -> None:
    whole = row_hash(7, 0, 0, 1000)
    pieces = [row_hash(7, 0, first, 100) for first in range(0, 1000, 100)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    assert (whole != row_hash(7, 1, 0, 1000)).all()
    assert (whole != row_hash(8, 0, 0, 1000)).all()


def test_row_hashes_are_uniform_and_independent() -> None:
    n = 100_000
    a, b = row_hash(0, 0, 0, n), row_hash(0, 1, 0, n)
    for values in (a, b):
        counts = np.histogram(values, 50, (0, 1))[0]
        assert ((counts - n / 50) ** 2 / (n / 50)).sum() < 49 + 6 * np.sqrt(2 * 49)  # χ²
    for first, second in ((a, b), (a[1:], a[:-1])):
        assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(n)
    rows = Table(Path("t.csv"), {"y": pa.array(["1"] * n)}, n, str)
    part = Split(Shares(0.1, 0.2), 0).parts(Piece(rows, 0), rows.column("y"))
    share = np.bincount(part, minlength=3) / n
    np.testing.assert_allclose(share, [0.7, 0.1, 0.2], atol=5 * np.sqrt(0.25 / n))


NUMBERS = st.lists(st.lists(st.floats(-1e6, 1e6), max_size=8), min_size=1, max_size=8)


@support.proves(short=35, full=2_000, pieces=NUMBERS)
def test_moments_are_those_of_all(pieces: list[list[float]]) -> None:
    moments, whole = Moments(), np.concatenate([np.array(piece) for piece in pieces])
    for piece in pieces:
        moments.add(np.array(piece))
    assert moments.count == len(whole)
    if len(whole):
        scale = float(np.abs(whole).max()) or 1.0
        assert moments.mean == pytest.approx(whole.mean(), abs=1e-12 * scale)
        assert moments.variance == pytest.approx(whole.var(), rel=1e-9, abs=1e-12 * scale**2)


@support.proves(short=35, full=2_000, pieces=NUMBERS, seed=support.SEEDS)
def test_small_medians_are_exact(pieces: list[list[float]], seed: int) -> None:
    sample, whole = Sample(64), [value for piece in pieces for value in piece]
    for number, piece in enumerate(pieces):
        sample.add(np.array(piece), row_hash(seed, 0, 8 * number, len(piece)))
    assert sample.median() == (float(np.median(whole)) if whole else 0.0)


def test_large_medians_keep_their_bound() -> None:
    """DKW: with 1 - 2 exp(-2 · 1024 · 0.08²) = 0.999996 the rank is within 8 per cent."""
    values = np.random.default_rng(0).permutation(100_000).astype(float)
    for seed in range(20):
        sample = Sample(1024)
        for first in range(0, 100_000, 7000):
            some = values[first : first + 7000]
            sample.add(some, row_hash(seed, 0, first, len(some)))
        assert abs(sample.median() / 100_000 - 0.5) < 0.08


def test_counters_stop_at_their_limit() -> None:
    counter = CappedCounter(2)
    counter.add(np.array(["a", "b"]), np.array([1, 2]))
    counter.add(np.array(["a"]), np.array([3]))
    assert counter.counts == {"a": 4, "b": 2}
    assert counter.distinct == 2
    counter.add(np.array(["c"]), np.array([1]))
    assert counter.full
    assert counter.counts == {}
    assert counter.distinct is None  # the values of several pieces are not known to differ


def test_the_values_of_one_piece_are_counted_beyond_the_limit() -> None:
    counter = CappedCounter(2)
    counter.add(np.arange(5), np.ones(5, dtype=int))
    assert (counter.full, counter.counts, counter.distinct) == (True, {}, 5)
    counter.add(np.arange(3), np.ones(3, dtype=int))
    assert counter.distinct is None


# --- what is large -------------------------------------------------------------------------------


def test_what_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,2\n" * 1000)
    assert is_large(tmp_path)
    assert not is_large(path)
    assert free_memory() > 2**20
    monkeypatch.setattr(dataset_module, "free_memory", lambda: 10_000)
    assert is_large(path)
    assert not is_large(tmp_path / "none.csv")  # reading it reports why
    pq.write_table(pa.table({"a": [0.0] * 10_000}), tmp_path / "t.parquet")
    assert os.path.getsize(tmp_path / "t.parquet") < 5000
    assert dataset_module._needed_memory(tmp_path / "t.parquet") >= 80_000
