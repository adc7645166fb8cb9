"""Loading any bytes gives a model or one of deltarule's errors, and quickly."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from deltarule import load
from deltarule.errors import ModelFileError
from support import networks as support
from support.faults import report
from support.storage import Mutator, model_files, parts_of, signed

SHORT = [(seed, 350) for seed in range(1001, 1005)]
BATCHES = int(os.environ.get("DELTARULE_FUZZ_BATCHES", "50"))
LONG = [pytest.param(seed, 10_000, marks=pytest.mark.long) for seed in range(1, BATCHES + 1)]
"""Half a million inputs, or the requested number of batches of 10 000."""


def loaded(path: Path, data: bytes) -> bool:
    """Load some bytes; return whether they gave a model; raise errors that are not ours."""
    path.write_bytes(data)
    try:
        model = load(path)
    except ModelFileError as error:
        message = str(error)
    else:
        check_finite(model)
        return True
    assert "\n" not in message
    assert str(path) in message
    return False


def check_finite(model: Any) -> None:
    """A model that was loaded has finite parameters."""
    last = getattr(model, "estimator", None) or getattr(model, "steps", [(0, model)])[-1][1]
    for array in getattr(last, "coefs_", []):
        assert np.isfinite(array).all()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("seed", "count"), [*SHORT, *LONG])
def test_structured_mutations_with_a_right_digest(tmp_path: Path, seed: int, count: int) -> None:
    mutate, path = Mutator(seed), tmp_path / "m"
    models = sum(loaded(path, mutate()) for _ in range(count))
    assert (
        0.02 * count < models < 0.5 * count
    )  # some mutated files pass every check, and most do not
    report("fuzz", inputs=count)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "m"


@support.proves(short=70, full=20_000, data=st.binary(max_size=300))
def test_any_bytes(place: Path, data: bytes) -> None:
    assert not loaded(place, data)


@support.proves(
    short=70,
    full=20_000,
    length=st.integers(0, 2**64 - 1) | st.integers(0, 400),
    text=st.binary(max_size=300),
)
def test_any_header(place: Path, length: int, text: bytes) -> None:
    assert not loaded(place, struct.pack("<Q", length) + b"{" + text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


@support.proves(
    short=100,
    full=20_000,
    name=st.sampled_from(sorted(model_files())),
    key=st.text(max_size=6) | st.sampled_from(["W1", "b1", "__metadata__", "skops"]),
    value=JSON,
)
def test_any_json_in_the_header(place: Path, name: str, key: str, value: Any) -> None:
    header, body = parts_of(model_files()[name])
    before = dict(header)
    header[key] = value
    assert not loaded(place, signed(header, body)) or header == before


def test_undamaged_files_load(place: Path) -> None:
    for data in model_files().values():
        header, body = parts_of(data)
        assert loaded(place, data)
        assert loaded(place, signed(header, body))


@pytest.mark.parametrize("depth", [50, 900, 5000, 100_000])
@pytest.mark.parametrize("name", sorted(model_files()))
def test_deep_nesting(place: Path, name: str, depth: int) -> None:
    header, body = parts_of(model_files()[name])
    record = header["__metadata__"]["record"]
    deep = "[" * depth + "]" * depth
    for old in ('"parameters":{', '"model":{', '"activation":'):
        head, found, tail = record.partition(old)
        spoiled = head + found + (f'"x":{deep},' if old.endswith("{") else deep + ',"y":') + tail
        header["__metadata__"]["record"] = spoiled
        assert found
        started = time.perf_counter()
        assert not loaded(place, signed(header, body))
        assert time.perf_counter() - started < 5
