"""Epochs, batches, early stopping, history and checkpoints; works with any interpreter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltarule.utils.lazy_names import importer

if TYPE_CHECKING:
    from deltarule.training.checkpoints import Checkpoint
    from deltarule.training.config import Metrics, TrainingConfig
    from deltarule.training.data import Augmenter, augmented_blocks
    from deltarule.training.early_stopping import EarlyStopping
    from deltarule.training.history import History
    from deltarule.training.lbfgs import minimize_cost
    from deltarule.training.line_search import descend
    from deltarule.training.loop import run_epochs
    from deltarule.training.parameter_average import ParameterAverage
    from deltarule.training.splits import split_rows

__all__ = [
    "Augmenter",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "Metrics",
    "ParameterAverage",
    "TrainingConfig",
    "augmented_blocks",
    "descend",
    "minimize_cost",
    "run_epochs",
    "split_rows",
]

__getattr__ = importer(  # a prediction needs none of them
    __name__,
    {
        "checkpoints": ["Checkpoint"],
        "config": ["Metrics", "TrainingConfig"],
        "data": ["Augmenter", "augmented_blocks"],
        "early_stopping": ["EarlyStopping"],
        "history": ["History"],
        "lbfgs": ["minimize_cost"],
        "line_search": ["descend"],
        "loop": ["run_epochs"],
        "parameter_average": ["ParameterAverage"],
        "splits": ["split_rows"],
    },
)
