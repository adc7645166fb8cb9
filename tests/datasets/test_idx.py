"""Reading of idx files: valid ones are read, damaged and forged ones are refused."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deltarule.datasets import read_idx
from deltarule.datasets.idx import parse_idx
from deltarule.errors import DatasetError
from support.networks import proves

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
ARRAYS = st.sampled_from(sorted(CODES)).flatmap(
    lambda kind: hnp.arrays(
        np.dtype(f">{kind}"), hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)
    )
)


def idx(array: np.ndarray) -> bytes:
    """Return the content of an array's idx file, written from the format's description."""
    kind = array.dtype.str[1:]
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    big = array.astype(array.dtype.newbyteorder(">"))
    return bytes([0, 0, CODES[kind], array.ndim]) + sizes + big.tobytes()


@proves(short=20, full=1_000, array=ARRAYS, packed=st.booleans())
def test_written_arrays_are_read(tmp_path: Path, array: np.ndarray, packed: bool) -> None:
    file = tmp_path / "some-idx"
    content = idx(array)
    file.write_bytes(gzip.compress(content) if packed else content)
    found = read_idx(file)
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, array)


@proves(short=20, full=1_000, array=ARRAYS, data=st.data())
def test_a_truncated_file_is_refused(array: np.ndarray, data: st.DataObject) -> None:
    content = idx(array)
    length = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(DatasetError, match="some file"):
        parse_idx(content[:length], "some file")


@proves(short=20, full=1_000, array=ARRAYS, more=st.binary(min_size=1, max_size=9))
def test_trailing_bytes_are_refused(array: np.ndarray, more: bytes) -> None:
    with pytest.raises(DatasetError, match="longer than its header says"):
        parse_idx(idx(array) + more, "some file")


@proves(short=70, full=5_000, content=st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        array = parse_idx(content, "some file")
    except DatasetError:
        return
    assert idx(array) == content  # accepted content follows the format exactly


@proves(
    short=20,
    full=1_000,
    n_axes=st.integers(1, 255),
    size=st.integers(2**16, 2**32 - 1),
    code=st.sampled_from(sorted(CODES.values())),
)
def test_a_forged_header_takes_no_memory(n_axes: int, size: int, code: int) -> None:
    content = bytes([0, 0, code, n_axes]) + size.to_bytes(4, "big") * n_axes + b"few"
    tracemalloc.start()
    with pytest.raises(DatasetError, match="truncated: sizes"):
        parse_idx(content, "some file")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6


def test_a_size_of_zero_is_checked_too() -> None:
    huge = (2**32 - 1).to_bytes(4, "big")
    with pytest.raises(DatasetError, match="no array can have"):
        parse_idx(bytes([0, 0, 8, 4]) + huge * 3 + bytes(4), "some file")
    with pytest.raises(DatasetError, match="no array can have"):
        parse_idx(bytes([0, 0, 8, 200]) + bytes(800), "some file")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "got nothing"),
        (b"\0\0\x08", "two zero bytes"),
        (b"PK\x03\x04", "got 50 4b 03 04"),
        (b"\0\0\x07\x01\0\0\0\0", "type 0x07"),
        (b"\0\0\x08\0", "at least one axis"),
        (b"\0\0\x08\x03\0\0\0\x01", "length of each"),
    ],
)
def test_other_files_are_refused(content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "images"
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=says) as caught:
        read_idx(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere cannot be read: No such file"):
        read_idx(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="cannot be read: Is a directory"):
        read_idx(tmp_path)


def test_damaged_compression_is_named(tmp_path: Path) -> None:
    packed = gzip.compress(idx(np.arange(300, dtype=np.uint8)))
    for name, content in [
        ("cut", packed[:-9]),
        ("turned", packed[:30] + bytes([packed[30] ^ 0xFF]) + packed[31:]),
        ("headless", packed[:2] + b"\xff" * 20),
    ]:
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(DatasetError, match=f"{name} is a damaged gzip file"):
            read_idx(file)


def test_a_decompression_bomb_is_refused_at_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "bomb"
    file.write_bytes(gzip.compress(bytes(50_000_000)))
    tracemalloc.start()
    with pytest.raises(DatasetError, match="more than the expected 1,000,000 bytes"):
        read_idx(file, most_bytes=1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000
