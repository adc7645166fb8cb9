"""Contradictions: arguments that do not go together, or that do not fit the data, are refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from deltarule.arrays import is_sparse
from deltarule.errors import DataError, SpecError
from deltarule.estimators.options import FitOptions
from deltarule.optimizers import Rprop
from deltarule.program import Block
from deltarule.schedules import Constant

__all__ = ["check_options", "check_rows"]


def check_options(options: FitOptions) -> None:
    """Refuse arguments that contradict each other."""
    if options.checkpoint is not None:
        _check_checkpoint(options)
    if options.incremental:
        _check_incremental(options)
    if options.minimizes:
        _check_minimizer(options)
    elif isinstance(options.solver, Rprop):
        _refuse_schedule(options, "solver='rprop' adapts a step size of its own for every weight")


def _check_checkpoint(options: FitOptions) -> None:
    """Refuse checkpoints of fits that could not be resumed from them."""
    if options.minimizes:
        raise SpecError(
            f"checkpoint={options.given['checkpoint']!r} does not go with "
            f"solver={options.given['solver']!r}: what its line searches remember cannot be "
            "resumed. Set solver='adam' or 'sgd', or checkpoint=None."
        )
    if options.incremental:
        raise SpecError(
            "partial_fit writes no checkpoints, since its caller decides what comes next: set "
            "checkpoint=None, and save the estimator between calls."
        )
    if options.warm_start:
        raise SpecError(
            "checkpoint does not go with warm_start=True, whose fits begin where the last one "
            "ended: set warm_start=False, or checkpoint=None."
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


def _check_minimizer(options: FitOptions) -> None:
    """Refuse what a minimiser over the whole set cannot honour."""
    hidden = options.hidden
    solver = f"solver={options.given['solver']!r}"
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
    if options.regularization.l1 > 0:
        raise SpecError(
            f"l1={options.regularization.l1:g} does not go with {solver}, whose line searches need "
            f"a cost without corners. {remedy} l1=0."
        )
    for name in ("max_norm", "gradient_clip", "augment"):
        given = options.given[name]
        if given is not None:
            raise SpecError(
                f"{name}={given!r} does not go with {solver}, which takes no steps by mini-batch. "
                f"{remedy} {name}=None."
            )
    _refuse_schedule(options, f"{solver} finds its step lengths by line searches")


def _refuse_schedule(options: FitOptions, why: str) -> None:
    """Refuse a schedule that has no effect; scikit-learn ignores its own three names here, too."""
    given: Any = options.given["learning_rate"]
    if given in ("constant", "invscaling", "adaptive") or isinstance(given, Constant):
        return
    raise SpecError(
        f"learning_rate={given!r} has no effect: {why}. Set learning_rate='constant', or "
        "solver='adam' or 'sgd'."
    )


def check_rows(options: FitOptions, block: Block) -> None:
    """Refuse rows that do not fit the options."""
    batch_size = options.batch_size
    if options.hidden.normalizes:
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
    if options.augment is not None and is_sparse(block.x):
        raise DataError(
            "augment needs a dense X; got a sparse matrix. Use X.toarray(), or augment=None."
        )
    if options.minimizes or not isinstance(options.solver, Rprop):
        return
    if batch_size is not None and batch_size < block.n_rows:
        raise SpecError(
            f"solver={options.given['solver']!r} compares the signs of whole gradients: leave "
            f"batch_size='auto', which is all {block.n_rows} rows; got batch_size={batch_size}."
        )
