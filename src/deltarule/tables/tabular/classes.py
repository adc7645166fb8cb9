"""Classes in the user's own type, beside the labels of a table's target, which are texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deltarule.errors import TableError
from deltarule.estimators.class_labels import read_classes, write_classes
from deltarule.tables.columns import number_text
from deltarule.tables.messages import listing
from deltarule.tables.record import Classes
from deltarule.tables.settings import Interface

__all__ = ["classes_of", "label_places", "stored_classes", "without_marks"]


def classes_of(interface: Interface, target: Classes) -> NDArray[Any]:
    """Return the classes that a file names, or those that follow from the target."""
    if interface.classes is not None:
        return np.asarray(read_classes(list(interface.classes), interface.class_dtype))
    return _natural_classes(target)


def without_marks(classes: NDArray[Any], missing: Iterable[str]) -> NDArray[Any]:
    """Return the classes that are no marks for a missing target."""
    marks = set(missing)
    kept = [value not in marks and _label(value) not in marks for value in classes.tolist()]
    return classes if all(kept) else classes[np.array(kept)]


def stored_classes(classes: NDArray[Any] | None, target: Any) -> dict[str, Any]:
    """Return the entries of a record; none for classes that follow from the target."""
    if classes is None or not isinstance(target, Classes):
        return {}
    natural = _natural_classes(target)
    if classes.dtype == natural.dtype and classes.tolist() == natural.tolist():
        return {}
    return write_classes(classes)


def label_places(classes: NDArray[Any], target: Classes) -> NDArray[np.intp]:
    """Return the place of each class among the target's labels; other classes are an error."""
    place = {label: number for number, label in enumerate(target.labels)}
    found = [place.get(_label(value)) for value in classes.tolist()]
    if None in found or len(set(found)) != len(place) or len(found) != len(place):
        raise TableError(
            f"y has the classes {listing(classes.tolist())}, which as cells of a table would be "
            f"{listing(target.labels)}; give them names that differ by more than blanks around them"
        )
    return np.array(found, dtype=np.intp)


def _natural_classes(target: Classes) -> NDArray[Any]:
    """Return classes as pandas would read them from a CSV file."""
    labels = target.labels
    if not target.numeric:
        if labels == ["false", "true"]:
            return np.array([False, True])
        return np.array(labels, dtype=object)
    numbers = [float(label) for label in labels]
    whole = all(n.is_integer() and abs(n) < 2**53 for n in numbers)
    return np.array(numbers, dtype=np.int64 if whole else np.float64)


def _label(value: Any) -> str:
    """Return a class as the text of a cell."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return value.strip() if isinstance(value, str) else number_text(value)
