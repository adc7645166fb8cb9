"""What does not go together: arguments that contradict each other, or the data, are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deltarule.arrays import is_sparse
from deltarule.errors import DataError, SpecError
from deltarule.estimators.layer_options import Hidden
from deltarule.estimators.solver_options import clipping_of, minimizes, optimizer_of
from deltarule.optimizers import Rprop
from deltarule.program import Block
from deltarule.schedules import Constant

if TYPE_CHECKING:
    from deltarule.estimators.base import BaseMLP

__all__ = ["check_arguments", "check_rows"]


def check_arguments(estimator: BaseMLP, hidden: Hidden, incremental: bool) -> None:
    """Refuse arguments that contradict each other."""
    clipping_of(estimator.gradient_clip)
    if estimator.checkpoint is not None:
        _check_checkpoint(estimator, incremental)
    if incremental:
        _check_incremental(estimator)
    if minimizes(estimator.solver):
        _check_minimizer(estimator, hidden)
    elif isinstance(optimizer_of(estimator), Rprop):
        _check_rprop(estimator)


def _check_checkpoint(estimator: BaseMLP, incremental: bool) -> None:
    """Refuse checkpoints where a run that begins again could not know which one it goes on with."""
    if minimizes(estimator.solver):
        raise SpecError(
            f"checkpoint={estimator.checkpoint!r} does not go with solver={estimator.solver!r}: "
            "what its line searches remember cannot be taken up again. Set solver='adam' or "
            "'sgd', or checkpoint=None."
        )
    if incremental:
        raise SpecError(
            "partial_fit keeps no checkpoints, since its caller decides what comes next: set "
            "checkpoint=None, and save the estimator between calls."
        )
    if estimator.warm_start:
        raise SpecError(
            "checkpoint does not go with warm_start=True, whose fits begin where the last one "
            "ended: set warm_start=False, or checkpoint=None."
        )


def _check_incremental(estimator: BaseMLP) -> None:
    if estimator.early_stopping:
        raise ValueError("partial_fit does not support early_stopping=True")
    weights = getattr(estimator, "class_weight", None)
    if isinstance(weights, str):
        raise SpecError(
            f"class_weight={weights!r} counts the classes of the whole training set, of which "
            "partial_fit sees a part. Give the weights as a dict of classes, or call fit."
        )


def _check_minimizer(estimator: BaseMLP, hidden: Hidden) -> None:
    """Refuse what a minimiser over the whole set cannot honour."""
    solver = f"solver={estimator.solver!r}"
    remedy = "Set solver='adam' or 'sgd', or"
    if hidden.drops:
        given = (
            f"input_dropout={hidden.input_dropout:g}"
            if hidden.input_dropout > 0
            else f"dropout={list(hidden.dropout)}"
        )
        raise SpecError(
            f"{given} does not go with {solver}, whose line searches need a cost that random "
            f"masks do not change. {remedy} {given.split('=')[0]}=0."
        )
    if hidden.normalizes:
        raise SpecError(
            f"batch_norm=True does not go with {solver}, which has no mini-batches to gather "
            f"statistics over. {remedy} batch_norm=False."
        )
    if estimator.l1 > 0:
        raise SpecError(
            f"l1={estimator.l1:g} does not go with {solver}, whose line searches need a cost "
            f"without corners. {remedy} l1=0."
        )
    steps = {"max_norm": None, "gradient_clip": None, "augment": None}
    for name, off in steps.items():
        given = getattr(estimator, name)
        if given is not off:
            raise SpecError(
                f"{name}={given!r} does not go with {solver}, which takes no steps by mini-batch. "
                f"{remedy} {name}=None."
            )
    _refuse_schedule(estimator, f"{solver} finds its step lengths by line searches")


def _check_rprop(estimator: BaseMLP) -> None:
    _refuse_schedule(estimator, "solver='rprop' adapts a step size of its own for every weight")


def _refuse_schedule(estimator: BaseMLP, why: str) -> None:
    """Refuse a schedule of ours; scikit-learn's names have never said anything here."""
    given: Any = estimator.learning_rate
    if given in ("constant", "invscaling", "adaptive") or isinstance(given, Constant):
        return
    raise SpecError(
        f"learning_rate={given!r} has no effect: {why}. Set learning_rate='constant', or "
        "solver='adam' or 'sgd'."
    )


def check_rows(estimator: BaseMLP, hidden: Hidden, block: Block) -> None:
    """Refuse rows that the arguments cannot be carried out on."""
    batch_size = estimator.batch_size
    if hidden.normalizes:
        rows = block.n_rows if block.weight is None else int(np.count_nonzero(block.weight))
        if rows < 2:
            raise DataError(
                "batch_norm=True needs at least 2 samples of non-zero weight, since one sample "
                f"has no variance; got n_samples={rows}. Give more rows, or set batch_norm=False."
            )
        if batch_size == 1:
            raise SpecError(
                "batch_size must be at least 2 with batch_norm=True; got 1: one row has no "
                "variance."
            )
    if estimator.augment is not None and is_sparse(block.x):
        raise DataError(
            "augment needs a dense X; got a sparse matrix. Use X.toarray(), or augment=None."
        )
    if minimizes(estimator.solver) or not isinstance(optimizer_of(estimator), Rprop):
        return
    if batch_size != "auto" and batch_size < block.n_rows:
        raise SpecError(
            f"solver={estimator.solver!r} compares the signs of whole gradients: leave "
            f"batch_size='auto', which is all {block.n_rows} rows; got batch_size={batch_size}."
        )
