"""Class labels: the dtypes that a classifier takes, and how a model file holds each of them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from deltarule.errors import DataError, ModelFileError

__all__ = ["plain_labels", "read_classes", "write_classes"]

_DTYPE = re.compile(r"[<>|][biufUmM][0-9]{0,9}(\[[0-9]{0,9}[A-Za-z]{1,2}\])?")
_WIDEST = 8  # bytes of a number that JSON holds exactly and that every platform has


def plain_labels(y: Any) -> Any:
    """Return labels as scikit-learn reads them: variable-width strings as objects.

    Raises
    ------
    DataError
        For a date or duration that is missing (NaT), which is a label of nothing.
    """
    dtype = getattr(y, "dtype", None)
    if isinstance(dtype, np.dtypes.StringDType):
        return np.asarray(y).astype(object)
    dated = np.asarray(y) if getattr(dtype, "kind", "") in ("m", "M") else None
    if dated is not None and dated.dtype.kind in "mM" and bool(np.isnat(dated).any()):
        raise DataError(
            "y contains NaT, a missing date. Drop those rows, for example with "
            "keep = ~numpy.isnat(y); fit(X[keep], y[keep])."
        )
    return y


def write_classes(classes: Any) -> dict[str, Any]:
    """Return the entries ``classes`` and ``class_dtype`` of a record, which hold every bit.

    Raises
    ------
    ModelFileError
        For a dtype that would come back as another one.
    """
    kind, dtype = classes.dtype.kind, classes.dtype
    if kind == "O" and all(type(label) is str for label in classes):
        return {"classes": classes.tolist(), "class_dtype": "object"}
    if kind in "mM":
        return {"classes": classes.view(dtype.str[0] + "i8").tolist(), "class_dtype": dtype.str}
    fits = dtype.itemsize <= (4 * _most_characters(classes) if kind == "U" else _WIDEST)
    if kind in "biufU" and fits:
        return {"classes": classes.tolist(), "class_dtype": dtype.str}
    raise ModelFileError(
        f"classes of dtype {dtype} cannot be stored in a file without a change: got "
        f"{classes[:3].tolist()!r:.60}. Fit on y.astype(str), or on y.astype(float)."
    )


def read_classes(labels: list[Any], dtype: Any) -> Any:
    """Return the classes that :func:`write_classes` wrote, in their dtype.

    Raises
    ------
    ModelFileError
        If the entries are not what it writes.
    """
    wrong = ModelFileError("the model's record holds no valid classes.")
    if dtype == "object":
        if not all(type(label) is str for label in labels):
            raise wrong
        return np.array(labels, dtype=object)
    if not (isinstance(dtype, str) and _DTYPE.fullmatch(dtype)):
        raise wrong
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        raise wrong from None
    if wanted.str != dtype or wanted.kind not in "biufUmM":
        raise wrong
    types: Any = {"b": bool, "f": float, "U": str}.get(wanted.kind, int)
    if not all(type(label) is types for label in labels):
        raise wrong
    if wanted.kind == "U" and wanted.itemsize > 4 * _most_characters(labels):
        raise wrong
    try:
        with np.errstate(over="raise"):
            stored = wanted.str[0] + "i8" if wanted.kind in "mM" else wanted
            classes = np.array(labels, dtype=stored)
    except (OverflowError, FloatingPointError):
        raise wrong from None
    if classes.tolist() != labels:  # rounded, or cut short
        raise wrong
    if wanted.kind == "f" and not all(abs(label) < 2.0**63 for label in labels):
        raise ModelFileError("the model's classes are no whole numbers.")
    if wanted.kind in "mM":
        classes = classes.view(wanted)
        if np.isnat(classes).any():
            raise wrong
    return classes


def _most_characters(labels: Any) -> int:
    """Return the most characters that labels may reserve: a file must not claim much memory."""
    return 1000 + max(map(len, labels), default=0)
