"""Damaged and forged files are always detected, quickly and without much memory."""

from __future__ import annotations

import json
import random
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deltarule import load
from deltarule.errors import ModelFileError
from support.faults import report
from support.storage import Archive, model_files, parts_of, signed

KINDS = ("classifier", "pipeline", "regressor", "table")
MOST_BYTES = 50 * 10**6


def refusal(path: Path, data: bytes) -> float:
    """Load a file that must be refused; return the processor time in seconds."""
    path.write_bytes(data)
    started = time.process_time()
    with pytest.raises(ModelFileError):
        load(path)
    return time.process_time() - started


def memory_of_refusal(path: Path, data: bytes) -> int:
    """Return the peak memory of a refusal in bytes, without the file's own."""
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError):
            load(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("kind", "count"),
    [("classifier", 2000), *(pytest.param(k, 10_000, marks=pytest.mark.long) for k in KINDS)],
)
def test_flipped_bits(tmp_path: Path, kind: str, count: int) -> None:
    data, draw = model_files()[kind], random.Random(0)
    for bit in draw.choices(range(8 * len(data)), k=count):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        refusal(tmp_path / "m", bytes(damaged))
    report("flips", flips=count)


@pytest.mark.parametrize(
    ("kind", "step"),
    [("classifier", 7), *(pytest.param(k, 1, marks=pytest.mark.long) for k in KINDS)],
)
def test_truncation_at_every_byte(tmp_path: Path, kind: str, step: int) -> None:
    data = model_files()[kind]
    load_once(tmp_path / "m", data)
    spent = sorted(refusal(tmp_path / "m", data[:n]) for n in range(0, len(data), step))
    report("truncation", cut=len(spent), slowest_ms=round(1000 * spent[-1], 2))


def load_once(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    load(path)


def forged(kind: str, change: Callable[[dict[str, Any]], Any]) -> bytes:
    header, body = parts_of(model_files()[kind])
    change(header)
    return signed(header, body)


def in_record(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def apply(header: dict[str, Any]) -> None:
        record = json.loads(header["__metadata__"]["record"])
        change(record["model"])
        header["__metadata__"]["record"] = json.dumps(record)

    return apply


def lengths(data: bytes) -> dict[str, bytes]:
    return {
        f"a header of {n} bytes": struct.pack("<Q", n) + data[8:]
        for n in (0, 1, 2**31, 2**63, 2**64 - 1, 100 * 2**20 + 1)
    }


GIANTS: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "a shape of 2**62": ("classifier", lambda h: h["W1"].update(shape=[2**62, 4])),
    "a shape of 2**70": ("classifier", lambda h: h["W1"].update(shape=[2**70, 2**70])),
    "offsets beyond the end": (
        "classifier",
        lambda h: h["W1"].update(shape=[10**9], data_offsets=[0, 8 * 10**9]),
    ),
    "one array in two places": (
        "classifier",
        lambda h: h["W1"].update(data_offsets=h["W2"]["data_offsets"]),
    ),
    "10**9 units": ("classifier", in_record(lambda r: r.update(widths=[4, 10**9, 1]))),
    "10**9 inputs": ("classifier", in_record(lambda r: r.update(widths=[10**9, 3, 1]))),
    "10**6 layers": ("classifier", in_record(lambda r: r.update(widths=[3] * 10**6))),
    "10**9 hidden units asked for": (
        "regressor",
        in_record(lambda r: r["parameters"].update(hidden_layer_sizes=[10**9])),
    ),
    "10**5 activations": (
        "classifier",
        in_record(lambda r: r["hidden"].update(activation=["relu"] * 10**5)),
    ),
    "10**5 networks": ("pipeline", in_record(lambda r: r.update(networks=[{}] * 10**5))),
}


@pytest.mark.parametrize("name", GIANTS)
def test_forged_giant_sizes_take_no_memory(tmp_path: Path, name: str) -> None:
    kind, change = GIANTS[name]
    data = forged(kind, change)
    if name == "10**9 hidden units asked for":  # an argument for a next fit, no array: it loads
        load_once(tmp_path / "m", data)
        return
    taken = memory_of_refusal(tmp_path / "m", data)
    assert taken < MOST_BYTES
    report("giants", forged=1, most_mb=round(taken / 1e6, 1))


@pytest.mark.parametrize("name", sorted(lengths(b"")))
def test_forged_lengths(tmp_path: Path, name: str) -> None:
    data = lengths(model_files()["table"])[name]
    seconds = refusal(tmp_path / "m", data)
    taken = memory_of_refusal(tmp_path / "m", data)
    assert taken < 10**6
    report(
        "lengths",
        forged=1,
        slowest_ms=round(1000 * seconds, 2),
        most_mb=round(taken / 1e6, 2),
    )


def test_a_huge_sparse_file_is_not_read(tmp_path: Path) -> None:
    """Four sparse gigabytes, whose first bytes are invalid."""
    path = tmp_path / "m"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 2**40) + b"{")
        file.truncate(4 * 2**30)
    tracemalloc.start()
    with pytest.raises(ModelFileError, match="has a header of"):
        load(path)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < 10**6


def test_trailing_bytes(tmp_path: Path) -> None:
    for kind in KINDS:
        data = model_files()[kind]
        header, body = parts_of(data)
        for tail in (b"\0", b" " * 8, data):
            refusal(tmp_path / "m", data + tail)
            refusal(tmp_path / "m", signed(header, body + tail))


@pytest.mark.parametrize("shape", ["(1000000000,)", "(4611686018427387904, 2)", "(1000, 1000000)"])
def test_giant_arrays_in_a_pipeline(tmp_path: Path, shape: str) -> None:
    archive = Archive.of(model_files()["pipeline"])
    name = sorted(archive.arrays)[0]
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(64)
    data = archive.file(archive.tree, archive.arrays | {name: npy})
    taken = memory_of_refusal(tmp_path / "m", data)
    assert taken < MOST_BYTES
    report("giants", forged=1, most_mb=round(taken / 1e6, 1))
