"""Checkpoints of a fit: what identifies it, and what is saved in addition to the training state."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
import sklearn
from sklearn.utils import check_random_state

from deltarule.errors import CheckpointError
from deltarule.estimators.class_targets import ClassTargets
from deltarule.estimators.fit_data import FitData
from deltarule.estimators.fitted_model import FitHistory, FittedModel
from deltarule.estimators.options import FitOptions
from deltarule.estimators.validation_split import Validation
from deltarule.program import Block
from deltarule.training.curve import Curve, Records
from deltarule.utils.checks import is_count, is_number

if TYPE_CHECKING:
    from deltarule.training.checkpoints.writer import CheckpointWriter

__all__ = [
    "begin_stream",
    "block_digests",
    "capture",
    "compare_data",
    "compare_digests",
    "joined_digests",
    "open_checkpoints",
    "restore",
]

_FREE = ("checkpoint", "engine", "max_iter", "n_threads", "verbose", "warm_start")
"""Arguments that a resumed fit may change; ``max_iter`` not with every schedule. The engine is
compared with everything else that may change the bits (``CheckpointWriter.compare_code``)."""

_NUMBERS = ("n_iter", "t", "loss", "best_loss", "best_validation_score")
_CURVES = ("loss_curve", "validation_scores", "validation_loss_curve", "health")


def open_checkpoints(
    options: FitOptions, kind: str, identity: dict[str, str]
) -> AbstractContextManager[CheckpointWriter]:
    """Open the folder of a fit's checkpoints, and look for one to resume from.

    Parameters
    ----------
    options : FitOptions
        Their ``checkpoint`` is not None.
    kind : str
        Name of the estimator's class.
    identity : dict
        Digests of what else decides the rows, by name; empty for rows in memory.
    """
    from deltarule.analysis.health import HEALTH_KINDS
    from deltarule.training.checkpoints import writer
    from deltarule.training.checkpoints.fingerprint import end_argument

    assert options.checkpoint is not None
    arguments = {name: value for name, value in options.given.items() if name not in _FREE}
    if arguments["shards"] is None:  # which checkpoints of earlier versions do not name
        del arguments["shards"]
    arguments["estimator"] = kind
    arguments |= end_argument("max_iter", options.max_epochs, options.schedule)
    return writer.open_checkpoints(
        options.checkpoint,
        arguments | identity,
        HEALTH_KINDS,
        maximize=options.watches_score,
        libraries={"scikit-learn": sklearn.__version__},
    )


def begin_stream(
    writer: CheckpointWriter, given: Any, random_state: np.random.RandomState
) -> np.random.RandomState:
    """Return the fit's random stream, at the position where that of the first fit began.

    If ``random_state`` is not given, a resumed fit has a stream of its own, not NumPy's global one.
    """
    if writer.found is not None and given is None:
        random_state = check_random_state(0)
    writer.stream("random_state", random_state)
    return random_state


def compare_data(
    writer: CheckpointWriter,
    block: Block,
    validation: Validation,
    data: FitData,
    model: FittedModel,
    options: FitOptions,
) -> None:
    """Refuse to resume with other data or arguments than those of the checkpoint."""
    own = None
    if validation.X is not None and data.held_out is not None:
        own = data.held_out.block
    shards = options.shards
    if shards is not None and shards.partitions is not None:
        ends = np.cumsum(shards.partitions)
        cuts = [slice(end - n, end) for end, n in zip(ends, shards.partitions, strict=True)]
        rows = joined_digests([block_digests(block.take(cut)) for cut in cuts])
        held = None if own is None else joined_digests([block_digests(own)])
    else:
        rows, held = block_digests(block), None if own is None else block_digests(own)
    groups = None if validation.groups is None else np.asarray(validation.groups)
    compare_digests(writer, rows, held, model, options.max_epochs, groups)


def block_digests(block: Block) -> dict[str, str]:
    """Return the fingerprints of rows, by the name of their argument."""
    from deltarule.training.checkpoints.fingerprint import fingerprint

    parts = {"X": block.x, "y": block.y, "sample_weight": block.weight}
    return {name: fingerprint(part) for name, part in parts.items()}


def joined_digests(parts: Sequence[dict[str, str]]) -> dict[str, str]:
    """Return the fingerprints of rows in partitions, wherever each of them lies."""
    return {
        name: "none"
        if parts[0][name] == "none"
        else f"{len(parts)} partitions "
        + hashlib.sha256("\n".join(part[name] for part in parts).encode()).hexdigest()
        for name in parts[0]
    }


def compare_digests(
    writer: CheckpointWriter,
    rows: dict[str, str],
    held: dict[str, str] | None,
    model: FittedModel,
    max_epochs: int,
    groups: Any = None,
) -> None:
    """Refuse to resume unless all fingerprints are those of the checkpoint.

    Parameters
    ----------
    rows, held : dict
        Of all training rows, in the user's units, and of the user's validation set.
    """
    from deltarule.training.checkpoints.fingerprint import fingerprint

    targets, names = model.targets, model.feature_names
    parts: dict[str, Any] = {
        "groups": groups,
        "classes": targets.classes if isinstance(targets, ClassTargets) else None,
        "names of the features": None if names is None else np.array(names, dtype=object),
    }
    own = {} if held is None else {f"{name}_val": digest for name, digest in held.items()}
    digests = rows | own | {name: fingerprint(part) for name, part in parts.items()}
    writer.compare(digests, ("max_iter", max_epochs))


def capture(history: FitHistory, before: int, factor: float) -> dict[str, Any]:
    """Return what a checkpoint holds of the fit in addition to the training's own state.

    Parameters
    ----------
    history : FitHistory
    before : int
        Epochs of this fit before a recovery.
    factor : float
        What every learning rate is multiplied by after it.
    """
    held = {name: getattr(history, name) for name in (*_NUMBERS, *_CURVES)}
    return {"before": before, "factor": factor, **held}


def restore(history: FitHistory, given: Any) -> tuple[int, float]:
    """Put back what :func:`capture` returned; return (before, factor).

    Raises
    ------
    CheckpointError
        If it is something else.
    """
    wanted = {"before", "factor", *_NUMBERS, *_CURVES}
    if not isinstance(given, dict) or set(given) != wanted or not _is_valid(given):
        raise CheckpointError("the checkpoint holds no valid attributes of an estimator.")
    for name in ("best_loss", "validation_scores", "validation_loss_curve"):
        if (given[name] is None) != (getattr(history, name) is None):  # by early stopping
            raise CheckpointError("the checkpoint holds no valid attributes of an estimator.")
    for name in (*_NUMBERS, *_CURVES):
        setattr(history, name, given[name])
    return given["before"], float(given["factor"])


def _is_valid(given: dict[str, Any]) -> bool:

    counts = ("before", "n_iter", "t")
    numbers = (given[name] for name in _NUMBERS)
    *curves, health = (given[name] for name in _CURVES)
    return (
        all(is_count(given[name]) for name in counts)
        and is_number(given["factor"])
        and 0.0 < given["factor"] <= 1.0
        and all(value is None or is_number(value) for value in numbers)
        and isinstance(given["loss_curve"], Curve)
        and all(curve is None or isinstance(curve, Curve) for curve in curves)
        and isinstance(health, Records)
    )
