"""Refusals of arguments that do not go together, or not with the data.

The rules that ``train`` has, too, stand in ``deltarule.training.compatibility``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deltarule.errors import SpecError
from deltarule.estimators._choices import clipping_of, minimizes, optimizer_of
from deltarule.estimators._layers import Hidden
from deltarule.optimizers import Rprop
from deltarule.program import Block
from deltarule.training.compatibility import (
    Choice,
    OptimizerName,
    check_augmented_data,
    check_batch_norm_rows,
    check_minimizer,
    check_rprop,
    refuse_schedule,
)

if TYPE_CHECKING:
    from deltarule.estimators._base import BaseMLP

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
        _refuse_schedule(estimator)


def _check_checkpoint(estimator: BaseMLP, incremental: bool) -> None:
    """Refuse checkpoints where it would not be clear which fit a later one resumes."""
    if minimizes(estimator.solver):
        given = f"checkpoint={estimator.checkpoint!r}"
        check_minimizer(_name(estimator), [Choice("checkpoint", given, "checkpoint=None")])
    if incremental:
        raise SpecError(
            "partial_fit writes no checkpoints, since its caller decides what comes next: set "
            "checkpoint=None, and save the estimator between calls."
        )
    if estimator.warm_start:
        raise SpecError(
            "checkpoint does not go with warm_start=True, whose fits continue from the last one: "
            "set warm_start=False, or checkpoint=None."
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


def _name(estimator: BaseMLP) -> OptimizerName:
    return OptimizerName("solver", estimator.solver)


def _check_minimizer(estimator: BaseMLP, hidden: Hidden) -> None:
    """Refuse what a minimiser over the whole set cannot honour."""
    choices = []
    if hidden.drops:
        given = (
            f"input_dropout={hidden.input_dropout:g}"
            if hidden.input_dropout > 0
            else f"dropout={list(hidden.dropout)}"
        )
        choices.append(Choice("dropout", given, f"{given.split('=')[0]}=0"))
    if hidden.normalizes:
        choices.append(Choice("batch_norm", "batch_norm=True", "batch_norm=False"))
    if estimator.l1 > 0:
        choices.append(Choice("l1", f"l1={estimator.l1:g}", "l1=0"))
    for name in ("max_norm", "gradient_clip", "augment"):
        value = getattr(estimator, name)
        if value is not None:
            choices.append(Choice("step", f"{name}={value!r}", f"{name}=None"))
    check_minimizer(_name(estimator), choices)
    _refuse_schedule(estimator)


def _refuse_schedule(estimator: BaseMLP) -> None:
    """Refuse a schedule of ours; scikit-learn's names have never had an effect here."""
    given: Any = estimator.learning_rate
    if given not in ("constant", "invscaling", "adaptive"):
        refuse_schedule(_name(estimator), "learning_rate", given, "learning_rate='constant'")


def check_rows(estimator: BaseMLP, hidden: Hidden, block: Block) -> None:
    """Refuse rows that the arguments cannot be applied to."""
    batch_size = None if estimator.batch_size == "auto" else estimator.batch_size
    if hidden.normalizes:
        check_batch_norm_rows(block, batch_size, "batch_norm=True", "set batch_norm=False")
    if estimator.augment is not None:
        check_augmented_data(block.x)
    by_steps = not minimizes(estimator.solver)
    if by_steps and isinstance(optimizer_of(estimator), Rprop) and batch_size is not None:
        check_rprop(_name(estimator), batch_size, block.n_rows, "batch_size='auto'")
