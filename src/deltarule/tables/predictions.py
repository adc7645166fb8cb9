"""What a model says about rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy import float64
from numpy.typing import NDArray

__all__ = ["Predictions"]


@dataclass(frozen=True)
class Predictions:
    """What a model says about rows.

    Attributes
    ----------
    values : (n,) array
        Labels of classes, or numbers in the unit of the target.
    labels : list of str
        The classes; empty in regression.
    probabilities : (n, k) array or None
        The probability of each class, in the order of `labels`.
    notes : list of str
        What was unexpected about the rows.
    """

    values: NDArray[Any]
    labels: list[str]
    probabilities: NDArray[float64] | None
    notes: list[str] = field(default_factory=list)
