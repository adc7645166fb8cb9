"""Refusals of an estimator's arguments that do not go together, or that do not fit the data.

``deltarule.training.compatibility`` has the rules that ``train`` shares.
"""

from __future__ import annotations

from typing import Any

from deltarule.errors import SpecError
from deltarule.estimators.options import FitOptions
from deltarule.estimators.solver_options import SCIKIT_LEARN_SCHEDULES
from deltarule.program import Block
from deltarule.spec import NetworkSpec
from deltarule.spec.optimizers import Rprop
from deltarule.training.compatibility import (
    Choice,
    OptimizerName,
    check_augmented_data,
    check_batch_norm_rows,
    check_local_steps,
    check_minimizer,
    check_rprop,
    check_shards,
    refuse_schedule,
)

__all__ = ["check_options", "check_rows"]


def check_options(options: FitOptions) -> None:
    """Refuse arguments that contradict each other."""
    if options.checkpoint is not None:
        _check_checkpoint(options)
    if options.incremental:
        _check_incremental(options)
    check_shards(options.shards, options.hidden.normalizes, options.augment is not None)
    if options.minimizes:
        _check_minimizer(options)
    elif isinstance(options.solver, Rprop):
        _check_schedule(options)


def _check_checkpoint(options: FitOptions) -> None:
    """Refuse checkpoints of fits that could not be resumed from them."""
    if options.minimizes:
        given = f"checkpoint={options.given['checkpoint']!r}"
        check_minimizer(_name(options), [Choice("checkpoint", given, "checkpoint=None")])
    if options.incremental:
        raise SpecError(
            "partial_fit writes no checkpoints, since its caller decides what comes next: set "
            "checkpoint=None, and save the estimator between calls."
        )
    if options.warm_start:
        raise SpecError(
            "checkpoint does not go with warm_start=True, whose fits continue from the last one: "
            "set warm_start=False, or checkpoint=None."
        )


def _check_incremental(options: FitOptions) -> None:
    if options.early_stopping:
        raise ValueError("partial_fit does not support early_stopping=True")
    weights = options.given.get("class_weight")
    if isinstance(weights, str):
        raise SpecError(
            f"class_weight={weights!r} counts the classes of the whole training set, of which "
            "partial_fit sees a part. Give the weights as a dict of classes, or call fit."
        )


def _name(options: FitOptions) -> OptimizerName:
    return OptimizerName("solver", options.given["solver"])


def _check_minimizer(options: FitOptions) -> None:
    """Refuse what a minimiser over the whole set cannot honour."""
    hidden, choices = options.hidden, []
    if hidden.input_dropout > 0:
        given = f"input_dropout={hidden.input_dropout:g}"
        choices.append(Choice("dropout", given, "input_dropout=0"))
    elif hidden.drops:
        choices.append(Choice("dropout", f"dropout={list(hidden.dropout)}", "dropout=0"))
    if hidden.normalizes:
        choices.append(Choice("batch_norm", "batch_norm=True", "batch_norm=False"))
    if options.regularization.l1 > 0:
        choices.append(Choice("l1", f"l1={options.regularization.l1:g}", "l1=0"))
    for name in ("max_norm", "gradient_clip", "augment"):
        value = options.given[name]
        if value is not None:
            choices.append(Choice("step", f"{name}={value!r}", f"{name}=None"))
    check_minimizer(_name(options), choices)
    _check_schedule(options)


def _check_schedule(options: FitOptions) -> None:
    """Refuse a schedule that has no effect; scikit-learn ignores its own three names, too."""
    given: Any = options.given["learning_rate"]
    if given not in SCIKIT_LEARN_SCHEDULES:
        refuse_schedule(_name(options), "learning_rate", given, "learning_rate='constant'")


def check_rows(options: FitOptions, block: Block, spec: NetworkSpec) -> None:
    """Refuse rows, or a network, that do not fit the options."""
    batch_size = options.batch_size
    check_local_steps(_name(options), spec, options.shards)
    if options.hidden.normalizes:
        check_batch_norm_rows(block, batch_size, "batch_norm=True", "set batch_norm=False")
    if options.augment is not None:
        check_augmented_data(block.x)
    if isinstance(options.solver, Rprop) and batch_size is not None:
        check_rprop(_name(options), batch_size, block.n_rows, "batch_size='auto'")
