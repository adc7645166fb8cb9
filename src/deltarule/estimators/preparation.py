"""The rows of a fit made ready: held out, standardised, weighted, checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from deltarule.errors import DataError, SpecError
from deltarule.estimators.compatibility import check_rows
from deltarule.estimators.fit_data import FitData, HeldOut, RawRows, is_frame, take_rows
from deltarule.estimators.fitted_model import FittedModel
from deltarule.estimators.options import FitOptions
from deltarule.estimators.partition_sums import (
    block_moments,
    class_totals,
    factors_of_classes,
    scales_of,
    weighted,
)
from deltarule.estimators.standardization import Scales, learn_scales
from deltarule.estimators.validation_metric import read_scorer
from deltarule.estimators.validation_split import split
from deltarule.program import Block
from deltarule.training.data import Augmenter, augmented
from deltarule.training.partitions import PartitionLayout, held_out_rows
from deltarule.utils.arrays import is_sparse

__all__ = ["check_partition_options", "check_parts_held", "check_total_weight", "prepare_data"]


def prepare_data(
    options: FitOptions,
    model: FittedModel,
    block: Block,
    raw: RawRows,
    held_out: HeldOut | None,
    groups: Any,
    random_state: np.random.RandomState,
) -> FitData:
    """Return the rows to train on and those to watch; learn the scales of a new model.

    Parameters
    ----------
    block, raw : Block, RawRows
        All training rows, in the user's units: as the network reads them, and as they were given.
    held_out : HeldOut or None
        The user's own validation set. Without one, early stopping holds a part out.
    groups : array-like or None
        What a splitter must keep together.
    """
    if options.shards is not None and options.shards.partitions is not None:
        return _prepare_partitions(options, model, block, raw, held_out, random_state)
    rows: Any = None
    if options.early_stopping and not options.minimizes and held_out is None:
        rows, block, held_out = split(
            block,
            raw,
            groups,
            options.validation_fraction,
            strata=model.targets.strata(block.y),
            random_state=random_state,
        )
    callback_data = Block(
        take_rows(raw.X, rows) if is_frame(raw.X) else block.x,
        model.targets.callback_targets(raw.y, block.y, rows),
        block.weight,
    )
    if options.standardize and model.scales is None:
        if options.incremental:
            _check_first_block(block)
        model.scales = learn_scales(block, targets=model.targets.can_standardize)
    ready = model.targets.weigh(model.prepare(block))
    check_rows(options, ready, model.network)
    if held_out is not None:
        read_scorer(options.monitor, weighted=held_out.raw.weight is not None)
        held_out = held_out._replace(block=model.standardized(held_out.block))
    augment = options.augment
    if augment is not None and model.scales is not None:
        augment = _standardized(augment, block.x, model.scales)
    return FitData(ready, callback_data, held_out, augment, options.shards)


def _prepare_partitions(
    options: FitOptions,
    model: FittedModel,
    block: Block,
    raw: RawRows,
    held_out: HeldOut | None,
    random_state: np.random.RandomState,
) -> FitData:
    """Do the same with rows in partitions: all that is learned is a sum over each, in order."""
    shards, targets = options.shards, model.targets
    assert shards is not None
    layout = PartitionLayout.of(shards)
    layout.check(block.n_rows)
    check_partition_options(options)
    rows, held_parts = np.arange(block.n_rows), None
    lengths = held_lengths = layout.lengths
    if options.early_stopping and not options.minimizes and held_out is None:
        seed = int(random_state.randint(2**31))
        masks = [
            held_out_rows(seed, p, n, options.validation_fraction)
            for p, n in enumerate(layout.lengths)
        ]
        mask = np.concatenate(masks)
        held_lengths = [int(np.count_nonzero(part)) for part in masks]
        lengths = [len(part) - held for part, held in zip(masks, held_lengths, strict=True)]
        check_parts_held(sum(lengths), sum(held_lengths))
        held_out = HeldOut(block.take(np.flatnonzero(mask)), raw.take(mask))
        rows = np.flatnonzero(~mask)
        block = block.take(rows)
    parts = [block.take(cut) for cut in _slices(lengths)]
    if options.standardize and model.scales is None:
        moments = [block_moments(part) for part in parts]
        model.scales = scales_of(
            moments, targets=targets.can_standardize, sparse=is_sparse(block.x)
        )
    factors = factors_of_classes(targets, lambda: [class_totals(targets, part) for part in parts])
    ready = weighted(targets, model.prepare(block), factors)
    if ready.weight is not None:
        check_total_weight(float(np.sum(ready.weight, dtype=np.float64)))
    check_rows(options, ready, model.network)
    if held_out is not None:
        held_out = held_out._replace(block=model.standardized(held_out.block))
        cuts = _slices(held_lengths if sum(held_lengths) == held_out.block.n_rows else
                       [held_out.block.n_rows])  # fmt: skip
        held_parts = [held_out.block.take(cut) for cut in cuts]
    shown = Block(block.x, targets.callback_targets(raw.y, block.y, rows), block.weight)
    kept = replace(shards, partitions=tuple(lengths))
    return FitData(ready, shown, held_out, None, kept, held_parts)


def _slices(lengths: list[int]) -> list[slice]:
    """Return the rows of every partition."""
    ends = np.cumsum(lengths).tolist()
    return [slice(end - n, end) for end, n in zip(ends, lengths, strict=True)]


def _check_first_block(block: Block) -> None:
    """Refuse a first block without spread: its scales would be 1 in all later calls, too."""
    rows = block.n_rows if block.weight is None else int(np.count_nonzero(block.weight))
    if rows < 2:
        raise DataError(
            f"standardize=True learns means and deviations from the first rows that partial_fit "
            f"gets, and keeps them; got {rows} row of non-zero weight. Give the first call at "
            "least 2 rows, better some hundred, or set standardize=False and scale X yourself, for "
            "example with StandardScaler.partial_fit."
        )


def _standardized(augment: Augmenter, x: Any, scales: Scales) -> Augmenter:
    """Return an augmentation of x, in the user's units, that is standardised after it."""
    return lambda _, rows, epoch: scales.inputs(augmented(augment, x, rows, epoch))


# --- partitions, here and on a cluster -----------------------------------------------------------


def check_partition_options(options: FitOptions) -> None:
    """Refuse what rows in partitions cannot have."""
    if options.early_stopping and not isinstance(options.validation_fraction, float):
        raise SpecError(
            "validation_fraction must be a share of the rows, such as 0.1, where they lie in "
            f"partitions; got {options.validation_fraction!r:.60}. Or give X_val and y_val."
        )
    if options.early_stopping and options.monitor not in ("auto", "loss"):
        raise SpecError(
            "monitor must be 'auto' or 'loss' where rows lie in partitions, over which losses and "
            f"scores are summed; got {options.monitor!r:.60}."
        )


def check_parts_held(n_training: int, n_held: int) -> None:
    """Refuse a split into partitions' training rows and rows held out that leaves too few."""
    if n_training < 1 or n_held < 2:
        raise DataError(
            f"early_stopping=True holds {n_held} rows out of {n_training + n_held}: it needs at "
            "least 2, and one to train on. Change validation_fraction, or give more rows."
        )


def check_total_weight(total: float) -> None:
    """Refuse weights that are all 0, or whose sum overflows."""
    if not 0.0 < total < np.inf:
        raise DataError(
            f"the weights of all training rows add up to {total:g}. Give some rows a weight above "
            "0, and none a weight near the largest float."
        )
