"""Whatever the bytes of a table are, reading it ends in rows or in one error of ours, and soon."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from deltarule.errors import TableError
from deltarule.tables import CsvFormat, Table, csv_format, open_source, read_table
from deltarule.tables.sources import csv as csv_source
from support import networks as support
from support.faults import report
from support.tables import kinds_of

BATCHES = int(os.environ.get("DELTARULE_FUZZ_BATCHES", "50"))
LONG = [
    pytest.param(seed, 10_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])
    for seed in range(1, BATCHES + 1)
]

SCRAPS = (
    *(b'"', b'""', b",", b";", b"\t", b"|", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xef\xbb\xbf"),
    *(b"\xc3", b"1e999", b"NaN", b"None", b"NA", b"-", b"1,5", b"=1+1", b" ", b"a,a", b"oops"),
    *(
        b'"\n',
        b'\n"',
        b"x" * 300,
        b"\xf0\x9f\x98\x80",
        b"PAR1",
        b"\x1f\x8b",
        b"2024-01-01",
        b"true",
    ),
)
ENCODINGS = (
    "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252",
    "cp1251", "shift_jis", "gb18030", "utf-7",
)  # fmt: skip
COMPRESSIONS: tuple[Callable[[bytes], bytes], ...] = (
    bytes, bytes, gzip.compress, bz2.compress, lzma.compress,
    lambda data: pa.compress(data, "zstd", asbytes=True),
    lambda data: pa.compress(data, "lz4", asbytes=True),
    lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:]),
)  # fmt: skip
BYTES = (0, 1, 2, 9, 10, 13, 21, 24, 34, 44, 48, 127, 128, 200, 255)


@cache
def sound() -> tuple[bytes, ...]:
    """Small tables: CSV of several kinds, and Parquet with and without compression."""
    rows = [f"{i},{i / 7:.3f},{'ab'[i % 2]},{str(i % 3 == 0).lower()}" for i in range(12)]
    plain = "\n".join(["n,x,c,t", *rows, ""])
    quoted = 'n,"x y",c,t\n1,"two\nlines",a,true\n2,"say ""yes""",b,\n3,,NA,false\n'
    made = [plain, plain.replace(",", ";"), plain.replace("\n", "\r\n"), quoted, "\ufeff" + plain]
    table = pa.table(
        {
            "n": pa.array([*range(40), None]),
            "x": np.linspace(0, 1, 41).astype(np.float32),
            "c": pa.array(["a", None, "é"] * 13 + ["b", "c"]).dictionary_encode(),
            "s": ["text"] * 41,
            "t": pa.array([True, False, None] * 13 + [True, True]),
            "d": pa.array(range(41), pa.timestamp("s")),
        }
    )
    files = [text.encode() for text in made]
    for options in ({"compression": "none"}, {"compression": "zstd"}, {"version": "1.0"}):
        buffer = io.BytesIO()
        pq.write_table(table, buffer, row_group_size=15, **options)
        files.append(buffer.getvalue())
    return tuple(files)


def mutated(draw: random.Random) -> bytes:
    """Return a sound table with one to four things wrong."""
    data = bytearray(draw.choice(sound()))
    parquet = data.startswith(b"PAR1")
    end = len(data)
    footer = end - 8 - int.from_bytes(data[-8:-4], "little") if parquet else 0
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        how, place = draw.random(), draw.randrange(len(data))
        if parquet and draw.random() < 0.6:  # where the lies are
            place = draw.randrange(min(footer, len(data) - 1), len(data))
        if how < 0.45:
            data[place] = (
                draw.choice(BYTES) if draw.random() < 0.7 else data[place] ^ 1 << place % 8
            )
        elif how < 0.6 and not parquet:
            data[place:place] = draw.choice(SCRAPS)
        elif how < 0.75:
            del data[place : place + draw.choice((1, 1, 2, 8, 40))]
        elif how < 0.85:
            data = data[: max(place, 1)]
        else:
            other = draw.choice(sound())
            start = draw.randrange(len(other))
            data[place : place + 8] = other[start : start + draw.choice((1, 8, 60))]
        if not data:
            data = bytearray(b"\n")
    return bytes(data)


def dressed(draw: random.Random) -> tuple[bytes, CsvFormat]:
    """Return a mutated text in another encoding, compression or separation, and odd options."""
    data = mutated(draw)
    text = data.decode("utf-8", "replace") if draw.random() < 0.8 else data.decode("latin-1")
    if draw.random() < 0.2:
        text = draw.choice(("sep=;\n", "sep=|\r\n", '# 5" x\n', "\n\n", "Report\n")) + text
    if draw.random() < 0.2:
        text = text.replace("\n", draw.choice((",\n", ",,\n", ";\n", "\r")))
    data = text.encode(draw.choice(ENCODINGS), draw.choice(("replace", "xmlcharrefreplace")))
    data = draw.choice(COMPRESSIONS)(data)
    if draw.random() < 0.3:
        place = draw.randrange(len(data) + 1)
        data = data[:place] + draw.choice(SCRAPS) * draw.randrange(2) + data[place + 1 :]
    given = {
        "separator": draw.choice(",;\t| ^]\\"),
        "encoding": draw.choice(ENCODINGS),
        "header": False,
        "skip": draw.randrange(4),
        "comment": draw.choice("#%^]\\n"),
    }
    chosen = {name: value for name, value in given.items() if draw.random() < 0.2}
    if chosen.get("comment") == chosen.get("separator"):
        chosen.pop("comment", None)
    return data, csv_format(**chosen)


def checked(error: TableError, path: Path) -> TableError:
    """Return an error that is one line and names the file."""
    assert "\n" not in str(error)
    assert str(path) in str(error)
    return error


def read(path: Path, data: bytes, form: CsvFormat | None = None) -> bool:
    """Read some bytes whole and in pieces; whether they are a table. Other errors leave here."""
    path.write_bytes(data)
    found: list[Table | TableError] = []
    for way in (read_table, lambda *of: [piece.table for piece in open_source(*of).scan()]):
        try:
            found.append(way(path, form))
        except TableError as error:
            found.append(checked(error, path))
    whole, pieces = found
    if isinstance(whole, Table) and whole.rows:
        try:
            kinds_of(whole)
        except TableError as error:
            checked(error, path)
    if isinstance(whole, Table) and isinstance(pieces, list):
        assert sum(piece.rows for piece in pieces) == whole.rows
    return isinstance(whole, Table)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "t"


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 270), pytest.param(0, 800, marks=pytest.mark.long), *LONG]
)
def test_mutated_tables(
    place: Path, monkeypatch: pytest.MonkeyPatch, seed: int, count: int
) -> None:
    draw = random.Random(seed)
    monkeypatch.setattr(csv_source, "CHUNK_BYTES", 64)
    tables = sum(read(place, mutated(draw)) for _ in range(count))
    assert 0.02 * count < tables < 0.9 * count
    report("fuzz tables", inputs=count)


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 100), pytest.param(0, 300, marks=pytest.mark.long), *LONG[::5]]
)
def test_dressed_tables(
    place: Path, monkeypatch: pytest.MonkeyPatch, seed: int, count: int
) -> None:
    """Encodings, compressions, separators and the options that name them."""
    draw = random.Random(-seed - 1)
    monkeypatch.setattr(csv_source, "CHUNK_BYTES", 64)
    tables = sum(read(place, *dressed(draw)) for _ in range(count))
    assert 0.1 * count < tables < 0.9 * count
    report("fuzz tables", inputs=count)


@support.proves(short=70, full=5000, data=st.binary(max_size=200))
def test_any_bytes(place: Path, data: bytes) -> None:
    read(place, data)


@support.proves(
    short=70, full=5000, text=st.text(st.sampled_from('ab1,;"\n\r\t |é\0'), max_size=60)
)
def test_any_text(place: Path, text: str) -> None:
    read(place, text.encode())


@support.proves(short=35, full=5000, data=st.binary(max_size=120))
def test_any_footer(place: Path, data: bytes) -> None:
    read(place, b"PAR1" + data + len(data).to_bytes(4, "little") + b"PAR1")
