"""Epochs, batches, learning rates, stopping and history; knows no interpreter."""

from deltarule.training.augmenting import Augmenter, augmented_blocks
from deltarule.training.batches import epoch_orders
from deltarule.training.checkpoints import Checkpoint
from deltarule.training.history import History
from deltarule.training.lbfgs import minimize_cost
from deltarule.training.line_search import descend
from deltarule.training.loop import Run, run_epochs
from deltarule.training.splits import split_rows
from deltarule.training.stopping import Stopping

__all__ = [
    "Augmenter",
    "Checkpoint",
    "History",
    "Run",
    "Stopping",
    "augmented_blocks",
    "descend",
    "epoch_orders",
    "minimize_cost",
    "run_epochs",
    "split_rows",
]
