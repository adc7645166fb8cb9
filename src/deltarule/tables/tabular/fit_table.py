"""What a fit of a tabular estimator works on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deltarule.tables.preparation import Prepared
from deltarule.tables.sources.frames import Frame

__all__ = ["FitTable"]


class FitTable(NamedTuple):
    """A table that is prepared, and what an estimator remembers of what it was given."""

    prepared: Prepared
    weight: NDArray[np.float64] | None = None
    frame: Frame | None = None
    classes: NDArray[Any] | None = None
