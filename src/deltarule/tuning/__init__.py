"""Hyperparameter search: distributions to draw from, and a search's choice tried on new data."""

from deltarule.tuning.distributions import LogMomentum, LogUniform
from deltarule.tuning.retuning import Retuning, retune

__all__ = ["LogMomentum", "LogUniform", "Retuning", "retune"]
