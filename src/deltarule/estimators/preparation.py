"""The rows of a fit made ready: held out, standardised, weighted, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from deltarule.errors import DataError
from deltarule.estimators.compatibility import check_rows
from deltarule.estimators.fit_data import FitData, HeldOut, RawRows, is_frame, take_rows
from deltarule.estimators.fitted_model import FittedModel
from deltarule.estimators.options import FitOptions
from deltarule.estimators.standardization import Scales, learn_scales
from deltarule.estimators.validation_metric import read_scorer
from deltarule.estimators.validation_split import split
from deltarule.program import Block
from deltarule.training.data import Augmenter, augmented

__all__ = ["prepare_data"]


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
    check_rows(options, ready)
    if held_out is not None:
        read_scorer(options.monitor, weighted=held_out.raw.weight is not None)
        held_out = held_out._replace(block=model.standardized(held_out.block))
    augment = options.augment
    if augment is not None and model.scales is not None:
        augment = _standardized(augment, block.x, model.scales)
    return FitData(ready, callback_data, held_out, augment)


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
