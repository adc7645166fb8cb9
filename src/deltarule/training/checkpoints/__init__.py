"""Checkpoints: a run written down whole, so that it can go on to the same bits."""

from deltarule.training.checkpoints.policy import Checkpoint, as_checkpoint

__all__ = ["Checkpoint", "as_checkpoint"]
