"""Bad tables (rows 15 to 21, 28 and 32 of the faults): a one-line error that names the place."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import struct
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import neural_network

from deltarule import MLPClassifier, MLPRegressor
from deltarule.cli.run import run
from deltarule.datasets import penguins_path
from deltarule.errors import TableError
from deltarule.tables import (
    Plan,
    PredictionsCsv,
    TableModel,
    open_source,
    prepare,
    read_table,
)
from support.estimators import unconverged
from support.faults import report
from support.limits import environment, limited

QUICK = ("--hidden", "4", "--epochs", "2")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "penguins"
    words = ["train", str(penguins_path()), "--target", "species", "-qo", str(path), *QUICK]
    assert run(words) == 0
    return path


def penguins() -> pd.DataFrame:
    return pd.read_csv(penguins_path(), dtype=str, keep_default_na=False)


def one_line(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run a command that must fail; return its only line."""
    capsys.readouterr()
    assert run([str(word) for word in words]) == 2
    seen = capsys.readouterr()
    assert seen.err.startswith("error: ")
    assert seen.err.count("\n") == 1
    return seen.err


# --- 15 and 16: what scikit-learn refuses, and how -----------------------------------------------

X, Y = np.arange(40.0).reshape(20, 2) / 20, np.array(["a", "b"] * 10)
BAD_INPUT: dict[str, Callable[[Any], Any]] = {
    "NaN": lambda m: m.fit(np.where(X > 1.9, np.nan, X), Y),
    "infinity": lambda m: m.fit(np.where(X > 1.9, np.inf, X), Y),
    "object": lambda m: m.fit(np.array([["x", {}]] * 20, dtype=object), Y),
    "complex": lambda m: m.fit(X + 1j, Y),
    "1-D": lambda m: m.fit(X[:, 0], Y),
    "empty": lambda m: m.fit(np.empty((0, 2)), np.empty(0)),
    "no columns": lambda m: m.fit(np.empty((20, 0)), Y),
    "rows": lambda m: m.fit(X[:5], Y),
    "float y": lambda m: m.fit(X, X[:, 0]),
    "NaN to predict": lambda m: m.fit(X, Y).predict([[np.nan, 1.0]]),
    "columns to predict": lambda m: m.fit(X, Y).predict(np.ones((3, 5))),
    "not fitted": lambda m: m.predict(X),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_scikit_learns_messages(name: str) -> None:
    messages = []
    for kind in (MLPClassifier, neural_network.MLPClassifier):
        with unconverged(), pytest.raises((ValueError, TypeError)) as caught:
            BAD_INPUT[name](kind((3,), max_iter=2, random_state=0))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    report("scikit-learn's messages", cases=1)


def test_classes_that_cannot_be_learned(tmp_path: Path) -> None:
    def table(text: str) -> Any:
        (tmp_path / "t.csv").write_text(text)
        return read_table(tmp_path / "t.csv")

    early = MLPClassifier((3,), early_stopping=True, max_iter=2)
    cases = (
        (lambda: early.fit(X, ["a"] * 19 + ["rare"]), "'rare'.*at least 2 rows"),
        (lambda: prepare(table("x,y\n1,a\n2,a\n3,a\n"), Plan("y")), "'a' in every row.*add rows"),
        (lambda: prepare(table("x,y\n1,a\n2,a\n3,b\n"), Plan("y")), "too few to hold out"),
        (lambda: MLPClassifier((3,), max_iter=2).fit(X, X[:, 0]), "Unknown label type"),
    )
    for do, message in cases:
        with pytest.raises(ValueError, match=message):
            do()
        report("classes", cases=1)


# --- 17: columns ---------------------------------------------------------------------------------

COLUMNS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "missing": (lambda t: t.drop(columns="sex"), "lacks 1 of the 7 columns .*'sex'"),
    "two missing": (lambda t: t.drop(columns=["sex", "year"]), "lacks 2 of the 7 .*'sex'"),
    "renamed": (lambda t: t.rename(columns={"sex": "Sex"}), "lacks 1 .*'sex'.*it has .*'Sex'"),
    "blank in the name": (lambda t: t.rename(columns={"sex": "s ex"}), "lacks 1 .*'sex'"),
    "numbers for categories": (lambda t: t.assign(bill_length_mm="long"), "is not a number"),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_other_columns_are_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, command: str
) -> None:
    change, message = COLUMNS[name]
    change(penguins()).to_csv(tmp_path / "t.csv", index=False)
    output = ["-o", tmp_path / "out.csv"] if command == "predict" else []
    assert re.search(message, one_line(capsys, command, model, tmp_path / "t.csv", *output))
    report("columns", cases=1)


def test_order_and_number_of_columns(model: Path, tmp_path: Path) -> None:
    """Reordered columns are found by name; arrays, which have no names, need the same number."""
    loaded, frame = TableModel.load(model), penguins()
    expected = loaded.predict(read_table(penguins_path())).values
    for columns in (frame.columns[::-1], sorted(frame.columns)):
        frame[list(columns)].assign(extra="1").to_csv(tmp_path / "t.csv", index=False)
        np.testing.assert_array_equal(
            loaded.predict(read_table(tmp_path / "t.csv")).values, expected
        )
        report("columns", cases=1)
    named = pd.DataFrame(X, columns=["u", "v"])
    for kind in (MLPClassifier, MLPRegressor):
        with unconverged():
            fitted = kind(hidden_layer_sizes=(3,), max_iter=2).fit(
                named, Y if kind is MLPClassifier else X[:, 0]
            )
        for other in (
            named[["v", "u"]],
            named.rename(columns={"u": "w"}),
            X[:, :1],
            X[:, [0, 0, 1]],
        ):
            with pytest.raises(
                ValueError, match=r"feature names should match|expecting 2 features"
            ):
                fitted.predict(other) if isinstance(other, pd.DataFrame) else predict_bare(
                    fitted, other
                )
            report("columns", cases=1)


def predict_bare(fitted: Any, X: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that X has no names
        fitted.predict(X)


# --- 18: categories ------------------------------------------------------------------------------


def test_unseen_categories(model: Path, tmp_path: Path) -> None:
    """Unseen categories are counted in a note, or are an error."""
    rng, loaded, told = np.random.default_rng(0), TableModel.load(model), 0
    for _ in range(20):
        frame = penguins()
        strange = rng.random(len(frame)) < rng.uniform(0.01, 0.5)
        frame.loc[strange, "island"] = rng.choice(["Atlantis", "Utopia", "dream"], strange.sum())
        frame.to_csv(tmp_path / "t.csv", index=False)
        streamed = PredictionsCsv(loaded, open_source(tmp_path / "t.csv"))
        assert list(streamed)
        notes = loaded.predict(read_table(tmp_path / "t.csv")).notes
        assert notes == streamed.seen.sentences()
        assert f"'island': {strange.sum()} cells hold categories that were not" in notes[0]
        with pytest.raises(TableError, match=r"column 'island': .* training did not see"):
            loaded.predict(read_table(tmp_path / "t.csv"), "error")
        told += 1
    report("unseen categories", tables=20, silent=20 - told)


# --- 19: headers and rows ------------------------------------------------------------------------

RAGGED = {
    "a name twice": ("a,b,a\n1,2,3\n", "more than one column named 'a'"),
    "a name twice with blanks": ("a,b, a\n1,2,3\n", "more than one column named 'a'"),
    "a name twice in quotes": ('a,b,"a"\n1,2,3\n', "more than one column named 'a'"),
    "two names twice": ("a,b,a,b\n1,2,3,4\n", "'a', 'b'"),
    "a name thrice": ("a,a,a\n1,2,3\n", "'a'"),
    "a cell too many": ("a,b\n1,2\n1,2,3\n", "line 3: 3 cells"),
    "a cell too many at first": ("a,b\n1,2,3\n1,2\n", "line 2: 3 cells"),
    "a cell too many everywhere": ("a,b\n1,2,3\n4,5,6\n", "line 2: 3 cells"),
    "an empty cell too many": ("a,b\n1,2\n1,2,\n", "line 3: 3 cells"),
    "a cell too few": ("a,b\n1,2\n1\n", "line 3: 1 cells"),
    "a cell too few at last": ("a,b\n" + "1,2\n" * 50 + "1", "line 52: 1 cells"),
    "after blank lines": ("a,b\n1,2\n\n\n1\n", "line 5: 1 cells"),
    "after a line end in quotes": ('a,b\n1,"x\ny"\n1\n', "line 4: 1 cells"),
    "a decimal comma": ("a,b\n1,2\n1,5,2\n", "line 3: 3 cells"),
    "semicolons": ("a;b\n1;2\n1;2;3\n", "line 3: 3 cells"),
    "tabs": ("a\tb\n1\t2\n1\n", "line 3: 1 cells"),
    "another separator": ("a,b\n1,2\n1;2\n", "line 3: 1 cells"),
    "an open quote": ('a,b\n1,2\n3,"4\n5,6\n', "line 3, column 'b': .*never closed"),
}


@pytest.mark.parametrize("name", RAGGED)
def test_headers_and_rows(tmp_path: Path, name: str) -> None:
    text, message = RAGGED[name]
    path = tmp_path / "table.csv"
    path.write_text(text)
    for read in (read_table, lambda p: list(open_source(p).scan())):
        with pytest.raises(TableError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)
    report("headers and rows", files=1)


# --- 20: cells -----------------------------------------------------------------------------------

ODD = ("oops", "1,5", "1e999", "12 kg", "0x10", "1_000", "1.2.3", "inf", "٣", "true", "5 %")


@pytest.mark.parametrize("odd", ODD)
def test_odd_cells_among_numbers(model: Path, tmp_path: Path, odd: str) -> None:
    frame = penguins()
    frame.loc[200, "body_mass_g"] = odd
    frame.to_csv(tmp_path / "t.csv", index=False)
    loaded, plan = TableModel.load(model), Plan("species")
    tries: tuple[Callable[[Path], Any], ...] = (
        lambda p: prepare(read_table(p), plan),
        lambda p: prepare(open_source(p), plan),
        lambda p: loaded.predict(read_table(p)),
        lambda p: list(PredictionsCsv(loaded, open_source(p))),
        lambda p: loaded.evaluate(read_table(p)),
    )
    for do in tries:
        with pytest.raises(TableError, match="line 202, column 'body_mass_g'") as caught:
            do(tmp_path / "t.csv")
        assert odd in str(caught.value) or repr(odd) in str(caught.value)
    report("odd cells", cells=len(tries))


def test_odd_bytes_and_types(model: Path, tmp_path: Path) -> None:
    """NUL bytes in CSV; in Parquet, texts, lists and infinities instead of numbers."""
    loaded = TableModel.load(model)
    text = penguins_path().read_bytes().replace(b"39.5", b"39\x00.5", 1)
    (tmp_path / "t.csv").write_bytes(text)
    frame = pd.read_csv(penguins_path())
    mass = frame["body_mass_g"]
    for number, column in enumerate(
        [mass.astype(str).replace("3750.0", "oops"), mass.replace(3750.0, np.inf), [[1.0]] * 344]
    ):
        frame.assign(body_mass_g=column).to_parquet(tmp_path / f"{number}.parquet")
    cases = {
        "t.csv": "line 3 holds a NUL byte",
        "0.parquet": "row 1, column 'body_mass_g': 'oops'",
        "1.parquet": "row 1, column 'body_mass_g': 'inf' is not a finite",
        "2.parquet": "column 'body_mass_g' holds 'list",
    }
    for name, message in cases.items():
        for read in (
            lambda p: loaded.predict(read_table(p)),
            lambda p: list(PredictionsCsv(loaded, open_source(p))),
        ):
            with pytest.raises(TableError, match=message):
                read(tmp_path / name)
            report("odd cells", cells=1)


# --- 21: files -----------------------------------------------------------------------------------

FILES: dict[str, tuple[bytes, str]] = {
    "header only": (b"a,species\n", "no rows|lacks 7 of the 7 columns"),
    "header without a line end": (b"a,species", "no rows|lacks 7 of the 7 columns"),
    "0 bytes": (b"", "is empty"),
    "blank lines": (b"\n\r\n\n", "only blank lines"),
    "100 000 columns": (
        b",".join(b"c%d" % n for n in range(100_000)) + b"\n" + b",".join([b"1"] * 100_000) + b"\n",
        "100000 columns",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_not_tables(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    data, message = FILES[name]
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    slowest = 0.0
    for words in (
        ["train", path, "--target", "species", "-o", tmp_path / "m"],
        ["train", path, "--target", "species", "-o", tmp_path / "m", "--stream"],
        ["predict", model, path, "-o", tmp_path / "out.csv"],
        ["evaluate", model, path],
    ):
        started = time.perf_counter()
        assert re.search(message, one_line(capsys, *words))
        slowest = max(slowest, time.perf_counter() - started)
    report("no tables", files=1, refused=1, slowest_s=round(slowest, 2))


def test_a_byte_order_mark_is_not_a_part_of_a_name(model: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + penguins_path().read_bytes())
    loaded = TableModel.load(model)
    expected = loaded.predict(read_table(penguins_path())).values
    np.testing.assert_array_equal(loaded.predict(read_table(tmp_path / "t.csv")).values, expected)
    assert run(["predict", str(model), str(tmp_path / "t.csv"), "-qo", str(tmp_path / "out")]) == 0
    assert pd.read_csv(tmp_path / "out")["prediction"].tolist() == expected.tolist()
    report("no tables", files=1, refused=1)


# --- 28: forged counts and bombs -----------------------------------------------------------------

READ = """
import json, resource, sys
from deltarule.errors import TableError
from deltarule.tables import open_source, read_table
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
for path in sys.argv[1:]:
    for read in (read_table, lambda p: sum(piece.table.rows for piece in open_source(p).scan())):
        try:
            read(path)
            said = ""
        except TableError as error:
            said = str(error)
        print(json.dumps([path, said]))
"""


def compressed(folder: Path) -> list[Path]:
    """CSV files of 4 MB that are small when compressed, with right and wrong file names."""
    text = b"a,b\n" + b"1,2\n" * 2**20
    made = {
        "t.csv.gz": gzip.compress(text, 1),
        "t.csv": gzip.compress(gzip.compress(text, 1), 1),
        "t.csv.bz2": bz2.compress(text),
        "t.csv.xz": lzma.compress(text, preset=0),
        "t.csv.zst": pa.compress(text, codec="zstd", asbytes=True),
    }
    for name, data in made.items():
        (folder / name).write_bytes(data)
    with zipfile.ZipFile(folder / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", text)
    return [*(folder / name for name in made), folder / "t.zip"]


def varint(value: int, length: int = 0) -> bytes:
    """Return Thrift's encoding of a number, padded with meaningless bytes."""
    left, out = 2 * value if value >= 0 else -2 * value - 1, bytearray()
    while left > 127 or len(out) + 1 < length:
        out.append(left & 127 | 128)
        left >>= 7
    return bytes([*out, left])


def forged(folder: Path) -> list[Path]:
    """Parquet files whose footer has one wrong number of rows or size."""
    rows = 1003
    pq.write_table(pa.table({"a": [0.5] * rows, "s": ["x"] * rows}), folder / "sound.parquet")
    data = (folder / "sound.parquet").read_bytes()
    start = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
    footer, true = data[start:-8], varint(rows)
    places = [match.start() for match in re.finditer(re.escape(true), footer)]
    assert len(places) >= 4  # the file's, the row group's and each column's
    made = []
    for number, place in enumerate(places):
        for lie in (2**20, 2**31 - 1, 2**31, 2**40, 2**62, -1, 0, rows - 1):
            fake = footer[:place] + varint(lie) + footer[place + len(true) :]
            path = folder / f"{number}-{lie}.parquet"
            path.write_bytes(data[:start] + fake + struct.pack("<I", len(fake)) + b"PAR1")
            made.append(path)
    return made


def bombs(folder: Path) -> list[Path]:
    """Parquet files that are small and valid, and expand to many times their size."""
    zeros = pa.table({name: np.zeros(2**20) for name in "abcd"})
    with pq.ParquetWriter(folder / "zeros.parquet", zeros.schema) as writer:
        for _ in range(12):
            writer.write_table(zeros)
    numbers = pa.array(np.zeros(700, np.int32))
    text = pa.table({"s": pa.DictionaryArray.from_arrays(numbers, ["x" * 2**21])})
    pq.write_table(text, folder / "text.parquet", compression="zstd", store_schema=False)
    page = pa.table({"s": pa.array([b"\0" * 2**25] * 12).cast(pa.string())})
    pq.write_table(
        page,
        folder / "page.parquet",
        compression="zstd",
        use_dictionary=False,
        data_page_size=2**31,
    )
    assert all(path.stat().st_size < 2**23 for path in folder.iterdir())
    return sorted(folder.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
@pytest.mark.parametrize("make", [compressed, forged, bombs])
def test_no_file_takes_a_gigabyte(tmp_path: Path, make: Callable[[Path], list[Path]]) -> None:
    """Reading in memory and in chunks, by a process limited to 1 GiB with its libraries."""
    paths = make(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", READ, *map(str, paths)],
        capture_output=True, check=False, env=environment(), timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == 2 * len(paths)
    for path, message in said:
        assert "\n" not in message
        assert not message or path in message
    whole = [message for _, message in said[::2]]
    if make is bombs:  # a wrong number that nothing contradicts does no harm, nor does gzip
        assert all(whole)
    report("bombs", files=len(paths), refused=sum(map(bool, whole)))


# --- 32: little memory ---------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
@pytest.mark.parametrize(
    "most", [0, 6, *(pytest.param(n, marks=pytest.mark.long) for n in (2, 14, *range(1, 30, 2)))]
)
def test_too_little_memory_gives_a_one_line_error(tmp_path: Path, most: int) -> None:
    """With a few MB more than the imports need: a result, or a one-line error and no file."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40_000, 8)).round(3)
    frame = pd.DataFrame(values, columns=[*"abcdefgh"])
    frame["y"] = np.where(values[:, 0] > 0, "yes", "no")
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame[:500].to_csv(tmp_path / "warm.csv", index=False)
    output = tmp_path / "m"
    words = ("train", tmp_path / "t.csv", "--target", "y", "--no-stream", "-qo", output, *QUICK)
    done = limited(most * 2**20, tmp_path / "warm.csv", *words)
    failed = done.returncode == 2
    assert failed or done.returncode == 0, done.stderr.decode()[-2000:]
    assert output.exists() is not failed
    lines = done.stderr.decode().splitlines()
    assert len(lines) == failed
    assert all(line.startswith("error: ") and "memory" in line for line in lines)
    report("little memory", limits=1, too_low=int(failed))


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
@pytest.mark.parametrize(("option", "most"), [("-d", 60), ("-d", 120), ("-v", 250)])
def test_too_little_memory_for_the_libraries_gives_a_one_line_error(option: str, most: int) -> None:
    """Without a check, the libraries would loop, crash or end the process."""
    command = f'ulimit {option} {1024 * most} && exec "$0" -m deltarule evaluate m t.csv'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is not enough memory (the process may take")
    assert done.stderr.count("\n") == 1
    report("little memory", limits=1, too_low=1)
