"""Checkpoints of a fit: what identifies it, and the estimator's own part of a checkpoint."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from deltarule.analysis.health import HEALTH_KINDS
from deltarule.checks import is_count, is_number
from deltarule.errors import CheckpointError
from deltarule.estimators._choices import schedule_of
from deltarule.estimators._held_out import Validation
from deltarule.estimators._monitor import maximizes
from deltarule.estimators._rows import Rows
from deltarule.program import Block
from deltarule.training.checkpoints import as_checkpoint

if TYPE_CHECKING:
    from deltarule.estimators._base import BaseMLP
    from deltarule.estimators._streaming import Pieces
    from deltarule.training.checkpoints.writer import CheckpointWriter

__all__ = ["begin_stream", "capture", "checkpoints_of", "compare_data", "restore"]

_FREE = ("checkpoint", "max_iter", "n_threads", "verbose", "warm_start")
"""Arguments that may change when a fit is resumed; ``max_iter`` not with every schedule."""

_NUMBERS = ("n_iter_", "t_", "loss_", "best_loss_", "best_validation_score_")
_CURVES = ("loss_curve_", "validation_scores_", "validation_loss_curve_", "health_")


def checkpoints_of(
    estimator: BaseMLP, pieces: Pieces | None = None
) -> AbstractContextManager[CheckpointWriter]:
    """Open the folder of the estimator's checkpoints, for a fit to X or to pieces of a table."""
    from deltarule.training.checkpoints.fingerprint import end_argument
    from deltarule.training.checkpoints.writer import open_checkpoints

    arguments = {
        name: value for name, value in estimator.get_params(deep=False).items() if name not in _FREE
    }
    arguments["estimator"] = type(estimator).__qualname__
    schedule = schedule_of(estimator, incremental=False)
    arguments |= end_argument("max_iter", int(estimator.max_iter), schedule)
    if pieces is not None:
        arguments |= pieces.identity()
    return open_checkpoints(
        as_checkpoint(estimator.checkpoint),
        arguments,
        HEALTH_KINDS,
        maximize=maximizes(estimator),
    )


def begin_stream(estimator: BaseMLP, writer: CheckpointWriter) -> None:
    """Let a resumed fit draw the random numbers that the first one drew.

    Without ``random_state`` it then uses a stream of its own, not NumPy's global one.
    """
    if writer.found is not None and estimator.random_state is None:
        estimator._random_state = check_random_state(0)
    writer.stream("random_state", estimator._random_state)


def compare_data(
    estimator: BaseMLP, writer: CheckpointWriter, block: Block, validation: Validation, rows: Rows
) -> None:
    """Refuse to resume with other data or arguments than those of the checkpoint."""
    from deltarule.training.checkpoints.fingerprint import fingerprint

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
    writer.compare(data, ("max_iter", int(estimator.max_iter)))


def capture(estimator: BaseMLP, before: int, factor: float) -> dict[str, Any]:
    """Return the estimator's own part of a checkpoint.

    ``before`` is the number of epochs of this fit before a recovery, and ``factor`` multiplies
    every learning rate after it.
    """
    held = {name: getattr(estimator, name, None) for name in (*_NUMBERS, *_CURVES)}
    return {"before": before, "factor": factor, **held}


def restore(estimator: BaseMLP, given: Any) -> tuple[int, float]:
    """Restore what :func:`capture` returned; return (before, factor).

    Raises
    ------
    CheckpointError
        If it is not valid.
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
