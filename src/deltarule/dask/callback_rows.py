"""The rows that callbacks ask for, brought here from the workers, as a local fit shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from inspect import signature
from typing import Any

from deltarule.dask.crew import Crew
from deltarule.dask.workers import HoldOut, part_rows
from deltarule.estimators.fit_data import read_only
from deltarule.estimators.fitted_model import FittedModel
from deltarule.program import Block
from deltarule.training.streams import joined_blocks

__all__ = ["callback_rows"]

_ROWS = {"X", "y", "metadata"}


def callback_rows(
    crew: Crew,
    callbacks: Iterable[Any],
    parts: Sequence[Any],
    model: FittedModel,
    hold_out: HoldOut | None,
) -> tuple[Any, Any, Any]:
    """Return X, y and sample weights of the training rows; None each if no callback takes them.

    They may be more than fit into this process, and few callbacks look at them.
    """
    hooks = (hook for c in callbacks for hook in (c.on_fit_task_begin, c.on_fit_task_end))
    if not any(_ROWS & signature(hook).parameters.keys() for hook in hooks):
        return None, None, None
    found: list[Block] = crew.results(
        [crew.submit("rows", part_rows, p, model, i, hold_out) for i, p in enumerate(parts)]
    )
    rows = joined_blocks([block for block in found if block.n_rows])
    assert rows is not None  # a fit without rows has been refused
    x = rows.x
    if model.feature_names is not None:
        import pandas as pd

        x = pd.DataFrame(x, columns=model.feature_names)
    return read_only(x), read_only(rows.y), read_only(rows.weight)
