"""Images that anchors train on, as numbers in [0, 1], and a substitute if they are missing."""

from __future__ import annotations

import os
from functools import cache
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

from deltarule.datasets import load_fashion_mnist, load_mnist
from deltarule.errors import DatasetError

__all__ = ["Images", "load_images", "uses_substitute"]


class Images(NamedTuple):
    """Images as float32 pixels divided by 255, and labels."""

    X_train: np.ndarray  # (n, 784)
    y_train: np.ndarray  # (n,)
    X_test: np.ndarray
    y_test: np.ndarray
    name: str


def load_images(name: str, rows: int | None = None, *, substitute: bool = False) -> Images:
    """Return the data set "mnist" or "fashion-mnist" with its first ``rows`` training images.

    If its files are missing and ``substitute`` is true, return scikit-learn's digits instead.
    """
    load = {"mnist": load_mnist, "fashion-mnist": load_fashion_mnist}[name]
    try:
        found = load(dtype="float32", download=False)
    except DatasetError:
        if not substitute:
            raise
        return _digits()
    images = Images(
        found.X_train[:rows] / 255, found.y_train[:rows], found.X_test / 255, found.y_test, name
    )
    return images


def uses_substitute(name: str) -> bool:
    """Return whether the smoke form uses the digits, because the data set's files are missing."""
    return _is_absent(name, os.environ.get("DELTARULE_DATA", ""))


@cache
def _is_absent(name: str, folder: str) -> bool:
    try:
        load_images(name, 1)
    except DatasetError:
        return True
    return False


def _digits() -> Images:
    """Return scikit-learn's 1 797 digits of 8 × 8 pixels, enlarged to 28 × 28."""
    digits = load_digits()
    large = np.kron(digits.images / 16, np.ones((3, 3)))
    X = np.pad(large, ((0, 0), (2, 2), (2, 2))).reshape(-1, 784).astype(np.float32)
    return Images(X[:1400], digits.target[:1400], X[1400:], digits.target[1400:], "digits")
