"""Epochs, batches, early stopping, history and checkpoints; works with any interpreter."""

from deltarule.training.checkpoints import Checkpoint
from deltarule.training.config import Metrics, TrainingConfig
from deltarule.training.data import Augmenter, augmented_blocks
from deltarule.training.early_stopping import EarlyStopping
from deltarule.training.history import History
from deltarule.training.lbfgs import minimize_cost
from deltarule.training.line_search import descend
from deltarule.training.loop import run_epochs
from deltarule.training.splits import split_rows

__all__ = [
    "Augmenter",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "Metrics",
    "TrainingConfig",
    "augmented_blocks",
    "descend",
    "minimize_cost",
    "run_epochs",
    "split_rows",
]
