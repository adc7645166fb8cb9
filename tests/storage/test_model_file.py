"""Model files: any safetensors reader opens them, damage is detected, no code is run."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import random
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors import safe_open
from safetensors.numpy import load_file, save
from sklearn.datasets import load_iris

from deltarule import MLPClassifier, MLPRegressor, load
from deltarule import save as save_model
from deltarule.errors import ModelFileError, OutputError
from deltarule.storage import read_model_record
from deltarule.storage.safetensors_file import InvalidFileError, pack, unpack
from support.faults import report


@pytest.fixture(scope="module")
def iris() -> tuple[Any, Any]:
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, iris: tuple[Any, Any]) -> bytes:
    model = MLPClassifier((3,), solver="lbfgs", max_iter=500, random_state=0).fit(*iris)
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    return Path(save_model(model, path)).read_bytes()


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(ModelFileError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def header_of(data: bytes) -> dict[str, Any]:
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def forge(header: dict[str, Any] | str, body: bytes, *, keep: bool = False) -> bytes:
    """Return a file with this header and the right digest."""
    text = header if isinstance(header, str) else json.dumps(header, separators=(",", ":"))
    data = struct.pack("<Q", len(text.encode())) + text.encode() + body
    place = data.find(b'"sha256":"') + 10
    if place < 10 or keep:
        return data
    blank = data[:place] + b"0" * 64 + data[place + 64 :]
    return data[:place] + hashlib.sha256(blank).hexdigest().encode() + data[place + 64 :]


# --- round trips ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_loaded_estimators_are_equal_to_the_bit(
    tmp_path: Path, iris: tuple[Any, Any], kind: Any, dtype: Any
) -> None:
    X, y = iris[0].astype(dtype), iris[1]
    model = kind(hidden_layer_sizes=(5, 4), max_iter=1000, random_state=0, early_stopping=True).fit(
        X, y
    )
    path = save_model(model, tmp_path / "m.safetensors")
    again = load(path)
    assert type(again) is kind
    assert again.get_params() | {"hidden_layer_sizes": (5, 4)} == model.get_params()
    assert list(again.hidden_layer_sizes) == [5, 4]
    for ours, theirs in zip(again.coefs_, model.coefs_, strict=True):
        assert ours.dtype == theirs.dtype
        assert_array_equal(ours, theirs)
    assert_array_equal(again.predict(X), model.predict(X))
    assert again.loss_curve_ == model.loss_curve_
    assert again.validation_scores_ == model.validation_scores_


def test_labels_of_any_text_are_loaded(tmp_path: Path, iris: tuple[Any, Any]) -> None:
    labels = np.array(['"sha256":"' + "0" * 64 + '"', "é\n\u2028", "ç,'"])[iris[1]]
    model = MLPClassifier((3,), solver="lbfgs", max_iter=500, random_state=0).fit(iris[0], labels)
    again = load(save_model(model, tmp_path / "m"))
    assert_array_equal(again.predict(iris[0]), model.predict(iris[0]))


def test_equal_models_give_equal_bytes(tmp_path: Path, iris: tuple[Any, Any]) -> None:
    model = MLPClassifier((3,), solver="lbfgs", max_iter=500, random_state=0).fit(*iris)
    one, two = (save_model(model, tmp_path / name).read_bytes() for name in ("one", "two"))
    assert one == two
    save_model(load(tmp_path / "one"), tmp_path / "three")
    assert (tmp_path / "three").read_bytes() == one


def test_the_safetensors_library_reads_our_file(tmp_path: Path, good: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(good)
    ours = read_model_record(path).tensors
    theirs = load_file(path)
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype
        assert_array_equal(array, theirs[name])
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    assert metadata["format"] == "deltarule"
    blank = good.replace(metadata["sha256"].encode(), b"0" * 64)
    assert metadata["sha256"] == hashlib.sha256(blank).hexdigest()


def test_arrays_of_every_kind_and_shape() -> None:
    tensors = {
        "scalar": np.array(1.5),
        "empty": np.zeros((0, 3), dtype=np.float32),
        "strided": np.arange(12).reshape(3, 4)[:, ::2],
        "big": np.arange(5, dtype=">f8"),
        "bytes": np.arange(5, dtype=np.uint8),
        "flags": np.array([True, False]),
        "ü": np.arange(3, dtype=np.int32),
    }
    metadata, again = unpack(pack(tensors, {"a": "é"}))
    assert metadata == {"a": "é"}
    for name, array in tensors.items():
        assert_array_equal(again[name], array)
        assert again[name].dtype == array.dtype.newbyteorder("=")
        assert again[name].flags.writeable


def test_does_not_overwrite_by_default(tmp_path: Path, good: bytes, iris: tuple[Any, Any]) -> None:
    path = tmp_path / "m"
    path.write_bytes(good)
    model = load(path)
    with pytest.raises(OutputError, match="already exists"):
        save_model(model, path)
    save_model(model, path, overwrite=True)


def test_unfitted_and_unsupported_objects_are_not_saved(tmp_path: Path) -> None:
    for model in (MLPClassifier(), object()):
        with pytest.raises(ModelFileError):
            save_model(model, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


# --- damage --------------------------------------------------------------------------------------


def flips(data: bytes, count: int) -> set[int]:
    """Return bits from the whole file, and one from every byte of the header."""
    draw = random.Random(0)
    header = 8 + int.from_bytes(data[:8], "little")
    chosen = {8 * byte + draw.randrange(8) for byte in range(header)}
    return chosen | {draw.randrange(8 * len(data)) for _ in range(count)}


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.long)])
def test_every_flipped_bit_is_detected(good: bytes, count: int) -> None:
    assert unpack(good)
    for bit in flips(good, count):
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidFileError):
            unpack(bytes(damaged))


def test_a_flipped_bit_gives_one_line_on_the_command_line(tmp_path: Path, good: bytes) -> None:
    for place in (0, 5, 7, 8, 60, len(good) // 2, len(good) - 1):
        damaged = bytearray(good)
        damaged[place] ^= 64
        assert "it" in refused(tmp_path / "m", bytes(damaged))


@pytest.mark.parametrize("step", [13, pytest.param(1, marks=pytest.mark.long)])
def test_every_truncation_is_detected(good: bytes, step: int) -> None:
    for length in [*range(0, len(good), step), len(good) - 1]:
        with pytest.raises(InvalidFileError):
            unpack(good[:length])
    for tail in (b"\0", b" ", good):
        with pytest.raises(InvalidFileError):
            unpack(good + tail)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 100_000_001, 2**31, 0, 1])
def test_forged_header_lengths_are_refused_before_allocating(
    tmp_path: Path, good: bytes, length: int
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(tmp_path / "m", struct.pack("<Q", length) + good[8:])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


# --- forgeries with a digest that is right -------------------------------------------------------


def change_entry(name: str, **entry: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda header: header[name].update(entry)


def change_record(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def apply(header: dict[str, Any]) -> None:
        record = json.loads(header["__metadata__"]["record"])
        change(record)
        header["__metadata__"]["record"] = json.dumps(record)

    return apply


FORGERIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "shape overflow": change_entry("W1", shape=[2**62, 4]),
    "shape of many zeros": change_entry("W1", shape=[2**70, 0], data_offsets=[0, 0]),
    "negative shape": change_entry("W1", shape=[-4, -3]),
    "float shape": change_entry("W1", shape=[4.0, 3]),
    "boolean shape": change_entry("b1", shape=[True, 3]),
    "other shape": change_entry("W1", shape=[3, 4]),
    "overlap": lambda h: h["W1"].update(data_offsets=h["W2"]["data_offsets"]),
    "offsets swapped": lambda h: h["W1"].update(data_offsets=h["W1"]["data_offsets"][::-1]),
    "offsets beyond the end": lambda h: h["W1"].update(data_offsets=[10**9, 10**9 + 96]),
    "dtype unknown": change_entry("W1", dtype="F8_E4M3"),
    "dtype is a list": change_entry("W1", dtype=["F64"]),
    "extra key in an entry": change_entry("W1", loader="os.system"),
    "entry is a text": lambda h: h.update(W1="F64"),
    "array missing": lambda h: h.pop("W1"),
    "other format": lambda h: h["__metadata__"].update(format="pt"),
    "newer version": lambda h: h["__metadata__"].update(version="2"),
    "extra metadata": lambda h: h["__metadata__"].update(module="os"),
    "record is no JSON": lambda h: h["__metadata__"].update(record="import os"),
    "record is a list": lambda h: h["__metadata__"].update(record="[]"),
    "record nested deeply": lambda h: h["__metadata__"].update(record="[" * 100_000),
    "record has NaN": lambda h: h["__metadata__"].update(record='{"kind":NaN}'),
    "record has a huge number": lambda h: h["__metadata__"].update(record='{"kind":1e999}'),
    "record repeats a key": lambda h: h["__metadata__"].update(
        record='{"kind":"estimator","kind":"estimator","model":{}}'
    ),
    "unknown kind": change_record(lambda r: r.update(kind="os.system")),
    "extra key in the envelope": change_record(lambda r: r.update(module="os")),
    "unknown class": change_record(lambda r: r["model"].update(kind="subprocess.Popen")),
    "extra key in the record": change_record(lambda r: r["model"].update(hook="os.system")),
    "10**9 units": change_record(lambda r: r["model"].update(widths=[4, 10**9, 3])),
    "10**9 layers": change_record(lambda r: r["model"].update(widths=[4] * 10**6)),
    "extra parameter": change_record(lambda r: r["model"]["parameters"].update(hook=1)),
    "activation unknown": change_record(
        lambda r: r["model"]["parameters"].update(activation="os.system")
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_are_refused(tmp_path: Path, good: bytes, name: str) -> None:
    header = header_of(good)
    body = good[8 + int.from_bytes(good[:8], "little") :]
    assert load_bytes(tmp_path, forge(header, body)) is not None
    FORGERIES[name](header)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(tmp_path / "m", forge(header, body))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def load_bytes(folder: Path, data: bytes) -> Any:
    path = folder / "good"
    path.write_bytes(data)
    return load(path)


def test_repeated_header_keys_are_refused(tmp_path: Path, good: bytes) -> None:
    end = 8 + int.from_bytes(good[:8], "little")
    text = good[8:end].decode().rstrip()
    entry = '"b1":' + json.dumps(header_of(good)["b1"])
    twice = text[:-1] + "," + entry + "}"
    assert "appears twice" in refused(tmp_path / "m", forge(twice, good[end:]))


def test_another_programs_safetensors_file_is_refused(tmp_path: Path) -> None:
    data = save({"W1": np.ones(3)}, {"format": "pt"})
    assert "not written by deltarule" in refused(tmp_path / "m", data)


# --- other formats, some of which run code -------------------------------------------------------


class Bomb:
    """An object that creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (Path.touch, (self.marker,))


def npz(bomb: Bomb) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([bomb], dtype=object))
    return buffer.getvalue()


def npy(bomb: Bomb) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([bomb], dtype=object))
    return buffer.getvalue()


def joblib_file(bomb: Bomb, compress: Any = 0) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(bomb, buffer, compress=compress)
    return buffer.getvalue()


def keras(bomb: Bomb) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("config.json", '{"class_name": "Lambda"}')
    return buffer.getvalue()


BOMBS: dict[str, tuple[Callable[[Bomb], bytes], str]] = {
    **{
        f"pickle {protocol}": (lambda b, p=protocol: pickle.dumps(b, p), "a pickle")  # type: ignore[misc]
        for protocol in range(6)
    },
    "joblib": (joblib_file, "a pickle"),
    "joblib zlib": (lambda b: joblib_file(b, 3), "compressed"),
    "joblib gzip": (lambda b: joblib_file(b, ("gzip", 3)), "compressed"),
    "joblib bz2": (lambda b: joblib_file(b, ("bz2", 3)), "compressed"),
    "joblib xz": (lambda b: joblib_file(b, ("xz", 3)), "compressed"),
    "gzip": (lambda b: gzip.compress(pickle.dumps(b)), "compressed"),
    "npy": (npy, r"\.npy"),
    "npz": (npz, "zip archive"),
    "keras": (keras, "zip archive"),
    "h5": (lambda b: b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_files_that_could_run_code_are_recognised_and_not_opened(tmp_path: Path, name: str) -> None:
    make, kind = BOMBS[name]
    marker = tmp_path / "marker"
    path = tmp_path / "model.safetensors"
    path.write_bytes(make(Bomb(marker)))
    with pytest.raises(ModelFileError, match=f"not a deltarule model but .*{kind}.*not opened"):
        load(path)
    assert not marker.exists()
    report("foreign", files=1)


def test_missing_files_folders_and_pipes(tmp_path: Path) -> None:
    import os

    with pytest.raises(ModelFileError, match="there is no model file"):
        load(tmp_path / "none")
    with pytest.raises(ModelFileError, match="not a regular file"):
        load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="not a regular file"):
        load(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    with pytest.raises(ModelFileError, match="cut short"):
        load(tmp_path / "empty")
