"""Checkpoints of a fit: what decides it, what the estimator keeps beside its run, and back."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from deltarule.analysis.health import HEALTH_KINDS
from deltarule.checks import is_count, is_number
from deltarule.errors import CheckpointError
from deltarule.estimators.fit_data import Rows
from deltarule.estimators.solver_options import schedule_of
from deltarule.estimators.validation_split import Validation
from deltarule.program import Block
from deltarule.training.checkpoints import as_checkpoint

if TYPE_CHECKING:
    from deltarule.estimators.base import BaseMLP
    from deltarule.estimators.streamed_dataset import Pieces
    from deltarule.training.checkpoints.keeper import FolderKeeper

__all__ = ["begin_stream", "capture", "checkpoints_of", "compare_data", "restore"]

_FREE = ("checkpoint", "max_iter", "n_threads", "verbose", "warm_start")
"""Arguments that a fit which goes on may change; ``max_iter`` not with every schedule."""

_NUMBERS = ("n_iter_", "t_", "loss_", "best_loss_", "best_validation_score_")
_CURVES = ("loss_curve_", "validation_scores_", "validation_loss_curve_", "health_")


def checkpoints_of(
    estimator: BaseMLP, pieces: Pieces | None = None
) -> AbstractContextManager[FolderKeeper]:
    """Open the folder of the estimator's checkpoints for a fit, perhaps to pieces of a table."""
    from deltarule.training.checkpoints.keeper import keeping
    from deltarule.training.checkpoints.schedules import check_end

    arguments = {
        name: value for name, value in estimator.get_params(deep=False).items() if name not in _FREE
    }
    arguments["estimator"] = type(estimator).__qualname__
    schedule = schedule_of(estimator, incremental=False)
    arguments |= check_end("max_iter", int(estimator.max_iter), schedule)
    if pieces is not None:
        arguments |= pieces.identity()
    return keeping(as_checkpoint(estimator.checkpoint), arguments, HEALTH_KINDS)


def begin_stream(estimator: BaseMLP, keeper: FolderKeeper) -> None:
    """Let the fit draw the numbers that the first one drew, whatever ``random_state`` is.

    Without a ``random_state`` a fit that goes on has a stream of its own, not NumPy's global one.
    """
    if keeper.found is not None and estimator.random_state is None:
        estimator._random_state = check_random_state(0)
    keeper.stream("random_state", estimator._random_state)


def compare_data(
    estimator: BaseMLP, keeper: FolderKeeper, block: Block, validation: Validation, rows: Rows
) -> None:
    """Refuse to go on with other data than those of the checkpoint, or other arguments."""
    from deltarule.training.checkpoints.identity import fingerprint

    parts: dict[str, Any] = {"X": block.x, "y": block.y, "sample_weight": block.weight}
    if validation.X is not None and rows.held_out is not None:
        held_out = rows.held_out.block
        parts |= {"X_val": held_out.x, "y_val": held_out.y, "sample_weight_val": held_out.weight}
    classes, names = (
        getattr(estimator, "classes_", None),
        getattr(estimator, "feature_names_in_", None),
    )
    groups = None if validation.groups is None else np.asarray(validation.groups)
    parts |= {"groups": groups, "classes": classes, "names of the features": names}
    data = {name: fingerprint(part) for name, part in parts.items()}
    keeper.compare(data, ("max_iter", int(estimator.max_iter)))


def capture(estimator: BaseMLP, before: int, factor: float) -> dict[str, Any]:
    """Return what the estimator holds of its fit beside the run.

    ``before`` counts the epochs of an earlier run of this fit, and ``factor`` is what every rate
    is multiplied by, after a recovery.
    """
    held = {name: getattr(estimator, name, None) for name in (*_NUMBERS, *_CURVES)}
    return {"before": before, "factor": factor, **held}


def restore(estimator: BaseMLP, given: Any) -> tuple[int, float]:
    """Put back what :func:`capture` returned; return (before, factor).

    Raises
    ------
    CheckpointError
        If it is something else.
    """
    wanted = {"before", "factor", *_NUMBERS, *_CURVES}
    if not isinstance(given, dict) or set(given) != wanted or not _is_sound(given):
        raise CheckpointError("the checkpoint holds no valid attributes of an estimator.")
    for name in (*_NUMBERS, *_CURVES):
        if given[name] is not None or name != "loss_":  # there is none before the first epoch
            setattr(estimator, name, given[name])
    return given["before"], float(given["factor"])


def _is_sound(given: dict[str, Any]) -> bool:
    counts = ("before", "n_iter_", "t_")
    numbers = (given[name] for name in _NUMBERS)
    return (
        all(is_count(given[name]) for name in counts)
        and is_number(given["factor"])
        and all(value is None or is_number(value) for value in numbers)
        and all(given[name] is None or isinstance(given[name], list) for name in _CURVES)
    )
