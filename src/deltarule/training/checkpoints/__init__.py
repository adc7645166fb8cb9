"""Checkpoints: files of a training's whole state, from which it resumes to the same bits."""

from deltarule.training.checkpoints.config import Checkpoint, as_checkpoint

__all__ = ["Checkpoint", "as_checkpoint"]
